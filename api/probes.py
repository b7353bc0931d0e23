"""Liveness and readiness on the port of the conversations: what load balancers and AWS's samples ask for."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from api.health import Health
from api.operations import Access, Handler, Operation, Shape, Success
from api.schema import Anything

_HEALTH: Final = Anything("Health", "The status, how long the server runs, its live sessions and its counters.")
_READINESS: Final = Anything("Readiness", "The status, and the state of each dependency.")


def operations(health: Health) -> list[Operation]:
    """Return the operations that tell how the server is."""
    alive = Success(description="The server is alive", data=_HEALTH, shape=Shape.BARE)
    ready = Success(description="A session that begins now would work", data=_READINESS, shape=Shape.BARE)
    return [
        Operation(
            method="GET",
            path="/health",
            name="getHealth",
            summary="Whether the server is alive",
            access=Access.PUBLIC,
            handler=answering(health.alive),
            success=alive,
        ),
        Operation(
            method="GET",
            path="/ping",
            name="ping",
            summary="The same as /health",
            access=Access.PUBLIC,
            handler=answering(health.alive),
            success=alive,
        ),
        Operation(
            method="GET",
            path="/ready",
            name="getReadiness",
            summary="Whether the server can take a session",
            access=Access.PUBLIC,
            handler=answering(health.ready),
            success=ready,
            refusals={503: "A dependency is away, or there is no room; the body has the same shape"},
        ),
    ]


def answering(make: Callable[[], Awaitable[tuple[int, bytes]]]) -> Handler:
    """Return what answers with a status and JSON that are made anew for each request."""

    async def answer(_request: web.Request) -> web.Response:
        status, body = await make()
        return web.Response(status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"})

    return answer

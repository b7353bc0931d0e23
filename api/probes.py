"""Liveness and readiness on the port of the conversations: what load balancers and AWS's samples ask for."""

from typing import Final

from aiohttp import web

from api.health import Health
from api.operations import Access, Operation, Shape, Success
from api.schema import Anything

HEALTH: Final = web.AppKey("health", Health)
_ALIVE: Final = Success(
    description="The server is alive",
    data=Anything("Health", "The status, how long the server runs, its live sessions and its counters."),
    shape=Shape.BARE,
)
_READY: Final = Success(
    description="A session that begins now would work",
    data=Anything("Readiness", "The status, and the state of each dependency."),
    shape=Shape.BARE,
)


async def get_health(request: web.Request) -> web.Response:
    """Say that the server is alive."""
    return _json(await request.app[HEALTH].alive())


async def get_readiness(request: web.Request) -> web.Response:
    """Say whether the server can take a session."""
    return _json(await request.app[HEALTH].ready())


def _json(made: tuple[int, bytes]) -> web.Response:
    status, body = made
    return web.Response(status=status, body=body, content_type="application/json", headers={"Cache-Control": "no-store"})


OPERATIONS: Final = (
    Operation(
        method="GET", path="/health", handler=get_health, summary="Whether the server is alive", access=Access.PUBLIC, success=_ALIVE
    ),
    Operation(
        method="GET", path="/ping", name="ping", handler=get_health, summary="The same as /health", access=Access.PUBLIC, success=_ALIVE
    ),
    Operation(
        method="GET",
        path="/ready",
        handler=get_readiness,
        summary="Whether the server can take a session",
        access=Access.PUBLIC,
        success=_READY,
        refusals={503: "A dependency is away, or there is no room; the body has the shape of the success"},
    ),
)

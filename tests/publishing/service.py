"""An Event API on this machine: takes what the real one takes, and misbehaves when it is told to."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from publishing.appsync import BATCH_EVENTS
from tests.loopback import serving

type Misbehaviour = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


class EventApi:
    """What was published, and what the next requests meet."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.BaseRequest] = []
        self.bodies: list[bytes] = []
        self.taken: list[tuple[str, str]] = []
        """Channel and text of every event, in order."""
        self.next: deque[Misbehaviour] = deque()
        self._came = asyncio.Event()
        self.poison = ""
        """Events with this in them are never taken."""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(request)
        self.bodies.append(body)
        if self.next:
            return await self.next.popleft()(request, body)
        return self.take(body)

    def take(self, body: bytes, failing: tuple[int, ...] = ()) -> web.Response:
        """Answer as the service does."""
        told = json.loads(body)
        events = told["events"]
        if not 1 <= len(events) <= BATCH_EVENTS or not told["channel"].startswith("/"):
            return web.json_response({"errors": [{"errorType": "BadRequestException", "message": "no"}]}, status=400)
        bad = {index for index, text in enumerate(events) if self.poison and self.poison in text} | set(failing)
        self._came.set()
        self.taken += [(told["channel"], text) for index, text in enumerate(events) if index not in bad]
        return web.json_response(
            {
                "successful": [{"identifier": f"i-{index}", "index": index} for index in range(len(events)) if index not in bad],
                "failed": [{"identifier": f"i-{index}", "index": index, "code": 500, "message": "no"} for index in sorted(bad)],
            }
        )

    async def until(self, count: int) -> None:
        """Return when so many events were taken."""
        while len(self.taken) < count:
            self._came.clear()
            await self._came.wait()

    # Misbehaviours

    def fails(self, *indexes: int) -> Misbehaviour:
        async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
            return self.take(body, indexes)

        return answer


def status(code: int, kind: str = "") -> Misbehaviour:
    async def answer(request: web.Request, body: bytes) -> web.StreamResponse:
        return web.json_response({"errors": [{"errorType": kind, "message": "no"}]}, status=code)

    return answer


async def vanish(request: web.Request, body: bytes) -> web.StreamResponse:
    """Cut the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def never(request: web.Request, body: bytes) -> web.StreamResponse:
    """Say nothing until the client has gone."""
    await asyncio.Event().wait()
    return web.Response()


async def rubbish(request: web.Request, body: bytes) -> web.StreamResponse:
    """Answer with a success that cannot be read."""
    return web.Response(body=b"\x00<html>", content_type="text/html")


@asynccontextmanager
async def running_api() -> AsyncIterator[EventApi]:
    """Run an Event API on a free port."""
    api = EventApi()
    app = web.Application(client_max_size=1024 * 1024)
    app.router.add_post("/event", api.serve)
    async with serving(app) as api.url:
        yield api

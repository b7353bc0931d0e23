"""The admin endpoint: what a test or a person can ask an emulator while it runs, in JSON over HTTP/1.1 on a port of its own.

The paths, with examples: docs/reference/emulator-admin.md.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from aiohttp import web

from nova_sonic_local.admin_guard import LARGEST_BODY_BYTES, AdminError, answer, check_query, make_guard, read_members, respond
from nova_sonic_local.control import Control, NoSuchStreamError, StreamEndedError, render
from nova_sonic_local.upcoming import Operation

CLOSE_SECONDS: Final = 1.0
"""For requests under way when the emulator ends."""


class Admin:
    """Answers the requests.

    Args:
        control: what can be done.
        about: tells what GET /v1 says of the emulator.
    """

    def __init__(self, control: Control, about: Callable[[], Mapping[str, object]]) -> None:
        self._control = control
        self._about = about

    def routes(self) -> list[web.RouteDef]:
        """Return which path is answered by what."""
        return [
            web.get("/v1", self._get_about),
            web.get("/v1/streams", self._get_streams),
            web.get("/v1/streams/{id}", self._get_stream),
            web.post("/v1/streams/{id}/fault", self._post_fault),
            web.get("/v1/next", self._get_next),
            web.put("/v1/next", self._put_next),
            web.delete("/v1/next", self._delete_next),
            web.get("/v1/counters", self._get_counters),
            web.post("/v1/reset", self._post_reset),
        ]

    async def _get_about(self, request: web.Request) -> web.Response:
        check_query(request)
        return answer(self._about())

    async def _get_streams(self, request: web.Request) -> web.Response:
        check_query(request)
        return answer({"streams": self._control.streams()})

    async def _get_stream(self, request: web.Request) -> web.Response:
        check_query(request, "audio", "after")
        audio, after = request.query.get("audio", "sizes"), request.query.get("after", "0")
        if audio not in ("sizes", "full"):
            raise AdminError(400, "wrong_value", "audio must be sizes or full")
        if not (after.isascii() and after.isdigit() and len(after) < 10):  # noqa: PLR2004 -- digits of a number that fits anywhere
            raise AdminError(400, "wrong_value", "after must be the number of an event")
        has_sound = audio == "full"
        if has_sound and not self._control.keeps_sound:
            raise AdminError(409, "sound_not_kept", "only sizes of audio are kept; start the emulator with --keep-sound")
        with _told():
            log = self._control.log(request.match_info["id"])
        rows = [row for row in log.rows() if row.number > int(after)]
        head = log.summary() | {"dropped": log.dropped}
        # Off the loop: thousands of events to parse would hold up everybody's audio.
        return respond(await asyncio.to_thread(render, head, rows, has_sound=has_sound))

    async def _post_fault(self, request: web.Request) -> web.Response:
        check_query(request)
        members = await read_members(request, {"fault": str}, ("fault",))
        with _told():
            try:
                return answer(self._control.inject(request.match_info["id"], str(members["fault"])))
            except ValueError as error:
                raise AdminError(400, "unknown_fault", str(error)) from error

    async def _get_next(self, request: web.Request) -> web.Response:
        return answer(self._control.plan(_operation(request)).as_json())

    async def _put_next(self, request: web.Request) -> web.Response:
        check_query(request)
        members = await read_members(request, {"operation": str, "brain": str, "scenario": str, "fault": str, "times": int})
        brain, scenario = str(members.get("brain", "")), str(members.get("scenario", ""))
        if scenario:
            brain = f"{brain or self._control.usual_brain}:{scenario}"
        try:
            operation = Operation(str(members.get("operation", Operation.NOVA_SONIC)))
            plan = await self._control.plan_next(brain, str(members.get("fault", "")), int(str(members.get("times", 1))), operation)
        except ValueError as error:
            raise AdminError(400, "wrong_value", str(error)) from error
        return answer(plan.as_json())

    async def _delete_next(self, request: web.Request) -> web.Response:
        return answer((await self._control.plan_next("", "", 0, _operation(request))).as_json())

    async def _get_counters(self, request: web.Request) -> web.Response:
        check_query(request)
        return answer(self._control.counters())

    async def _post_reset(self, request: web.Request) -> web.Response:
        check_query(request)
        await read_members(request, {})
        await self._control.reset()
        return answer({"reset": True})


def _operation(request: web.Request) -> Operation:
    """Return whose plan a request is about."""
    check_query(request, "operation")
    try:
        return Operation(request.query.get("operation", Operation.NOVA_SONIC))
    except ValueError as error:
        raise AdminError(400, "wrong_value", f"operation must be one of {', '.join(Operation)}") from error


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what Control raises of streams into answers."""
    try:
        yield
    except NoSuchStreamError as error:
        raise AdminError(404, "unknown_stream", str(error)) from error
    except StreamEndedError as error:
        raise AdminError(409, "stream_ended", str(error)) from error


@contextlib.asynccontextmanager
async def serve_admin(admin: Admin, host: str, port: int) -> AsyncIterator[int]:
    """Serve the endpoint while the context lasts; gives the port.

    Raises:
        OSError: it cannot listen there.
    """
    app = web.Application(middlewares=[make_guard(host)], client_max_size=LARGEST_BODY_BYTES)
    app.add_routes(admin.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()

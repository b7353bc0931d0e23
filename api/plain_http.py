"""Plain HTTP on connections that somebody else accepts."""

import asyncio
from typing import Any, Final, override

from aiohttp import web

from api.answers import failure
from api.errors import RequestError
from session.errors import InternalError

SHUTDOWN_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 2.0
"""How long a body that nobody wants is still read, so that its sender sees why."""
_LIMITS: Final[dict[str, Any]] = {
    "access_log": None,
    "auto_decompress": False,
    "keepalive_timeout": LINGER_SECONDS,
    "lingering_time": LINGER_SECONDS,
}


class PlainHttp:
    """Serves an application; a call makes the protocol of one connection, which ends with its first answer.

    Proxies and client libraries that keep connections open send the next request over one of them, and that may ask for a WebSocket.

    Args:
        app: has the answers.
    """

    def __init__(self, app: web.Application) -> None:
        app.on_response_prepare.append(_end_connection)
        self._runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_SECONDS, **_LIMITS)

    async def start(self) -> None:
        """Be ready for connections."""
        await self._runner.setup()

    def __call__(self) -> asyncio.Protocol:
        """Return what serves a new connection."""
        server = self._runner.server
        if server is None:
            raise RuntimeError("start() has not been called")
        return _Connection(server, loop=asyncio.get_running_loop(), **_LIMITS)

    async def stop(self) -> None:
        """Let the answers that are being made end, and close all connections."""
        await self._runner.cleanup()


async def _end_connection(_request: web.Request, response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"


class _Connection(web.RequestHandler):
    __slots__ = ()

    @override
    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what is no HTTP like every other bad request."""
        error = RequestError("This is no HTTP request.") if status < InternalError.status else InternalError()
        response = failure(error, headers={"Server": "-"}, detail=type(exc).__name__)
        response.force_close()
        return response

"""The HTTP server of HEALTH_PORT."""

import socket
from collections.abc import Sequence
from typing import Final

from aiohttp import web

from api.health import Health
from api.probes import HEALTH, get_health, get_readiness

SHUTDOWN_SECONDS: Final = 1.0


class HealthServer:
    """Serves /health, /ready and the short forms that load balancers of AWS's samples ask for.

    Args:
        sockets: listening sockets; closed with the server.
        health: has the answers.
    """

    def __init__(self, sockets: Sequence[socket.socket], health: Health) -> None:
        self._sockets = tuple(sockets)
        self._runner = web.AppRunner(build_app(health), access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)

    async def start(self) -> None:
        """Begin to answer."""
        await self._runner.setup()
        for each in self._sockets:
            await web.SockSite(self._runner, each).start()

    async def stop(self) -> None:
        """Close all connections and the sockets."""
        await self._runner.cleanup()
        for each in self._sockets:
            each.close()


def build_app(health: Health) -> web.Application:
    """Return the application."""
    app = web.Application()
    app[HEALTH] = health
    app.on_response_prepare.append(_hide_server)
    for path in ("/", "/health", "/ping"):
        app.router.add_get(path, get_health)
    app.router.add_get("/ready", get_readiness)
    return app


async def _hide_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    response.headers["X-Content-Type-Options"] = "nosniff"

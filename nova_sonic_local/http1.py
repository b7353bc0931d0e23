"""HTTP/1.1, for clients that speak nothing newer: aiohttp reads and writes it, and each request becomes an exchange like those of HTTP/2.

What HTTP/2 says with a frame of its own is said as HTTP/1.1 can: a reset is the end of the connection.
"""

import asyncio
import weakref
from collections.abc import Callable
from typing import Final

from aiohttp import web
from h2.errors import ErrorCodes

from nova_sonic_local.exchange import Exchange, StreamLost
from nova_sonic_local.heads import VERSION

WINDOW_BYTES: Final = 256 * 1024
"""This much of a request is taken before somebody reads it."""
PIECE_BYTES: Final = 64 * 1024
IDLE_SECONDS: Final = 75.0
"""A connection without a request is closed then."""
CLOSE_SECONDS: Final = 1.0


class Http1Connection:
    """One request's view of its connection; satisfies `exchange.Connection`.

    Args:
        request: as aiohttp has it.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._untaken = 0
        self._head: list[tuple[str, str]] = []
        self._is_frozen = False
        self._is_last = False

    async def feed(self, exchange: Exchange) -> None:
        """Hand the body over, as fast as it is read."""
        while data := await self._request.content.read(PIECE_BYTES):
            self._untaken += len(data)
            exchange.receive(data, len(data))
            while self._untaken > WINDOW_BYTES or self._is_frozen:
                self._room.clear()
                await self._room.wait()
        exchange.receive_end()

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Send the response, as it is written, and return it.

        Raises:
            StreamLost: it was broken off.
        """
        while not self._head or self._is_frozen or exchange.is_held:
            await self._change(exchange)
        fields = dict(self._head)
        status = int(fields.pop(":status"))
        response = web.StreamResponse(status=status, headers=fields)
        promised = int(fields["content-length"]) if "content-length" in fields else None
        if promised is None:
            response.enable_chunked_encoding()
        if self._is_last:
            response.force_close()
        await response.prepare(self._request)
        sent = 0
        while not (exchange.wants_end and not exchange.outgoing and not exchange.is_held) or self._is_frozen:
            if exchange.outgoing and not exchange.is_held and not self._is_frozen:
                piece = exchange.take(PIECE_BYTES)
                sent += len(piece)
                await response.write(piece)
            else:
                await self._change(exchange)
        if promised is not None and sent < promised:
            self.abort()
            raise StreamLost
        await response.write_eof()
        exchange.complete()
        return response

    async def _change(self, exchange: Exchange) -> None:
        if exchange.is_lost:
            raise StreamLost
        self._changed.clear()
        await self._changed.wait()
        if exchange.is_lost:
            raise StreamLost

    # What an exchange calls.

    def schedule(self, exchange: Exchange | None = None) -> None:  # noqa: ARG002 -- there is one
        """Send what is waiting."""
        self._changed.set()

    def send_headers(self, exchange: Exchange, headers: list[tuple[str, str]]) -> None:  # noqa: ARG002 -- there is one
        """Send the response head; one that only announces another is left out."""
        if not headers[0][1].startswith("1"):
            self._head = headers
            self._changed.set()

    def acknowledge(self, exchange: Exchange, size: int) -> None:  # noqa: ARG002 -- there is one
        """Let more of the request come."""
        self._untaken -= size
        self._room.set()

    def reset(self, exchange: Exchange, code: ErrorCodes) -> None:  # noqa: ARG002 -- HTTP/1.1 has no such code
        """Break the response off."""
        exchange.lose()
        self._changed.set()
        self.abort()

    def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:  # noqa: ARG002 -- HTTP/1.1 has no such code
        """Close the connection."""
        self.abort()

    def drain(self) -> None:
        """Take no other request on this connection."""
        self._is_last = True

    def freeze(self) -> None:
        """Read and write nothing more, and stay open."""
        self._is_frozen = True

    def abort(self) -> None:
        """Drop the connection."""
        if self._request.transport is not None:
            self._request.transport.abort()


class Http1Server:
    """Makes the protocol of each connection. Close it at the end.

    Args:
        serve: called with each request; must return at once.
    """

    def __init__(self, serve: Callable[[Exchange], None]) -> None:
        self._serve = serve
        # Cancelled when the client goes, so that an exchange learns of it.
        self._server = web.Server(self._handle, handler_cancellation=True, keepalive_timeout=IDLE_SECONDS, access_log=None)
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    def __call__(self, transport: asyncio.Transport) -> asyncio.Protocol:
        """Return the protocol of a connection."""
        self._transports.add(transport)
        return self._server()

    async def aclose(self) -> None:
        """Close all connections."""
        transports = list(self._transports)
        await self._server.shutdown(CLOSE_SECONDS)
        for transport in transports:
            transport.abort()  # a client that keeps its end open would be waited for, because TLS wants an answer to the goodbye

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = Http1Connection(request)
        exchange = Exchange(connection, 1, _headers(request))
        feeding = asyncio.create_task(connection.feed(exchange))
        feeding.add_done_callback(lambda task: exchange.lose() if not task.cancelled() and task.exception() is not None else None)
        try:
            self._serve(exchange)
            return await connection.answer(exchange)
        except StreamLost:
            connection.abort()
            raise asyncio.CancelledError from None  # there is nobody to answer any more
        finally:
            feeding.cancel()
            exchange.lose()


def _headers(request: web.BaseRequest) -> dict[str, str]:
    """Return the headers as HTTP/2 would have them."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    pseudo = {":method": request.method, ":path": request.raw_path, ":authority": headers.get("host", ""), ":scheme": request.scheme}
    return headers | pseudo | {VERSION: "1.1"}

"""Connections to one host, shared by exchanges (s2s.bedrock.interfaces.Exchanges)."""

import asyncio
import ssl
from typing import Final

from s2s.bedrock.http2.connection import Connection, Phase
from s2s.bedrock.http2.dial import Dialler, make_context, parse_endpoint
from s2s.bedrock.http2.exchange import Http2Exchange
from s2s.bedrock.http2.proxy import Proxy
from s2s.bedrock.http2.wire import Wire
from s2s.bedrock.interfaces import CannotConnect, Headers

KEEP_SECONDS: Final = 30.0
"""How long a connection is kept for the next stream: a TLS handshake costs two round trips and some milliseconds of CPU."""
QUEUE_SECONDS: Final = 0.25
"""How much longer than one attempt to connect an opening may take, when others were first and took its place."""
FRESH_SECONDS: Final = 1.5
"""A connection that was heard of so recently need not be asked whether it lives."""


class Http2Exchanges:
    """Opens exchanges with one endpoint. Belongs to one event loop.

    Args:
        endpoint_uri: https (ALPN h2), or http with prior knowledge of HTTP/2.
        ca_file: the only certificate authority to trust, PEM; None for the system's.
        streams_per_connection: how many sessions die together when a connection does; fewer when the peer takes fewer.
        connect_seconds: for name resolution, TCP, proxy, TLS and the peer's SETTINGS together; all of `open` takes hardly longer.
        proxy: to go through.
        keep_seconds: how long a connection without streams is kept.
        first_stream_id: for tests of what happens when the ids of a connection run out.

    Raises:
        ValueError: the URI is neither https nor http, or a connection may carry no stream.
    """

    def __init__(
        self,
        endpoint_uri: str,
        *,
        ca_file: str | None = None,
        streams_per_connection: int = 16,
        connect_seconds: float = 2.5,
        proxy: Proxy | None = None,
        keep_seconds: float = KEEP_SECONDS,
        first_stream_id: int = 1,
    ) -> None:
        if streams_per_connection < 1:
            raise ValueError("a connection must carry at least one stream")
        self._endpoint = parse_endpoint(endpoint_uri)
        self._ca_file = ca_file
        self._limit = streams_per_connection
        self._connect_seconds = connect_seconds
        self._proxy = proxy
        self._keep_seconds = keep_seconds
        self._first_stream_id = first_stream_id
        self._context: ssl.SSLContext | None = None
        self._wires: list[Wire] = []
        self._attempt: asyncio.Task[None] | None = None
        self._is_closed = False

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._wires)

    async def open(self, method: str, path: str, headers: Headers) -> Http2Exchange:
        """Send the head of a request on a connection with room, or on a new one.

        Raises:
            CannotConnect: there is no connection to be had in time.
        """
        try:
            async with asyncio.timeout(self._connect_seconds + QUEUE_SECONDS):
                while True:
                    for wire in self._wires:
                        if wire.connection.capacity and len(wire.connection.streams) < self._limit:
                            return wire.open(method, path, headers)
                    await self._connect()
        except TimeoutError:
            raise CannotConnect(f"no room for a stream on connections to {self._endpoint} in time") from None

    async def reach(self) -> None:
        """Make sure that there is a live connection: one that answers, or a new one.

        Raises:
            CannotConnect: there is none to be had in time.
        """
        wire = next((wire for wire in self._wires if wire.connection.phase is Phase.OPEN), None)
        if wire is None or not (wire.is_fresh(FRESH_SECONDS) or await wire.probe()):
            await self._connect()

    async def close(self) -> None:
        """End all exchanges and connections. Returns in bounded time."""
        self._is_closed = True
        if self._attempt is not None:
            self._attempt.cancel()
            await asyncio.wait({self._attempt})
        await asyncio.gather(*(wire.close() for wire in list(self._wires)))

    async def _connect(self) -> None:
        """Wait for the one attempt to connect that there is, or for a new one; whoever is cancelled leaves it to the others."""
        if self._is_closed:
            raise CannotConnect("closed by this side")
        if self._attempt is None:
            self._attempt = asyncio.get_running_loop().create_task(self._dial(), name="http2-connect")
            self._attempt.add_done_callback(self._attempted)
        attempt = self._attempt
        await asyncio.wait({attempt})
        if attempt.cancelled():
            raise CannotConnect("closed by this side")
        error = attempt.exception()
        if isinstance(error, CannotConnect):
            raise type(error)(str(error)) from error  # one for each who waited: an exception carries its traceback
        if error is not None:
            raise error

    def _attempted(self, attempt: asyncio.Task[None]) -> None:
        self._attempt = None
        if not attempt.cancelled():
            attempt.exception()  # counts as seen, in case nobody waits any more

    async def _dial(self) -> None:
        if self._endpoint.scheme == "https" and self._context is None:
            self._context = await asyncio.to_thread(make_context, self._ca_file)
        dialler = Dialler(self._endpoint, self._proxy, self._connect_seconds, self._context)
        wire = await dialler.dial(self._make_wire)
        if not wire.connection.is_closed:
            self._wires.append(wire)

    def _make_wire(self) -> Wire:
        connection = Connection(self._endpoint.scheme, self._endpoint.authority, first_stream_id=self._first_stream_id)
        return Wire(connection, self._keep_seconds, self._forget)

    def _forget(self, wire: Wire) -> None:
        if wire in self._wires:
            self._wires.remove(wire)

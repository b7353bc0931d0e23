"""A connection on a socket: asyncio's or uvloop's transport, with TLS or without, and one timer."""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from s2s.bedrock.http2.connection import Connection
from s2s.bedrock.http2.exchange import Http2Exchange
from s2s.bedrock.http2.liveness import Liveness, Verdict
from s2s.bedrock.http2.streams import Ending
from s2s.bedrock.interfaces import Headers

HIGH_WATER_BYTES: Final = 64 * 1024
"""While more than this waits for the socket, data waits in its streams: a second of speech of all sixteen."""
GOODBYE_SECONDS: Final = 0.5
"""How long the socket may take to send the last frames before it is dropped."""


class Wire(asyncio.Protocol):
    """Carries one connection.

    Args:
        connection: not used before.
        keep_seconds: how long to stay connected without streams.
        gone: called once, when the socket is closed.
    """

    def __init__(self, connection: Connection, keep_seconds: float, gone: Callable[["Wire"], None]) -> None:
        self.connection = connection
        self._gone = gone
        self._loop = asyncio.get_running_loop()
        self._liveness = Liveness(self._loop.time(), keep_seconds)
        self._transport: asyncio.Transport | None = None
        self._flush_handle: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._signs: list[asyncio.Future[None]] = []
        """Futures of those who wait for any byte, or the end."""
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """Done when the socket is closed."""

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the peer."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class is no subclass of asyncio's
        self._transport.set_write_buffer_limits(HIGH_WATER_BYTES)
        plain_socket = transport.get_extra_info("socket")
        if plain_socket is not None and plain_socket.family != socket.AF_UNIX:
            plain_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._arm(self._loop.time())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the peer, and answer what has to be answered."""
        now = self._liveness.heard_at = self._loop.time()
        connection = self.connection
        connection.receive_data(data, now)
        if self._signs:
            self._wake()
        if connection.outgoing or connection.is_closed:
            self._flush()

    def eof_received(self) -> None:
        """Tell every stream: nothing more comes. The transport closes itself."""
        self.connection.lose("the peer closed the TCP connection")

    def pause_writing(self) -> None:
        """Let data wait: the socket is full."""
        self.connection.hold()

    def resume_writing(self) -> None:
        """Let data go again."""
        self.connection.release()
        self.flush_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every stream."""
        self._transport = None
        self.connection.lose("the peer closed the TCP connection" if exc is None else f"the TCP connection was lost: {exc}")
        if self._flush_handle is not None:
            self._flush_handle.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        if not self.lost.done():
            self.lost.set_result(None)
        self._gone(self)

    # What the pool and the exchanges call.

    def open(self, method: str, path: str, headers: Headers) -> Http2Exchange:
        """Begin a request; the connection must have room."""
        is_first = not self.connection.streams
        stream = self.connection.open(method, path, headers)
        now = self._loop.time()
        if self._liveness.begin(now):
            self.connection.ping()
        if is_first:
            self._arm(now)
        self.flush_soon()
        return Http2Exchange(self, stream)

    def flush_soon(self) -> None:
        """Send what the connection has to send in one write at the end of this turn of the loop."""
        if self._flush_handle is None and self._transport is not None:
            self._flush_handle = self._loop.call_soon(self._flush)

    async def greeting(self) -> None:
        """Wait until the peer's SETTINGS have come or the connection is over; see `connection.phase`."""
        while self.connection.peer is None and not self.connection.is_closed:
            await self._sign()

    def is_fresh(self, seconds: float) -> bool:
        """Return whether the peer was heard of in the last seconds."""
        return self._loop.time() - self._liveness.heard_at < seconds

    async def probe(self) -> bool:
        """Ask the peer for a sign of life and return whether it gave one, in bounded time."""
        now = self._loop.time()
        self.connection.ping()
        self._liveness.ask(now)
        self._arm(now)
        self._flush()
        if not self.connection.is_closed:
            await self._sign()
        return not self.connection.is_closed

    async def close(self) -> None:
        """Say goodbye, end all streams and close the socket. Returns in bounded time, when the socket is closed."""
        self.connection.close("closed by this side")
        self._flush()
        if self._transport is not None:
            await asyncio.wait({self.lost}, timeout=GOODBYE_SECONDS)
        self.abort()
        if self._transport is not None:
            await asyncio.wait({self.lost}, timeout=GOODBYE_SECONDS)

    def abort(self) -> None:
        """Drop the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def selected_protocol(self) -> str | None:
        """Return what TLS agreed on; None when there is no TLS or it agreed on nothing."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return None if tls is None else tls.selected_alpn_protocol()

    # Inside.

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        transport, connection = self._transport, self.connection
        if transport is None or transport.is_closing():
            connection.outgoing.clear()
            return
        if connection.outgoing:
            transport.write(connection.data_to_send())
        if connection.is_closed:
            self._hang_up(transport)

    def _hang_up(self, transport: asyncio.Transport) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(GOODBYE_SECONDS, self.abort)
        self._wake()
        transport.close()

    def _arm(self, now: float) -> None:
        """Ask when something is due, do what is due now, and set the timer for the rest."""
        if self._timer is not None:
            self._timer.cancel()
        verdict, when = self._liveness.check(now, is_busy=bool(self.connection.streams))
        match verdict:
            case Verdict.WAIT:
                pass
            case Verdict.PING:
                self.connection.ping()
            case Verdict.DEAD:
                # A request that went into a connection which was dead already may be tried on another.
                self.connection.lose("the peer has fallen silent", unanswered=Ending.REFUSED)
                self._wake()
                self.abort()
                return
            case Verdict.RETIRE:
                self.connection.close("not used for long")
        self._timer = self._loop.call_at(when, self._tick)
        if self.connection.outgoing or self.connection.is_closed:
            self._flush()

    def _tick(self) -> None:
        self._timer = None
        if self._transport is not None:
            self._arm(self._loop.time())

    async def _sign(self) -> None:
        sign = self._loop.create_future()
        self._signs.append(sign)
        try:
            await sign
        finally:
            self._signs.remove(sign)

    def _wake(self) -> None:
        for sign in self._signs:
            if not sign.done():
                sign.set_result(None)

"""The waits of one stream: for the head, for data, for room (s2s.bedrock.interfaces.Exchange)."""

import asyncio
from typing import Protocol

from s2s.bedrock.http2.connection import Connection
from s2s.bedrock.http2.streams import Ending, Input, Stream
from s2s.bedrock.interfaces import ROOM_BYTES, Headers, StreamBroken, StreamRefused


class Carrier(Protocol):
    """What an exchange needs of what carries it."""

    @property
    def connection(self) -> Connection:
        """The connection's state."""

    def flush_soon(self) -> None:
        """Send what the connection has to send, in this turn of the loop."""


class Http2Exchange:
    """A stream that tasks can wait for.

    Args:
        carrier: sends what the connection has to send.
        stream: just opened.
    """

    __slots__ = ("_carrier", "_connection", "_loop", "_readers", "_stream", "_writers")

    def __init__(self, carrier: Carrier, stream: Stream) -> None:
        self._carrier = carrier
        self._connection = carrier.connection
        self._stream = stream
        self._loop = asyncio.get_running_loop()
        self._readers: list[asyncio.Future[None]] = []
        self._writers: list[asyncio.Future[None]] = []
        stream.listener = self

    @property
    def is_over(self) -> bool:
        """Whether the response has ended or the stream is broken."""
        return self._stream.ending is not Ending.NOT_YET

    @property
    def has_room(self) -> bool:
        """Whether `room` would neither wait nor raise."""
        return len(self._stream.pending) <= ROOM_BYTES and self._stream.ending is Ending.NOT_YET

    async def head(self) -> tuple[int, Headers]:
        """Return status and headers of the final response.

        Raises:
            StreamBroken: there will be none.
        """
        while self._stream.head is None:
            if self.is_over:
                raise self._error()
            await self._wait(self._readers)
        return self._stream.head

    async def room(self) -> None:
        """Wait until at most ROOM_BYTES that were written wait for the peer.

        Raises:
            StreamBroken: the stream is over.
        """
        while not self.is_over and len(self._stream.pending) > ROOM_BYTES:
            await self._wait(self._writers)
        if self.is_over:
            raise self._error()

    def write(self, data: bytes) -> None:
        """Write a piece of the request.

        Raises:
            StreamBroken: the stream is over, or the request was ended.
        """
        stream = self._stream
        if stream.ending is not Ending.NOT_YET:
            raise self._error()
        if stream.input is not Input.OPEN:
            raise StreamBroken("the request was ended before")
        self._connection.send(stream, data)
        self._carrier.flush_soon()

    def end_input(self) -> None:
        """End the request behind all that was written."""
        self._connection.end_input(self._stream)
        self._carrier.flush_soon()

    async def read(self) -> bytes | None:
        """Return everything that was received and not read, waiting for the first of it; None at the end of the response.

        Raises:
            StreamBroken: the stream broke, and all that came before was read.
        """
        stream = self._stream
        while not stream.unread:
            if stream.ending is Ending.IN_ORDER:
                return None
            if stream.ending is not Ending.NOT_YET:
                raise self._error()
            await self._wait(self._readers)
        return self.take()

    def take(self) -> bytes:
        """Return what `read` would return without waiting; empty when there is nothing."""
        data = self._connection.take(self._stream)
        if self._connection.outgoing:
            self._carrier.flush_soon()
        return data

    async def close(self) -> None:
        """Let go of the stream: reset it unless both sides have ended."""
        self._connection.abandon(self._stream)
        self._carrier.flush_soon()

    def readable(self) -> None:
        """Wake who waits for the response."""
        for waiter in self._readers:
            if not waiter.done():
                waiter.set_result(None)

    def writable(self) -> None:
        """Wake who waits for room."""
        for waiter in self._writers:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self, waiters: list[asyncio.Future[None]]) -> None:
        waiter = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            waiters.remove(waiter)

    def _error(self) -> StreamBroken:
        kind = StreamRefused if self._stream.ending is Ending.REFUSED else StreamBroken
        return kind(self._stream.reason)

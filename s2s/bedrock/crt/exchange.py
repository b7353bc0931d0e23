"""One request and its response on a connection of the Common Runtime.

Built on awscrt's callback interface rather than its asyncio one, which cannot tell a reset from an orderly end, waits for ever for headers
that a broken stream will never get, and loses data when a read is cancelled. Whatever ends the stream ends every wait here at once.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from enum import Enum
from io import BytesIO
from typing import Final

from awscrt.http import Http2ClientConnection, Http2ClientStream, HttpRequest

from s2s.bedrock.crt.threads import call_on_loop, describe
from s2s.bedrock.interfaces import ROOM_BYTES, Headers, StreamBroken, StreamRefused

GOAWAY_RECEIVED: Final = "AWS_ERROR_HTTP_GOAWAY_RECEIVED"
"""What the runtime ends those streams with that a GOAWAY leaves out: the peer has not looked at them (RFC 9113 6.8)."""


class Ending(Enum):
    """How the response ended."""

    NOT_YET = "not yet"
    IN_ORDER = "in order"
    """END_STREAM was received."""
    BROKEN = "broken"
    """Reset, TCP loss, or closed by us. The runtime does not tell the code of a reset, so one that refuses the stream is here, too."""
    REFUSED = "refused"
    """By GOAWAY: the peer did not look at the request."""


class CrtExchange:
    """A request that is being written while its response is being read (interfaces.Exchange).

    Args:
        connection: an open HTTP/2 connection.
        request: method, path and headers.
        release: gives the connection back; told whether the stream ended otherwise than in order.
    """

    def __init__(self, connection: Http2ClientConnection, request: HttpRequest, release: Callable[[bool], Awaitable[None]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._release: Callable[[bool], Awaitable[None]] | None = release
        self._ending = Ending.NOT_YET
        self._reason = "the response has ended"
        self._head: tuple[int, Headers] | None = None
        self._chunks: deque[bytes] = deque()
        self._in_flight_bytes = 0
        self._changed = asyncio.Event()
        """Set by everything that may end a wait for the response."""
        self._writable = asyncio.Event()
        """Set by everything that may end a wait for room."""
        self._stream: Http2ClientStream = connection.request(
            request, on_response=self._head_came, on_body=self._chunk_came, manual_write=True
        )
        self._stream.remote_end_stream_future.add_done_callback(
            lambda future: call_on_loop(self._loop, self._remote_ended, future.exception())
        )
        self._stream.completion_future.add_done_callback(lambda future: call_on_loop(self._loop, self._completed, future.exception()))
        self._stream.activate()

    @property
    def is_over(self) -> bool:
        """Whether nothing that is written now can be of use."""
        return self._ending is not Ending.NOT_YET

    @property
    def has_room(self) -> bool:
        """Whether `room` would not wait."""
        return self._in_flight_bytes <= ROOM_BYTES and not self.is_over

    async def head(self) -> tuple[int, Headers]:
        """Return status and headers of the response.

        Raises:
            StreamBroken: there will be none.
        """
        while self._head is None:
            if self.is_over:
                raise self._error()
            await self._wait(self._changed)
        return self._head

    async def room(self) -> None:
        """Wait until at most ROOM_BYTES are held by the runtime.

        Raises:
            StreamBroken: the stream is over.
        """
        while self._in_flight_bytes > ROOM_BYTES and not self.is_over:
            await self._wait(self._writable)
        if self.is_over:
            raise self._error()

    def write(self, data: bytes) -> None:
        """Hand a piece of the request to the runtime.

        Raises:
            StreamBroken: the stream is over.
        """
        if self.is_over:
            raise self._error()
        self._write(data, is_last=False)

    def end_input(self) -> None:
        """Write END_STREAM; nothing happens when the stream is over.

        A server that ended first must not be written to, and need not be told.
        """
        if not self.is_over:
            with suppress(StreamBroken):
                self._write(b"", is_last=True)

    async def read(self) -> bytes | None:
        """Return everything that has come, waiting for the first of it; None at the end of the response.

        Raises:
            StreamBroken: the response will never be whole.
        """
        while not self._chunks:
            if self._ending is Ending.IN_ORDER:
                return None
            if self.is_over:
                raise self._error()
            await self._wait(self._changed)
        return self.take()

    def take(self) -> bytes:
        """Return everything that has come, without waiting."""
        data = b"".join(self._chunks)
        if data:
            self._chunks.clear()
            self._stream.update_window(len(data))  # only what was taken is refilled: a reader that stands still stops the peer
        return data

    async def close(self) -> None:
        """Give the connection back, which closes it unless the stream ended in order or others are on it."""
        release, self._release = self._release, None
        is_broken = self._ending is not Ending.IN_ORDER
        self._end(Ending.BROKEN, "closed by us")
        if release is not None:
            await release(is_broken)

    def _error(self) -> StreamBroken:
        return StreamRefused(self._reason) if self._ending is Ending.REFUSED else StreamBroken(self._reason)

    async def _wait(self, event: asyncio.Event) -> None:
        event.clear()
        await event.wait()

    def _write(self, data: bytes, *, is_last: bool) -> None:
        try:
            written: Future[None] = self._stream.write_data(BytesIO(data) if data else None, is_last)
        except RuntimeError as error:  # the stream ended on the runtime's thread, and the loop is about to hear of it
            raise StreamBroken(describe(error)) from error
        self._in_flight_bytes += len(data)
        written.add_done_callback(lambda future: call_on_loop(self._loop, self._wrote, len(data), future.exception()))

    # From here on: on the runtime's thread, handing over to the loop.

    def _head_came(self, *, status_code: int, headers: Headers, **_: object) -> None:
        call_on_loop(self._loop, self._take_head, status_code, headers)

    def _chunk_came(self, *, chunk: bytes, **_: object) -> None:
        call_on_loop(self._loop, self._take_chunk, chunk)

    # From here on: on the loop.

    def _take_head(self, status: int, headers: Headers) -> None:
        self._head = (status, headers)
        self._changed.set()

    def _take_chunk(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._changed.set()

    def _wrote(self, size: int, error: BaseException | None) -> None:
        self._in_flight_bytes -= size
        if error is not None:
            self._completed(error)
        self._writable.set()

    def _remote_ended(self, error: BaseException | None) -> None:
        if error is None:
            self._end(Ending.IN_ORDER, "the model ended the stream")

    def _completed(self, error: BaseException | None) -> None:
        reason = describe(error) if error is not None else "the stream was reset"
        self._end(Ending.REFUSED if self._head is None and reason.startswith(GOAWAY_RECEIVED) else Ending.BROKEN, reason)

    def _end(self, ending: Ending, reason: str) -> None:
        if self._ending is Ending.NOT_YET:
            self._ending, self._reason = ending, reason
        self._changed.set()
        self._writable.set()

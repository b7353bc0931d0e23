"""One HTTP/2 request and its response, both of them streams, on a connection of the Common Runtime.

Built on awscrt's callback interface rather than its asyncio one, which cannot tell a reset from an orderly end, waits for ever for headers
that a broken stream will never get, and loses data when a read is cancelled. Whatever ends the stream ends every wait here at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from enum import Enum
from io import BytesIO
from typing import Final

from awscrt.http import Http2ClientConnection, Http2ClientStream, HttpRequest

from s2s.bedrock.threads import call_on_loop, describe

FRAMES_IN_FLIGHT: Final = 16
"""Writes that the Common Runtime may hold: beyond its 64 KB window these are half a second of speech, then the writer waits."""

type Headers = Sequence[tuple[str, str]]


class StreamBroken(OSError):
    """The stream ended otherwise than by END_STREAM on a whole response, or takes no more data."""


class Ending(Enum):
    """How the response ended."""

    NOT_YET = "not yet"
    IN_ORDER = "in order"
    """END_STREAM was received."""
    BROKEN = "broken"
    """Reset, GOAWAY, TCP loss, or closed by us."""


class Exchange:
    """A request that is being written while its response is being read. Belongs to one event loop.

    Args:
        connection: an open HTTP/2 connection.
        request: method, path and headers.
    """

    def __init__(self, connection: Http2ClientConnection, request: HttpRequest) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = Ending.NOT_YET
        self._reason = "the response has ended"
        self._head: tuple[int, Headers] | None = None
        self._chunks: deque[bytes] = deque()
        self._in_flight = 0
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
        """Return whether nothing that is written now can be of use."""
        return self._ending is not Ending.NOT_YET

    async def head(self) -> tuple[int, Headers]:
        """Return status and headers of the response.

        Raises:
            StreamBroken: there will be none.
        """
        while self._head is None:
            if self.is_over:
                raise StreamBroken(self._reason)
            await self._wait(self._changed)
        return self._head

    async def write(self, data: bytes) -> None:
        """Write a piece of the request; return when the runtime has room for it.

        Raises:
            StreamBroken: the stream is over.
        """
        while self._in_flight >= FRAMES_IN_FLIGHT and not self.is_over:
            await self._wait(self._writable)
        if self.is_over:
            raise StreamBroken(self._reason)
        self._write(data, is_last=False)

    async def end_input(self) -> None:
        """Write END_STREAM and wait until everything is written; nothing happens when the stream is over.

        A server that ended first must not be written to, and need not be told.
        """
        if self.is_over:
            return
        self._write(b"", is_last=True)
        while self._in_flight and not self.is_over:
            await self._wait(self._writable)

    def __aiter__(self) -> "Exchange":
        """Iterate over the body of the response."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece of the body.

        Raises:
            StopAsyncIteration: the body is complete.
            StreamBroken: it never will be.
        """
        while not self._chunks:
            if self._ending is Ending.IN_ORDER:
                raise StopAsyncIteration
            if self._ending is Ending.BROKEN:
                raise StreamBroken(self._reason)
            await self._wait(self._changed)
        chunk = self._chunks.popleft()
        self._stream.update_window(len(chunk))  # only what was taken is refilled: a reader that stands still stops the peer
        return chunk

    async def _wait(self, event: asyncio.Event) -> None:
        event.clear()
        await event.wait()

    def _write(self, data: bytes, *, is_last: bool) -> None:
        self._in_flight += 1
        written = self._stream.write_data(BytesIO(data) if data else None, is_last)
        written.add_done_callback(lambda future: call_on_loop(self._loop, self._wrote, future.exception()))

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

    def _wrote(self, error: BaseException | None) -> None:
        self._in_flight -= 1
        if error is not None:
            self._end(Ending.BROKEN, describe(error))
        self._writable.set()

    def _remote_ended(self, error: BaseException | None) -> None:
        if error is None:
            self._end(Ending.IN_ORDER, "the model ended the stream")

    def _completed(self, error: BaseException | None) -> None:
        self._end(Ending.BROKEN, describe(error) if error is not None else "the stream was reset")

    def _end(self, ending: Ending, reason: str) -> None:
        if self._ending is Ending.NOT_YET:
            self._ending, self._reason = ending, reason
        self._changed.set()
        self._writable.set()

"""One request and its response on an HTTP/2 connection."""

import asyncio
from collections import deque
from enum import Enum, Flag
from typing import Protocol

from h2.errors import ErrorCodes


class StreamLost(Exception):
    """The client reset the stream or the connection is gone."""


class Connection(Protocol):
    """What an exchange needs of its connection."""

    def schedule(self, exchange: "Exchange | None" = None) -> None:
        """Send what is waiting."""

    def send_headers(self, exchange: "Exchange", headers: list[tuple[str, str]]) -> None:
        """Send the response head."""

    def acknowledge(self, exchange: "Exchange", size: int) -> None:
        """Give back window."""

    def reset(self, exchange: "Exchange", code: ErrorCodes) -> None:
        """Send RST_STREAM."""

    def go_away(self, code: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Send GOAWAY and close."""

    def drain(self) -> None:
        """Send GOAWAY, let the open streams end, refuse new ones, and close then."""

    def freeze(self) -> None:
        """Read and write nothing more, and stay open."""

    def abort(self) -> None:
        """Drop the connection."""


class Answer(Enum):
    """How far the response is."""

    NOTHING = "nothing"
    HEAD = "head"
    ENDING = "ending"
    """All is written, not all is sent."""
    COMPLETE = "complete"
    LOST = "lost"


class Hold(Flag):
    """What is held back, because somebody asked for it."""

    NOTHING = 0
    RESPONSE = 1
    """Nothing is sent for now."""
    REQUEST = 2
    """Nothing is read any more."""


class Exchange:
    """A request with its response.

    Args:
        connection: where it came from.
        stream_id: HTTP/2's number of the stream.
        headers: of the request, with pseudo-headers.
    """

    def __init__(self, connection: Connection, stream_id: int, headers: dict[str, str]) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.headers = headers
        self.outgoing = bytearray()
        self.is_request_ended = False
        self.patience_seconds = 0.0
        self._answer = Answer.NOTHING
        self._incoming: deque[bytes] = deque()
        self._unacknowledged = 0
        self._held_head: list[tuple[str, str]] = []
        self._hold = Hold.NOTHING
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    @property
    def has_head(self) -> bool:
        """Whether the response head was sent."""
        return self._answer is not Answer.NOTHING

    @property
    def is_lost(self) -> bool:
        """Whether the client is gone."""
        return self._answer is Answer.LOST

    @property
    def is_complete(self) -> bool:
        """Whether the whole response was sent."""
        return self._answer is Answer.COMPLETE

    @property
    def is_held(self) -> bool:
        """Whether nothing may be sent for now."""
        return Hold.RESPONSE in self._hold

    @property
    def is_deaf(self) -> bool:
        """Whether nothing is to be read any more."""
        return Hold.REQUEST in self._hold

    @property
    def wants_end(self) -> bool:
        """Whether the response ends when `outgoing` is empty."""
        return self._answer is Answer.ENDING

    # What the connection calls.

    def receive(self, data: bytes, window: int) -> None:
        """Take data of the request; `window` bytes of flow control go back when it has been read."""
        if self._answer in (Answer.COMPLETE, Answer.LOST):
            self.connection.acknowledge(self, window)
            return
        self._incoming.append(data)
        self._unacknowledged += window
        self._readable.set()

    def receive_end(self) -> None:
        """Take note that the request is complete."""
        self.is_request_ended = True
        self._readable.set()

    def lose(self) -> None:
        """Take note that the client is gone."""
        if self._answer is not Answer.COMPLETE:
            self._answer = Answer.LOST
        self._wake()

    def complete(self) -> None:
        """Take note that the response has been sent."""
        self._answer = Answer.COMPLETE
        self._wake()

    def take(self, size: int) -> bytes:
        """Remove up to `size` bytes from the front of `outgoing`."""
        piece = bytes(self.outgoing[:size])
        del self.outgoing[:size]
        self._writable.set()
        return piece

    def _wake(self) -> None:
        self._readable.set()
        self._writable.set()

    # What the service calls.

    async def read(self) -> bytes | None:
        """Return data of the request, or None at its end.

        Raises:
            StreamLost: the client is gone.
        """
        while not self._incoming or self.is_deaf:
            if self.is_lost:
                raise StreamLost
            if self.is_request_ended and not self.is_deaf:
                return None
            self._readable.clear()
            await self._readable.wait()
        data = b"".join(self._incoming)
        self._incoming.clear()
        self.connection.acknowledge(self, self._unacknowledged)
        self._unacknowledged = 0
        return data

    def send_head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """Send the response head."""
        if self._answer is Answer.NOTHING:
            self._answer = Answer.HEAD
            self._held_head = [(":status", str(status)), *headers]
            if not self.is_held:
                self._send_held_head()

    def _send_held_head(self) -> None:
        if self._held_head:
            self.connection.send_headers(self, self._held_head)
            self._held_head = []

    def send_informational(self, status: int) -> None:
        """Send a head that only announces the real one (RFC 9110 15.2)."""
        if self._answer is Answer.NOTHING:
            self.connection.send_headers(self, [(":status", str(status))])

    def hold(self) -> None:
        """Send nothing until `release`."""
        self._hold |= Hold.RESPONSE

    def release(self) -> None:
        """Send what was held back, and go on."""
        if self.is_held:
            self._hold &= ~Hold.RESPONSE
            if not self.is_lost:
                self._send_held_head()
                self.connection.schedule(self)

    def stop_reading(self) -> None:
        """Take nothing more of the request, and give back no window for it."""
        self._hold |= Hold.REQUEST

    def write(self, data: bytes) -> None:
        """Queue data of the response; dropped when the client is gone."""
        if self._answer is Answer.HEAD:
            self.outgoing += data
            self.connection.schedule(self)

    async def room(self, below_bytes: int) -> None:
        """Wait until less than `below_bytes` are queued.

        Raises:
            StreamLost: the client is gone.
        """
        while len(self.outgoing) >= below_bytes:
            if self.is_lost:
                raise StreamLost
            self._writable.clear()
            await self._writable.wait()

    def finish(self, patience_seconds: float = 0.0) -> None:
        """End the response when all is sent; the client may end its request in order for so long before the stream is reset."""
        if self._answer is Answer.HEAD:
            self._answer = Answer.ENDING
            self.patience_seconds = patience_seconds
            self.connection.schedule(self)

    async def lost(self) -> None:
        """Wait until the client is gone, without reading.

        Raises:
            StreamLost: it is gone.
        """
        while not self.is_lost:
            self._writable.clear()
            await self._writable.wait()
        raise StreamLost

    async def drained(self, patience_seconds: float) -> None:
        """Wait until the response has been sent or the client is gone; when that takes too long, reset the stream."""
        try:
            async with asyncio.timeout(patience_seconds):
                while self._answer is Answer.ENDING:
                    self._writable.clear()
                    await self._writable.wait()
        except TimeoutError:
            self.reset(ErrorCodes.CANCEL)

    def reset(self, code: ErrorCodes) -> None:
        """End the stream at once."""
        self.connection.reset(self, code)

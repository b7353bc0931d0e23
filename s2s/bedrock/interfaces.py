"""What a stream needs of HTTP/2: one request and its response, both of them streams, over whichever stack carries them.

Two stacks fit this shape: `http2/`, our own, and `crt/`, AWS's Common Runtime. Nothing here is SDK or socket.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Protocol

type Headers = Sequence[tuple[str, str]]
"""Names in lower case and values, in order; a name may come twice."""

ROOM_BYTES: Final = 16 * 1024
"""While more than this waits for the peer's window, `room` waits: some seven frames of 32 ms on top of what the peer takes unread."""
RECEIVE_WINDOW_BYTES: Final = 512 * 1024
"""How much of the model's output may wait unread in a stream: some seconds of speech in base64 twice over."""


class Transport(StrEnum):
    """Which HTTP/2 carries the streams."""

    H2 = "h2"
    """Our own, on asyncio."""
    CRT = "crt"
    """AWS's Common Runtime, guarded: one stream per connection, since it cannot reset one of several."""


class CannotConnect(OSError):
    """No connection: no such host, refused, no HTTP/2, or too slow."""


class NotTrusted(CannotConnect):
    """The endpoint's certificate is not signed by an authority that we trust, or is not the endpoint's."""


class StreamBroken(OSError):
    """The stream ended otherwise than by END_STREAM on a whole response, or takes no more data."""


class StreamRefused(StreamBroken):
    """The peer says that it did not process anything of the stream (RFC 9113 8.7), or is not there: it may be tried again elsewhere."""


class Exchange(Protocol):
    """A request that is being written while its response is being read. Belongs to one event loop.

    Every wait ends at once when the stream does, and may be cancelled without harm.
    """

    @property
    def is_over(self) -> bool:
        """Whether the response has ended or the stream is broken: nothing that is written now can be of use."""

    @property
    def has_room(self) -> bool:
        """Whether `room` would neither wait nor raise."""

    async def head(self) -> tuple[int, Headers]:
        """Return status and headers of the final response (1xx are passed over).

        Raises:
            StreamBroken: there will be none.
        """

    async def room(self) -> None:
        """Wait until at most ROOM_BYTES that were written wait for the peer.

        Raises:
            StreamBroken: the stream is over.
        """

    def write(self, data: bytes) -> None:
        """Write a piece of the request at once, or queue it behind what the peer has not taken yet. Callers bound it by `room`.

        Raises:
            StreamBroken: the stream is over.
        """

    def end_input(self) -> None:
        """End the request (END_STREAM) behind all that was written; nothing happens when the stream is over."""

    async def read(self) -> bytes | None:
        """Return everything that has been received and not been read, waiting for the first of it; None at the end of the response.

        When several tasks wait, one of them gets it and the others wait on.

        Raises:
            StreamBroken: the stream broke, and all that came before was read.
        """

    def take(self) -> bytes:
        """Return what `read` would return without waiting; empty when there is nothing."""

    async def close(self) -> None:
        """Let go of the stream: reset it (CANCEL) unless both sides have ended. Returns in bounded time; readers and writers are told."""


class Exchanges(Protocol):
    """Opens exchanges with one host and shares connections among them."""

    async def open(self, method: str, path: str, headers: Headers) -> Exchange:
        """Send the head of a request and return without waiting for the response's.

        Args:
            method: HTTP method.
            path: with query.
            headers: without pseudo-headers; `host` becomes `:authority`.

        Raises:
            CannotConnect: there is no connection to be had in time.
        """

    async def reach(self) -> None:
        """Make sure that there is a live connection.

        Raises:
            CannotConnect: there is none to be had in time.
        """

    async def close(self) -> None:
        """End all exchanges and connections. Returns in bounded time."""

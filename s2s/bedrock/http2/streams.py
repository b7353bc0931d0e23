"""One stream of a connection: what has come and was not read, what was written and has not left, and how far both sides are."""

from enum import Enum
from typing import Protocol

from s2s.bedrock.http2.heads import Malformed, check_fields, content_length, response_head
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES, Headers


class Ending(Enum):
    """How the response ended."""

    NOT_YET = "not yet"
    IN_ORDER = "in order"
    """END_STREAM on a whole response."""
    BROKEN = "broken"
    """Reset by either side, or the connection is gone."""
    REFUSED = "refused"
    """The peer says that it did nothing with the request."""


class Input(Enum):
    """How far the request is."""

    OPEN = "open"
    ENDING = "ending"
    """END_STREAM follows what has not left yet."""
    ENDED = "ended"


class Listener(Protocol):
    """Is told what changed, from within the connection's calls; must not call back into the connection."""

    def readable(self) -> None:
        """Learn of a head, data, or the end."""

    def writable(self) -> None:
        """Learn that some of what waited has left, or of the end."""


class Stream:
    """State of one stream. The connection changes it; `head`, `ending` and `reason` are for everybody to read.

    Args:
        number: the stream's id.
        window: how many bytes the peer takes.
        has_body: whether a response has the body that its content-length announces; not so for HEAD.
    """

    __slots__ = (
        "body_left",
        "credit",
        "ending",
        "has_body",
        "head",
        "input",
        "listener",
        "number",
        "pending",
        "reason",
        "taken",
        "unread",
        "window",
    )

    def __init__(self, number: int, window: int, *, has_body: bool = True) -> None:
        self.number = number
        self.window = window
        """How much more the peer takes; below zero after it took some of that back (RFC 9113 6.9.2)."""
        self.credit = RECEIVE_WINDOW_BYTES
        """How much more the peer may send."""
        self.taken = 0
        """How much was read and not yet given back as credit."""
        self.head: tuple[int, Headers] | None = None
        self.unread: bytes | bytearray = b""
        self.pending = bytearray()
        """What was written and has not left."""
        self.input = Input.OPEN
        self.ending = Ending.NOT_YET
        self.reason = ""
        self.body_left: int | None = None
        """How much of an announced body is still to come; None when nothing was announced."""
        self.has_body = has_body
        self.listener: Listener | None = None

    def take_head(self, fields: Headers, *, is_end: bool) -> None:
        """Take the fields of a header block: an interim or final head, or trailers.

        Raises:
            Malformed: they are not allowed, or not at this place.
        """
        if self.head is not None:
            if not is_end:
                raise Malformed("headers in the middle of a response")
            check_fields(fields)
            return
        status, headers = response_head(fields)
        if status < 200:  # noqa: PLR2004 -- interim responses are 1xx
            if is_end:
                raise Malformed("an interim response that ends the stream")
            return
        if self.has_body and status not in (204, 304):
            self.body_left = content_length(headers)
        self.head = status, headers

    def take_data(self, data: bytes) -> None:
        """Keep data until it is read: usually the very bytes that came, and without a limit on the number of pieces one buffer.

        Raises:
            Malformed: it has no head, or is more than was announced.
        """
        if self.head is None:
            raise Malformed("a body before the head")
        if self.body_left is not None:
            self.body_left -= len(data)
            if self.body_left < 0:
                raise Malformed("a body longer than its content-length")
        if not self.unread:
            self.unread = data
        elif isinstance(self.unread, bytearray):
            self.unread += data
        else:
            self.unread = bytearray(self.unread)
            self.unread += data

    def take_end(self) -> None:
        """Take note that the response is complete.

        Raises:
            Malformed: it is not.
        """
        if self.body_left:
            raise Malformed("a body shorter than its content-length")
        self._end(Ending.IN_ORDER, "the response has ended")

    def fail(self, ending: Ending, reason: str) -> None:
        """Take note that the stream is lost, unless the response is complete. What was received can still be read."""
        if self.ending is not Ending.NOT_YET:
            return
        if ending is Ending.REFUSED and self.head is not None:  # it did do something
            ending = Ending.BROKEN
        self._end(ending, reason)

    def _end(self, ending: Ending, reason: str) -> None:
        self.ending, self.reason = ending, reason
        self.pending.clear()
        if self.listener is not None:
            self.listener.readable()
            self.listener.writable()

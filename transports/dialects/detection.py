"""Which dialect a client speaks: by the subprotocol that it asked for, else by its first frame."""

from dataclasses import dataclass

import orjson

from session.errors import BadFrame, NotAllowed
from transports.dialects.binary import SUBPROTOCOL, BinaryDialect
from transports.dialects.interface import Dialect, Frame, Milliseconds
from transports.dialects.nova_envelope import unwrap_body
from transports.dialects.nova_events import NovaEventsDialect


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks that dialects stamp their frames with."""

    monotonic_ms: Milliseconds
    wall_ms: Milliseconds


def by_subprotocol(subprotocol: str | None, clocks: Clocks) -> Dialect | None:
    """Return the dialect of a negotiated subprotocol; None when none was negotiated."""
    return BinaryDialect(clocks.monotonic_ms) if subprotocol == SUBPROTOCOL else None


def by_first_frame(frame: Frame, clocks: Clocks) -> Dialect:
    """Return the dialect of a client's first frame.

    Raises:
        NotAllowed: a dialect that is not offered.
        BadFrame: no dialect at all.
    """
    if isinstance(frame, bytes):
        return BinaryDialect(clocks.monotonic_ms)
    try:
        document = orjson.loads(unwrap_body(frame))
    except orjson.JSONDecodeError:
        raise BadFrame("The frame is not JSON.") from None
    if isinstance(document, dict) and "event" in document:
        return NovaEventsDialect(clocks.wall_ms)
    if isinstance(document, dict) and ("type" in document or "action" in document):
        raise NotAllowed(f"This dialect is not offered yet; ask for the subprotocol {SUBPROTOCOL}, or send Nova Sonic events.")
    raise BadFrame('Expected {"event": {...}}.')


def dialect_of_stranger(code: str, frame: Frame, clocks: Clocks) -> Dialect:
    """Return the dialect of an error for a client whose own is not known: flat objects when it speaks in those, else Nova's shape."""
    flat = isinstance(frame, bytes) or code == NotAllowed.code
    return BinaryDialect(clocks.monotonic_ms) if flat else NovaEventsDialect(clocks.wall_ms)

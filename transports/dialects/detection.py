"""Which dialect a client speaks: by the subprotocol that it asked for, else by its first frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from session.errors import BadFrame
from transports.dialects.binary import SUBPROTOCOL, BinaryDialect
from transports.dialects.companion import CompanionDialect
from transports.dialects.interface import Dialect, Frame, Milliseconds
from transports.dialects.nova_envelope import unwrap_body
from transports.dialects.nova_events import NovaEventsDialect
from transports.dialects.voice import VoiceDialect

_PAGE_TYPES: Final = frozenset({"hello", "resume"})
"""First messages of the binary dialect; a client that cannot name a subprotocol may begin with one all the same."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """The clocks that dialects stamp their frames with."""

    monotonic_ms: Milliseconds
    wall_ms: Milliseconds


def by_subprotocol(subprotocol: str | None, clocks: Clocks) -> Dialect | None:
    """Return the dialect of a negotiated subprotocol; None when none was negotiated."""
    return BinaryDialect(clocks.monotonic_ms) if subprotocol == SUBPROTOCOL else None


def by_first_frame(frame: Frame, clocks: Clocks, encodings: frozenset[str] = frozenset()) -> Dialect:
    """Return the dialect of a client's first frame.

    Args:
        frame: as it came; `{"body": "<the message as a JSON string>"}` is unwrapped.
        clocks: for the dialect.
        encodings: names of the audio formats that the server decodes.

    Raises:
        BadFrame: no dialect at all.
    """
    if isinstance(frame, bytes):
        return BinaryDialect(clocks.monotonic_ms)
    try:
        document = orjson.loads(unwrap_body(frame))
    except orjson.JSONDecodeError:
        raise BadFrame("The frame is not JSON.") from None
    if isinstance(document, dict) and (dialect := _by_members(document, clocks, encodings)):
        return dialect
    raise BadFrame('Expected {"event": {...}}, {"type": ...} or {"action": ...}.')


def _by_members(document: Mapping[str, object], clocks: Clocks, encodings: frozenset[str]) -> Dialect | None:
    if "event" in document:
        return NovaEventsDialect(clocks.wall_ms)
    if isinstance(kind := document.get("type"), str) and kind in _PAGE_TYPES:
        return BinaryDialect(clocks.monotonic_ms)
    if "type" in document or document.get("action") == "ping":  # clients of the voice dialect ping in both ways
        return VoiceDialect(clocks.wall_ms, encodings)
    return CompanionDialect() if "action" in document else None


def dialect_of_stranger(frame: Frame, clocks: Clocks) -> Dialect:
    """Return the dialect of an error for a client that is not served yet: its own if it can be told, else Nova's."""
    try:
        return by_first_frame(frame, clocks)
    except BadFrame:
        return NovaEventsDialect(clocks.wall_ms)

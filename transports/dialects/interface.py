"""What a dialect is: pure translation between the frames of one connection and the session's vocabulary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from session.errors import SessionError
from session.events import Command, EndReason, SessionEvent

type Frame = str | bytes
"""A WebSocket message: text or binary."""
type Milliseconds = Callable[[], int]
"""A clock of whole milliseconds; a dialect reads no clock of its own."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame that answers the client at once, past the session."""

    frame: Frame


type Action = Command | Reply


class Dialect(Protocol):
    """Translates for one connection; keeps what it must remember between frames."""

    @property
    def name(self) -> str:
        """Name in logs."""

    @property
    def dropped_frames(self) -> int:
        """Frames that were left aside without telling the client."""

    def decode(self, frame: Frame) -> Sequence[Action]:
        """Translate a client's frame.

        A Start while a session runs means: end that session, then begin a new one.

        Raises:
            SessionError: the frame cannot be used; the connection can go on.
        """

    def encode(self, event: SessionEvent) -> Sequence[Frame]:
        """Translate an event into the frames that tell it; none if this dialect does not speak of it."""

    def survives(self, end: EndReason | SessionError) -> bool:
        """Return whether the connection stays open for another session after this end, or after this refusal of a Start."""

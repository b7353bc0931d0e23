"""What a dialect is: pure translation between the frames of one connection and the session's vocabulary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from session.errors import ServerLeaving, SessionError
from session.events import Command, EndReason, SessionEvent, SessionFailed, Start
from session.notices import Notice

type Frame = str | bytes
"""A WebSocket message: text or binary."""
type Milliseconds = Callable[[], int]
"""A clock of whole milliseconds; a dialect reads no clock of its own."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame that answers the client at once, past the session."""

    frame: Frame
    is_receipt: bool = False
    """Whether it confirms audio, which was accounted for already."""


@dataclass(frozen=True, slots=True)
class SendEncoded:
    """The user's microphone as a recorder of a browser encodes it."""

    encoding: str
    """Name of a format that the server decodes."""
    recording: int
    """Another number is another recording, which begins with a head of its own."""
    data: bytes
    """The next piece of it, cut anywhere."""


@dataclass(frozen=True, slots=True)
class PatientFound:
    """Who the next session is with."""

    name: str


@dataclass(frozen=True, slots=True)
class StartFor:
    """Begin a session with what is known of a patient."""

    patient_id: str
    start: Start
    meet: Callable[[PatientFound], None] = field(default=lambda _: None, compare=False)
    """Is told whom the session is with, before it begins."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """Begin a session that outlives its connection."""

    start: Start


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on with a session that another connection began."""

    token: str
    wanted: int
    """Number of the server's next frame that the client has not received."""


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The other side has received every frame below this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Numbered:
    """A command that is carried out once, however often it comes."""

    number: int
    """Counted by the client, modulo 2^32."""
    command: Command


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a client is told that came back."""

    session_id: str
    token: str
    wanted: int
    """Number of the client's next frame that was not taken."""
    is_adopted: bool
    """Whether another process had the session before."""


type Action = Command | Reply | Lasting | Resume | Acknowledge | Numbered | SendEncoded | StartFor
type Told = SessionFailed | Resumed | Acknowledge
"""Answers past the session: a frame cannot be used, the client has its session again, its frames were taken."""


@runtime_checkable
class Greets(Protocol):
    """A dialect whose clients are told something before they say anything."""

    def greeting(self) -> Sequence[Frame]:
        """Return what a client is told as soon as it is known who it is."""


def greeting_of(dialect: object) -> Sequence[Frame]:
    """Return what a client of a dialect is told before it says anything; with most dialects nothing."""
    return dialect.greeting() if isinstance(dialect, Greets) else ()


@runtime_checkable
class TakesNotice(Protocol):
    """A dialect whose clients are told what came about past their connection."""

    def notify(self, notice: Notice) -> Sequence[Frame]:
        """Translate it into the frames that tell it."""


def stays_open(end: EndReason | SessionError) -> bool:
    """Return whether the connections of most dialects stay open after this end: they do unless the server leaves."""
    return end not in (EndReason.SERVER_LEAVING, EndReason.PARKED) and not isinstance(end, ServerLeaving)


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

    def begin(self, number: int = 0, *, resume_seconds: float = 0.0) -> None:
        """Begin to tell of a session.

        Args:
            number: of its first frame here.
            resume_seconds: for how long the client can come back; 0 if it cannot.
        """

    def encode(self, event: SessionEvent, token: str = "") -> Sequence[Frame]:
        """Translate an event into the frames that tell it; none if this dialect does not speak of it.

        Args:
            event: of the session; frames of a dialect that numbers them are numbered in the order of the calls.
            token: what the client can come back with now; empty if it cannot.
        """

    def answer(self, told: Told) -> Sequence[Frame]:
        """Translate what is told of the connection and belongs to no session; none if this dialect does not speak of it."""

    def survives(self, end: EndReason | SessionError) -> bool:
        """Return whether the connection stays open for another session after this end, or after this refusal of a Start."""

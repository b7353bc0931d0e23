"""What a client is told on its connection of what came about past it, by plain HTTP or by somebody else. Frozen values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RecordingHeard:
    """What is said in an uploaded recording."""

    session_id: str
    upload: str
    """Names the recording within its session."""
    text: str
    confidence: float | None = None
    """0 to 1; None where the model tells none."""


@dataclass(frozen=True, slots=True)
class RecordingAnswered:
    """The words of the answer to it."""

    session_id: str
    upload: str
    text: str


@dataclass(frozen=True, slots=True)
class RecordingSpeech:
    """A piece of the speech of the answer."""

    session_id: str
    upload: str
    pcm: bytes
    """Signed 16-bit little-endian mono."""
    hertz: int


@dataclass(frozen=True, slots=True)
class RecordingSpeechEnded:
    """No more of that speech comes."""

    session_id: str
    upload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionNoted:
    """A voice session was created, changed or ended by somebody else than those who talk in it."""

    session_id: str
    change: str
    """`created`, `updated` or `ended`."""
    status: str
    """`ACTIVE`, `COMPLETED` or `ERROR`."""
    updated_at: str
    """ISO 8601 in UTC."""
    messages: int
    """Turns of both sides until now."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    audio_format: str = ""
    """Media type of the caller's audio; empty where none is known."""
    seconds: float | None = None
    """From its beginning to its end; None while it lives."""
    reason: str = ""
    """Why it ended."""


type Notice = RecordingHeard | RecordingAnswered | RecordingSpeech | RecordingSpeechEnded | SessionNoted


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whose client is told: on the connection that is named, else on the one that has the session."""

    user_id: str
    """Nobody else's connection is told anything; empty for somebody whom nobody asked."""
    connection_id: str
    session_id: str


class Deliver(Protocol):
    """Tells a client on its connection what came about past it."""

    async def deliver(self, to: Recipient, notices: Iterable[Notice]) -> bool:
        """Send what its dialect has words for; False where nothing was: the connection is not in this process, or has no such words."""

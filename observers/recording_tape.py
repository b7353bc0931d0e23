"""What was said in one session and is not in its recording yet. Nothing here waits for anybody."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from session.events import EndReason, Interrupted, SessionEnded, SessionEvent, SpeechChunk

WAITING_BYTES: Final = 1024 * 1024
"""Sound that may wait to be encoded: ten seconds of both voices. What comes beyond is remembered by its length."""
WAITING_ENTRIES: Final = 20_000
"""More than five minutes of a conversation; what comes beyond is lost without a trace of its place."""
CALLER: Final = 0
"""Stands for the turn of whatever the caller says."""


class Sound(NamedTuple):
    """What somebody said."""

    turn: int
    """The assistant's, or CALLER."""
    now: float
    """Monotonic seconds when it came in, or left for the listener."""
    pcm: bytes | int
    """Or how many bytes of it there was no room for."""


class Cut(NamedTuple):
    """The caller spoke over the assistant."""

    turn: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How the session ended in this process."""

    now: float
    """Monotonic seconds."""
    reason: EndReason


type Entry = Sound | Cut


class RecordingTape:
    """Takes note of one session.

    Args:
        clock: monotonic seconds, as the session has them.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.began = clock()
        """Monotonic second of the first sample."""
        self.ending: Ending | None = None
        self.lost_bytes = 0
        """Sound that there was no room for."""
        self._clock = clock
        self._entries: list[Entry] = []
        self._held_bytes = 0

    def on_event(self, event: SessionEvent) -> None:
        """Take note of what was not heard, and of the end; speech, by far the most of the events, costs one comparison of classes."""
        match event:
            case Interrupted(turn, heard_ms):
                self._append(Cut(turn, heard_ms))
            case SessionEnded():
                self.close(event.reason)
            case _:
                pass

    def on_caller_audio(self, pcm: bytes, now: float) -> None:
        """Take note of what the caller says."""
        self._sound(CALLER, pcm, now)

    def on_delivered(self, chunk: SpeechChunk, now: float) -> None:
        """Take note of what the assistant says."""
        self._sound(chunk.turn, chunk.pcm, now)

    def close(self, reason: EndReason) -> None:
        """Take nothing any more."""
        if self.ending is None:
            self.ending = Ending(self._clock(), reason)

    def take(self) -> tuple[Entry, ...]:
        """Return all that there is, the oldest first."""
        taken = tuple(self._entries)
        self._entries.clear()
        self._held_bytes = 0
        return taken

    def _sound(self, turn: int, pcm: bytes, now: float) -> None:
        if self._held_bytes + len(pcm) > WAITING_BYTES:
            self.lost_bytes += len(pcm)
            self._append(Sound(turn, now, len(pcm)))
        elif self._append(Sound(turn, now, pcm)):
            self._held_bytes += len(pcm)

    def _append(self, entry: Entry) -> bool:
        if self.ending is not None or len(self._entries) >= WAITING_ENTRIES:
            return False
        self._entries.append(entry)
        return True

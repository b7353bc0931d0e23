"""What the user is saying: transcripts put together to turns. Pure: `now` is monotonic seconds.

The recogniser closes a stretch of speech at a pause; whether the turn is over there, the pause after it decides.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from cascade.interfaces import Transcript
from s2s.events import Endpointing

PAUSE_SECONDS: Final = {Endpointing.HIGH: 0.0, Endpointing.MEDIUM: 0.3, Endpointing.LOW: 0.9}
"""How long after the end of a stretch the user may go on with the turn: ours, on top of the recogniser's own pause."""
STALE_SECONDS: Final = 4.0
"""A stretch that the recogniser neither closes nor goes on with is taken as it is."""
TURN_CHARACTERS: Final = 8_000
"""More of one turn is not kept."""
_TAKEN: Final = 16


@dataclass(slots=True)
class _Turn:
    """A turn that is being said."""

    start_ms: int
    texts: list[str] = field(default_factory=list)
    open_id: str = ""
    open_text: str = ""
    end_ms: int = 0
    settles_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Said:
    """A turn that was said."""

    text: str
    """Empty when nothing was left of what seemed to be speech."""
    end_ms: int


class Ear:
    """Follows what the user says.

    Args:
        endpointing: how soon a turn is taken as over; None for medium.
    """

    def __init__(self, endpointing: Endpointing | None = None) -> None:
        self._pause = PAUSE_SECONDS[endpointing or Endpointing.MEDIUM]
        self._turn: _Turn | None = None
        self._taken: deque[str] = deque(maxlen=_TAKEN)

    @property
    def is_hearing(self) -> bool:
        """Whether the user is in the middle of a turn."""
        return self._turn is not None

    @property
    def settles_at(self) -> float | None:
        """When to ask `settle`; None while nobody speaks."""
        return None if self._turn is None else self._turn.settles_at

    def take(self, transcript: Transcript, now: float) -> int | None:
        """Take what was heard; return where the turn began, in milliseconds of audio, when it begins with this."""
        text = transcript.text.strip()
        if transcript.result_id in self._taken or not (text or self._turn):
            return None
        begins = self._turn is None
        turn = self._turn = self._turn or _Turn(transcript.start_ms)
        turn.end_ms = max(turn.end_ms, transcript.end_ms)
        if transcript.is_partial:
            turn.open_id, turn.open_text = transcript.result_id, text
            turn.settles_at = now + STALE_SECONDS
        else:
            self._close(turn, transcript.result_id, text)
            turn.settles_at = now + self._pause
        return turn.start_ms if begins else None

    def settle(self, now: float) -> Said | None:
        """Return the turn if it is over."""
        turn = self._turn
        if turn is None or now < turn.settles_at:
            return None
        if turn.open_id:
            self._close(turn, turn.open_id, turn.open_text)
        self._turn = None
        return Said(" ".join(turn.texts)[:TURN_CHARACTERS], turn.end_ms)

    def _close(self, turn: _Turn, result_id: str, text: str) -> None:
        self._taken.append(result_id)
        turn.open_id = turn.open_text = ""
        if text:
            turn.texts.append(text)

"""How often, and after which pause, a conversation looks for a new stream after its own has died. Pure: `now` is monotonic seconds.

What may be done comes from the failure's remedy (`s2s/failures.py`). How often is bounded: a service that fails again and again is not
helped by more attempts, and the user is better served by a clear end. The numbers follow livekit, which tries three times for a turn.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from s2s.errors import Remedy

TURN_ATTEMPTS = 3
"""New streams for one turn of the conversation, within WINDOW_SECONDS."""
WINDOW_ATTEMPTS = 6
"""New streams within WINDOW_SECONDS."""
WINDOW_SECONDS = 60.0
REPEAT_SECONDS = 10.0
"""A refusal of what we sent that comes again within this time will come again for ever."""
JITTER_SHARE = 0.5
"""By up to this share pauses are longer: streams that shared a connection die together."""
STALL_SECONDS = 1.0
"""The client is told when the model is away for longer."""
AT_ONCE = (0.0,)
CROWD = 2
"""So many other sessions do not lose their stream within CROWD_SECONDS by chance: a connection that carries 16 is gone, or all are."""
CROWD_SECONDS = 0.25
CROWD_PAUSE_SECONDS = 0.15
"""By up to this much they look for new ones at different times; nobody hears it."""


@dataclass(frozen=True, slots=True)
class Cure:
    """What is done about a failure."""

    pauses: tuple[float, ...]
    """Before the first, second and each further attempt of one turn; empty when there is none."""
    is_tried_once: bool = False
    """Whether the same failure soon after ends the session."""
    drops_exchange: bool = False
    """Whether the new stream is not told the last exchange."""


CURES: Mapping[Remedy, Cure] = {
    Remedy.FATAL_CONFIG: Cure(()),
    Remedy.RESUME: Cure(AT_ONCE),
    Remedy.RESUME_ONCE: Cure(AT_ONCE, is_tried_once=True),
    Remedy.BACKOFF: Cure((0.5, 1.0, 2.0)),
    Remedy.DROP_LAST_AND_RESUME: Cure(AT_ONCE, drops_exchange=True),
}


class Resumption:
    """Counts the attempts of one session.

    Args:
        jitter: 0 to 1, this session's part of JITTER_SHARE.
    """

    def __init__(self, jitter: float = 0.0) -> None:
        self.attempts = 0
        """Since the session began."""
        self._jitter = jitter
        self._recent: deque[tuple[float, int, Remedy]] = deque(maxlen=WINDOW_ATTEMPTS)
        """When, in which turn and for what new streams were allowed."""

    def pause(self, remedy: Remedy, turn: int, now: float, *, crowd: int = 0, is_other: bool = False) -> float | None:
        """Count a failure; return how many seconds to wait before the next attempt, or None when there shall be none.

        Args:
            remedy: of the failure.
            turn: the conversation's latest turn.
            now: monotonic seconds.
            crowd: how many other sessions lost their stream just before.
            is_other: whether the next attempt is another one than that which failed: only WINDOW_ATTEMPTS limits those.
        """
        cure = CURES[remedy]
        recent = [attempt for attempt in self._recent if now - attempt[0] < WINDOW_SECONDS]
        of_turn = [attempt for attempt in recent if attempt[1] == turn]
        if not cure.pauses or len(recent) >= WINDOW_ATTEMPTS or (len(of_turn) >= TURN_ATTEMPTS and not is_other):
            return None
        if cure.is_tried_once and not is_other and any(for_what is remedy and now - at < REPEAT_SECONDS for at, _, for_what in recent):
            return None
        before = sum(for_what is remedy for _, _, for_what in of_turn)
        self._recent.append((now, turn, remedy))
        self.attempts += 1
        pause = cure.pauses[min(before, len(cure.pauses) - 1)] * (1 + JITTER_SHARE * self._jitter)
        return max(pause, CROWD_PAUSE_SECONDS * self._jitter) if crowd >= CROWD else pause


class Crowd:
    """Counts how many sessions of this process lose their stream in the same moment."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()

    def join(self, now: float) -> int:
        """Count a session that has lost its stream; return how many others just did."""
        while self._recent and now - self._recent[0] >= CROWD_SECONDS:
            self._recent.popleft()
        self._recent.append(now)
        return len(self._recent) - 1

"""When a peer that says nothing is asked for a sign of life, when it is given up, and when a connection without streams is closed.

Knows no clock: `now` is an argument, in seconds, and each answer says when to ask again.
"""

from enum import Enum
from typing import Final

PING_IDLE_SECONDS: Final = 1.5
"""Silence after which a peer with open streams is sent a PING."""
PING_ANSWER_SECONDS: Final = 1.4
"""Silence after a PING that means that the peer is gone. With the above: noticed within 3 s."""
LATE_SECONDS: Final = 0.25
"""A check that comes this much too late says that we were held up, and what the peer sent may be unread: it gets as much time again."""

TICK_SECONDS: Final = 0.001
"""Of uvloop's clock."""


class Verdict(Enum):
    """What to do."""

    WAIT = "wait"
    PING = "ping"
    DEAD = "dead"
    RETIRE = "retire"
    """Close a connection that nobody has used for long."""


class Liveness:
    """What was heard of a peer, and when.

    Args:
        now: the time.
        keep_seconds: how long a connection is kept without streams.
    """

    __slots__ = ("_asked_at", "_deadline", "_idle_since", "_keep_seconds", "heard_at")

    def __init__(self, now: float, keep_seconds: float) -> None:
        self.heard_at = now
        """When the last byte came; to be set with each."""
        self._keep_seconds = keep_seconds
        self._asked_at: float | None = None
        self._deadline = 0.0
        self._idle_since: float | None = now

    def begin(self, now: float) -> bool:
        """Take note that a stream was opened; return whether to send a PING with it, because nothing was heard for long."""
        self._idle_since = None
        if self._is_waiting or now - self.heard_at < PING_IDLE_SECONDS:
            return False
        self.ask(now)
        return True

    def ask(self, now: float) -> None:
        """Take note that a PING is being sent; while an earlier one waits for its answer, its time counts."""
        if not self._is_waiting:
            self._asked_at = now
            self._deadline = now + PING_ANSWER_SECONDS
            self.heard_at = min(self.heard_at, now - TICK_SECONDS)  # what came in the same tick of the clock came before, and is no answer

    def check(self, now: float, *, is_busy: bool) -> tuple[Verdict, float]:
        """Return what to do, and when to check again.

        Args:
            now: the time.
            is_busy: whether there are open streams.
        """
        if self._is_waiting:
            return self._check_answer(now)
        if is_busy:
            self._idle_since = None
            due = self.heard_at + PING_IDLE_SECONDS
            if now < due:
                return Verdict.WAIT, due
            self.ask(now)
            return Verdict.PING, self._deadline
        if self._idle_since is None:
            self._idle_since = now
        due = self._idle_since + self._keep_seconds
        return (Verdict.WAIT if now < due else Verdict.RETIRE), due

    @property
    def _is_waiting(self) -> bool:
        return self._asked_at is not None and self.heard_at < self._asked_at

    def _check_answer(self, now: float) -> tuple[Verdict, float]:
        if now < self._deadline:
            return Verdict.WAIT, self._deadline
        is_first = self._deadline - (self._asked_at or 0.0) <= PING_ANSWER_SECONDS
        if is_first and now > self._deadline + LATE_SECONDS:
            self._deadline = now + LATE_SECONDS
            return Verdict.WAIT, self._deadline
        return Verdict.DEAD, now

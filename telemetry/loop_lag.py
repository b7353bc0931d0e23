"""Whether the event loop keeps up: a processor that is too small shows in timers that fire late, before anybody hears it.

A server that takes more conversations than it has processor for serves none of them well. So whoever admits sessions asks here, and those
that talk already keep what there is. Pure.
"""

from collections import deque
from typing import Final

WINDOW: Final = 250
"""Measurements that are looked at: 5 s at their usual distance of 20 ms, and longer when they come late."""
SHARE: Final = 0.01
"""Part of them that may be later than the limit: one pause for garbage is no overload."""
RECOVERED: Final = 0.5
"""Part of the limit under which the lag has to fall before it counts as well again, so that not every session changes the answer."""
EVERY: Final = 25
"""Measurements between two looks."""


class LoopLag:
    """Tells from how late timers fired whether more can be taken on.

    Args:
        limit_seconds: the largest lag that is well, at the 99th percentile; 0 for no limit.
    """

    def __init__(self, limit_seconds: float) -> None:
        self.is_overloaded = False
        """Whether the loop is too late for more work."""
        self.p99_seconds = 0.0
        """Of the latest look."""
        self._limit_seconds = limit_seconds
        self._late: deque[float] = deque(maxlen=WINDOW)
        self._unseen = 0

    def note(self, late_seconds: float) -> None:
        """Take a measurement."""
        self._late.append(late_seconds)
        self._unseen += 1
        if self._unseen < EVERY or len(self._late) < WINDOW:  # the start of a process says nothing about its work
            return
        self._unseen = 0
        self.p99_seconds = sorted(self._late)[-1 - int(WINDOW * SHARE)]
        limit = self._limit_seconds * (RECOVERED if self.is_overloaded else 1.0)
        self.is_overloaded = 0 < limit < self.p99_seconds

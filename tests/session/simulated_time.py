"""Time for simulated conversations: a list of what will happen, in the order in which it does. An hour takes what its events take."""

import heapq
import itertools
from collections.abc import Callable, Iterator


class Agenda:
    """What will happen, and the moment that it is now."""

    def __init__(self) -> None:
        self.now = 0.0
        """Virtual seconds."""
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Let something happen at a moment; what was asked for first happens first."""
        heapq.heappush(self._waiting, (max(self.now, moment), next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen later."""
        self.at(self.now + seconds, action)

    def play(self, script: Iterator[float]) -> None:
        """Go through a script that yields how long to wait before its next step."""

        def step() -> None:
            for seconds in script:
                self.after(seconds, step)
                return

        step()

    def run(self, until: float, is_over: Callable[[], bool]) -> None:
        """Let everything happen up to a moment, or until it is over."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= until and not is_over():
            self.now, _, action = heapq.heappop(waiting)
            action()
        if not is_over():
            self.now = until

"""Where the emulator gets the time from; tests pass a clock that they turn themselves."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Take it back."""


class Clock(Protocol):
    """Monotonic time in seconds."""

    def now(self) -> float:
        """Return the time."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call back at a time."""

    async def sleep_until(self, when: float) -> None:
        """Return at a time, at once when it is past."""


class LoopClock:
    """The event loop's time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        """Return the time."""
        return self._loop.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Call back at a time."""
        return self._loop.call_at(when, callback)

    async def sleep_until(self, when: float) -> None:
        """Return at a time, at once when it is past."""
        await asyncio.sleep(max(0.0, when - self._loop.time()))

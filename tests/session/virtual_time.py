"""An event loop whose time is a number: it passes only while nothing can run, and then at once to the next timer."""

import asyncio
import selectors


class NothingWillHappen(AssertionError):
    """Every task waits and no timer runs: outside of a test this would wait for ever."""


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass instead of waiting."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise NothingWillHappen
            self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for tests in which a minute takes no time."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual.now

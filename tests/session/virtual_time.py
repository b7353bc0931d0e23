"""An event loop whose time is a number: it passes only while nothing can run, and then at once to the next timer."""

import asyncio
import selectors


class NothingWillHappen(AssertionError):
    """Every task waits and no timer runs: outside of a test this would wait for ever."""


class _Selector(selectors.DefaultSelector):
    def __init__(self, patience_seconds: float) -> None:
        super().__init__()
        self.now = 0.0
        self._patience_seconds = patience_seconds

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass instead of waiting."""
        ready = super().select(0)
        if not ready and self._patience_seconds and timeout != 0:
            ready = super().select(self._patience_seconds)
        if not ready:
            if timeout is None:
                raise NothingWillHappen
            self.now += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop for tests in which a minute takes no time.

    Args:
        patience_seconds: of real time, before the virtual time passes: what is on its way through real sockets arrives first.
    """

    def __init__(self, patience_seconds: float = 0.0) -> None:
        self._virtual = _Selector(patience_seconds)
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._virtual.now

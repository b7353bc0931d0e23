"""How far a script is: on a terminal one line that is drawn again and again, elsewhere a line now and then."""

import sys
from typing import Final

WIDTH: Final = 30
EVERY: Final = 1_000
"""Elsewhere a line is written each time that so much more is done, and one at the end."""


class Bar:
    """The progress of one step, shown on standard error, so that what a script prints can be used further.

    Args:
        title: of the step.
        total: how much there is to do; 0 where nobody knows.
    """

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._total = total
        self._done = 0

    def show(self, done: int) -> None:
        """Show how much is done."""
        if sys.stderr.isatty():
            filled = min(WIDTH, done * WIDTH // self._total) if self._total else 0
            self._write(f"\r{self._title} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{self._total or '?'} ")
        elif done // EVERY > self._done // EVERY:
            self._write(f"{self._title}: {done}/{self._total or '?'}\n")
        self._done = done

    def close(self) -> None:
        """Leave the line as it is."""
        self._write("\n" if sys.stderr.isatty() else f"{self._title}: {self._done}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()

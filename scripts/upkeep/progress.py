"""How far a script is: on a terminal one line that is drawn again and again, elsewhere a line now and then."""

import sys
from typing import Final, TextIO

WIDTH: Final = 30
EVERY: Final = 1_000
"""Elsewhere a line is written each time that so much more is done, and one at the end."""


class Bar:
    """The progress of one step.

    Args:
        title: of the step.
        total: how much there is to do; 0 where nobody knows.
        out: where it is shown; standard error unless told otherwise, so that what a script prints can be used further.
    """

    def __init__(self, title: str, total: int, out: TextIO | None = None) -> None:
        self._title = title
        self._total = total
        self._out = out or sys.stderr
        self._done = 0

    def show(self, done: int) -> None:
        """Show how much is done."""
        if self._out.isatty():
            filled = min(WIDTH, done * WIDTH // self._total) if self._total else 0
            self._write(f"\r{self._title} [{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{self._total or '?'} ")
        elif done // EVERY > self._done // EVERY:
            self._write(f"{self._title}: {done}/{self._total or '?'}\n")
        self._done = done

    def close(self) -> None:
        """Leave the line as it is."""
        self._write("\n" if self._out.isatty() else f"{self._title}: {self._done}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()

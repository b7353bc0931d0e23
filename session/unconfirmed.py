"""Which turn a FINAL text of the assistant belongs to: it comes long after the speech, and repeats what was planned."""

import re
from collections import deque
from collections.abc import Sequence
from itertools import islice

from session.turn_record import TurnRecord

TEXTS_LIMIT = 200
"""Planned texts that may wait for their FINAL: far more than a stream says before it confirms."""
_OTHERS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """Return the letters and digits alone, to compare texts that were written twice."""
    return _OTHERS.sub("", text.casefold())


class Unconfirmed:
    """Texts that were planned and have no FINAL yet, in order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[TurnRecord, str]] = deque(maxlen=TEXTS_LIMIT)

    def planned(self, turn: TurnRecord, text: str) -> None:
        """Take note of a text that was planned."""
        self._waiting.append((turn, normalised(text)))

    def clear(self) -> None:
        """Wait for none any more."""
        self._waiting.clear()

    def turn_of(self, text: str, records: Sequence[TurnRecord], until: int) -> TurnRecord | None:
        """Find the turn that a FINAL text belongs to: the one that planned it, else the oldest that still waits for its text.

        A planned text can have several sentences with a FINAL text for each; what is left of it goes on waiting.

        Args:
            text: as the model says it.
            records: all turns. A stream that was left confirms after the next one has begun to: then no text waits, and the turn is known.
            until: number of the latest turn that whoever says it knows of: a stream that was left knows nothing of later ones.
        """
        said = normalised(text)
        waits = sum(turn.number <= until for turn, _ in self._waiting)
        for index, (turn, waiting) in enumerate(islice(self._waiting, waits)):
            if waiting.startswith(said):
                for _ in range(index + 1):
                    self._waiting.popleft()
                if len(waiting) > len(said):
                    self._waiting.appendleft((turn, waiting.removeprefix(said)))
                return turn
        for turn in reversed(records):
            if turn.number <= until and text not in turn.final and any(said in normalised(planned) for planned in turn.planned):
                return turn
        return self._waiting.popleft()[0] if waits else None

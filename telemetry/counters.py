"""Counters of the process: plain numbers, kept by name, read by /health and by the log."""

from collections import Counter


class Counters:
    """Counts what happened since the start. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, amount: int = 1) -> None:
        """Count something; names read `noun_verb_past`."""
        self._counts[name] += amount

    def read(self) -> dict[str, int]:
        """Return all counts by name, in the order of names."""
        return dict(sorted(self._counts.items()))

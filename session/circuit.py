"""Whether a model that could not be reached is worth asking for new sessions. Pure: `now` is monotonic seconds.

While the service is away each new session would wait for the whole time of an opening and be told the same. After a few openings in a
row, over some seconds, that nobody answered, newcomers are told at once, and one of them in a second tries all the same. Sessions that
live are not asked here: they have budgets of their own (`resumption.py`). The shape is Nygard's circuit breaker ("Release It!", 2007)
without its timer: a probe is a newcomer.
"""

from typing import Final

FAILURES: Final = 5
"""In a row, by whichever sessions."""
AWAY_SECONDS: Final = 2.0
"""From the first of them to the last: a connection that is lost fails all openings that share it in one moment, and the next is good."""
PROBE_SECONDS: Final = 1.0
AWAY_CODES: Final = frozenset({"model_unreachable", "model_timeout_opening"})
"""Codes of a ModelError with which nobody answered; any other answer shows that somebody is there."""


class Circuit:
    """Counts the openings of all sessions."""

    __slots__ = ("_failed_since", "_failures", "_is_open", "_probe_at")

    def __init__(self) -> None:
        self._failures = 0
        self._failed_since = 0.0
        self._is_open = False
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the model counts as away."""
        return self._is_open

    def lets_pass(self, now: float) -> bool:
        """Tell whether a newcomer may ask the model now; while it is away that is the one who tries for this second."""
        if not self.is_open:
            return True
        if now < self._probe_at:
            return False
        self._probe_at = now + PROBE_SECONDS
        return True

    def answered(self) -> None:
        """Take note that the model said something, were it a refusal."""
        self._failures, self._is_open = 0, False

    def failed(self, code: str, now: float) -> None:
        """Take note of an opening that failed with a ModelError of this code."""
        if code not in AWAY_CODES:
            self.answered()
            return
        self._failures += 1
        if self._failures == 1:
            self._failed_since = now
        if not self._is_open and self._failures >= FAILURES and now - self._failed_since >= AWAY_SECONDS:
            self._is_open = True
            self._probe_at = now + PROBE_SECONDS

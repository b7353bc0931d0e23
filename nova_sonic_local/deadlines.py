"""The service's patience with a stream: its length, its idle time, and the wait for a first event. Pure: `now` is monotonic seconds."""

from nova_sonic_local.models import FIRST_EVENT_SECONDS, STREAM_SECONDS
from nova_sonic_local.refusals import Refusal

IDLE_REFUSALS = {55: Refusal.IDLE_55, 295: Refusal.IDLE_295}
"""Both texts are on record; 295 is the newer."""


class Deadlines:
    """Tells when a stream must end, and why.

    Args:
        now: when the stream was opened.
        idle_seconds: 55 or 295.
        scale: multiplies every time, so that tests need not wait.
    """

    def __init__(self, now: float, idle_seconds: int, scale: float = 1.0) -> None:
        self._end = now + STREAM_SECONDS * scale
        self._idle = idle_seconds * scale
        self._idle_refusal = IDLE_REFUSALS[idle_seconds]
        self._next_input = now + FIRST_EVENT_SECONDS * scale
        self._input_refusal = Refusal.NO_INPUT

    def touch(self, now: float) -> None:
        """Take note of audio or interactive content."""
        self._next_input = now + self._idle
        self._input_refusal = self._idle_refusal

    def start(self, now: float) -> None:
        """Take note of the first event: from here on the idle time counts."""
        if self._input_refusal is Refusal.NO_INPUT:
            self.touch(now)

    def next(self) -> tuple[float, Refusal]:
        """Return when the stream ends if nothing comes, and why."""
        return min((self._end, Refusal.TIME_LIMIT), (self._next_input, self._input_refusal), key=lambda deadline: deadline[0])

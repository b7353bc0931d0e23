"""What the listener was given of the assistant's speech, and how much of it was heard. Pure: `now` is monotonic seconds.

Speech is counted in samples of its turn, also of those that were dropped on the way: what was heard is a place in what the model said,
whatever of it was left out before. The client's own word counts more than our clock, which takes it that everything is played at once.
"""

from collections import deque

BYTES_PER_SAMPLE = 2
REPORT_HOLDS_SECONDS = 1.0
"""How long a report of the client is taken further by the clock: four of the distances in which clients report while they play. One that
has been silent for longer plays no more, or is gone."""
GAPS_LIMIT = 64
"""Places of one turn at which speech was left out that are remembered; older ones were heard long ago."""


class Listener:
    """The ear at the end of the way.

    Args:
        output_hertz: rate of the speech.
    """

    def __init__(self, output_hertz: int) -> None:
        self.played_until = 0.0
        """When the listener has heard everything that was delivered, by `time`."""
        self._hertz = output_hertz
        self._turn = 0
        self._delivered = 0
        """Samples of the turn that were delivered."""
        self._undelivered = 0
        """Of these, what has not arrived, so that nobody has heard it; none while the listener is there."""
        self._gaps: deque[tuple[int, int]] = deque(maxlen=GAPS_LIMIT)
        """After how many delivered samples something was left out, and how much until there."""
        self._report: tuple[float, float] | None = None
        self._away_since: float | None = None
        self._away_seconds = 0.0

    def time(self, now: float) -> float:
        """Return the listener's own time, which stands still while it is away."""
        return (now if self._away_since is None else self._away_since) - self._away_seconds

    def clock(self, time: float) -> float:
        """Return when it is this time for a listener who stays."""
        return time + self._away_seconds

    @property
    def is_away(self) -> bool:
        """Whether nobody listens now."""
        return self._away_since is not None

    def leave(self, now: float, undelivered: int = 0) -> None:
        """Take note that nobody listens any more.

        Args:
            now: monotonic seconds.
            undelivered: samples at the end of what was delivered that have not arrived.
        """
        self._away_since = now if self._away_since is None else self._away_since
        self._undelivered = undelivered
        self.played_until = self.time(now) + undelivered / self._hertz

    def come_back(self, now: float, undelivered: int = 0) -> None:
        """Take note that the listener is back, and goes on where it was.

        Args:
            now: monotonic seconds.
            undelivered: samples that had not arrived, and are on their way again.
        """
        if self._away_since is not None:
            self._away_seconds += now - self._away_since
            self._away_since = None
            self._undelivered = 0
            self.played_until = self.time(now) + undelivered / self._hertz

    def deliver(self, turn: int, start: int, size: int, now: float) -> None:
        """Take note of speech that is on its way.

        Args:
            turn: whose speech.
            start: its first sample, counted in the turn.
            size: how many samples.
            now: monotonic seconds.
        """
        if turn != self._turn:
            self._turn, self._delivered, self._report = turn, 0, None
            self._gaps.clear()
        left_out = start - self._delivered
        if left_out > (self._gaps[-1][1] if self._gaps else 0):
            self._gaps.append((self._delivered, left_out))
        self._delivered += size
        self.played_until = max(self.played_until, self.time(now)) + size / self._hertz

    def stop(self, now: float) -> None:
        """Take note that the listener throws away what was not played."""
        self.played_until = min(self.played_until, self.time(now))

    def report(self, turn: int, heard_ms: float, now: float) -> None:
        """Take the listener's own word of how much of the turn it has played."""
        if turn == self._turn:
            self._report = (heard_ms / 1_000, self.time(now))

    def heard_samples(self, turn: int, now: float) -> int:
        """Return the sample of the turn at which the listener is."""
        if turn != self._turn:
            return 0
        time = self.time(now)
        if self._report is None:
            heard = self._delivered / self._hertz - max(0.0, self.played_until - time)
        else:
            reported, at = self._report
            heard = reported + min(time - at, REPORT_HOLDS_SECONDS)
        played = round(min(max(heard * self._hertz, 0.0), max(0, self._delivered - self._undelivered)))
        return played + max((left_out for at, left_out in self._gaps if at < played), default=0)

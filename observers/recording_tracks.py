"""The two voices of a conversation on one time line, each at its own rate, put in place by the clock. No I/O; `now` is monotonic seconds.

What happened is written down a few seconds later, when it is settled: by then it is known what of the assistant's speech was heard, and
whether the caller's sound was away or only late. What is taken once stays as it is.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

SAMPLE_BYTES: Final = 2
GRID: Final = 10
"""Pieces a second in which the time line is taken: 100 ms are whole samples at each of the rates, and five of Opus's own frames."""
SETTLE_SECONDS: Final = 2.0
"""How long what happened can still be put right: longer than LEAD_MS of speech, and than a report of a player is late."""
RESYNC_SECONDS: Final = 0.25
"""The caller's sound runs on without a gap, however it arrives, while it is less late than this: more than the jitter of home networks, and
less than a pause that matters."""
LATE_SECONDS: Final = 1.0
"""For how long it has to be late without a break before that was a gap: a network that stood still brings all of it at once."""
AHEAD_SECONDS: Final = 5.0
"""How far the caller's sound may be ahead of the clock, as it is where a client sends a file; what is more is dropped."""


@dataclass(slots=True)
class _Run:
    """Sound without a gap."""

    start: int
    """Sample on the time line."""
    pieces: deque[bytes] = field(default_factory=deque)
    length: int = 0
    """Samples."""
    late_since: float | None = None
    """When it began to be late; None once it is settled where it belongs."""
    late: int = 0
    """By how many samples at least it has been late since."""

    @property
    def end(self) -> int:
        """The sample after the last."""
        return self.start + self.length

    def append(self, pcm: bytes) -> None:
        """Go on."""
        self.pieces.append(pcm)
        self.length += len(pcm) // SAMPLE_BYTES

    def take(self, samples: int) -> bytes:
        """Return so many samples from the beginning, or all there are."""
        wanted, taken = min(samples, self.length) * SAMPLE_BYTES, bytearray()
        while len(taken) < wanted:
            piece = self.pieces.popleft()
            missing = wanted - len(taken)
            if len(piece) > missing:
                self.pieces.appendleft(piece[missing:])
            taken += piece[:missing]
        self.length -= wanted // SAMPLE_BYTES
        self.start += wanted // SAMPLE_BYTES
        return bytes(taken)

    def keep(self, samples: int) -> None:
        """Throw away what follows on so many samples."""
        self.pieces = deque([self.take(samples)])
        self.length = len(self.pieces[0]) // SAMPLE_BYTES
        self.start -= self.length


class _Track:
    """What both have: runs in order, and how much of the line was taken."""

    def __init__(self, hertz: int, began: float) -> None:
        self.hertz = hertz
        self.taken = 0
        """Samples of the time line that were taken."""
        self.heard = 0
        """Of these, how many somebody spoke."""
        self._began = began
        self._runs: deque[_Run] = deque()

    def sample(self, now: float) -> int:
        """Return the sample of the time line that is spoken now."""
        return max(0, round((now - self._began) * self.hertz))

    @property
    def end(self) -> int:
        """The sample after the last that is there, or was taken."""
        return max(self._runs[-1].end if self._runs else 0, self.taken)

    def take(self, until: int) -> bytes:
        """Return the time line from where it was taken last to this sample; silence where nobody spoke."""
        line = bytearray()
        while self._runs and self._runs[0].start < until:
            run = self._runs[0]
            line += bytes((run.start - self.taken) * SAMPLE_BYTES)
            self.taken = run.start
            spoken = run.take(until - run.start)
            line += spoken
            self.taken += len(spoken) // SAMPLE_BYTES
            self.heard += len(spoken) // SAMPLE_BYTES
            if run.length:
                break
            self._runs.popleft()
        line += bytes((until - self.taken) * SAMPLE_BYTES)
        self.taken = until
        return bytes(line)


class CallerTrack(_Track):
    """The caller's voice: it runs on from sample to sample, and is put to the clock anew only where it was away.

    Args:
        hertz: samples a second.
        began: when the time line begins.
    """

    def __init__(self, hertz: int, began: float) -> None:
        super().__init__(hertz, began)
        self.gaps = 0
        """How often the caller's sound was away and was put to the clock anew."""
        self.dropped = 0
        """Samples that came too far ahead of their time."""

    def add(self, pcm: bytes, now: float) -> None:
        """Go on with sound whose last sample was spoken now, as far as anybody knows."""
        start = self.sample(now) - len(pcm) // SAMPLE_BYTES
        late, resync = start - self.end, round(RESYNC_SECONDS * self.hertz)
        if late < -round(AHEAD_SECONDS * self.hertz):
            self.dropped += len(pcm) // SAMPLE_BYTES
            return
        run = self._runs[-1] if self._runs else None
        if run is None and not self.taken:
            run = self._begin(max(0, start))
        elif late > resync:
            run = self._still_late(run, late, now)
        elif run is None:
            run = self._begin(self.end)
        else:
            run.late_since = None
            if late < -resync:
                run.start -= min(-late, self._room_before(run))
        run.append(pcm)

    def take(self, until: int) -> bytes:
        """Return the time line up to a sample; sound that is so late that this would take it was away."""
        for run in self._runs:
            if run.start < until:
                self._settle(run)
        return super().take(until)

    def settle(self) -> None:
        """Take what is late now as having been away: nothing comes any more that could tell."""
        for run in self._runs:
            self._settle(run)

    def _begin(self, start: int) -> _Run:
        self._runs.append(_Run(start))
        return self._runs[-1]

    def _still_late(self, run: _Run | None, late: int, now: float) -> _Run:
        """Return the run that sound belongs to which may have been away, or is only late."""
        if run is None or run.late_since is None:
            run = self._begin(self.end)
            run.late_since, run.late = now, late
        run.late = min(run.late, late)
        if now - run.late_since >= LATE_SECONDS:
            self._settle(run)
        return run

    def _settle(self, run: _Run) -> None:
        if run.late_since is not None:
            run.start += run.late
            run.late_since = None
            self.gaps += 1

    def _room_before(self, run: _Run) -> int:
        """Return how much silence there is before a run that was not taken yet."""
        before = self._runs[-2].end if len(self._runs) > 1 else 0
        return run.start - max(before, self.taken)


@dataclass(frozen=True, slots=True)
class CutSpeech:
    """Where an interruption cut the assistant's speech."""

    turn: int
    heard: int
    """Samples of the turn that were heard, as far as they had been delivered."""
    at: int
    """Sample of the time line after the last that was heard."""
    too_late: int
    """Samples that were not heard, and were written down already."""


class AssistantTrack(_Track):
    """The assistant's voice as it is heard: each piece after what is still being played, as the pacing of delivery has it.

    Args:
        hertz: samples a second.
        began: when the time line begins.
    """

    def __init__(self, hertz: int, began: float) -> None:
        super().__init__(hertz, began)
        self._turn = 0
        self._places: deque[tuple[int, int, int]] = deque()
        """Of the turn's pieces: the first sample in the turn, its sample on the time line, and how many there are."""
        self._delivered = 0
        """Samples of the turn."""

    def add(self, turn: int, pcm: bytes, now: float) -> None:
        """Go on with speech that goes to the listener now, and is heard after what went before."""
        if turn != self._turn:
            self._turn, self._delivered = turn, 0
            self._places.clear()
        start, length = max(self.end, self.sample(now)), len(pcm) // SAMPLE_BYTES
        if not self._runs or self._runs[-1].end != start:
            self._runs.append(_Run(start))
        self._runs[-1].append(pcm)
        self._places.append((self._delivered, start, length))
        self._delivered += length
        while len(self._places) > 1 and self._places[1][1] <= self.taken:
            self._places.popleft()

    def cut(self, turn: int, heard: int) -> CutSpeech | None:
        """Take back what was not heard of a turn; None if nothing of it was delivered.

        Args:
            turn: that was interrupted.
            heard: samples of it, counted from its beginning.
        """
        if turn != self._turn or not self._places:
            return None
        heard = min(heard, self._delivered)
        first, start, _ = next(place for place in reversed(self._places) if place[0] <= heard or place is self._places[0])
        at = start + max(0, heard - first)
        too_late = max(0, self.taken - at)
        self.stop(at)
        self._places.clear()
        return CutSpeech(turn, heard, at, too_late)

    def stop(self, at: int) -> None:
        """Take back everything from a sample of the time line on."""
        while self._runs and self._runs[-1].start >= at:
            self._runs.pop()
        if self._runs and self._runs[-1].end > at:
            self._runs[-1].keep(at - self._runs[-1].start)

"""Voice activity by energy: who speaks, from when to when.

Each frame of 20 ms is voiced when it is louder than the noise floor by a margin; the floor is the quietest moment of the last seconds
(minimum statistics, after R. Martin, "Noise Power Spectral Density Estimation", 2001, reduced to one band). Speech begins when 120 ms of
the last 200 ms are voiced, so that clicks do not count, and ends when the pause of the endpointing sensitivity has passed. Pure, without
dependencies, about 15 us a frame, nearly all of it for the loudness.
"""

from array import array
from collections import deque
from dataclasses import dataclass
from enum import Enum
from math import sqrt, sumprod

from nova_sonic_local.events import Endpointing

FRAME_MS = 20
ONSET_MS = 120
ONSET_WINDOW_MS = 200
PAUSE_MS = {Endpointing.HIGH: 350, Endpointing.MEDIUM: 480, Endpointing.LOW: 700}
"""480 ms at MEDIUM was measured on Nova 2 (end of speech 1920 ms, detected 2400 ms); the other two are ours. AWS's guide says 1.5, 1.75
and 2.0 seconds, which includes the time to the answer."""
_QUIETEST = 90.0
"""RMS (of 32768) below which nothing is speech: -51 dBFS."""
_START_FACTOR = 3.0
_STAY_FACTOR = 2.0
_FLOOR_SLICE_FRAMES = 25
_FLOOR_SLICES = 6
"""The floor is the minimum of 6 slices of half a second: longer than anybody speaks without a dip."""


class Change(Enum):
    """What the detector found."""

    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """Speech began or ended."""

    change: Change
    at_ms: int
    """Where in the input: begin of the first voiced frame, or end of the last."""
    detected_ms: int
    """Where in the input it was certain."""


def level(frame: bytes) -> float:
    """Return the RMS of 16-bit samples around their mean, so that an offset of the microphone is no sound."""
    samples = array("h", frame)
    count = len(samples)
    if not count:
        return 0.0
    mean = sum(samples) / count
    return sqrt(max(0.0, sumprod(samples, samples) / count - mean * mean))


class VoiceDetector:
    """Follows one audio block.

    Args:
        pause_ms: silence that ends a turn.
    """

    def __init__(self, pause_ms: int) -> None:
        self._pause_ms = pause_ms
        self._now_ms = 0
        self._recent: deque[bool] = deque(maxlen=ONSET_WINDOW_MS // FRAME_MS)
        self._slices: deque[float] = deque([_QUIETEST] * _FLOOR_SLICES, maxlen=_FLOOR_SLICES)  # who speaks at once is heard
        self._slice_minimum = 32_768.0
        self._slice_frames = 0
        self._speech_end_ms = 0
        self._voiced_run = 0
        self.is_speaking = False

    @property
    def floor(self) -> float:
        """RMS of the background."""
        return min(self._slice_minimum, *self._slices)

    def feed(self, frame: bytes) -> VoiceChange | None:
        """Take the next 20 ms and tell whether speech began or ended."""
        loudness = level(frame)
        self._follow_floor(loudness)
        factor = _STAY_FACTOR if self.is_speaking else _START_FACTOR
        is_voiced = loudness > max(_QUIETEST, self.floor * factor)
        self._now_ms += FRAME_MS
        self._recent.append(is_voiced)
        self._voiced_run = self._voiced_run + 1 if is_voiced else 0
        return self._while_speaking() if self.is_speaking else self._while_silent()

    def stop(self) -> VoiceChange | None:
        """End the speech now, because no more audio will come."""
        if not self.is_speaking:
            return None
        return self._end()

    def _while_silent(self) -> VoiceChange | None:
        if sum(self._recent) * FRAME_MS < ONSET_MS:
            return None
        voiced_first = next(index for index, voiced in enumerate(self._recent) if voiced)
        begin = self._now_ms - (len(self._recent) - voiced_first) * FRAME_MS
        self.is_speaking = True
        self._speech_end_ms = self._now_ms
        return VoiceChange(Change.STARTED, begin, self._now_ms)

    def _while_speaking(self) -> VoiceChange | None:
        if self._voiced_run > 1:  # a single loud frame is a click
            self._speech_end_ms = self._now_ms
        if self._now_ms - self._speech_end_ms < self._pause_ms:
            return None
        return self._end()

    def _end(self) -> VoiceChange:
        self.is_speaking = False
        self._recent.clear()
        return VoiceChange(Change.ENDED, self._speech_end_ms, self._now_ms)

    def _follow_floor(self, loudness: float) -> None:
        self._slice_minimum = min(self._slice_minimum, max(loudness, 1.0))
        self._slice_frames += 1
        if self._slice_frames == _FLOOR_SLICE_FRAMES:
            self._slices.append(self._slice_minimum)
            self._slice_minimum, self._slice_frames = 32_768.0, 0

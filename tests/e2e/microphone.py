"""What the page made of the microphone, held against the file that Chromium's pretended microphone plays.

That microphone and the loudspeaker that keeps the page's time are two timers in Chromium. On a machine that is too busy one of them leaves
out a period of 10 ms now and then: the file is then heard with a hole or a piece less. Nothing of ours can mend it, and five such slips in
one request are enough to turn one spoken name into another. A page in front of real hardware has one clock for both.
"""

import struct
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from playwright.async_api import Page, WebSocket

from tests.e2e.speech import resampled

HERTZ = 16_000
WINDOW = HERTZ // 4
"""Samples that are looked for at once: long enough to be found, short enough to hear about each slip."""
REACH = HERTZ // 4
"""How far from its place a window is looked for."""
PERIOD = HERTZ // 100
"""Chromium leaves out 10 ms or a multiple."""
TOLERANCE = HERTZ * 4 // 10_000
"""The browser's processing moves a window by some samples; one that was found a period of the voice too early moves by something else."""
ALIKE = 0.6
"""The browser suppresses noise and sets the gain, so even an undisturbed window is not quite the file's."""
LOUD = 300.0
"""RMS of a window in which somebody speaks."""

_HEADER = struct.Struct("<BBHIII")

type Samples = NDArray[np.int16]


@dataclass
class SentAudio:
    """Everything that a page sends of its microphone."""

    frames: dict[int, bytes] = field(default_factory=dict)
    """PCM by the sample at which it begins."""

    def watch(self, page: Page) -> None:
        """Note what the page sends from now on; call it before the conversation begins."""
        page.on("websocket", self._watch_socket)

    @property
    def is_complete(self) -> bool:
        """Whether no sample is missing and none comes twice."""
        place = 0
        for offset in sorted(self.frames):
            if offset != place:
                return False
            place += len(self.frames[offset]) // 2
        return place > 0

    @property
    def samples(self) -> Samples:
        """All of it in order."""
        return np.frombuffer(b"".join(self.frames[offset] for offset in sorted(self.frames)), "<i2")

    def write_wav(self, path: Path) -> Path:
        """Write all of it into a file, for somebody to listen to."""
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(HERTZ)
            file.writeframes(self.samples.tobytes())
        return path

    def _watch_socket(self, socket: WebSocket) -> None:
        socket.on("framesent", self._note)

    def _note(self, payload: str | bytes) -> None:
        if isinstance(payload, bytes):
            offset = _HEADER.unpack_from(payload)[4]
            self.frames[offset] = payload[_HEADER.size :]


@dataclass(frozen=True, slots=True)
class Hearing:
    """How what a page sent differs from the file."""

    missed_ms: float
    """How much of the file was played before the page listened; negative when the page listened first."""
    slips_ms: tuple[float, ...]
    """By how much the sound moved, for each time that it did."""

    def spoils(self, first_word_ms: float) -> bool:
        """Return whether a request that begins there was not heard as it was said."""
        return bool(self.slips_ms) or self.missed_ms > first_word_ms


def compare(heard: Samples, said: Samples) -> Hearing:
    """Hold what is heard against what was said.

    Args:
        heard: at 16 kHz.
        said: at the synthesiser's rate, from the beginning of the file.
    """
    file = resampled(said, HERTZ).astype(np.float64)
    signal = heard.astype(np.float64)
    begin = _lag(signal[: file.size], file)
    steps = [int(step) for step in np.diff(_local_lags(signal, file, begin))]
    slips = tuple(1000 * step / HERTZ for step in steps if abs(step) > TOLERANCE and _is_whole(step))
    return Hearing(-1000 * begin / HERTZ, slips)


def _is_whole(step: int) -> bool:
    return abs(step - PERIOD * round(step / PERIOD)) <= TOLERANCE


def _local_lags(heard: NDArray[np.float64], file: NDArray[np.float64], begin: int) -> list[int]:
    """Return how far each window in which somebody speaks lies from where the beginning would have it."""
    lags: list[int] = []
    for start in range(REACH, file.size - WINDOW - REACH, WINDOW):
        there = file[start : start + WINDOW]
        around = heard[max(0, start + begin - REACH) : start + begin + WINDOW + REACH]
        if np.sqrt(np.mean(there**2)) < LOUD or around.size < WINDOW + 2 * REACH:
            continue
        products = np.correlate(around, there, "valid")
        energies = np.convolve(around**2, np.ones(WINDOW), "valid")
        likeness = products / np.sqrt(energies * np.sum(there**2) + 1.0)
        best = int(np.argmax(likeness))
        if likeness[best] >= ALIKE:
            lags.append(best - REACH)
    return lags


def _lag(heard: NDArray[np.float64], file: NDArray[np.float64]) -> int:
    """Return how much later all of the file is heard than it was said, in samples; negative when its beginning is missing."""
    size = 1 << int(np.ceil(np.log2(heard.size + file.size)))
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(file, size)), size)
    best = int(np.argmax(cross))
    return best if best < heard.size else best - size

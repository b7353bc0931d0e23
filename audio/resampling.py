"""Sound of any usual rate as 16 kHz mono, with nothing but the standard library.

A polyphase filter: for each sample that comes out, a short sum over the samples around its place, with weights of a windowed sinc that lets
nothing pass that 16 kHz cannot hold. It costs 20 to 35 ms of CPU per second of sound, 50 ms at 96 kHz (measured), in a thread;
so it gives way every 50 ms of it, for a thread that computes keeps Python from everybody else now and then. Where PyAV is installed, its
resampler does this in 0.3 to 1.5 ms.
"""

import time
from array import array
from collections.abc import Sequence
from functools import cache
from math import ceil, cos, gcd, pi, sin, sumprod
from typing import Final

from audio.recordings import HERTZ

RATES_HERTZ: Final = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000)
"""What is read: the rates in use."""
_CROSSINGS: Final = 8
"""Zeros of the sinc on each side: enough for speech (images are 60 dB down)."""
_PASS: Final = 0.92
"""How much of the band is let through, so that the rest can fall off."""
_GIVE_WAY_EVERY: Final = HERTZ // 20
_GIVE_WAY_SECONDS: Final = 0.000_1
_LOWEST, _HIGHEST = -32_768, 32_767


@cache
def _weights(hertz: int) -> tuple[int, int, tuple[Sequence[float], ...]]:
    """Return how many inputs make how many outputs, and for each of these the weights of the inputs around it."""
    divisor = gcd(hertz, HERTZ)
    up, down = HERTZ // divisor, hertz // divisor
    cutoff = _PASS * min(1.0, up / down)
    half = ceil(_CROSSINGS / cutoff)
    phases = []
    for phase in range(up):
        offsets = [step - half + 1 - phase / up for step in range(2 * half)]
        row = [_sinc(cutoff * at) * _window(at / half) for at in offsets]
        scale = 1.0 / sum(row)
        phases.append([scale * weight for weight in row])
    return up, down, tuple(phases)


def _sinc(at: float) -> float:
    return 1.0 if at == 0 else sin(pi * at) / (pi * at)


def _window(at: float) -> float:
    """Blackman's, from -1 to 1."""
    return 0.0 if abs(at) >= 1 else 0.42 + 0.5 * cos(pi * at) + 0.08 * cos(2 * pi * at)


class Resampler:
    """Makes 16 kHz of one recording, piece by piece; the pieces fit together wherever they were cut.

    Args:
        hertz: rate of the recording, one of RATES_HERTZ.
    """

    def __init__(self, hertz: int) -> None:
        self._is_idle = hertz == HERTZ
        self._up, self._down, self._phases = (1, 1, ([1.0],)) if self._is_idle else _weights(hertz)
        self._taps = len(self._phases[0])
        self._inputs: list[float] = [0.0] * (self._taps // 2 - 1)
        """The last ones that are still needed, with silence before the first."""
        self._phase = 0
        """Of the next output, after the first of `_inputs` that it needs."""

    def take(self, samples: Sequence[float]) -> bytes:
        """Return what the next samples make, 16-bit little-endian.

        Args:
            samples: mono, between -32,768 and 32,767.
        """
        if self._is_idle:
            return _packed(samples)
        inputs, phase = self._inputs, self._phase
        inputs.extend(samples)
        last = len(inputs) - self._taps
        made: list[float] = []
        at = 0
        while at <= last:
            made.append(sumprod(inputs[at : at + self._taps], self._phases[phase]))
            phase += self._down
            at += phase // self._up
            phase %= self._up
            if len(made) % _GIVE_WAY_EVERY == 0:
                time.sleep(_GIVE_WAY_SECONDS)
        del inputs[:at]  # a step is always shorter than the filter
        self._phase = phase
        return _packed(made)

    def finish(self) -> bytes:
        """Return what the last samples make, with silence after them."""
        return b"" if self._is_idle else self.take([0.0] * (self._taps // 2))


def _packed(samples: Sequence[float]) -> bytes:
    try:
        return array("h", map(round, samples)).tobytes()
    except OverflowError:  # a filter overshoots where sound was loud to the limit
        return array("h", [max(_LOWEST, min(_HIGHEST, round(sample))) for sample in samples]).tobytes()

"""The sound of one turn: collected, measured, and cut to the speech in it."""

import array
import bisect
import math
import random

from nova_sonic_local.speech.resample import Resampler, pcm_of, samples_of

MODEL_HERTZ = 16000
"""Rate of the acoustic model."""

PIECE_SAMPLES = MODEL_HERTZ * 32 // 1000
"""Loudness is measured in pieces of 32 ms."""

NOISE_PEAK = 57
"""Uniform noise of -60 dBFS (RMS 33 of 32768): digital silence would break the cepstral mean (measured)."""

LONGEST_SECONDS = 30
"""More of one utterance is dropped: the longest request of the built-in scenario takes 12 seconds."""

PAUSE_PIECES = 7
"""A pause of 224 ms may be the end: the decoding starts, and is over before the turn is (480 ms at medium sensitivity)."""

KEPT_PIECES = 9
"""Silence kept before and after the speech: the acoustic model wants 0.3 s, and more would pull the cepstral mean towards the noise."""

_QUIET_SHARE = 0.04
"""A piece below this share of the loudest piece (-28 dB) is silence."""

_NOISE_FACTOR = 2.0
"""A piece below twice the background (6 dB) is silence: in a noisy room, that is more than the share of the loudest."""

_NOISIEST_SHARE = 0.15
"""But nothing above this share of the loudest piece (-16 dB), for an utterance without any pause has no background to go by."""

_QUIET_RMS = 60.0
"""A piece below this (-55 dBFS) is silence in any case."""


class Utterance:
    """The sound of one turn as it comes in."""

    def __init__(self, grammar: str, hertz: int) -> None:
        self.grammar = grammar
        self.dropped = 0
        """Samples beyond the longest utterance."""
        self.grew = False
        """Whether speech came since this was last set to False."""
        self._resampler = Resampler(hertz, MODEL_HERTZ)
        self._samples = array.array("h")
        self._levels: list[float] = []
        self._sorted: list[float] = []
        self._loudest = 0.0

    def feed(self, pcm: bytes) -> None:
        """Take audio."""
        self._take(self._resampler.feed(pcm))

    def end(self) -> None:
        """Take what the resampler still holds."""
        self._take(self._resampler.finish())

    def _take(self, pcm: bytes) -> None:
        came = samples_of(pcm)
        room = max(0, LONGEST_SECONDS * MODEL_HERTZ - len(self._samples))
        self.dropped += max(0, len(came) - room)
        self._samples.extend(came[:room])
        while (len(self._levels) + 1) * PIECE_SAMPLES <= len(self._samples):
            start = len(self._levels) * PIECE_SAMPLES
            piece = self._samples[start : start + PIECE_SAMPLES]
            level = math.sqrt(math.sumprod(piece, piece) / PIECE_SAMPLES)
            self._levels.append(level)
            bisect.insort(self._sorted, level)
            self._loudest = max(self._loudest, level)
            if not self._is_quiet(level):
                self.grew = True

    def _is_quiet(self, level: float) -> bool:
        background = self._sorted[len(self._sorted) // 10]
        noisy = min(_NOISE_FACTOR * background, _NOISIEST_SHARE * self._loudest)
        return level < max(_QUIET_RMS, _QUIET_SHARE * self._loudest, noisy)

    @property
    def pauses(self) -> bool:
        """Say whether there was speech, and a pause after it."""
        return len(self._levels) > PAUSE_PIECES and all(map(self._is_quiet, self._levels[-PAUSE_PIECES:])) and bool(self.speech())

    @property
    def sounding_seconds(self) -> float:
        """Return how much of the utterance is not silence."""
        return sum(not self._is_quiet(level) for level in self._levels) * PIECE_SAMPLES / MODEL_HERTZ

    def speech(self) -> bytes:
        """Return the speech with a little silence around it and the noise floor under it; empty when all was quiet."""
        loud = [place for place, level in enumerate(self._levels) if not self._is_quiet(level)]
        if not loud:
            return b""
        start = max(0, loud[0] - KEPT_PIECES) * PIECE_SAMPLES
        samples = self._samples[start : (loud[-1] + 1 + KEPT_PIECES) * PIECE_SAMPLES]
        noise = _noise(len(samples))
        return pcm_of([max(-32768, min(32767, sample + extra)) for sample, extra in zip(samples, noise, strict=True)])


def _noise(length: int) -> list[int]:
    source = random.Random(1)  # noqa: S311 - dither, the same in each run
    return [value % (2 * NOISE_PEAK + 1) - NOISE_PEAK for value in source.randbytes(length)]

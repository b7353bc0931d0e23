"""A voice without a synthesiser: syllables of harmonics under two formants, as many as the text has.

Nobody understands it, but its length follows the text, and voice activity detectors take it for speech (voiced sound between 100 and
250 Hz, formants, pauses between words, some six syllables a second).
"""

import asyncio
import re
from array import array
from functools import lru_cache
from math import exp, pi, sin
from zlib import crc32

_SYLLABLE = re.compile(r"[^aeiouyáéíóúüàèìòùâêîôûäöæø]*[aeiouyáéíóúüàèìòùâêîôûäöæø]+", re.IGNORECASE)
_VOWELS = ((730, 1090), (530, 1840), (270, 2290), (570, 840), (300, 870))
"""First two formants in hertz (Peterson and Barney, 1952, men)."""
_SYLLABLE_SECONDS = 0.16
_WORD_PAUSE_SECONDS = 0.05
_SENTENCE_PAUSE_SECONDS = 0.22
_LOUDNESS = 7000.0
_SHADES = 4


class BabbleVoice:
    """Speaks any text in any language, unintelligibly. The same text always sounds the same."""

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        """Return the text as 16-bit little-endian mono sound at the given rate."""
        pitch = 105 + crc32(voice_id.encode()) % 110
        pieces: list[bytes] = []
        for word in text.split():
            for syllable in _SYLLABLE.findall(word) or [word]:
                mark = crc32(syllable.lower().encode())
                misses = _syllable.cache_info().misses
                pieces.append(_syllable(hertz, pitch, mark % len(_VOWELS), mark // 7 % _SHADES))
                if _syllable.cache_info().misses != misses:
                    await asyncio.sleep(0)  # a new syllable costs about 3 ms: let others run between two
            pause = _SENTENCE_PAUSE_SECONDS if word[-1] in ".,;:!?" else _WORD_PAUSE_SECONDS
            pieces.append(bytes(2 * int(hertz * pause)))
        return b"".join(pieces)


@lru_cache(maxsize=2048)
def _syllable(hertz: int, pitch: int, vowel: int, shade: int) -> bytes:
    """Return one syllable: a period of the vowel, repeated under an envelope."""
    frequency = pitch * (1 + 0.06 * (shade - 1.5))
    period = int(hertz / frequency)
    wave = _period(period, frequency, _VOWELS[vowel])
    count = int(hertz * _SYLLABLE_SECONDS)
    attack, release = int(0.02 * hertz), int(0.06 * hertz)
    samples = array("h", bytes(2 * count))
    for index in range(count):
        envelope = min(1.0, index / attack, (count - index) / release)
        samples[index] = int(wave[index % period] * envelope)
    return samples.tobytes()


def _period(length: int, frequency: float, formants: tuple[int, int]) -> list[float]:
    harmonics = [(n, _gain(n * frequency, formants)) for n in range(1, int(3_400 / frequency))]
    wave = [sum(gain * sin(2 * pi * n * index / length) for n, gain in harmonics) for index in range(length)]
    loudest = max(map(abs, wave)) or 1.0
    return [_LOUDNESS * value / loudest for value in wave]


def _gain(frequency: float, formants: tuple[int, int]) -> float:
    peaks = (exp(-(((frequency - formant) / 130) ** 2)) for formant in formants)
    return sum(peaks) + 0.12 / (1 + frequency / 400)

"""Speech for the tests, made when they run: an utterance by espeak-ng with silence around it, as PCM or as a WAV file."""

import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ESPEAK_HERTZ = 22_050
LOUDNESS = 0.4
"""espeak-ng speaks up to full scale; at an arm's length from a microphone nobody does."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """What somebody says, and when."""

    voice: str
    """An espeak-ng voice, for instance `es-419` or `en-us+f3`."""
    text: str
    pause_seconds: float = 2.5
    """Silence before it: time for the page to start, or for an answer to be heard."""
    words_per_minute: int = 150


def speak(utterance: Utterance) -> NDArray[np.int16]:
    """Return the utterance at 22,050 Hz."""
    command = ["espeak-ng", "--stdout", "-v", utterance.voice, "-s", str(utterance.words_per_minute), utterance.text]
    made = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    return (np.frombuffer(made[44:], dtype="<i2") * LOUDNESS).astype(np.int16)


def conversation(utterances: list[Utterance], tail_seconds: float = 30.0) -> NDArray[np.int16]:
    """Return all utterances in a row, at 22,050 Hz."""
    parts: list[NDArray[np.int16]] = []
    for utterance in utterances:
        parts += [silence(utterance.pause_seconds), speak(utterance)]
    return np.concatenate([*parts, silence(tail_seconds)])


def silence(seconds: float) -> NDArray[np.int16]:
    """Return a very quiet room: digital silence is what no microphone gives."""
    return np.random.default_rng(1).integers(-12, 12, round(seconds * ESPEAK_HERTZ)).astype(np.int16)


def resampled(samples: NDArray[np.int16], hertz: int) -> NDArray[np.int16]:
    """Return the samples at another rate; good enough for speech that carries nothing near the border."""
    spectrum = np.fft.rfft(samples.astype(np.float64))
    length = round(samples.size * hertz / ESPEAK_HERTZ)
    bins = min(spectrum.size, length // 2 + 1)
    converted = np.fft.irfft(spectrum[:bins], length) * (length / samples.size)
    return converted.clip(-32_768, 32_767).astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], hertz: int = 48_000) -> Path:
    """Write a WAV file that Chromium takes as a microphone."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hertz)
        file.writeframes(resampled(samples, hertz).astype("<i2").tobytes())
    return path

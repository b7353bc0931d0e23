"""Formats and durations of speech: LPCM, signed 16-bit little-endian, mono."""

from dataclasses import dataclass
from typing import Final

SAMPLE_BYTES: Final = 2


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """LPCM at a rate."""

    hertz: int
    """Samples per second."""

    @property
    def bytes_per_second(self) -> int:
        """Return the size of one second."""
        return self.hertz * SAMPLE_BYTES

    def bytes_of(self, duration_ms: float) -> int:
        """Return the size of a duration, rounded down to whole samples."""
        return int(self.hertz * duration_ms / 1000) * SAMPLE_BYTES

    def duration_ms(self, size_bytes: int) -> float:
        """Return how many milliseconds this many bytes last; half a sample does not count."""
        return size_bytes // SAMPLE_BYTES * 1000 / self.hertz

    def silence(self, duration_ms: float) -> bytes:
        """Return silence of this duration."""
        return bytes(self.bytes_of(duration_ms))


def is_whole(pcm: bytes) -> bool:
    """Return whether the bytes are whole samples."""
    return len(pcm) % SAMPLE_BYTES == 0

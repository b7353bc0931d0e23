"""What decoders of all formats have in common: a recording goes in piece by piece, and comes out as 16 kHz mono."""

from collections.abc import Sequence
from typing import Final, Protocol

from audio.errors import TooLong

HERTZ: Final = 16_000
SAMPLE_BYTES: Final = 2
PIECE_SECONDS: Final = 30.0
"""Audio that one piece of a file can hold. Two bytes can claim to be 120 ms (RFC 6716 section 3.2.5), so what comes out is counted."""
PIECE_BYTES: Final = 2 * SAMPLE_BYTES * HERTZ
"""Two seconds: what a session takes in one piece."""


class Recording(Protocol):
    """One recording, from its head to its end."""

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece, in pieces of PIECE_BYTES at most; may block for some milliseconds.

        Raises:
            AudioError: it cannot be decoded, nor can anything that follows in this recording.
        """

    def finish(self) -> Sequence[bytes]:
        """Return the samples that were still held back at the end of the file.

        Raises:
            AudioError: they cannot be decoded.
        """


def pieces_of(pcm: bytes | bytearray) -> Sequence[bytes]:
    """Return samples in pieces of PIECE_BYTES at most."""
    return [bytes(pcm[start : start + PIECE_BYTES]) for start in range(0, len(pcm), PIECE_BYTES)]


def check_seconds(pcm: bytes | bytearray) -> None:
    """See that a piece of a file holds no more than a piece may.

    Raises:
        TooLong: it does.
    """
    if len(pcm) > PIECE_SECONDS * SAMPLE_BYTES * HERTZ:
        raise TooLong(f"A message can hold {PIECE_SECONDS:.0f} s of audio at most.")

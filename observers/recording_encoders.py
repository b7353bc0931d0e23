"""Stereo sound as the bytes of a file that only grows: WAV by ourselves, everything else by PyAV where it is installed.

What was written is never changed, so that it can be stored while the conversation runs, and a file that breaks off can be played to there.
Lengths that belong into the first bytes are given at the end, as those bytes anew.
"""

import importlib.util
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from math import gcd
from typing import Final, Protocol

from storage.recordings import RecordingFormat

CHANNELS: Final = 2
FRAME_BYTES: Final = 4
"""Both channels of one sample."""
LOWEST: Final = -32_768
HIGHEST: Final = 32_767
UNKNOWN: Final = 0xFFFFFFFF
"""Length of a WAV file that is still being written; players then read to its end."""
_HEAD: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")
_HEAD_REST: Final = _HEAD.size - 8


class Encoder(Protocol):
    """Makes a file of sound. Belongs to one thread."""

    def encode(self, stereo: bytes) -> bytes:
        """Return what the file grows by.

        Args:
            stereo: signed 16-bit little-endian samples, left and right in turn.
        """

    def finish(self) -> tuple[bytes, bytes]:
        """Return the end of the file, and what has to stand in the place of its first bytes."""


class Riser(Protocol):
    """Makes more samples a second of sound, piece by piece. Belongs to one thread."""

    def rise(self, pcm: bytes) -> bytes:
        """Return what is known of the sound at its new rate: mono, 16 bits."""

    def finish(self) -> bytes:
        """Return the rest."""


@dataclass(frozen=True, slots=True)
class Studio:
    """What recordings are made with."""

    format: RecordingFormat
    encoder: Callable[[int], Encoder]
    """Makes one for so many samples a second."""
    riser: Callable[[int, int], Riser]
    """Makes one that takes so many samples a second and gives so many."""


class WavEncoder:
    """Plain samples behind a header (RIFF WAVE).

    Args:
        hertz: samples a second.
    """

    def __init__(self, hertz: int) -> None:
        self._hertz = hertz
        self._size = 0

    def encode(self, stereo: bytes) -> bytes:
        """Return what the file grows by."""
        head = b"" if self._size else self._head(UNKNOWN)
        self._size += len(stereo)
        return head + stereo

    def finish(self) -> tuple[bytes, bytes]:
        """Return the header with the lengths."""
        return b"" if self._size else self._head(0), self._head(min(self._size, UNKNOWN - _HEAD_REST))

    def _head(self, size: int) -> bytes:
        riff = UNKNOWN if size == UNKNOWN else size + _HEAD_REST
        form = (b"fmt ", 16, 1, CHANNELS, self._hertz, self._hertz * FRAME_BYTES, FRAME_BYTES, 16)
        return _HEAD.pack(b"RIFF", riff, b"WAVE", *form, b"data", size)


def has_av() -> bool:
    """Tell whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def choose_studio(wanted: RecordingFormat) -> Studio:
    """Return what makes recordings of this format, or of WAV where PyAV is not installed. Blocks for its import."""
    if not has_av():
        return Studio(RecordingFormat.WAV, WavEncoder, PlainRiser)
    from observers.recording_av import AvRiser, av_studio  # noqa: PLC0415 - PyAV is optional

    return Studio(wanted, WavEncoder, AvRiser) if wanted is RecordingFormat.WAV else av_studio(wanted)


def stereo_of(left: bytes, right: bytes) -> bytes:
    """Return two channels of the same length as one."""
    mixed = array("h", bytes(len(left) + len(right)))
    mixed[0::2], mixed[1::2] = array("h", left), array("h", right)
    return mixed.tobytes()


class PlainRiser:
    """Makes more samples a second of sound with nothing but Python; samples that were there stay as they are.

    Between four samples it lays a curve of the third degree (Lagrange), which for speech leaves images 40 dB under it; a plain line leaves
    26 dB. It needs two samples of what follows, so each piece ends two samples late.

    Args:
        hertz: of what goes in.
        wanted: of what comes out: more.
    """

    def __init__(self, hertz: int, wanted: int) -> None:
        self._up, self._down = wanted // gcd(hertz, wanted), hertz // gcd(hertz, wanted)
        self._known = array("h", bytes(2))  # one before the first
        self._weights = [_lagrange(phase / self._up) for phase in range(self._up)]
        self._phase = 0

    def rise(self, pcm: bytes) -> bytes:
        """Return what is known of the sound at its new rate."""
        self._known.extend(array("h", pcm))
        known, up, down = self._known, self._up, self._down
        steps = max(0, (len(known) - 3) // down * down)  # whole cycles: the phase begins anew with each piece
        made = array("h", bytes(2 * (steps * up // down)))
        for number in range(up):
            at, phase = divmod(number * down, up)
            made[number::up] = self._curve(known, at, steps, phase)
        del known[:steps]
        return made.tobytes()

    def finish(self) -> bytes:
        """Return the rest, as if silence followed."""
        missing = -(len(self._known) - 1) % self._down
        wanted = (len(self._known) - 1) * self._up // self._down * 2
        return self.rise(bytes(2 * (missing + 2 * self._down + 2)))[:wanted]

    def _curve(self, known: "array[int]", at: int, steps: int, phase: int) -> "array[int]":
        if phase == 0:
            return known[at + 1 : at + 1 + steps : self._down]
        a, b, c, d = self._weights[phase]
        pieces = (known[at + n : at + n + steps : self._down] for n in range(4))
        values = (a * p + b * q + c * r + d * s for p, q, r, s in zip(*pieces, strict=True))
        return array("h", [max(LOWEST, min(HIGHEST, round(value))) for value in values])


def _lagrange(x: float) -> tuple[float, float, float, float]:
    """Return the weights of four samples at -1, 0, 1 and 2 for a place between the second and the third."""
    return -x * (x - 1) * (x - 2) / 6, (x * x - 1) * (x - 2) / 2, -x * (x + 1) * (x - 2) / 2, x * (x * x - 1) / 6

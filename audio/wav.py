"""WAV files and bare samples as 16 kHz mono, with nothing but the standard library; and samples as a WAV file.

A file is RIFF: chunks of a name, a length and content, of which `fmt ` says how the sound in `data` is written (Microsoft, "Multiple
channel audio data and WAVE files"). Who writes while recording does not know the length of `data`, and says 0 or the most that there is.
"""

import struct
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from audio.errors import NotDecoded, Unreadable
from audio.recordings import Recording, check_seconds, pieces_of
from audio.resampling import RATES_HERTZ, Resampler

CHANNELS: Final = (1, 2)
PCM: Final = 0x0001
FLOAT: Final = 0x0003
_EXTENSIBLE: Final = 0xFFFE
_RIFF_BYTES: Final = 12
_CHUNK_BYTES: Final = 8
_FORMAT_BYTES: Final = 16
_EXTENSIBLE_BYTES: Final = 40
_FORMAT_LIMIT_BYTES: Final = 256
_UNKNOWN_LENGTHS: Final = (0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_FFFE)
_SUBFORMAT_AT: Final = 24
_GUID_END: Final = bytes.fromhex("000000001000800000aa00389b71")
"""What follows the number of a format that is named by a GUID."""

type MakeSamples = Callable[[int, int, int, int], Recording]
type _Unpack = Callable[[bytes], Sequence[float]]


def _unsigned_8(data: bytes) -> Sequence[float]:
    return [(byte - 128) * 256.0 for byte in data]


def _signed_16(data: bytes) -> Sequence[float]:
    return array("h", data)


def _signed_24(data: bytes) -> Sequence[float]:
    return [int.from_bytes(data[at : at + 3], "little", signed=True) / 256 for at in range(0, len(data), 3)]


def _signed_32(data: bytes) -> Sequence[float]:
    return [value / 65_536 for value in array("i", data)]


def _float_32(data: bytes) -> Sequence[float]:
    return [value * 32_768 if -2 < value < 2 else 0.0 for value in array("f", data)]  # noqa: PLR2004 - what is no number is silence


_UNPACK: Final[Mapping[tuple[int, int], _Unpack]] = {
    (PCM, 8): _unsigned_8,
    (PCM, 16): _signed_16,
    (PCM, 24): _signed_24,
    (PCM, 32): _signed_32,
    (FLOAT, 32): _float_32,
}


def check_samples(hertz: int, channels: int, kind: int, bits: int) -> None:
    """See that samples are written in a way that is in use.

    Raises:
        NotDecoded: they are not.
    """
    if (kind, bits) not in _UNPACK or channels not in CHANNELS:
        raise NotDecoded("Sound without compression must be whole numbers of 8, 16, 24 or 32 bits, or 32-bit floats, mono or stereo.")
    if hertz not in RATES_HERTZ:
        raise NotDecoded(f"Sound without compression must have {', '.join(map(str, RATES_HERTZ))} samples per second.")


class Samples:
    """Bare samples of one recording.

    Args:
        hertz: their rate.
        channels: 1 or 2.
        kind: 1 for whole numbers, 3 for floating point.
        bits: of one sample.

    Raises:
        NotDecoded: nobody writes speech like that.
    """

    def __init__(self, hertz: int, channels: int = 1, kind: int = PCM, bits: int = 16) -> None:
        check_samples(hertz, channels, kind, bits)
        self._unpack = _UNPACK[kind, bits]
        self._channels = channels
        self._frame_bytes = bits // 8 * channels
        self._resampler = Resampler(hertz)
        self._left = b""

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece as 16 kHz mono.

        Raises:
            TooLong: there are too many.
        """
        data = self._left + data
        whole = len(data) - len(data) % self._frame_bytes
        self._left = data[whole:]
        values = self._unpack(data[:whole])
        if self._channels > 1:
            values = [(left + right) / 2 for left, right in zip(values[::2], values[1::2], strict=True)]
        found = self._resampler.take(values)
        check_seconds(found)
        return pieces_of(found)

    def finish(self) -> Sequence[bytes]:
        """Return what the resampler still holds; half a sample is let go."""
        return pieces_of(self._resampler.finish())


class WavRecording:
    """One WAV file, from its head to its end.

    Args:
        make_samples: makes what reads the samples, of rate, channels, kind and bits.
    """

    def __init__(self, make_samples: MakeSamples = Samples) -> None:
        self._make_samples = make_samples
        self._left = bytearray()
        self._skipped = 0
        """Bytes that are still to be passed over."""
        self._has_begun = False
        self._samples: Recording | None = None
        self._sound: int | None = None
        """Bytes of sound that still come, once they do."""

    def decode(self, data: bytes) -> Sequence[bytes]:
        """Return the samples of the next piece, in pieces of PIECE_BYTES at most.

        Raises:
            AudioError: it is no such file, or holds too much.
        """
        self._left += data
        while self._sound is None and self._reads_head():
            pass
        if self._sound is None or self._samples is None:
            return ()
        sound = bytes(self._left[: self._sound])
        self._left.clear()
        self._sound -= len(sound)
        return self._samples.decode(sound)

    def finish(self) -> Sequence[bytes]:
        """Return what is still held back.

        Raises:
            Unreadable: the file ended before its sound.
        """
        if self._sound is None or self._samples is None:
            raise Unreadable("it ends before any sound")
        return self._samples.finish()

    def _reads_head(self) -> bool:
        """Read the next part of what comes before the sound; tell whether it was all there."""
        passed = min(self._skipped, len(self._left))
        del self._left[:passed]
        self._skipped -= passed
        left = self._left
        if not self._has_begun:
            if len(left) < _RIFF_BYTES:
                return False
            if left[:4] != b"RIFF" or left[8:12] != b"WAVE":
                raise Unreadable("it does not begin like a WAV file")
            self._has_begun = True
            del left[:_RIFF_BYTES]
            return True
        if len(left) < _CHUNK_BYTES:
            return False
        name, length = struct.unpack_from("<4sI", left)
        if name == b"fmt ":
            return self._reads_format(length)
        del left[:_CHUNK_BYTES]
        if name == b"data":
            if self._samples is None:
                raise Unreadable("its sound comes before it says what it is")
            self._sound = 1 << 62 if length in _UNKNOWN_LENGTHS else length
        else:
            self._skipped = length + length % 2
        return True

    def _reads_format(self, length: int) -> bool:
        if not _FORMAT_BYTES <= length <= _FORMAT_LIMIT_BYTES:
            raise Unreadable("its format is described at an odd length")
        if len(self._left) < _CHUNK_BYTES + length:
            return False
        content = bytes(self._left[_CHUNK_BYTES : _CHUNK_BYTES + length])
        del self._left[: _CHUNK_BYTES + length + length % 2]
        kind, channels, hertz, _, _, bits = struct.unpack_from("<HHIIHH", content)
        if kind == _EXTENSIBLE and length >= _EXTENSIBLE_BYTES and content[_SUBFORMAT_AT + 2 : _EXTENSIBLE_BYTES] == _GUID_END:
            kind = int.from_bytes(content[_SUBFORMAT_AT : _SUBFORMAT_AT + 2], "little")
        self._samples = self._make_samples(hertz, channels, kind, bits)
        return True


def wav_file(pcm: bytes, hertz: int) -> bytes:
    """Return mono samples as a file.

    Args:
        pcm: signed 16-bit little-endian.
        hertz: their rate.
    """
    described = struct.pack("<4sIHHIIHH", b"fmt ", _FORMAT_BYTES, PCM, 1, hertz, 2 * hertz, 2, 16)
    body = b"WAVE" + described + struct.pack("<4sI", b"data", len(pcm)) + pcm
    return struct.pack("<4sI", b"RIFF", len(body)) + body

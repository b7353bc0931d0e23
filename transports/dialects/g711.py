"""G.711: the telephone's 8-bit samples, 8,000 a second, to 16-bit ones and back (ITU-T G.711, tables 1 and 2).

Each law is a table in both directions, made once: 256 samples one way, 65,536 the other.
"""

import struct
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from itertools import pairwise
from typing import Final

HERTZ: Final = 8_000
_MU_BIAS: Final = 33
_SIGN: Final = 0x80
_LOWEST: Final = -0x8000
_A_TOGGLE: Final = 0x55
"""Every second bit is inverted on the line."""


class Law(StrEnum):
    """How samples are squeezed into 8 bits."""

    MU = "pcmu"
    """North America and Japan."""
    A = "pcma"
    """Everywhere else."""


def decode_g711(data: bytes, law: Law) -> bytes:
    """Return 16-bit little-endian samples."""
    table = _linear(law)
    return b"".join([table[code] for code in data])


def encode_g711(pcm: bytes, law: Law) -> bytes:
    """Return the nearest codes of 16-bit little-endian samples."""
    table = _codes(law)
    return bytes([table[sample] for (sample,) in struct.iter_unpack("<H", pcm)])


def _mu_sample(code: int) -> int:
    code ^= 0xFF
    size = (((code & 0x0F) * 2 + _MU_BIAS) << ((code & 0x70) >> 4)) - _MU_BIAS
    return (-size if code & _SIGN else size) * 4


def _a_sample(code: int) -> int:
    code ^= _A_TOGGLE
    segment = (code & 0x70) >> 4
    size = (code & 0x0F) * 2 + 1 + (32 if segment else 0)
    size <<= max(0, segment - 1)
    return (size if code & _SIGN else -size) * 8


_SAMPLE_OF: Final[dict[Law, Callable[[int], int]]] = {Law.MU: _mu_sample, Law.A: _a_sample}


@cache
def _linear(law: Law) -> tuple[bytes, ...]:
    return tuple(struct.pack("<h", _SAMPLE_OF[law](code)) for code in range(256))


@cache
def _codes(law: Law) -> bytes:
    """Return the nearest code of every sample, by the sample's 16 bits without a sign."""
    steps = sorted((_SAMPLE_OF[law](code), code) for code in range(256))
    firsts = [_LOWEST, *((low + high) // 2 + 1 for (low, _), (high, _) in pairwise(steps)), -_LOWEST]
    runs = [bytes([code]) * (after - first) for (_, code), (first, after) in zip(steps, pairwise(firsts), strict=True)]
    codes = b"".join(runs)
    return codes[-_LOWEST:] + codes[:-_LOWEST]  # from -32,768 on to from 0 on

"""The chunk that the benches send: 32 ms of speech whose first bytes carry times instead of sound.

Layout (little-endian): u64 time at the model in ns, u64 time of sending in ns, then noise. Both times are CLOCK_MONOTONIC, which all
processes of one machine share.
"""

import struct
import time

CHUNK_SECONDS = 0.032
CHUNK_BYTES = 1_024
"""32 ms at 16 kHz, 16 bit, mono."""
_HEAD = struct.Struct("<QQ")
_FILL = bytes(range(1, 253)) * 4


def make_chunk() -> bytes:
    """Return a chunk stamped with the time of sending."""
    return _HEAD.pack(0, time.monotonic_ns()) + _FILL[: CHUNK_BYTES - _HEAD.size]


def stamp_at_model(pcm: bytes) -> bytes:
    """Return the chunk with the time at the model written in."""
    return time.monotonic_ns().to_bytes(8, "little") + pcm[8:]


def read_stamps(pcm: bytes) -> tuple[float, float]:
    """Return the milliseconds that the chunk took to the model, and back from it until now."""
    at_model, sent = _HEAD.unpack_from(pcm)
    return (at_model - sent) / 1e6, (time.monotonic_ns() - at_model) / 1e6

"""Position-coded speech: any four successive samples tell their place, so loss, doubling and disorder are counted exactly.

The samples are noise from a fixed seed; four of them make a 64-bit number that is unique within many hours. What arrives is cut into its
windows of four and each is looked up.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW = 4
"""Samples that tell a place."""
_SEED = 20_240_613


@dataclass(frozen=True, slots=True)
class Verdict:
    """How what arrived differs from what was sent, in samples."""

    sent: int
    arrived: int
    lost: int
    doubled: int
    out_of_order: int
    foreign: int
    """Samples that were never sent."""

    @property
    def is_exact(self) -> bool:
        """Whether every sample arrived once and in order, and nothing else."""
        return self.sent == self.arrived and not (self.lost or self.doubled or self.out_of_order or self.foreign)


def coded_speech(samples: int) -> bytes:
    """Return this many position-coded samples as 16-bit little-endian PCM."""
    return np.random.default_rng(_SEED).integers(-12_000, 12_000, samples, dtype=np.int16).astype("<i2").tobytes()


def compare(sent: bytes, arrived: bytes) -> Verdict:
    """Find every sample of `arrived` in `sent`."""
    original = np.frombuffer(sent, dtype="<i2")
    received = np.frombuffer(arrived, dtype="<i2")
    if received.size < WINDOW:
        return Verdict(original.size, received.size, original.size, 0, 0, received.size)
    keys = _windows(original)
    order = np.argsort(keys)
    places = np.searchsorted(keys[order], _windows(received)).clip(max=keys.size - 1)
    found = keys[order][places] == _windows(received)
    positions = order[places][found]
    steps = np.diff(positions)
    covered = np.zeros(original.size, dtype=np.int32)
    for offset in range(WINDOW):
        np.maximum.at(covered, positions + offset, 1)
    unknown = np.ones(received.size, dtype=bool)
    for offset in range(WINDOW):
        unknown[np.flatnonzero(found) + offset] = False
    return Verdict(
        sent=original.size,
        arrived=received.size,
        lost=int((covered == 0).sum()),
        doubled=int(received.size - unknown.sum() - covered.sum()),
        out_of_order=int((steps < 0).sum()),
        foreign=int(unknown.sum()),
    )


def _windows(samples: NDArray[np.int16]) -> NDArray[np.uint64]:
    words = samples.view(np.uint16).astype(np.uint64)
    count = words.size - WINDOW + 1
    keys = np.zeros(count, dtype=np.uint64)
    for offset in range(WINDOW):
        keys = (keys << np.uint64(16)) | words[offset : offset + count]
    return keys

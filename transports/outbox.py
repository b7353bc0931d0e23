"""Frames that a client has not acknowledged: what it gets again when it comes back. No socket, no clock."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from transports.dialects.interface import Frame

BYTES_LIMIT: Final = 512 * 1024
"""Ten seconds of speech at 24 kHz: more than the kernel takes for a client that is gone (64 KB) before its loss is noticed."""
FRAMES_LIMIT: Final = 4_096


@dataclass(slots=True)
class _Kept:
    frame: Frame
    turn: int
    """Of speech; 0 for everything else."""
    speech_bytes: int


class Outbox:
    """Frames by number, from the oldest that was not acknowledged to the next one.

    Args:
        first: number of the first frame.
        bytes_limit: what is kept at most; the oldest frames go first.
        frames_limit: the same, in frames.
    """

    def __init__(self, first: int = 0, bytes_limit: int = BYTES_LIMIT, frames_limit: int = FRAMES_LIMIT) -> None:
        self.next = first
        """Number of the frame that is put next."""
        self._first = first
        self._kept: deque[_Kept] = deque()
        self._bytes = 0
        self._bytes_limit = bytes_limit
        self._frames_limit = frames_limit

    @property
    def first(self) -> int:
        """The oldest frame that can be had."""
        return self._first

    def put(self, frame: Frame, turn: int = 0, speech_bytes: int = 0) -> None:
        """Append a frame.

        Args:
            frame: as it is sent.
            turn: whose speech it is; 0 for no speech.
            speech_bytes: how much speech.
        """
        self._kept.append(_Kept(frame, turn, speech_bytes))
        self._bytes += len(frame)
        self.next += 1
        while self._bytes > self._bytes_limit or len(self._kept) > self._frames_limit:
            self._forget_oldest()

    def get(self, number: int) -> Frame | None:
        """Return a frame, None if it is not here yet or not any more."""
        index = number - self._first
        return self._kept[index].frame if 0 <= index < len(self._kept) else None

    def has(self, number: int) -> bool:
        """Tell whether a client that has everything below this number lacks nothing that is not here."""
        return self._first <= number <= self.next

    def acknowledge(self, number: int) -> None:
        """Forget everything below this number."""
        while self._kept and self._first < number:
            self._forget_oldest()

    def withdraw(self, turn: int, emptied: Callable[[bytes], bytes]) -> None:
        """Take the samples out of the speech of this and older turns; the frames keep their numbers.

        Args:
            turn: the latest turn that nobody wants to hear any more.
            emptied: makes of a speech frame one without samples.
        """
        for kept in self._kept:
            if kept.speech_bytes and kept.turn <= turn and isinstance(kept.frame, bytes):
                self._bytes -= len(kept.frame)
                kept.frame, kept.speech_bytes = emptied(kept.frame), 0
                self._bytes += len(kept.frame)

    def speech_bytes(self) -> int:
        """Return how much speech of the latest turn that spoke was not acknowledged."""
        spoken = [kept for kept in self._kept if kept.speech_bytes]
        return sum(kept.speech_bytes for kept in spoken if kept.turn == spoken[-1].turn)

    def _forget_oldest(self) -> None:
        self._bytes -= len(self._kept.popleft().frame)
        self._first += 1

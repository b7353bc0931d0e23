"""Ids that look random and come out the same for the same seed."""

from random import Random
from uuid import UUID


class Ids:
    """The ids and sizes of one stream.

    Args:
        seed: of the emulator.
        stream: number of the stream, from 1.
    """

    def __init__(self, seed: int, stream: int) -> None:
        self._random = Random(f"{seed}/{stream}")  # noqa: S311 -- repeatable is the purpose

    def new(self) -> str:
        """Return the next id: a UUID of version 4."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def piece_bytes(self, smallest: int, largest: int) -> int:
        """Return an even number of bytes between the two."""
        return self._random.randrange(smallest, largest + 1, 2)

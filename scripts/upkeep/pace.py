"""How fast a script works on a store that serves conversations at the same time, and how it waits for one that is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from storage.errors import StorageUnavailable

PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between tries of a store that is away or throttles; after the last the migration is taken back."""


class Pace:
    """Lets through so many writes a second.

    Args:
        per_second: 0 is no limit.
        pauses: between tries, in seconds.
    """

    def __init__(self, per_second: float, pauses: tuple[float, ...] = PAUSES) -> None:
        self._per_second = per_second
        self._pauses = pauses
        self._free_at = 0.0

    async def take(self, writes: int) -> None:
        """Wait until so many writes may be done."""
        if not self._per_second:
            return
        now = asyncio.get_running_loop().time()
        wait = self._free_at - now
        self._free_at = max(now, self._free_at) + writes / self._per_second
        if wait > 0:
            await asyncio.sleep(wait)

    async def patiently[T](self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what a call of the store returns, trying again while the store is away.

        Raises:
            StorageError: it stays away, or it is something else.
        """
        for pause in self._pauses:
            try:
                return await call()
            except StorageUnavailable:
                await asyncio.sleep(pause)
        return await call()

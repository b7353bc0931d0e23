"""What waits to be written down while conversations go on: a bounded line that one task empties, in order.

A store that is slow, throttling or away is waited for by that task alone. Meanwhile the line grows to its limits; what does not fit is
counted and told. What the store says it will never take is left out, so that it does not stop everything behind it. Where the latest state
of something is to be written, its key waits, once, however often it changes.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Final

import structlog

from telemetry.counters import Counters

log = structlog.get_logger()

ENTRIES: Final = 10_000
TOTAL_BYTES: Final = 16 * 1024 * 1024
BATCH: Final = 25
STORE_SECONDS: Final = 5.0
"""A store that takes longer for a batch counts as away."""
AWAY_SECONDS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
"""How long a store that failed is left alone, by the failures in a row."""
CLOSE_SECONDS: Final = 5.0
"""How long the end waits for what is still to be written."""


@dataclass(frozen=True, slots=True)
class _Waiting[T]:
    key: Hashable
    entry: T
    size_bytes: int


class Backlog[T]:
    """One line of entries for one store.

    Args:
        name: for logs and counters, which are `NAME_written`, `NAME_lost` and `NAME_refused`.
        write: writes entries in order; may be called again with the same entries when it failed, so it must be idempotent.
        counters: of the process.
        refusals: exceptions that say that these entries will never be taken.
        entries: how many may wait.
        total_bytes: how much may wait.
        batch: how many are written at once.
        store_seconds: a store that takes longer counts as away.
        close_seconds: how long the end waits for what is still to be written; None is CLOSE_SECONDS.
        gather_seconds: how long the first entry waits for others that are written with it, unless somebody waits for them.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Sequence[T]], Awaitable[None]],
        counters: Counters,
        *,
        refusals: tuple[type[Exception], ...] = (),
        entries: int = ENTRIES,
        total_bytes: int = TOTAL_BYTES,
        batch: int = BATCH,
        store_seconds: float = STORE_SECONDS,
        close_seconds: float | None = None,
        gather_seconds: float = 0.0,
    ) -> None:
        self._name = name
        self._write = write
        self._counters = counters
        self._refusals = refusals
        self._limit = entries
        self._limit_bytes = total_bytes
        self._most = self._batch = batch
        self._store_seconds = store_seconds
        self._close_seconds = close_seconds
        self._gather_seconds = gather_seconds
        self._waiting: OrderedDict[Hashable, _Waiting[T]] = OrderedDict()
        self._on_its_way: Sequence[_Waiting[T]] = ()
        """What is being written: what comes under the same keys from now on is written again."""
        self._numbers = count()
        self._bytes = 0
        self._lost = 0
        """Since the store was last reached."""
        self._failures = 0
        self._work, self._idle, self._hurry = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write from now on."""
        self._task = asyncio.create_task(self._write_all())

    @property
    def waiting(self) -> int:
        """How many entries are still to be written."""
        return len(self._waiting) + len(self._on_its_way)

    @property
    def is_away(self) -> bool:
        """Whether the store failed when it was last asked."""
        return self._failures > 0

    def put(self, entry: T, size_bytes: int = 0, *, key: Hashable = None) -> bool:
        """Add an entry at the end; False when there is no room: it is lost, and counted. Returns at once.

        Args:
            entry: what is to be written.
            size_bytes: about how much memory it takes while it waits.
            key: names what the entry is about; while one with this key waits, that one stands for both. None is a key of its own.
        """
        key = (next(self._numbers),) if key is None else key
        if key in self._waiting:
            return True
        if self.waiting >= self._limit or self._bytes + size_bytes > self._limit_bytes:
            self._counters.add(f"{self._name}_lost")
            if not self._lost:
                log.warning("backlog.full", name=self._name, entries=self.waiting)
            self._lost += 1
            return False
        self._waiting[key] = _Waiting(key, entry, size_bytes)
        self._bytes += size_bytes
        self._idle.clear()
        self._work.set()
        return True

    def take_out(self, key: Hashable) -> None:
        """Give up what waits under a key, uncounted; what is being written already is written."""
        if (waiting := self._waiting.pop(key, None)) is not None:
            self._bytes -= waiting.size_bytes

    def hurry(self) -> None:
        """Gather nothing more until nothing waits any more."""
        if not self._idle.is_set():
            self._hurry.set()

    async def written(self) -> None:
        """Return when nothing waits any more; nothing is gathered until then."""
        self.hurry()
        await self._idle.wait()

    async def aclose(self) -> None:
        """Write what is left, in bounded time, and end; what is left then is lost, and counted."""
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS if self._close_seconds is None else self._close_seconds):
                await self.written()
        self._task.cancel()
        await asyncio.wait({self._task})
        if self.waiting:
            self._counters.add(f"{self._name}_lost", self.waiting)
            log.warning("backlog.left_unwritten", name=self._name, entries=self.waiting)

    async def _write_all(self) -> None:
        while True:
            await self._work.wait()
            await self._gather()
            if not await self._write_some():
                await asyncio.sleep(AWAY_SECONDS[min(self._failures, len(AWAY_SECONDS)) - 1])
            if not self._waiting:
                self._batch = self._most
                self._work.clear()
                self._hurry.clear()
                self._idle.set()

    async def _gather(self) -> None:
        """Wait for a batch to fill, for a while."""
        if self._gather_seconds and len(self._waiting) < self._most and not self._failures:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._gather_seconds):
                    await self._hurry.wait()

    async def _write_some(self) -> bool:
        """Write a batch; return whether the store could be asked."""
        batch = self._on_its_way = [self._waiting.popitem(last=False)[1] for _ in range(min(self._batch, len(self._waiting)))]
        try:
            async with asyncio.timeout(self._store_seconds):
                await self._write([waiting.entry for waiting in batch])
        except self._refusals as error:
            self._leave_out(batch, error)
            return True
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, conversations go on without it
            if not self._failures:
                log.warning("backlog.store_away", name=self._name, reason=type(error).__name__)
            self._failures += 1
            self._put_back(batch)
            return False
        if self._failures:
            log.info("backlog.store_back", name=self._name, failures=self._failures, lost=self._lost)
        self._failures = self._lost = 0
        self._take_off(batch)
        self._counters.add(f"{self._name}_written", len(batch))
        return True

    def _leave_out(self, batch: Sequence[_Waiting[T]], error: Exception) -> None:
        """Give up what the store never takes, once it is alone in its batch."""
        if len(batch) > 1:
            self._batch = 1
            self._put_back(batch)
            return
        log.error("backlog.refused", name=self._name, reason=type(error).__name__)
        self._counters.add(f"{self._name}_refused")
        self._take_off(batch)

    def _take_off(self, batch: Sequence[_Waiting[T]]) -> None:
        self._on_its_way = ()
        self._bytes -= sum(waiting.size_bytes for waiting in batch)

    def _put_back(self, batch: Sequence[_Waiting[T]]) -> None:
        """Have a batch wait again, before everything else; what came meanwhile under the same key stands for both."""
        self._on_its_way = ()
        for waiting in reversed(batch):
            if waiting.key in self._waiting:
                self._bytes -= waiting.size_bytes
            else:
                self._waiting[waiting.key] = waiting
            self._waiting.move_to_end(waiting.key, last=False)

"""Full collections of garbage at moments when nobody hears them."""

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Final

import structlog

from telemetry.counters import Counters

log = structlog.get_logger()

LOOK_SECONDS: Final = 5.0
ROUNDS_LIMIT: Final = 64
"""After so many collections of the middle generation a full one is due, whoever talks: each has let up to 7,700 objects grow old (700 in
the youngest generation, eleven times), so that half a million of them could be garbage, some 50 MB."""
NEVER: Final = 1_000_000_000


class GarbageCollection:
    """Decides when everything that has grown old is looked at.

    Python does so whenever a quarter more has grown old, which is often while people come and go, and 200 conversations are
    78,000 objects: 57 to 85 ms of everybody's audio (measured), for the 54 of them that were garbage. Little waits
    for the collector: 280 sessions that had come and gone left 11,000 objects.

    Args:
        is_quiet: whether nobody talks.
        counters: gets `garbage_collected`, the full collections.
    """

    def __init__(self, is_quiet: Callable[[], bool], counters: Counters) -> None:
        self._is_quiet = is_quiet
        self._counters = counters

    async def run(self) -> None:
        """Collect until cancelled; then Python decides again."""
        youngest, middle, oldest = gc.get_threshold()
        gc.set_threshold(youngest, middle, NEVER)
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                self.look()
        finally:
            gc.set_threshold(youngest, middle, oldest)

    def look(self) -> None:
        """Collect, if this is the moment."""
        rounds = gc.get_count()[2]
        if rounds >= ROUNDS_LIMIT or (rounds and self._is_quiet()):
            began_at = time.perf_counter()
            found = gc.collect()
            self._counters.add("garbage_collected")
            log.debug("garbage.collected", objects=found, duration_ms=round((time.perf_counter() - began_at) * 1_000, 1))

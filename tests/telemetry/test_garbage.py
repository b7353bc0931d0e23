"""Full collections come when nobody talks, or when too much may be garbage."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from telemetry import garbage
from telemetry.counters import Counters
from telemetry.garbage import ROUNDS_LIMIT, GarbageCollection


class Cycle:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def old_garbage() -> Iterator["weakref.ref[Cycle]"]:
    """Something that grew old before it became garbage."""
    before = gc.get_threshold()
    gc.set_threshold(0)  # nothing is collected by itself
    gc.collect()
    cycle = Cycle()
    gc.collect(0)
    gc.collect(1)
    gone = weakref.ref(cycle)
    del cycle
    yield gone
    gc.set_threshold(*before)


def grow_old(rounds: int) -> None:
    for _ in range(rounds - gc.get_count()[2]):
        gc.collect(1)


def test_what_grew_old_is_collected_when_nobody_talks(old_garbage: "weakref.ref[Cycle]") -> None:
    counters = Counters()
    collection = GarbageCollection(lambda: True, counters)
    collection.look()
    collection.look()

    assert old_garbage() is None
    assert counters.read() == {"garbage_collected": 1}  # since then nothing has grown old


def test_while_somebody_talks_it_waits_until_too_much_may_be_garbage(old_garbage: "weakref.ref[Cycle]") -> None:
    collection = GarbageCollection(lambda: False, Counters())
    grow_old(ROUNDS_LIMIT - 1)
    collection.look()
    waited = old_garbage() is not None
    grow_old(ROUNDS_LIMIT)
    collection.look()

    assert waited
    assert old_garbage() is None


async def test_python_decides_again_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    before = gc.get_threshold()
    looked = asyncio.Event()
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(gc, "get_count", lambda: (0, 0, 1))

    def somebody_talks() -> bool:
        looked.set()
        return False

    task = asyncio.create_task(GarbageCollection(somebody_talks, Counters()).run())
    await looked.wait()
    meanwhile = gc.get_threshold()
    task.cancel()
    await asyncio.wait({task})

    assert meanwhile == (*before[:2], garbage.NEVER)
    assert gc.get_threshold() == before

"""What waits to be written: in order, bounded, counted when lost, and never in the way."""

import asyncio
from collections.abc import Sequence

import pytest

from observers import backlog as module
from observers.backlog import Backlog
from telemetry.counters import Counters
from tests.observers.loop_time import Run


class Store:
    """Takes entries, unless it is told to fail."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.asked = 0
        self.failures = 0
        self.bad = ""

    async def write(self, entries: Sequence[str]) -> None:
        self.asked += 1
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        if self.bad in entries:
            raise ValueError
        self.written.extend(entries)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a store that failed alone for no time."""
    monkeypatch.setattr(module, "AWAY_SECONDS", (0.0,))
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)


async def test_entries_are_written_in_order_and_in_batches() -> None:
    store, counters = Store(), Counters()
    line = Backlog("note", store.write, counters, batch=4)
    for number in range(10):
        line.put(str(number))
    line.start()
    await line.written()
    await line.aclose()

    assert [str(number) for number in range(10)] == store.written
    assert (store.asked, counters.read()["note_written"]) == (3, 10)


async def test_a_store_that_is_away_delays_and_loses_nothing() -> None:
    store, counters = Store(), Counters()
    store.failures = 7
    line = Backlog("note", store.write, counters, batch=2)
    line.start()
    for number in range(5):
        line.put(str(number))
    await line.written()

    assert store.written == ["0", "1", "2", "3", "4"]
    assert not line.is_away
    await line.aclose()


async def test_a_store_that_hangs_counts_as_away() -> None:
    hung = asyncio.Event()

    async def hang(_: Sequence[str]) -> None:
        hung.set()
        await asyncio.Event().wait()

    counters = Counters()
    line = Backlog("note", hang, counters, store_seconds=0.01)
    line.start()
    line.put("a")
    await hung.wait()
    await line.aclose()

    assert counters.read()["note_lost"] == 1


@pytest.mark.parametrize(("entries", "total_bytes"), [(2, 1_000), (1_000, 200)])
async def test_what_does_not_fit_is_lost_and_counted(entries: int, total_bytes: int) -> None:
    store, counters = Store(), Counters()
    line = Backlog("note", store.write, counters, entries=entries, total_bytes=total_bytes)

    assert [line.put(text, 100) for text in "abcd"] == [True, True, False, False]
    line.start()
    await line.written()
    assert line.put("e", 100)
    await line.written()
    assert store.written == ["a", "b", "e"]
    assert counters.read()["note_lost"] == 2
    await line.aclose()


async def test_what_is_never_taken_does_not_stop_what_comes_behind_it() -> None:
    store, counters = Store(), Counters()
    store.bad = "c"
    line = Backlog("note", store.write, counters, refusals=(ValueError,), batch=3)
    for text in "abcdef":
        line.put(text)
    line.start()
    await line.written()

    assert store.written == ["a", "b", "d", "e", "f"]
    assert counters.read()["note_refused"] == 1
    await line.aclose()


async def test_what_has_a_key_waits_once_in_the_place_of_the_first() -> None:
    store, counters = Store(), Counters()
    line = Backlog("note", store.write, counters, entries=3)
    for key in ("a", "b", "a", "c", "b"):
        assert line.put(key, key=key)
    line.start()
    await line.written()

    assert store.written == ["a", "b", "c"]
    assert counters.read() == {"note_written": 3}
    await line.aclose()


async def test_what_changes_while_it_is_written_is_written_again() -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()
    written: list[list[str]] = []

    async def write(entries: Sequence[str]) -> None:
        began.set()
        await goes_on.wait()
        written.append(list(entries))

    line = Backlog("note", write, Counters())
    line.put("a", key="a")
    line.put("b", key="b")
    line.start()
    await began.wait()
    line.put("a", key="a")
    line.put("a", key="a")
    goes_on.set()
    await line.written()

    assert written == [["a", "b"], ["a"]]
    await line.aclose()


async def test_what_could_not_be_written_and_changed_meanwhile_is_written_once_and_first() -> None:
    asked: list[list[str]] = []

    async def write(entries: Sequence[str]) -> None:
        asked.append(list(entries))
        if len(asked) == 1:
            line.put("c", 100, key="c")
            line.put("a", 100, key="a")
            raise ConnectionError

    line = Backlog("note", write, Counters(), entries=4, total_bytes=400)
    line.put("a", 100, key="a")
    line.put("b", 100, key="b")
    line.start()
    await line.written()

    assert asked == [["a", "b"], ["a", "b", "c"]]
    assert [line.put(text, 100) for text in "defgh"] == [True, True, True, True, False]
    await line.aclose()


async def test_what_is_taken_out_is_not_written_and_leaves_its_room() -> None:
    store, counters = Store(), Counters()
    line = Backlog("note", store.write, counters, entries=2)
    line.put("a", key="a")
    line.put("b", key="b")
    line.take_out("a")
    line.take_out("z")
    line.put("c", key="c")
    line.start()
    await line.written()

    assert store.written == ["b", "c"]
    assert counters.read() == {"note_written": 2}
    await line.aclose()


async def test_one_that_never_began_ends() -> None:
    await Backlog("note", Store().write, Counters()).aclose()


def test_what_comes_soon_after_is_written_with_it(run: Run) -> None:
    async def test() -> None:
        store, times = Store(), []

        async def write(entries: Sequence[str]) -> None:
            times.append(asyncio.get_running_loop().time())
            await store.write(entries)

        line = Backlog("note", write, Counters(), gather_seconds=1.0)
        line.start()
        for number in range(20):
            line.put(str(number))
            await asyncio.sleep(0.25)
        await asyncio.sleep(1.0)

        assert [str(number) for number in range(20)] == store.written
        assert times[0] == pytest.approx(1.0)
        assert len(times) <= 5
        await line.aclose()

    run(test())


def test_nobody_waits_for_what_might_come(run: Run) -> None:
    async def test() -> None:
        store = Store()
        line = Backlog("note", store.write, Counters(), gather_seconds=1_000.0)
        line.start()
        for number in range(3):  # one after the other: a hurry is over when all is written
            line.put(str(number))
            await line.written()
        line.put("last")
        await line.aclose()

        assert store.written == ["0", "1", "2", "last"]
        assert asyncio.get_running_loop().time() < 1.0

    run(test())


def test_a_store_that_came_back_is_given_what_waited_without_gathering(run: Run) -> None:
    async def test() -> None:
        store = Store()
        store.failures = 1
        line = Backlog("note", store.write, Counters(), gather_seconds=5.0)
        line.start()
        line.put("0")
        await asyncio.sleep(6.0)

        assert store.written == ["0"]
        await line.aclose()

    run(test())

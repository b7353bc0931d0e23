"""Streams are taken turns at: the cap, the line, the pauses that the service asks for, and hand-overs. In virtual time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import pytest
import uvloop

from s2s import failures
from s2s.errors import ModelError
from s2s.events import InputEvent, OutputEvent
from session import stream_quota
from session.circuit import AWAY_SECONDS, FAILURES
from session.interfaces import ModelClient, ModelStream
from session.stream_quota import KEPT_SECONDS, LINE_LIMIT, StreamQuota
from telemetry.counters import Counters

SECONDS = 0.05
"""How long the service takes to accept a stream."""


class Stream:
    """One that says nothing until it is told to fail or to end."""

    signed_until: datetime | None = None

    def __init__(self, service: "Service") -> None:
        self._service = service
        self.ending: asyncio.Future[ModelError | None] = asyncio.get_running_loop().create_future()
        self._is_closed = False

    async def send(self, events: Sequence[InputEvent]) -> None:
        if self.ending.done() and (error := self.ending.result()):
            raise error

    async def receive(self) -> OutputEvent | None:
        error = await asyncio.shield(self.ending)
        if error:
            raise error
        return None

    async def close(self) -> None:
        self._service.live -= not self._is_closed
        self._is_closed = True


@dataclass(slots=True)
class Service:
    """Takes a moment for each stream; can be told to refuse the next ones."""

    model_id: str = "model"
    live: int = 0
    most: int = 0
    asked_at: list[float] = field(default_factory=list)
    refusals: list[ModelError] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)

    async def open(self, opening: Sequence[InputEvent]) -> ModelStream:
        self.asked_at.append(asyncio.get_running_loop().time())
        self.live += 1
        self.most = max(self.most, self.live)
        is_taken = False
        try:
            await asyncio.sleep(SECONDS)
            is_taken = not self.refusals
        finally:
            self.live -= not is_taken
        if self.refusals:
            raise self.refusals.pop(0)
        self.streams.append(Stream(self))
        return self.streams[-1]


@dataclass(slots=True)
class Rig:
    """A quota in front of a service."""

    service: Service
    counters: Counters
    quota: StreamQuota

    def session(self, *, is_living: bool = False) -> ModelClient:
        return self.quota.for_session(is_living=is_living)

    def counted(self, name: str) -> int:
        return self.counters.read().get(name, 0)


def rig(cap: int = 0, wait: float = 3.0, refusals: Sequence[ModelError] = (), jitter: float = 1.0) -> Rig:
    service, counters = Service(refusals=list(refusals)), Counters()
    return Rig(service, counters, StreamQuota(service, counters, max_streams=cap, wait_seconds=wait, jitter=lambda: jitter))


def throttled(times: int) -> list[ModelError]:
    return [failures.THROTTLED.error("Too many requests") for _ in range(times)]


def unreachable(times: int) -> list[ModelError]:
    return [failures.UNREACHABLE.error("no route") for _ in range(times)]


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def opening(client: ModelClient) -> AsyncIterator[asyncio.Task[ModelStream]]:
    """Open a stream beside the block, and let it get in line before the block begins."""
    task = asyncio.create_task(client.open(()))
    await asyncio.sleep(0)
    yield task
    task.cancel()
    await asyncio.wait({task})


async def code_of(opened: asyncio.Task[ModelStream]) -> str:
    with pytest.raises(ModelError) as caught:
        await opened
    return caught.value.code


async def test_without_a_cap_nobody_waits() -> None:
    made = rig()
    await asyncio.gather(*(made.session().open(()) for _ in range(50)))

    assert now() == pytest.approx(SECONDS)
    assert made.quota.used == made.service.live == 50
    assert made.counted("stream_waited") == 0


@pytest.mark.req("S2-29")
async def test_no_more_streams_than_the_cap_and_the_next_one_gets_the_first_place_that_is_free() -> None:
    made = rig(cap=2)
    first, _ = [await made.session().open(()) for _ in range(2)]
    async with opening(made.session()) as third:
        await asyncio.sleep(1.0)
        assert (made.quota.waiting, made.service.most) == (1, 2)

        await first.close()
        await third
    assert (made.service.most, made.quota.used, made.counted("stream_waited")) == (2, 2, 1)


async def test_who_waits_in_vain_is_told_in_time_that_the_model_is_busy() -> None:
    made = rig(cap=1, wait=3.0)
    await made.session().open(())
    began = now()
    async with opening(made.session()) as second:
        assert await code_of(second) == "model_throttled"
    assert now() - began == pytest.approx(3.0)
    assert (made.quota.waiting, made.quota.used, made.counted("stream_refused")) == (0, 1, 1)


async def test_the_line_is_fair_and_living_conversations_go_before_new_ones() -> None:
    made = rig(cap=1)
    held = await made.session().open(())
    order: list[str] = []

    async def wait(name: str, *, is_living: bool) -> None:
        stream = await made.session(is_living=is_living).open(())
        order.append(name)
        await stream.close()

    async with asyncio.TaskGroup() as tasks:
        for name, is_living in (("new 1", False), ("new 2", False), ("living 1", True), ("new 3", False), ("living 2", True)):
            tasks.create_task(wait(name, is_living=is_living))
            await asyncio.sleep(0.01)
        await held.close()

    assert order == ["living 1", "living 2", "new 1", "new 2", "new 3"]
    assert made.service.most == 1


async def test_a_conversation_whose_stream_died_goes_before_new_ones_and_the_dead_stream_does_not_count() -> None:
    made = rig(cap=1)
    client = made.session()
    stream = await client.open(())
    async with opening(made.session()) as new:
        made.service.streams[0].ending.set_result(failures.LOST.error("gone"))
        reading = asyncio.create_task(stream.receive())
        again = asyncio.create_task(client.open(()))
        with pytest.raises(ModelError):
            await reading

        assert await asyncio.wait({again, new}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED) == ({again}, {new})
    assert made.quota.used == 1


async def test_a_place_that_nobody_asks_for_again_goes_to_a_newcomer() -> None:
    made = rig(cap=1)
    stream = await made.session().open(())
    async with opening(made.session()) as new:
        died_at = now()
        made.service.streams[0].ending.set_result(failures.LOST.error("gone"))
        with pytest.raises(ModelError):
            await stream.receive()
        await new
    assert now() - died_at == pytest.approx(KEPT_SECONDS + SECONDS)


async def test_a_hand_over_does_not_wait_for_the_stream_that_it_relieves() -> None:
    made = rig(cap=1)
    client = made.session()
    old = await client.open(())
    async with opening(made.session()) as new:
        renewed = await client.open(())
        await old.close()

        assert (made.service.most, made.counted("stream_spared")) == (2, 1)
        assert not new.done()
        await renewed.close()
        await new
    assert made.quota.used == 1


async def test_only_so_many_hand_overs_go_beyond_the_cap_and_the_others_are_told_at_once() -> None:
    made = rig(cap=20)
    clients = [made.session() for _ in range(20)]
    for client in clients:
        await client.open(())
    began = now()
    outcomes = await asyncio.gather(*(client.open(()) for client in clients), return_exceptions=True)

    assert made.service.most == 22
    assert [str(outcome) for outcome in outcomes if isinstance(outcome, ModelError)] == [
        "model_throttled: all streams of MODEL_MAX_STREAMS are in use"
    ] * 18
    assert now() - began == pytest.approx(SECONDS)


async def test_every_conversation_is_renewed_again_and_again_under_the_smallest_cap() -> None:
    made = rig(cap=1)
    client = made.session()
    stream = await client.open(())
    for _ in range(20):
        following = await client.open(())
        await stream.close()
        stream = following

    assert (made.service.most, made.quota.used) == (2, 1)


@pytest.mark.req("S2-29")
async def test_a_first_stream_that_is_throttled_is_asked_for_again_after_growing_pauses() -> None:
    made = rig(refusals=throttled(3))
    await made.session().open(())

    pauses = [later - earlier - SECONDS for earlier, later in zip(made.service.asked_at, made.service.asked_at[1:], strict=False)]
    assert pauses == [pytest.approx(0.25), pytest.approx(0.5), pytest.approx(1.0)]
    assert made.counted("stream_throttled") == 3


async def test_pauses_differ_by_the_jitter() -> None:
    made = rig(refusals=throttled(1), jitter=0.0)
    await made.session().open(())

    assert made.service.asked_at[1] - made.service.asked_at[0] == pytest.approx(SECONDS + 0.125)


async def test_a_service_that_goes_on_throttling_is_told_within_the_wait() -> None:
    made = rig(wait=3.0, refusals=throttled(99))
    async with opening(made.session()) as first:
        assert await code_of(first) == "model_throttled"
    assert now() <= 3.0 + SECONDS
    assert 3 <= len(made.service.asked_at) <= 5
    assert made.quota.used == 0


async def test_while_the_service_throttles_one_newcomer_tries_for_all() -> None:
    made = rig(refusals=throttled(2))
    sessions = [asyncio.create_task(made.session().open(())) for _ in range(10)]
    await asyncio.sleep(0)
    before = len(made.service.asked_at)
    await asyncio.sleep(0.25 + SECONDS / 2)

    assert before == 10
    assert len(made.service.asked_at) == 10
    await asyncio.gather(*sessions)
    assert made.quota.used == 10


async def test_newcomers_wait_out_a_pause_that_others_were_told_and_living_conversations_do_not() -> None:
    made = rig(refusals=throttled(1))
    first = asyncio.create_task(made.session().open(()))
    await asyncio.sleep(SECONDS + 0.01)
    second = asyncio.create_task(made.session().open(()))
    living = asyncio.create_task(made.session(is_living=True).open(()))
    await asyncio.sleep(0.01)

    assert len(made.service.asked_at) == 2
    await asyncio.gather(first, second, living)
    assert len(made.service.asked_at) == 4


async def test_a_living_conversation_answers_a_throttled_stream_from_its_own_budget() -> None:
    made = rig(refusals=throttled(1))
    async with opening(made.session(is_living=True)) as living:
        assert await code_of(living) == "model_throttled"
    assert len(made.service.asked_at) == 1


@pytest.mark.parametrize("failure", [failures.ACCESS_DENIED, failures.UNREACHABLE, failures.LOST])
async def test_other_failures_are_told_as_they_are_and_give_the_place_back(failure: failures.Failure) -> None:
    made = rig(cap=1, refusals=[failure.error("no")])
    async with opening(made.session()) as first:
        assert await code_of(first) == failure.code
    assert made.quota.used == 0
    await made.session().open(())


async def test_who_leaves_the_line_or_an_opening_leaves_nothing_behind() -> None:
    made = rig(cap=1)
    async with opening(made.session()) as first, opening(made.session()) as second:
        assert (made.quota.used, made.quota.waiting) == (1, 1)
        second.cancel()
        await asyncio.wait({second})
        assert (made.quota.used, made.quota.waiting) == (1, 0)
        first.cancel()
        await asyncio.wait({first})
    assert (made.quota.used, made.service.live) == (0, 0)


async def test_a_turn_that_comes_as_its_owner_leaves_goes_to_the_next() -> None:
    made = rig(cap=1)
    held = await made.session().open(())
    async with opening(made.session()) as second, opening(made.session()) as third:
        await held.close()
        second.cancel()
        await third
    assert made.quota.used == 0 + 1


async def test_the_line_has_an_end() -> None:
    made = rig(cap=1)
    await made.session().open(())
    waiting = [asyncio.create_task(made.session().open(())) for _ in range(LINE_LIMIT)]
    await asyncio.sleep(0)
    began = now()
    async with opening(made.session()) as one_more:
        assert await code_of(one_more) == "model_throttled"
    assert now() == began
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, ModelError) for outcome in outcomes)


async def test_a_stream_counts_once_however_it_ends() -> None:
    made = rig(cap=1)
    stream = await made.session().open(())
    made.service.streams[0].ending.set_result(None)

    assert await stream.receive() is None
    await stream.close()
    await stream.close()
    assert made.quota.used == 0


async def test_while_the_model_is_away_newcomers_are_told_at_once_and_one_a_second_tries() -> None:
    made = rig(refusals=unreachable(FAILURES + 1))
    for _ in range(FAILURES):
        async with opening(made.session()) as one:
            assert await code_of(one) == "model_unreachable"
        await asyncio.sleep(AWAY_SECONDS / 4)
    asked, began = len(made.service.asked_at), now()
    for _ in range(50):
        async with opening(made.session()) as one:
            assert await code_of(one) == "model_unreachable"

    assert (len(made.service.asked_at), now()) == (asked, began)
    await asyncio.sleep(1.0)
    async with opening(made.session()) as probe:
        assert await code_of(probe) == "model_unreachable"
    assert len(made.service.asked_at) == asked + 1
    await asyncio.sleep(1.0)
    await made.session().open(())
    await made.session().open(())


async def test_conversations_look_for_their_streams_while_newcomers_are_refused() -> None:
    made = rig(refusals=unreachable(FAILURES))
    for _ in range(FAILURES):
        async with opening(made.session()) as one:
            await code_of(one)
        await asyncio.sleep(AWAY_SECONDS / 4)
    async with opening(made.session()) as newcomer:
        assert await code_of(newcomer) == "model_unreachable"
    await made.session(is_living=True).open(())
    await made.session().open(())

    assert (made.quota.used, made.counted("stream_refused")) == (2, 1)


def test_no_pause_is_slept_through_on_a_clock_of_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once in twenty times the clock moved on between two looks at it, and nobody was woken any more."""
    monkeypatch.setattr(stream_quota, "FIRST_PAUSE_SECONDS", 0.0053)
    monkeypatch.setitem(globals(), "SECONDS", 0.0)

    async def ask_often() -> int:
        opened = 0
        for _ in range(150):
            service = Service(refusals=[failures.THROTTLED.error("429")])
            quota = StreamQuota(service, Counters(), wait_seconds=5.0)
            async with asyncio.timeout(1.0):
                await quota.for_session(is_living=False).open(())
            opened += len(service.asked_at) == 2
        return opened

    assert uvloop.run(ask_often()) == 150

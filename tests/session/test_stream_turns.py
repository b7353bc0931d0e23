"""Whole sessions that take turns at the model's streams, in virtual time: renewed under the smallest cap, and replaced before newcomers."""

import asyncio
from collections.abc import Callable

import pytest

from s2s.errors import Remedy
from session.continuation import LINGER_SECONDS, RENEW_SECONDS
from session.events import ContinueReason, End, SendAudio, SessionContinued, SessionFailed, SessionStarted, Start
from session.registry import SessionRegistry
from session.runner import SessionRunner
from session.stream_quota import StreamQuota
from telemetry.counters import Counters
from tests.session.doubles import PROFILE, LoopClock, Recorder, ScriptedModel, ScriptedTools, model_error

PIECE = bytes(range(256)) * 4


class House:
    """A registry whose streams are capped."""

    def __init__(self, cap: int) -> None:
        self.model = ScriptedModel()
        self.counters = Counters()
        self.quota = StreamQuota(self.model, self.counters, max_streams=cap)
        self.recorder = Recorder()
        self.registry = SessionRegistry(
            model=self.model,
            tools=ScriptedTools(),
            assistants={"carlos": PROFILE},
            default_assistant="carlos",
            observers=(self.recorder,),
            clock=LoopClock(),
            max_sessions=10,
            quota=self.quota,
        )

    def begin(self) -> tuple[SessionRunner, asyncio.Task[None]]:
        """Admit a session and run it."""
        runner = self.registry.open(Start())
        return runner, self.registry.launch(runner)

    def told(self, kind: type[object]) -> list[object]:
        """Return all events of a kind of all sessions."""
        return [event for event in self.recorder.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Let the time pass until a condition is true."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - time is virtual
                await asyncio.sleep(0.01)


async def talk(runner: SessionRunner, seconds: float) -> None:
    """Let somebody be on the line for so long."""
    for _ in range(round(seconds / 0.5)):
        await runner.submit(SendAudio(PIECE))
        await asyncio.sleep(0.5)


@pytest.mark.req("S2-29")
async def test_a_conversation_is_renewed_under_a_cap_of_one_and_the_cap_holds_before_and_after() -> None:
    house = House(cap=1)
    runner, task = house.begin()
    await talk(runner, RENEW_SECONDS + LINGER_SECONDS + 30)
    reasons = [event.reason for event in house.recorder.events if isinstance(event, SessionContinued)]
    used = house.quota.used
    await runner.submit(End())
    await task

    assert reasons == [ContinueReason.RENEWED]
    assert [stream.closed for stream in house.model.streams] == [1, 1]
    assert (used, house.quota.used, house.counters.read()["stream_spared"]) == (1, 0, 1)
    assert house.told(SessionFailed) == []


async def test_while_a_newcomer_waits_a_conversation_is_renewed_and_the_newcomer_is_told_in_time() -> None:
    house = House(cap=1)
    runner, task = house.begin()
    talking = asyncio.create_task(talk(runner, RENEW_SECONDS + 60))
    newcomers = 0
    while not house.told(SessionContinued):
        _, newcomer = house.begin()
        await newcomer
        newcomers += 1
    await talking
    await runner.submit(End())
    await task

    assert {str(getattr(event, "code", "")) for event in house.told(SessionFailed)} == {"model_busy"}
    assert len(house.told(SessionFailed)) == newcomers
    assert len(house.told(SessionStarted)) == 1


async def test_a_stream_that_dies_is_replaced_before_a_newcomer_gets_one() -> None:
    house = House(cap=1)
    first, first_task = house.begin()
    await house.until(lambda: len(house.told(SessionStarted)) == 1)
    second, second_task = house.begin()
    await house.until(lambda: house.quota.waiting == 1)
    house.model.streams[0].fail(model_error("model_lost", Remedy.RESUME))
    await house.until(lambda: len(house.told(SessionContinued)) == 1)
    is_waiting = house.quota.waiting == 1
    await first.submit(End())
    await first_task
    await house.until(lambda: len(house.told(SessionStarted)) == 2)
    await second.submit(End())
    await second_task

    assert is_waiting
    assert house.told(SessionFailed) == []
    assert house.quota.used == 0


async def test_who_leaves_while_it_waits_gives_its_place_up() -> None:
    house = House(cap=1)
    first, first_task = house.begin()
    await house.until(lambda: len(house.told(SessionStarted)) == 1)
    second, second_task = house.begin()
    await house.until(lambda: house.quota.waiting == 1)
    await second.submit(End())
    await second_task

    assert house.quota.waiting == 0
    await first.submit(End())
    await first_task
    assert (house.quota.used, len(house.model.streams)) == (0, 1)


async def test_ten_conversations_under_their_own_cap_are_all_renewed() -> None:
    house = House(cap=10)
    sessions = [house.begin() for _ in range(10)]
    await asyncio.gather(*(talk(runner, RENEW_SECONDS + 60) for runner, _ in sessions))
    used = house.quota.used
    for runner, task in sessions:
        await runner.submit(End())
        await task

    assert len(house.told(SessionContinued)) == 10
    assert house.told(SessionFailed) == []
    assert (used, house.quota.used) == (10, 0)

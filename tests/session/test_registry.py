"""Admission, places and the end of all sessions."""

import asyncio
from dataclasses import replace

import pytest

from s2s.errors import Remedy
from s2s.events import PromptStart
from session.assistant import AssistantLanguage
from session.errors import AdmissionError, NotAllowed, ServerBusy, ServerLeaving
from session.events import End, EndReason, SendAudio, SendText, SessionEnded, SessionEvent, SessionStarted, Start
from session.label import SessionLabel
from session.registry import SessionRegistry
from session.runner import SessionRunner
from tests.session.doubles import PROFILE, LoopClock, Nova, Recorder, ScriptedModel, ScriptedTools, model_error


class House:
    """A registry and its surroundings."""

    def __init__(self, places: int = 2) -> None:
        self.is_overloaded = False
        self.model = ScriptedModel()
        self.tools = ScriptedTools()
        self.recorder = Recorder()
        self.registry = SessionRegistry(
            model=self.model,
            tools=self.tools,
            assistants={"carlos": PROFILE},
            default_assistant="carlos",
            observers=(self.recorder,),
            clock=LoopClock(),
            max_sessions=places,
            is_overloaded=lambda: self.is_overloaded,
        )

    async def started(self, start: Start | None = None) -> tuple[SessionRunner, asyncio.Task[None]]:
        """Admit a session and run it until its stream is open."""
        runner = self.registry.open(start or Start())
        task = asyncio.create_task(self.registry.run(runner))

        assert isinstance(await runner.next_event(), SessionStarted)
        return runner, task


async def last_of(runner: SessionRunner) -> SessionEnded:
    """Read to the end."""
    last = None
    while (event := await runner.next_event()) is not None:
        last = event

    assert isinstance(last, SessionEnded)
    return last


async def test_a_session_takes_a_place_and_gives_it_back() -> None:
    house = House()
    runner = house.registry.open(Start())

    assert house.registry.live == 1
    task = asyncio.create_task(house.registry.run(runner))
    await runner.next_event()
    assert (house.registry.live, house.registry.has_room) == (1, True)
    await runner.submit(End())
    await task
    assert house.registry.live == 0


@pytest.mark.req("S0-09")
@pytest.mark.req("S0-53")
async def test_sessions_have_ids_streams_and_audio_of_their_own() -> None:
    house = House()
    (first, first_task), (second, second_task) = await house.started(), await house.started(Start(language="en"))
    await second.submit(SendAudio(bytes(640)))
    await asyncio.sleep(0)
    opening = [event for opening in house.model.openings for event in opening if isinstance(event, PromptStart)]

    assert first.session_id != second.session_id
    assert [event.voice_id for event in opening] == ["carlos", "matthew"]
    assert [len(stream.sent) for stream in house.model.streams] == [0, 1]
    await first.submit(End())
    await first_task
    assert not second.is_over
    await second.submit(End())
    await second_task
    assert set(house.tools.forgotten) == {first.session_id, second.session_id}


async def test_a_busy_processor_serves_those_who_talk_and_takes_nobody_else_until_it_has_recovered() -> None:
    house = House()
    house.is_overloaded = True
    runner, task = await house.started()
    with pytest.raises(ServerBusy):
        house.registry.open(Start())
    full = house.registry.has_room
    await runner.submit(SendText("Hello."))
    house.is_overloaded = False
    other = house.registry.open(Start())

    assert (full, runner.is_over, other.is_over) == (False, False, False)
    await runner.submit(End())
    await task


async def test_a_full_house_refuses_and_says_to_try_again() -> None:
    house = House(places=1)
    runner, task = await house.started()

    with pytest.raises(ServerBusy) as refusal:
        house.registry.open(Start())
    assert refusal.value.retryable
    assert not house.registry.has_room
    await runner.submit(End())
    await task
    assert house.registry.has_room


@pytest.mark.parametrize("end", ["failure", "cancelled"])
async def test_a_place_comes_back_however_the_session_ends(end: str) -> None:
    house = House(places=1)
    runner, task = await house.started()
    if end == "failure":
        house.model.streams[0].fail(model_error("model_access_denied", Remedy.FATAL_CONFIG))
    else:
        task.cancel()
    await asyncio.wait({task})

    assert house.registry.live == 0
    assert house.model.streams[0].closed == 1
    assert (await last_of(runner)).reason is (EndReason.FAILED if end == "failure" else EndReason.CLIENT)


async def test_a_place_comes_back_when_the_session_never_got_to_run() -> None:
    house = House(places=1)
    runner = house.registry.open(Start())
    task = asyncio.create_task(house.registry.run(runner))
    task.cancel()
    await asyncio.wait({task})
    await runner.submit(End())

    assert house.registry.has_room
    assert house.registry.live == 0
    house.registry.open(Start())


@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (Start(assistant="nobody"), "no assistant 'nobody'"),
        (Start(language="fr"), "does not speak"),
        (Start(voice_id="zarathustra"), "no voice"),
    ],
)
async def test_what_is_not_offered_is_refused_and_takes_no_place(start: Start, complaint: str) -> None:
    house = House()

    with pytest.raises(NotAllowed, match=complaint):
        house.registry.open(start)
    assert house.registry.live == 0


@pytest.mark.req("S4-85")
async def test_a_drain_ends_everyone_politely_and_admits_nobody() -> None:
    house = House()
    (idle, idle_task), (speaking, speaking_task) = await house.started(), await house.started()
    nova = Nova()
    house.model.streams[1].say([*nova.plans("Uno."), *nova.speaks(1_000)])
    for _ in range(10):
        await asyncio.sleep(0)
    listening = asyncio.create_task(last_of(speaking))
    began = asyncio.get_running_loop().time()
    await house.registry.drain(20.0)

    assert asyncio.get_running_loop().time() - began == pytest.approx(1.0, abs=0.2)
    assert house.registry.live == 0
    assert house.registry.is_leaving
    assert [(await last_of(idle)).close_code, (await listening).close_code] == [1_012, 1_012]
    assert idle_task.done()
    assert speaking_task.done()
    with pytest.raises(ServerLeaving) as refusal:
        house.registry.open(Start())
    assert isinstance(refusal.value, AdmissionError)


async def test_a_session_that_was_admitted_before_a_drain_and_runs_after_it_opens_nothing() -> None:
    house = House()
    runner = house.registry.open(Start())
    await house.registry.drain(5.0)

    assert house.registry.live == 0
    await house.registry.run(runner)
    assert (await last_of(runner)).reason is EndReason.SERVER_LEAVING
    assert house.model.openings == []
    assert house.registry.live == 0


async def test_a_drain_of_an_empty_house_takes_no_time() -> None:
    house = House()
    await house.registry.drain(20.0)

    assert asyncio.get_running_loop().time() == 0.0
    assert not house.registry.has_room


async def test_a_drain_returns_in_time_even_if_a_stream_does_not_close() -> None:
    house = House()
    runner, task = await house.started()
    closing = asyncio.Event()
    house.model.streams[0].close = closing.wait  # type: ignore[method-assign,assignment]  # a stream that hangs
    await house.registry.drain(5.0)

    assert asyncio.get_running_loop().time() == pytest.approx(6.0)
    assert house.registry.live == 1
    closing.set()
    await task
    assert house.registry.live == 0
    assert runner.is_over


async def test_a_session_can_have_an_assistant_that_no_client_can_choose() -> None:
    house = House()
    aide = replace(PROFILE, name="aide", languages={"es": AssistantLanguage("Solo escuchá.", "lupe")})
    runner = house.registry.open(Start(language="es"), aide)

    assert runner.origin is not None
    assert (runner.origin.plan.assistant, runner.origin.plan.prompt, runner.origin.plan.voice_id) == ("aide", "Solo escuchá.", "lupe")
    with pytest.raises(NotAllowed):
        house.registry.open(Start(assistant="aide"))


async def test_a_session_can_have_observers_in_the_place_of_those_that_write_it_down() -> None:
    class Writer:
        def attend(self, session: SessionLabel) -> None:
            raise AssertionError("nobody writes this session down")

    class Listener:
        def __init__(self) -> None:
            self.events: list[SessionEvent] = []

        def on_event(self, event: SessionEvent) -> None:
            self.events.append(event)

    house, listener = House(), Listener()
    registry = SessionRegistry(
        model=house.model,
        tools=house.tools,
        assistants={"carlos": PROFILE},
        default_assistant="carlos",
        observers=(),
        clock=LoopClock(),
        max_sessions=1,
        attendances=(Writer(),),
    )
    runner = registry.open(Start())
    task = registry.launch(runner, [listener])
    await runner.next_event()
    await runner.submit(End())
    await task

    assert [type(event) for event in listener.events] == [SessionStarted, SessionEnded]

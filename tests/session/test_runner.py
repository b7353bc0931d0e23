"""The runner: order of events, pacing, back-pressure, and that every way of ending closes everything."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from s2s.errors import LocalProtocolError, Remedy
from s2s.events import AudioInput, OutputEvent, TextInput, ToolContentStart
from session.continuation import CHECK_SECONDS, FORCE_SECONDS
from session.effects import Begin, Input
from session.errors import InvalidAudio
from session.events import (
    Command,
    End,
    EndReason,
    Interrupt,
    SendAudio,
    SendText,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    StopAudio,
    ToolFinished,
)
from session.machine import SessionMachine
from session.queues import LEAD_MS, UPLINK_HIGH_GROUPS
from session.runner import SessionRunner
from session.silence import LONG_SILENCE_EVERY_SECONDS
from tests.session.doubles import (
    OUTPUT_HERTZ,
    LoopClock,
    Nova,
    Outcome,
    Recorder,
    ScriptedModel,
    ScriptedStream,
    ScriptedTools,
    make_machine,
    model_error,
)

PIECE = bytes(3_200)
"""100 ms of the microphone."""


class Bug(Exception):
    """A mistake of ours, put in by a test."""


class BrokenObserver:
    """Raises at every event."""

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Fail."""
        raise Bug


@dataclass
class Rig:
    """A runner between a scripted model, scripted tools and a client."""

    model: ScriptedModel = field(default_factory=ScriptedModel)
    tools: ScriptedTools = field(default_factory=ScriptedTools)
    recorder: Recorder = field(default_factory=Recorder)
    nova: Nova = field(default_factory=Nova)
    clock: LoopClock = field(default_factory=LoopClock)
    broken_observers: int = 0

    def __post_init__(self) -> None:
        """Put the runner together."""
        self.machine, self.playback = make_machine()
        self.runner = SessionRunner(
            session_id="session-1",
            machine=self.machine,
            playback=self.playback,
            model=self.model,
            tools=self.tools,
            observers=(*(BrokenObserver() for _ in range(self.broken_observers)), self.recorder),
            clock=self.clock,
        )
        self.task: asyncio.Task[None] | None = None

    @property
    def stream(self) -> ScriptedStream:
        """The stream that was opened last."""
        return self.model.streams[-1]

    def start(self) -> asyncio.Task[None]:
        """Run the session."""
        self.task = asyncio.create_task(self.runner.run())
        return self.task

    async def opened(self) -> None:
        """Run the session until it has started."""
        self.start()

        assert isinstance(await self.runner.next_event(), SessionStarted)

    def says(self, *events: OutputEvent) -> None:
        """Let the model say something."""
        self.stream.say(events)

    async def settled(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def submits(self, command: Command, seconds: float, at_most: int = 1_000) -> int:
        """Submit as often as there is room; return how often."""
        for count in range(at_most):
            try:
                async with asyncio.timeout(seconds):
                    await self.runner.submit(command)
            except TimeoutError:
                return count
        return at_most

    async def rest(self) -> list[SessionEvent]:
        """Return the events that are left, to the end."""
        events = []
        while (event := await self.runner.next_event()) is not None:
            events.append(event)
        return events

    def sent_ms(self) -> float:
        """Return how much audio the model was sent."""
        return sum(len(event.pcm) / 32 for group in self.stream.sent for event in group if isinstance(event, AudioInput))


@asynccontextmanager
async def session(**parts: object) -> AsyncIterator[Rig]:
    """Run a session, and see at its end that nothing is left of it."""
    rig = Rig(**parts)  # type: ignore[arg-type]  # passed on as they are
    try:
        await rig.opened()
        yield rig
    finally:
        assert rig.task is not None
        await rig.runner.submit(End())
        await asyncio.wait({rig.task})
    nothing_is_left(rig)


def nothing_is_left(rig: Rig) -> None:
    """See that streams are closed once, tools forgotten once, timers and tasks gone, and the last event was the end, once."""
    assert [stream.closed for stream in rig.model.streams] == [1] * len(rig.model.streams)
    assert rig.tools.forgotten == ["session-1"]
    assert asyncio.all_tasks() <= {asyncio.current_task(), rig.task}
    assert rig.runner._timer is None or rig.runner._timer.cancelled()
    assert not rig.runner._running
    assert len(rig.runner._uplink) == 0
    ends = [event for event in rig.recorder.events if isinstance(event, SessionEnded)]
    assert ends == rig.recorder.events[-1:]


def end_of(events: list[SessionEvent]) -> tuple[EndReason, str | None]:
    """Return why a session ended, and the code of the failure."""
    failures = [event.code for event in events if isinstance(event, SessionFailed)]

    assert isinstance(events[-1], SessionEnded)
    return events[-1].reason, failures[0] if failures else None


# A conversation


async def test_a_conversation_from_the_microphone_to_the_listener() -> None:
    async with session() as rig:
        await rig.runner.submit(SendAudio(PIECE))
        rig.says(*rig.nova.hears(), *rig.nova.heard_out(), *rig.nova.user("¿Está?"), *rig.nova.plans("Sí."), *rig.nova.speaks(96))
        await rig.settled()
        await rig.runner.submit(End())
        names = [type(event).__name__ for event in await rig.rest() if type(event).__name__ != "ModelOutput"]

        assert rig.sent_ms() == 100
        assert rig.runner.is_over
        assert names == ["UserSpeechStarted", "UserSpeechEnded", *["TranscriptUpdated"] * 2, "SpeechStarted", "SpeechEnded", "SessionEnded"]
        assert [turn.text for turn in rig.runner.history] == ["¿Está?", "Sí."]


async def test_a_burst_of_speech_reaches_the_client_at_the_pace_of_the_listener() -> None:
    async with session() as rig:
        rig.says(*rig.nova.speaks(10_000, pieces=5))
        began = asyncio.get_running_loop().time()
        delivered = 0.0
        while delivered < 9_999:
            event = await rig.runner.next_event()
            if isinstance(event, SpeechChunk):
                delivered += len(event.pcm) / 2 / OUTPUT_HERTZ * 1_000
                elapsed = (asyncio.get_running_loop().time() - began) * 1_000

                assert delivered - elapsed <= LEAD_MS + 1e-6
        assert asyncio.get_running_loop().time() - began == pytest.approx(9.7, abs=0.01)


async def test_an_interruption_reaches_a_client_that_waits_for_speech_at_once() -> None:
    async with session() as rig:
        rig.says(*rig.nova.speaks(10_000))
        waiting = asyncio.create_task(rig.rest())
        await asyncio.sleep(1.0)
        rig.says(*rig.nova.hears())
        at = asyncio.get_running_loop().time()
        await rig.runner.submit(End())
        events = await waiting
        chunks = sum(len(event.pcm) for event in events if isinstance(event, SpeechChunk))

        assert asyncio.get_running_loop().time() == at
        assert chunks / 48 <= 1_000 + LEAD_MS


async def test_next_event_can_be_cancelled_at_any_moment_without_losing_anything() -> None:
    async with session() as rig:
        rig.says(*rig.nova.plans("Uno."), *rig.nova.speaks(2_000, pieces=40))
        events: list[SessionEvent] = []
        while not any(type(event).__name__ == "SpeechEnded" for event in events):
            try:
                async with asyncio.timeout(0.007):
                    event = await rig.runner.next_event()
            except TimeoutError:
                continue
            assert event is not None
            events.append(event)

        assert sum(len(event.pcm) for event in events if isinstance(event, SpeechChunk)) == 2 * OUTPUT_HERTZ * 2


@pytest.mark.parametrize("speed", [0.9, 1.0, 1.1])
async def test_a_clock_that_is_not_the_loops_own_neither_spins_nor_stalls(speed: float) -> None:
    async with session(clock=LoopClock(speed)) as rig:
        rig.says(*rig.nova.speaks(2_000))
        async with asyncio.timeout(10.0):
            while type(await rig.runner.next_event()).__name__ != "SpeechEnded":
                pass
            await asyncio.sleep(3.0)

        assert rig.sent_ms() == pytest.approx((asyncio.get_running_loop().time()) * speed * 1_000, abs=1_000 * LONG_SILENCE_EVERY_SECONDS)


async def test_a_loop_that_makes_no_timer_of_what_is_due_at_once_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    async with session() as rig:
        with monkeypatch.context() as changed:  # as uvloop does
            changed.setattr(loop, "call_at", lambda _when, callback: loop.call_soon(callback))
            await asyncio.sleep(0)
            for _ in range(3):
                await rig.runner.submit(StopAudio())
        await rig.runner.submit(SendAudio(PIECE))
        await asyncio.sleep(1.0)

        assert not rig.runner.is_over
        assert rig.sent_ms() > 500


async def test_a_silent_client_is_silence_for_the_model() -> None:
    async with session() as rig:
        await asyncio.sleep(1.05)

        assert rig.sent_ms() == 1_000


# Back-pressure


async def test_a_model_that_stops_reading_pushes_the_client_back() -> None:
    async with session() as rig:
        rig.stream.reads.clear()

        assert await rig.submits(SendAudio(PIECE), 5.0) == 10  # one is on its way, a second of them waits, the last one waits for room
        rig.stream.reads.set()
        assert await rig.submits(SendAudio(PIECE), 0.1, at_most=1) == 1


async def test_while_the_client_is_pushed_back_no_silence_gets_between_its_words() -> None:
    async with session() as rig:
        rig.stream.reads.clear()
        words = [bytes([number]) * 3_200 for number in range(1, 30)]

        async def talk() -> None:
            for word in words:
                await rig.runner.submit(SendAudio(word))

        talking = asyncio.create_task(talk())
        await asyncio.sleep(4.0)
        rig.stream.reads.set()
        await talking
        await rig.settled()

        assert [event.pcm for group in rig.stream.sent for event in group if isinstance(event, AudioInput)] == words


async def test_audio_waits_while_the_stream_opens_and_then_all_of_it_is_sent() -> None:
    rig = Rig()
    rig.model.opens.clear()
    task = rig.start()
    for _ in range(10):
        await rig.runner.submit(SendAudio(PIECE))
    blocked = asyncio.create_task(rig.runner.submit(SendAudio(PIECE)))
    await asyncio.sleep(3.0)

    assert not blocked.done()
    rig.model.opens.set()
    await blocked
    await rig.settled()
    assert rig.sent_ms() == 1_100
    await rig.runner.submit(End())
    await task
    nothing_is_left(rig)


async def test_typed_turns_push_back_too() -> None:
    rig = Rig()
    rig.model.opens.clear()
    task = rig.start()

    assert await rig.submits(SendText("Hola."), 5.0) == UPLINK_HIGH_GROUPS
    task.cancel()
    await asyncio.wait({task})
    nothing_is_left(rig)


@pytest.mark.parametrize("end", ["client", "failure", "cancelled"])
async def test_who_waits_for_room_is_let_go_at_the_end(end: str) -> None:
    rig = Rig()
    rig.model.opens.clear()
    rig.model.error = model_error()
    task = rig.start()
    await rig.settled()
    waiting = [asyncio.create_task(rig.runner.submit(SendAudio(PIECE))) for _ in range(12)]
    await rig.settled()

    assert not waiting[-1].done()
    if end == "client":
        await rig.runner.submit(End())
    elif end == "failure":
        rig.model.opens.set()
    else:
        task.cancel()
    await asyncio.gather(*waiting)
    await asyncio.wait({task})
    nothing_is_left(rig)


async def test_a_bad_command_is_the_callers_and_the_session_goes_on() -> None:
    async with session() as rig:
        with pytest.raises(InvalidAudio):
            await rig.runner.submit(SendAudio(b"x"))

        assert not rig.runner.is_over


# Tools


async def test_a_slow_tool_does_not_hold_the_audio() -> None:
    async with session() as rig:
        rig.says(*rig.nova.calls("tool-1"))
        await rig.settled()
        for _ in range(20):
            await rig.runner.submit(SendAudio(PIECE))
            await asyncio.sleep(0.1)
        rig.says(*rig.nova.speaks(96))

        while not isinstance(event := await rig.runner.next_event(), SpeechChunk):
            assert event is not None
        assert rig.sent_ms() == 2_000
        rig.tools.finish("tool-1", Outcome('{"success":false}', "not_found"))
        while not isinstance(event := await rig.runner.next_event(), ToolFinished):
            assert event is not None
        assert (event.error_code, event.duration_ms) == ("not_found", 2_000)


async def test_tools_run_beside_each_other_and_each_is_answered_once() -> None:
    async with session() as rig:
        rig.says(*rig.nova.calls("tool-1"), *rig.nova.calls("tool-2"), *rig.nova.calls("tool-1"))
        await rig.settled()
        rig.tools.finish("tool-2")
        rig.tools.finish("tool-1")
        await rig.settled()
        answered = [event.tool_use_id for group in rig.stream.sent for event in group if isinstance(event, ToolContentStart)]

        assert answered == ["tool-2", "tool-1"]


async def test_a_result_that_waits_while_the_stream_changes_reaches_the_stream_that_called() -> None:
    async with session() as rig:
        rig.says(*rig.nova.calls("tool-1"))
        await asyncio.sleep(FORCE_SECONDS + 1.0)  # the tool holds the stream
        before = rig.stream
        before.reads.clear()
        for _ in range(3):
            await rig.runner.submit(SendAudio(PIECE))
        rig.tools.finish("tool-1")
        await asyncio.sleep(2 * CHECK_SECONDS)
        before.reads.set()
        await rig.settled()

        assert len(rig.model.streams) == 2
        answered = [[type(event) for group in stream.sent for event in group].count(ToolContentStart) for stream in rig.model.streams]
        assert answered == [1, 0]


async def test_a_tool_that_runs_when_the_session_fails_is_cancelled() -> None:
    rig = Rig()
    await rig.opened()
    rig.says(*rig.nova.calls("tool-1"))
    await rig.settled()
    rig.stream.fail(model_error("model_access_denied", Remedy.FATAL_CONFIG))
    events = await rig.rest()
    await asyncio.wait({rig.task or rig.start()})

    assert end_of(events) == (EndReason.FAILED, "model_refused")
    assert rig.tools.cancelled == ["tool-1"]
    nothing_is_left(rig)


# Ways of ending


@pytest.mark.parametrize(
    ("way", "reason", "code"),
    [
        ("end", EndReason.CLIENT, None),
        ("cancelled", EndReason.CLIENT, None),
        ("drained", EndReason.SERVER_LEAVING, None),
        ("stream ended", EndReason.CLIENT, None),
        ("receive failed", EndReason.FAILED, "model_refused"),
        ("send failed", EndReason.FAILED, "model_refused"),
        ("send refused", EndReason.FAILED, "model_lost"),
        ("bug in receive", EndReason.FAILED, "internal"),
    ],
)
@pytest.mark.parametrize("phase", ["idle", "speaking", "tool running", "model not reading"])
async def test_every_end_closes_everything_in_every_phase(way: str, reason: EndReason, code: str | None, phase: str) -> None:
    rig = Rig()
    await rig.opened()
    if phase == "speaking":
        rig.says(*rig.nova.plans("Uno dos tres."), *rig.nova.speaks(3_000))
    elif phase == "tool running":
        rig.says(*rig.nova.calls("tool-1"))
    elif phase == "model not reading":
        rig.stream.reads.clear()
        await rig.runner.submit(SendText("Hola."))
    await rig.settled()
    reading = asyncio.create_task(rig.rest())
    task = rig.task
    assert task is not None
    match way:
        case "end":
            await rig.runner.submit(End())
        case "cancelled":
            task.cancel()
        case "drained":
            rig.runner.drain(20.0)
        case "stream ended":
            rig.stream.fail(None)
        case "receive failed":
            rig.stream.fail(model_error("model_access_denied", Remedy.FATAL_CONFIG))
        case "send failed" | "send refused":
            refused = model_error("model_access_denied", Remedy.FATAL_CONFIG)
            rig.stream.send_error = refused if way == "send failed" else LocalProtocolError("not now")
            rig.stream.reads.set()
            await rig.runner.submit(SendAudio(PIECE))
        case _:
            rig.stream.fail(Bug())
    async with asyncio.timeout(30.0):
        await asyncio.wait({task})
        events = await reading

    assert end_of(events) == (reason, code)
    assert await rig.runner.next_event() is None
    assert rig.tools.cancelled == (["tool-1"] if phase == "tool running" else [])
    assert task.cancelled() is (way == "cancelled")
    nothing_is_left(rig)


@pytest.mark.parametrize(
    ("way", "reason", "code"),
    [
        ("end", EndReason.CLIENT, None),
        ("cancelled", EndReason.CLIENT, None),
        ("drained", EndReason.SERVER_LEAVING, None),
        ("refused", EndReason.FAILED, "model_busy"),
        ("illegal", EndReason.FAILED, "model_unreachable"),
        ("bug", EndReason.FAILED, "internal"),
    ],
)
async def test_every_end_while_the_stream_opens_closes_everything(way: str, reason: EndReason, code: str | None) -> None:
    rig = Rig()
    rig.model.opens.clear()
    task = rig.start()
    await rig.settled()
    match way:
        case "end":
            await rig.runner.submit(End())
        case "cancelled":
            task.cancel()
        case "drained":
            rig.runner.drain(20.0)
        case _:
            rig.model.error = {"refused": model_error("model_throttled"), "illegal": LocalProtocolError("no"), "bug": Bug()}[way]
            rig.model.opens.set()
    await asyncio.wait({task})

    assert end_of(await rig.rest()) == (reason, code)
    assert rig.model.abandoned == (way in {"end", "cancelled", "drained"})
    nothing_is_left(rig)


async def test_a_session_that_ends_in_the_moment_in_which_its_stream_opens_closes_it() -> None:
    rig = Rig()
    rig.model.opens.clear()
    task = rig.start()
    await rig.settled()
    rig.model.opens.set()
    await asyncio.sleep(0)
    await rig.runner.submit(End())
    await task

    assert end_of(await rig.rest()) == (EndReason.CLIENT, None)
    nothing_is_left(rig)


async def test_a_session_that_is_ended_before_it_runs_opens_nothing() -> None:
    rig = Rig()
    rig.runner.drain(20.0)
    await rig.start()

    assert end_of(await rig.rest()) == (EndReason.SERVER_LEAVING, None)
    assert rig.model.openings == []
    nothing_is_left(rig)


async def test_a_session_that_is_cancelled_while_it_closes_is_over_all_the_same() -> None:
    class Slow(ScriptedStream):
        async def close(self) -> None:
            await super().close()
            await asyncio.sleep(3.0)

    rig = Rig()
    await rig.opened()
    rig.runner._streams[1] = rig.model.streams[0] = Slow()
    await rig.runner.submit(End())
    await asyncio.sleep(1.0)
    task = rig.task or rig.start()
    task.cancel()
    await asyncio.wait({task})

    assert end_of(await rig.rest()) == (EndReason.CLIENT, None)
    assert task.cancelled()
    nothing_is_left(rig)


async def test_a_stream_that_cannot_be_closed_keeps_neither_the_tools_nor_another_stream() -> None:
    class Stubborn(ScriptedStream):
        async def close(self) -> None:
            await super().close()
            raise Bug

    rig = Rig()
    await rig.opened()
    rig.model.streams[:] = [Stubborn(), ScriptedStream()]
    rig.runner._streams = dict(enumerate(rig.model.streams, start=1))
    await rig.runner.submit(End())
    with capture_logs() as lines:
        await (rig.task or rig.start())

    nothing_is_left(rig)
    assert [type(line["exc_info"]) for line in lines if line["event"] == "stream.close_failed"] == [Bug]


@pytest.mark.req("S4-85")
async def test_a_drained_session_says_its_sentence_to_the_end() -> None:
    rig = Rig()
    await rig.opened()
    rig.says(*rig.nova.plans("Uno dos tres."), *rig.nova.speaks(3_000))
    await rig.settled()
    rig.runner.drain(20.0)
    began = asyncio.get_running_loop().time()
    events = await rig.rest()

    assert sum(len(event.pcm) for event in events if isinstance(event, SpeechChunk)) == 3 * OUTPUT_HERTZ * 2
    assert asyncio.get_running_loop().time() - began == pytest.approx(3.0, abs=0.2)
    await asyncio.wait({rig.task or rig.start()})
    nothing_is_left(rig)


# Bugs of ours


@pytest.mark.parametrize("at", ["submit", "model", "timer", "drain", "begin"])
async def test_a_bug_ends_this_session_with_a_reference_and_nobody_elses_task(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    good = SessionMachine.handle
    kinds = {"submit": "Interrupt", "model": "ModelEvent", "timer": "Tick", "drain": "Drain", "begin": "Begin"}

    def handle(machine: SessionMachine, given: Input, now: float) -> object:
        if type(given).__name__ == kinds[at]:
            raise Bug
        return good(machine, given, now)

    monkeypatch.setattr(SessionMachine, "handle", handle)
    with capture_logs() as logs:
        task = rig.start()
        await rig.settled()
        match at:
            case "submit":
                await rig.runner.submit(Interrupt())
            case "model":
                rig.says(*rig.nova.hears())
            case "drain":
                rig.runner.drain(1.0)
        await task

    events = await rig.rest()
    (crash,) = [line for line in logs if line["event"] == "session.crashed"]
    failure = next(event for event in events if isinstance(event, SessionFailed))
    assert end_of(events) == (EndReason.FAILED, "internal")
    assert failure.ref == crash["ref"]
    assert isinstance(crash["exc_info"], Bug)
    nothing_is_left(rig)


async def test_a_tool_runner_that_breaks_its_promise_ends_the_session() -> None:
    rig = Rig()
    await rig.opened()
    rig.says(*rig.nova.calls("tool-1"))
    await rig.settled()
    rig.tools.calls["tool-1"].set_exception(Bug())
    events = await rig.rest()
    await asyncio.wait({rig.task or rig.start()})

    assert end_of(events) == (EndReason.FAILED, "internal")
    nothing_is_left(rig)


async def test_even_a_machine_that_cannot_end_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    await rig.opened()

    def handle(machine: SessionMachine, given: Input, now: float) -> object:
        raise Bug

    monkeypatch.setattr(SessionMachine, "handle", handle)
    reading = asyncio.create_task(rig.rest())
    with capture_logs() as logs:
        await rig.runner.submit(Interrupt())
        await (rig.task or rig.start())

    assert await reading == []
    assert rig.stream.closed == 1
    assert {line["event"] for line in logs} == {"session.crashed"}


async def test_an_observer_that_fails_is_reported_once_and_changes_nothing() -> None:
    with capture_logs() as logs:
        async with session(broken_observers=2) as rig:
            rig.says(*rig.nova.speaks(1_000))
            await rig.settled()

    reports = [line for line in logs if line["event"] == "observer.failed"]
    assert [line["observer"] for line in reports] == ["BrokenObserver", "BrokenObserver"]
    assert any(isinstance(event, SpeechChunk) for event in rig.recorder.events)


async def test_the_runner_must_run_before_it_can_work() -> None:
    rig = Rig()
    with capture_logs():
        rig.runner._apply(Begin())

    assert end_of(await rig.rest()) == (EndReason.FAILED, "internal")


async def test_what_is_typed_reaches_the_model() -> None:
    async with session() as rig:
        await rig.runner.submit(SendText("Hola."))
        await rig.settled()

        assert [event.content for group in rig.stream.sent for event in group if isinstance(event, TextInput)] == ["Hola."]

"""Up to five tool calls in every interleaving with whatever else happens: each is answered once, and the session goes on."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

import session.machine
from s2s.codec import encode_output
from s2s.errors import Remedy
from s2s.events import (
    AudioInput,
    ContentStarted,
    ContentType,
    InputEvent,
    OutputEvent,
    StopReason,
    TextInput,
    ToolContentStart,
    ToolSpec,
    ToolUse,
)
from s2s.models import capabilities
from s2s.protocol import StreamProtocol
from session.errors import UnknownCall
from session.events import (
    End,
    Interrupt,
    SendText,
    SessionEnded,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    SubmitToolResult,
    ToolAnswered,
    ToolFinished,
    ToolStarted,
)
from session.runner import SessionRunner
from storage.errors import StorageUnavailable
from tests.session.doubles import MODEL_ID, PLAN, LoopClock, Nova, Recorder, ScriptedStream, make_machine, model_error
from tests.session.virtual_time import VirtualLoop
from tools.errors import ToolError
from tools.executor import ToolExecutor
from tools.registry import Answer, Tool, ToolRegistry, tool
from tools.schema import Param

OBSERVED_SECONDS = 60.0
"""Long enough for everything that a case can hold to come to its end, and a question after it to be answered."""

QUESTION_SECONDS = 4.71
"""A model that says nothing to a question for much longer counts as stuck."""


class Kind(StrEnum):
    """How a call goes."""

    FINE = "fine"
    TWICE_ENCODED = "twice-encoded"
    REFUSED = "refused"
    BUG = "bug"
    AWAY = "away"
    HANGS = "hangs"
    ODD = "odd"
    LONG = "long"
    HUGE = "huge"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    MALFORMED = "malformed"
    NO_OBJECT = "no-object"
    MISSING = "missing"
    CLIENTS = "clients"
    """A tool of the client, which answers."""
    CLIENTS_TWICE = "clients-twice"
    """The same, and it answers again."""
    CLIENTS_LATE = "clients-late"
    """The same, and it answers when nobody waits any more."""


class Event(StrEnum):
    """What comes in between."""

    DIES = "dies"
    DIES_SLOWLY = "dies-slowly"
    """The next stream is opened after a pause only."""
    BLOCKED = "blocked"
    """By the content filter: the exchange is over."""
    RENEWED = "renewed"
    USER_SPEAKS = "user-speaks"
    USER_TYPES = "user-types"
    CLIENT_INTERRUPTS = "client-interrupts"
    MODEL_SPEAKS = "model-speaks"
    MODEL_STOPS_READING = "model-stops-reading"
    CLIENT_AWAY = "client-away"
    """For some seconds."""
    CLIENT_GONE = "client-gone"
    CLIENT_ENDS = "client-ends"
    SERVER_LEAVES = "server-leaves"


CLIENT_KINDS = (Kind.CLIENTS, Kind.CLIENTS_TWICE, Kind.CLIENTS_LATE)
CLIENT_SECONDS = 4.17
"""What a client may take for a call."""
ERRANDS = tuple(ToolSpec(f"errand{number}", "An errand", '{"type":"object"}') for number in range(5))
REMEDIES = {Event.DIES: Remedy.RESUME, Event.DIES_SLOWLY: Remedy.BACKOFF, Event.BLOCKED: Remedy.DROP_LAST_AND_RESUME}
ENDS = (Event.CLIENT_GONE, Event.CLIENT_ENDS, Event.SERVER_LEAVES)


@dataclass(frozen=True)
class Call:
    """One tool call of the model."""

    at: float
    kind: Kind
    seconds: float
    again_after: float | None
    """When the model calls with the same id once more."""


@dataclass(frozen=True)
class Case:
    """What happens in one conversation; calls and disturbances at seconds after its first question."""

    calls: tuple[Call, ...]
    disturbances: tuple[tuple[float, Event], ...]
    answers_after: float
    """How long the model thinks before it speaks about what it was given."""
    limit: int
    """Tools that may run at once."""
    acknowledges: bool
    """Whether the assistant says so when a tool takes its time."""

    def count(self, *events: Event) -> int:
        """Return how often one of these comes in between."""
        return sum(event in events for _, event in self.disturbances)

    def has(self, *events: Event) -> bool:
        """Tell whether one of these comes in between."""
        return self.count(*events) > 0


class Deeds:
    """What the five tools of these tests do."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = calls
        self.runs = [0] * len(calls)

    async def do(self, number: int) -> Answer:
        """Go as the case has it."""
        call = self._calls[number]
        self.runs[number] += 1
        await asyncio.sleep(1_000.0 if call.kind is Kind.HANGS else call.seconds)
        match call.kind:
            case Kind.REFUSED:
                raise ToolError("no", "No.")
            case Kind.BUG:
                raise ZeroDivisionError
            case Kind.AWAY:
                raise StorageUnavailable("away")
            case Kind.CANCELLED:
                raise asyncio.CancelledError
            case Kind.ODD:
                return {"object": object()}  # type: ignore[dict-item] # on purpose
            case Kind.LONG:
                return {"number": number, "text": "x" * 1_400}
            case Kind.HUGE:
                return {"text": "x" * 20_000, "number": number}
            case _:
                return {"number": number}


def make_tool(number: int) -> Tool[...]:
    """Return the tool that does the deed of this number, under a name of its own."""

    async def deed(deeds: Deeds, *, which: Annotated[int, Param("Which")]) -> Answer:
        assert which == number
        return await deeds.do(number)

    return tool(f"deed{number}", "A deed")(deed)


TOOLS = tuple(make_tool(number) for number in range(5))


@dataclass
class WatchedStream(ScriptedStream):
    """A stream that refuses what the service would, and keeps what matters in order."""

    def __init__(self, number: int, seconds: float, log: list[tuple[int, str, str]]) -> None:
        super().__init__()
        self.number = number
        self.protocol = StreamProtocol(capabilities(MODEL_ID))
        self.is_dead = False
        self._nova = Nova()
        self._seconds = self._at_most = seconds
        self._log = log
        self._pending: set[str] = set()
        self._thinking: asyncio.TimerHandle | None = None

    def says(self, events: Sequence[OutputEvent]) -> None:
        """Let the model say something, if the stream lives."""
        if self.is_dead or self.closed:
            return
        for event in events:
            self.protocol.receive_data(encode_output(event))
            if isinstance(event, ToolUse):
                self._called(event.tool_use_id)
            elif isinstance(event, ContentStarted) and event.type is ContentType.AUDIO:
                self._log.append((self.number, "speaks", ""))
        self.say(events)

    def _called(self, tool_use_id: str) -> None:
        if not any(kind == "calls" and what == tool_use_id for _, kind, what in self._log):  # else it is a slip of the model
            self._log.append((self.number, "calls", tool_use_id))
            self._pending.add(tool_use_id)
            self._think()

    def dies(self, code: str, remedy: Remedy) -> None:
        """End in the middle of whatever it was."""
        if self.is_dead:
            return
        self.is_dead = True
        self._log.append((self.number, "dies", remedy.value))
        self.fail(model_error(code, remedy))

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Take a group, and answer it when it is something to answer."""
        await self.reads.wait()
        self.take(events)

    def take(self, events: Sequence[InputEvent]) -> None:
        """Check a group and remember what was given."""
        self.protocol.send_group(events)
        for event in events:
            if isinstance(event, ToolContentStart):
                self._log.append((self.number, "result", event.tool_use_id))
                self._pending.discard(event.tool_use_id)
                self._think()
        if isinstance(events[0], AudioInput) and (typed := "".join(event.content for event in events if isinstance(event, TextInput))):
            self._read(typed)

    def _speak_of_waiting(self) -> None:
        before = len(self._log)
        self.says([*self._nova.plans("Un momento."), *self._nova.speaks(700)])
        if self._pending:  # else it may as well be the answer
            self._log[before:] = [(number, "waits" if kind == "speaks" else kind, what) for number, kind, what in self._log[before:]]

    def _read(self, text: str) -> None:
        if "still at work" in text:
            self._log.append((self.number, "asked", ""))
            asyncio.get_running_loop().call_later(0.33, self._speak_of_waiting)
            return
        self._log += [(self.number, "words", f"t{number}") for number in range(5) if f"deed{number} returned" in text]
        self._log += [(self.number, "words", f"t{number}") for number in range(5) if f"ghost{number} returned" in text]
        self._log += [(self.number, "words", f"t{number}") for number in range(5) if f"errand{number} returned" in text]
        self._think()

    def _think(self) -> None:
        """Answer a while after the last thing that was given, when no tool is waited for."""
        if self._thinking is not None:
            self._thinking.cancel()
        if not self._pending:
            self._thinking = asyncio.get_running_loop().call_later(min(self._seconds, self._at_most), self.answers)

    def answers(self) -> None:
        """Say a sentence."""
        self._at_most = self._seconds
        self.says([*self._nova.plans("Uno dos tres."), *self._nova.speaks(400)])

    def calls(self, number: int, call: Call) -> None:
        """Call a tool, as a model may get it wrong."""
        kind = "ghost" if call.kind is Kind.UNKNOWN else "errand" if call.kind in CLIENT_KINDS else "deed"
        right = json.dumps({"which": number})
        texts = {Kind.TWICE_ENCODED: json.dumps(json.dumps(right)), Kind.MALFORMED: right[:-3], Kind.NO_OBJECT: "[1]", Kind.MISSING: "{}"}
        self.says(self._nova.calls(f"t{number}", texts.get(call.kind, right), f"{kind}{number}"))

    def hears(self, text: str) -> None:
        """Hear the user say something."""
        self.says([*self._nova.hears(), *self._nova.heard_out(), *self._nova.user(text)])
        self._at_most = QUESTION_SECONDS
        self._think()

    def sentence(self) -> None:
        """Say a sentence that nothing asked for."""
        self.says(self._nova.speaks(900, StopReason.END_TURN))


class WatchedModel:
    """Opens WatchedStreams."""

    model_id = MODEL_ID

    def __init__(self, seconds: float) -> None:
        self.current: Callable[[], int] = lambda: 1
        self.streams: list[WatchedStream] = []
        self.log: list[tuple[int, str, str]] = []
        self.signed_for: float | None = None
        """Of the streams that are opened from now on."""
        self._seconds = seconds

    @property
    def stream(self) -> WatchedStream:
        """The stream that carries the session, or did when it died."""
        return self.streams[self.current() - 1]

    async def open(self, opening: Sequence[InputEvent]) -> WatchedStream:
        """Open a stream after a moment."""
        await asyncio.sleep(0.15)
        stream = WatchedStream(len(self.streams) + 1, self._seconds, self.log)
        if self.signed_for is not None:
            stream.signed_until = datetime.now(UTC) + timedelta(seconds=self.signed_for)
        self.streams.append(stream)
        audio = next(index for index, event in enumerate(opening) if type(event).__name__ == "AudioContentStart")
        stream.take(opening[: audio + 1])
        if len(opening) > audio + 1:
            stream.take(opening[audio + 1 :])
        return stream


@dataclass
class Told:
    """What came of a case."""

    model: WatchedModel
    deeds: Deeds
    recorder: Recorder
    crashes: list[str] = field(default_factory=list)
    was_heard: bool = False
    """Whether a question at the end was answered aloud."""


async def play(case: Case) -> Told:
    """Have the conversation, with the real runner and the real executor."""
    model, deeds, recorder = WatchedModel(case.answers_after), Deeds(case.calls), Recorder()
    told = Told(model, deeds, recorder)
    plan = replace(PLAN, client_tools=ERRANDS, client_tool_seconds=CLIENT_SECONDS)
    machine, playback = make_machine(replace(plan, acknowledgement="Un momento.") if case.acknowledges else plan)
    model.current = lambda: machine._streams.current
    runner = SessionRunner(
        session_id="session-1",
        machine=machine,
        playback=playback,
        model=model,
        tools=ToolExecutor(ToolRegistry(TOOLS, [deeds])),
        observers=[recorder],
        clock=LoopClock(),
    )
    if case.has(Event.RENEWED):
        model.signed_for = 90.0 + next(at for at, event in case.disturbances if event is Event.RENEWED) + 1.0
    with capture_logs() as logs:
        running = asyncio.create_task(runner.run())
        listening = asyncio.create_task(listen(runner, case))
        await asyncio.sleep(1.0)
        model.signed_for = None
        model.stream.hears("¿Y mi pedido?")
        disturbers = [asyncio.create_task(later(at, disturb(model, runner, event))) for at, event in case.disturbances]
        callers = [asyncio.create_task(calls(model, recorder, number, call)) for number, call in enumerate(case.calls)]
        await asyncio.sleep(OBSERVED_SECONDS)
        await asyncio.gather(*disturbers, *callers)
        if not runner.is_over:
            before = len(recorder.events)
            model.stream.hears("¿Y ahora?")
            await asyncio.sleep(case.answers_after + 0.5)
            told.was_heard = any(isinstance(event, SpeechChunk) for event in recorder.events[before:])
            await runner.submit(End())
        await running
        await listening
    told.crashes = [str(entry) for entry in logs if entry["event"] in {"session.crashed", "observer.failed"}]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return told


async def later(seconds: float, work: Coroutine[None, None, None]) -> None:
    """Do something after a while."""
    await asyncio.sleep(seconds)
    await work


async def listen(runner: SessionRunner, case: Case) -> None:
    """Be the client that plays what it gets, and runs errands."""
    async with asyncio.TaskGroup() as errands:
        while (event := await runner.next_event()) is not None:
            if isinstance(event, ToolStarted) and event.name.startswith("errand"):
                errands.create_task(run_errand(runner, event.tool_use_id, case))


async def run_errand(runner: SessionRunner, tool_use_id: str, case: Case) -> None:
    """Answer a call as it is to be answered."""
    call = case.calls[int(tool_use_id[1:])]
    may_be_late = case.has(Event.CLIENT_AWAY) or len(case.calls) > case.limit
    await asyncio.sleep(CLIENT_SECONDS + 0.29 if call.kind is Kind.CLIENTS_LATE else call.seconds)
    for attempt in range(2 if call.kind is Kind.CLIENTS_TWICE else 1):
        is_wanted = attempt == 0 and call.kind is not Kind.CLIENTS_LATE
        try:
            await runner.submit(SubmitToolResult(tool_use_id, "done"))
        except UnknownCall:
            assert may_be_late or not is_wanted
        else:
            assert runner.is_over or is_wanted


async def calls(model: WatchedModel, recorder: Recorder, number: int, call: Call) -> None:
    """Let the model call on the stream that it has then, and perhaps again."""
    await asyncio.sleep(call.at)
    model.stream.calls(number, call)
    if call.again_after is not None:
        await asyncio.sleep(call.again_after)
        if any(isinstance(event, ToolStarted) and event.tool_use_id == f"t{number}" for event in recorder.events):
            model.stream.calls(number, call)


async def disturb(model: WatchedModel, runner: SessionRunner, event: Event) -> None:
    """Let something come in between."""
    stream = model.stream
    match event:
        case Event.DIES | Event.DIES_SLOWLY | Event.BLOCKED:
            stream.dies("content_blocked" if event is Event.BLOCKED else "model_lost", REMEDIES[event])
        case Event.USER_SPEAKS:
            stream.hears("Esperá.")
        case Event.USER_TYPES:
            await runner.submit(SendText("¿Seguís ahí?"))
        case Event.CLIENT_INTERRUPTS:
            await runner.submit(Interrupt())
        case Event.MODEL_SPEAKS:
            stream.sentence()
        case Event.MODEL_STOPS_READING:
            stream.reads.clear()
            asyncio.get_running_loop().call_later(2.5, stream.reads.set)
        case Event.CLIENT_AWAY:
            runner.client_lost(20.0, 0)
            asyncio.get_running_loop().call_later(3.5, runner.client_back, 0)
        case Event.CLIENT_GONE:
            runner.client_lost(2.5, 0)
        case Event.CLIENT_ENDS:
            await runner.submit(End())
        case Event.SERVER_LEAVES:
            runner.drain(20.0)
        case Event.RENEWED:
            pass


def check(case: Case, told: Told) -> None:
    """Hold what came of a case to what is promised."""
    events, log = told.recorder.events, told.model.log
    kinds = [type(event) for event in events]
    is_cut = case.has(*ENDS)
    called = {what: stream for stream, kind, what in log if kind == "calls"}

    assert told.crashes == []
    assert not [event for event in events if isinstance(event, SessionFailed)]
    assert kinds[0] is SessionStarted
    assert kinds[-1] is SessionEnded
    assert is_cut or told.was_heard

    results = [(stream, what) for stream, kind, what in log if kind == "result"]
    assert len({what for _, what in results}) == len(results), "a call was answered twice"
    assert all(called[what] == stream for stream, what in results), "a stream was given what another one called"
    assert all(runs <= 1 for runs in told.deeds.runs), "a tool was run twice"

    started = [event.tool_use_id for event in events if isinstance(event, ToolStarted)]
    for kind in (ToolFinished, ToolAnswered):
        finished = [event.tool_use_id for event in events if isinstance(event, kind)]
        assert len(set(finished)) == len(finished)
        assert is_cut or sorted(finished) == sorted(started)
    questions = 2 + case.count(Event.USER_SPEAKS, Event.USER_TYPES)
    assert sum(kind == "asked" for _, kind, _ in log) <= questions * case.acknowledges, "the user was told to wait too often"
    for what in started:
        check_call(log, what, called[what], is_excused=is_cut or case.has(Event.MODEL_STOPS_READING))


def check_call(log: Sequence[tuple[int, str, str]], what: str, own: int, *, is_excused: bool) -> None:
    """Hold one call to what is promised: its result was used by one stream.

    Excused is a call after which the session was ended, or whose stream spoke without having read the result, and died.
    """
    given = [(index, stream) for index, (stream, kind, name) in enumerate(log) if kind in ("result", "words") and name == what]
    told = [stream for index, stream in given if log[index][1] == "words"]
    used = [stream for index, stream in given if any(kind == "speaks" and other == stream for other, kind, _ in log[index:])]

    assert own not in told, "the stream that called was told in words"
    assert len(set(told)) == len(told), "a stream was told in words twice"
    assert len(used) <= 1, "a result was used twice"
    at = log.index((own, "calls", what))
    blocked = [index for index, (_, kind, remedy) in enumerate(log) if index > at and remedy == Remedy.DROP_LAST_AND_RESUME.value]
    assert used or blocked or is_excused, "a result was lost"
    assert not [index for index, _ in given if blocked and index > blocked[0]], "a result was told whose exchange is over"


MOMENTS = st.integers(0, 12).map(lambda step: step * 0.53)
SHORT = st.sampled_from([0.0, 0.31, 1.37, 3.33])
CALLS = st.builds(Call, MOMENTS, st.sampled_from([Kind.FINE, *Kind]), SHORT, st.sampled_from([None, None, 0.0, 1.11, 6.21]))
DISTURBANCES = st.tuples(st.integers(0, 12).map(lambda step: step * 0.59 + 0.077), st.sampled_from(Event))
"""Never in the moment in which a call begins or ends: which of the two comes first would be left to the event loop."""


def is_fair(disturbances: Sequence[tuple[float, Event]]) -> bool:
    """Tell whether the budget of new streams can bear it."""
    return sum(event in REMEDIES for _, event in disturbances) <= 2


CASES = st.builds(
    Case,
    st.lists(CALLS, min_size=1, max_size=5).map(tuple),
    st.lists(DISTURBANCES, max_size=4).filter(is_fair).map(tuple),
    st.sampled_from([0.23, 1.73, 4.71, 7.83]),
    st.sampled_from([16, 16, 2]),
    st.booleans(),
)


def run_case(case: Case) -> Told:
    """Have a conversation in virtual time."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        patch.setattr(session.machine, "TOOLS_LIMIT", case.limit)
        return runner.run(play(case))


@given(case=CASES)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_every_call_is_answered_once_whatever_comes_in_between(case: Case) -> None:
    check(case, run_case(case))

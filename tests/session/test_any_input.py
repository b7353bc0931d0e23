"""Every kind of input in every state: the session answers with effects, or refuses a command, and can always be ended.

The states are taken from the middle of simulated conversations in which everything goes wrong, so each is one that can really come about.
"""

from collections import Counter
from copy import deepcopy
from itertools import product
from random import Random

import pytest

from s2s.errors import Remedy
from s2s.events import (
    AudioOutput,
    CompletionEnd,
    CompletionStart,
    ContentEnded,
    ContentStarted,
    ContentType,
    Endpointing,
    InferenceConfiguration,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextOutput,
    TokenCounts,
    ToolSpec,
    ToolUse,
    UnknownEvent,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from session.effects import (
    Begin,
    Broken,
    ClientBack,
    ClientLost,
    CloseStream,
    Drain,
    Effect,
    Emit,
    Finish,
    Input,
    ModelEvent,
    OpenStream,
    Overflowed,
    Park,
    Replan,
    Route,
    Stay,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.errors import SessionError
from session.events import End, EndReason, Interrupt, ReportPlayback, SendAudio, SendText, SessionEnded, Start, StopAudio
from session.life_cycle import LIFE_CYCLE, State
from session.machine import SessionMachine
from session.speaker import Speaker
from session.streams import Life
from tests.session.doubles import INTERRUPTED_MARKER, LOOK_UP, OUTPUT_HERTZ, speech
from tests.session.simulated_call import SimulatedCall

IDS = ("stream", "prompt", "completion")
CALLS = 8
CALLS_LIMIT = 32
"""More are played where a state is rare."""
SECONDS = 400.0
SHARE = 1 / 200
"""Of the inputs of a conversation, before how many others are tried."""
SAMPLE = 25
"""How many others, where all of them have been tried in such a state before."""

OWN_TOOL = ToolSpec("getNews", "Tell the news.", '{"type":"object"}')
"""Of a client."""

EVENTS: list[OutputEvent] = [
    CompletionStart(*IDS),
    CompletionEnd(*IDS, StopReason.INTERRUPTED),
    UserSpeechStart("s", "p", 0),
    UserSpeechEnd("s", "p", 1, 2),
    UnknownEvent("x", "{}"),
    UsageEvent(*IDS, TokenCounts(), TokenCounts(1, 2, 3, 4)),
    ToolUse(*IDS, "t", "lookUp", "tool-new", "not JSON"),
    ToolUse(*IDS, "t", "", "tool-1", ""),
    AudioOutput(*IDS, "nowhere", b""),
    AudioOutput(*IDS, "x", speech(2_000)),
    *(ContentStarted(*IDS, "x", kind, role, Stage.SPECULATIVE, OUTPUT_HERTZ) for kind, role in product(ContentType, Role)),
    *(TextOutput(*IDS, "x", role, text) for role, text in product((None, *Role), ("", "Hola.", INTERRUPTED_MARKER))),
    *(ContentEnded(*IDS, "x", kind, stop) for kind, stop in product(ContentType, StopReason)),
]
COMMANDS: list[Input] = [
    *(SendAudio(bytes(size)) for size in (0, 1, 640, 12_800, 70_000)),
    *(SendText(text) for text in ("", " ", "Hola.", "\x00", "x" * 5_000)),
    *(ReportPlayback(turn, heard_ms) for turn, heard_ms in product((0, 3, 10**9), (-5, 0, 10**9))),
    Interrupt(),
    StopAudio(),
    Start(),
    End(),
]
OTHERS: list[Input] = [
    Begin(),
    Tick(),
    Park(),
    Broken("ref"),
    *(Drain(seconds) for seconds in (-1.0, 0.0, 30.0)),
    Drain(30.0, reason=EndReason.TOKEN_EXPIRED),
    *(Stay(reason) for reason in (EndReason.TOKEN_EXPIRED, EndReason.SERVER_LEAVING)),
    *(
        Replan(Start(client_tools=tools), "lupe", "Sell shoes.", InferenceConfiguration(), endpointing, tools, (LOOK_UP, *tools))
        for tools, endpointing in (((), None), ((OWN_TOOL,), Endpointing.HIGH))
    ),
    *(ClientLost(seconds, samples) for seconds, samples in ((0.0, 0), (30.0, 4_800))),
    ClientBack(0),
    ClientBack(4_800),
    Overflowed(400.0),
    ToolDone("tool-1", "{}", None, 1),
    ToolDone("never called", "{}", "timeout", 1),
]


def inputs(machine: SessionMachine) -> list[Input]:
    """Return one input of every kind, for the streams that there are, that were, and that never were."""
    streams = machine._streams
    generations = {1, streams.current, streams.next or 0, streams.left.generation or 0, 99}
    of_streams: list[Input] = []
    for generation in generations:
        of_streams += [StreamOpened(generation), StreamOpened(generation, 1.0), StreamEnded(generation)]
        of_streams += [StreamFailed(generation, code, remedy) for code, remedy in product(("model_lost", "unheard_of"), Remedy)]
        of_streams += [ModelEvent(generation, event) for event in EVENTS]
    of_streams += [ToolDone(tool, "{}", None, 1) for tool in machine._calls.running]
    return [*COMMANDS, *OTHERS, *of_streams]


def try_out(machine: SessionMachine, given: Input, now: float) -> None:
    """Give an input, and end the session: both have to go well."""
    was = machine.state
    effects: list[Effect] = []
    try:
        effects = machine.handle(given, now)
    except SessionError:
        assert isinstance(given, SendAudio | SendText | Start), "no other input can be refused"
        assert machine.state is was
    is_adopted = was is State.CONNECTING and isinstance(given, Begin)
    assert machine.state is was or is_adopted or machine.state in {after for (before, _), after in LIFE_CYCLE.items() if before is was}
    deadline = machine.next_deadline()
    assert deadline is None or machine.state is not State.CLOSED
    if isinstance(given, Tick):
        assert deadline is None or deadline > now
    check_streams(effects)
    ending = machine.handle(End(), now)
    told = [effect.event for effect in (*effects, *ending) if isinstance(effect, Emit)]
    if was is State.CLOSED:
        assert [*effects, *ending] == []
        return
    assert machine.state is State.CLOSED
    assert [type(event) for event in told].count(SessionEnded) == 1
    assert isinstance(told[-1], SessionEnded)
    assert sum(isinstance(effect, Finish) for effect in (*effects, *ending)) == 1
    assert machine.handle(Tick(), now) == []
    assert machine.next_deadline() is None


def check_streams(effects: list[Effect]) -> None:
    """One stream is opened at most, and none is closed that was just chosen."""
    assert sum(isinstance(effect, OpenStream) for effect in effects) <= 1
    routes = [effect.generation for effect in effects if isinstance(effect, Route)]
    closed = [effect.generation for effect in effects if isinstance(effect, CloseStream)]
    assert not routes or routes[-1] is None or routes[-1] not in closed
    assert len(closed) == len(set(closed))


class ProbedCall(SimulatedCall):
    """A conversation in the middle of which every other input is tried on a copy of the machine."""

    def __init__(self, number: int) -> None:
        super().__init__(number, SECONDS)
        self.probes = Random(number)
        self.states: Counter[tuple[State, Life, Speaker]] = Counter()
        self.tried = 0

    def give(self, given: Input) -> None:
        """Try everything now and then before what really comes."""
        place = (self.machine.state, self.machine._streams.life, self.machine.turns.speaker)
        if self.probes.random() < SHARE or place not in self.states:
            others = inputs(self.machine)
            for other in self.probes.sample(others, SAMPLE) if place in self.states else others:
                try_out(deepcopy(self.machine), other, self.agenda.now)
                self.tried += 1
            self.states[place] += 1
        super().give(given)


@pytest.mark.timeout(300)
def test_every_input_is_answered_in_every_state_of_a_conversation() -> None:
    states: Counter[tuple[State, Life, Speaker]] = Counter()
    tried = 0
    for number in range(CALLS_LIMIT):
        if number >= CALLS and {life for _, life, _ in states} == set(Life):
            break
        call = ProbedCall(number)
        call.run()
        states += call.states
        tried += call.tried

    assert tried > 10_000
    assert {state for state, _, _ in states} >= {State.CONNECTING, State.ACTIVE}
    assert {life for _, life, _ in states} == set(Life)
    assert {speaker for _, _, speaker in states} == set(Speaker)

"""A trace has what is needed to run a session again, and nothing that it should not have."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from types import UnionType
from typing import Any, TypeAliasType, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.replay import Replay
from s2s.errors import Remedy
from s2s.events import OutputEvent, ToolSpec
from s2s.limits import TextProfile
from session.effects import Effect, Input, StreamFailed, StreamOpened, ToolDone
from session.errors import SessionError
from session.events import End, ReportPlayback, SendAudio, SendText
from session.masking import Mask
from session.trace import Note, TraceReader, own_words
from session.trace_values import PLAIN_FIELDS, TraceError, decode, encode
from tests.session.doubles import PLAN, Nova
from tests.session.recorded import Recorded, origin_of, replay

KEY = b"a key that nobody keeps"
WORDS = ("Guadalupe", "Fernández", "12345678", "zanahoria")


def mask() -> Mask:
    return Mask(KEY, own_words(origin_of()))


def talk(recorded: Recorded) -> None:
    """A conversation with speech both ways, typed text, a tool, an interruption and a stream that dies."""
    nova = Nova()
    recorded.begin()
    recorded.says(*nova.start())
    for _ in range(10):
        recorded.listen(0.0317)
        recorded.give(SendAudio(bytes(1_024)))
    recorded.says(*nova.hears(), *nova.heard_out(), *nova.user("Soy Guadalupe Fernández, zanahoria 12345678"))
    recorded.says(*nova.plans("Hola Guadalupe.", "¿Qué tal, Fernández?"), *nova.speaks(4_000))
    recorded.listen(1.1)
    recorded.give(ReportPlayback(2, 700))
    recorded.give(SendText("¿Y la zanahoria? 12345678 [FINAL]"))
    recorded.says(*nova.user("¿y la zanahoria? 12345678"), *nova.calls("call-1", '{"name": "Guadalupe", "dni": 12345678}'))
    recorded.listen(2.3)
    recorded.give(ToolDone("call-1", '{"success":true,"customer":"Fernández","total":104.50}', None, 2_300))
    recorded.give(StreamFailed(1, "model_lost", Remedy.RESUME, "ref-1"))
    recorded.listen(0.4)
    recorded.give(StreamOpened(2, 900.0))
    recorded.listen(3.0)
    recorded.give(End())
    recorded.end()


def test_a_conversation_runs_again_with_the_same_effects() -> None:
    recorded = Recorded()
    talk(recorded)
    again = replay(recorded.data)

    assert again.first is None
    assert (again.figures.differences, again.figures.complete) == (0, 1)
    assert again.figures.inputs > 60


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 5e6))
def test_times_are_exact_whatever_the_clock_shows(started: float) -> None:
    recorded = Recorded(started=started)
    talk(recorded)
    lines = recorded.data.splitlines(keepends=True)
    reader = TraceReader(lines[0])
    times = [
        entry[0] if isinstance(entry, tuple) else entry.now
        for line in lines[1:]
        for entry in reader.read(line)
        if not isinstance(entry, Note)
    ]

    assert recorded.now == times[-1]
    assert times == sorted(times)
    assert replay(lines).first is None


def test_a_machine_that_does_something_else_is_found_with_time_and_input() -> None:
    recorded = Recorded()
    talk(recorded)
    changed = recorded.data.replace(b'"SpeechEnded"', b'"SpeechCut"', 1)
    first = replay(changed).first

    assert first is not None
    assert first.seconds == pytest.approx(0.317, abs=0.001)
    assert re.search(r"expected: .*SpeechCut.*\n.*got: .*SpeechEnded", str(first))


def test_audio_that_goes_another_way_is_found() -> None:
    recorded = Recorded()
    talk(recorded)
    changed = recorded.data.replace(b'"s",', b'"m",').replace(b'"s":', b'"m":')

    assert replay(changed).figures.differences == 4


def test_a_trace_that_was_cut_anywhere_runs_to_where_it_was_cut() -> None:
    recorded = Recorded()
    talk(recorded)
    header = recorded.data.index(b"\n") + 1
    cuts = range(header, len(recorded.data), 97)
    replays = [replay(recorded.data[:cut]) for cut in cuts]

    assert {0} == {each.figures.differences + each.figures.complete for each in replays}
    assert replays[0].figures.inputs == 0
    assert sorted(each.figures.inputs for each in replays) == [each.figures.inputs for each in replays]


def voice(ms: int) -> bytes:
    """Return what sounds like somebody."""
    return (bytes(320) + b"\x00\x40\x00\xc0" * 80) * (ms // 20)


def test_what_audio_sounded_like_decides_as_it_did_though_it_is_not_kept() -> None:
    deaf = replace(PLAN, takes_text=False)  # a model that does not tell when it hears somebody
    recorded = Recorded(replace(origin_of(), plan=deaf))
    recorded.begin()
    for piece in (bytes(3_200), voice(100), bytes(3_200), voice(100), voice(100), voice(100)):
        recorded.now += 0.1
        recorded.give(SendAudio(piece))
    recorded.give(StreamFailed(1, "model_lost", Remedy.RESUME, "ref-1"))
    recorded.give(StreamOpened(2))

    assert recorded.data.count(b'"n",') == 2
    assert replay(recorded.data).first is None
    assert replay(recorded.data.replace(b'"n",', b'"q",')).first is not None


def test_audio_is_a_number() -> None:
    small, large = Recorded(), Recorded()
    for recorded, size in ((small, 64), (large, 32_000)):
        recorded.begin()
        recorded.give(SendAudio(b"\x11\x22" * (size // 2)))

    assert len(large.data) - len(small.data) == len("32000") - len("64")


def test_an_hour_of_audio_takes_few_bytes_a_piece() -> None:
    recorded = Recorded()
    recorded.begin()
    before = len(recorded.data)
    for _ in range(1_000):
        recorded.now += 0.020_123_457
        recorded.give(SendAudio(bytes(640)))

    assert (len(recorded.data) - before) / 1_000 < 32


def test_a_machine_that_broke_is_recorded_with_what_broke_it() -> None:
    recorded = Recorded()
    recorded.begin()
    with pytest.raises(SessionError):
        recorded.machine.handle(SendText(""), recorded.now)
    line = b'{"t":0,"i":["SendText",""],"e":null}\n'

    assert replay(recorded.data + line).first is None
    assert replay(recorded.data + line.replace(b'""', b'"hola"')).figures.differences == 1


# Masked


def test_a_masked_conversation_runs_again_and_names_nobody() -> None:
    recorded = Recorded(conceal=mask())
    talk(recorded)
    again = replay(recorded.data)
    text = recorded.data.decode()

    assert again.first is None
    assert again.figures.complete == 1
    assert not [word for word in WORDS if word.casefold() in text.casefold()]
    assert "lookUp" in text


def test_a_text_that_is_cut_into_events_is_masked_as_one() -> None:
    long = " ".join(f"palabra{number}" for number in range(400))
    recorded = Recorded(replace(origin_of(), plan=replace(PLAN, prompt=long)), conceal=mask())
    recorded.begin()

    assert replay(recorded.data).first is None
    assert "palabra" not in recorded.data.decode()


# Every class


def members(kind: object) -> Iterator[Any]:
    if isinstance(kind, TypeAliasType):
        yield from members(kind.__value__)
    elif isinstance(kind, UnionType):
        for each in get_args(kind):
            yield from members(each)
    else:
        yield kind


CLASSES = [*members(Input), *members(OutputEvent)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: str(kind.__name__))
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_every_input_survives_being_written_down(kind: type, data: st.DataObject) -> None:
    value = data.draw(st.from_type(kind))
    row = json.loads(json.dumps(encode(value)))

    assert decode(row, Input if kind in set(members(Input)) else OutputEvent) == without_audio(value)


def without_audio(value: Any) -> Any:
    """Return a value with silence for its audio."""
    if isinstance(value, bytes):
        return bytes(len(value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: without_audio(getattr(value, each.name)) for each in fields(value)})
    return value


def texts_of(kind: object, seen: set[object]) -> Iterator[str]:
    """Return the fields with texts in a class and in what it consists of, as Class.field."""
    for member in members(kind):
        if get_args(member):
            for argument in get_args(member):
                yield from texts_of(argument, seen)
        elif is_dataclass(member) and member not in seen and member not in (ToolSpec, TextProfile):
            seen.add(member)
            for name, hint in get_type_hints(member).items():
                if any(each is str or str in get_args(each) for each in members(hint)) and name not in PLAIN_FIELDS:
                    yield f"{getattr(member, '__name__', '')}.{name}"
                yield from texts_of(hint, seen)


def test_only_ids_and_our_own_words_are_written_unmasked() -> None:
    told = set(texts_of(Input, set())) | set(texts_of(Effect, set())) | set(texts_of(type(origin_of()), set()))

    assert told >= {
        "SendText.text", "TextOutput.content", "ToolUse.content", "ToolUse.tool_name", "ToolDone.content", "UnknownEvent.body",
        "TranscriptUpdated.text", "ToolStarted.arguments", "ToolFinished.result", "ToolAnswered.content", "TextInput.content",
        "ToolResult.content", "HistoryTurn.text", "SessionPlan.prompt", "Start.prompt",
    }  # fmt: skip
    assert [name for name in told if name.endswith(("_id", ".code"))] == ["Start.patient_id"]  # an id of a person, and of an ill one


# What is no trace


@pytest.mark.parametrize("header", [b"", b"{", b"[]\n", b"{}\n", b'{"trace":99}\n', b'{"trace":1,"started_ns":1,"origin":["Origin"]}\n'])
def test_something_else_is_refused(header: bytes) -> None:
    with pytest.raises(TraceError):
        Replay([header])


BROKEN = (
    b'{"t":0,"i":["Nobody"],"e":[]}',
    b'{"t":"x","i":["Tick"],"e":[]}',
    b'{"t":0,"r":["a",0]}',
    b'{"t":0,"r":["z",0,1]}',
    b'{"t":0,"i":["SendAudio",99999999],"e":[]}',
    b'{"x":1}',
)


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_line_is_refused(line: bytes) -> None:
    with pytest.raises(TraceError):
        replay(Recorded().data + line + b"\n")

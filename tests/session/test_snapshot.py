"""A session can be written down, read again, and gone on with by another machine."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import ContentEnd, Endpointing, InferenceConfiguration, Role, TextContentStart, TextInput, TokenCounts
from session.calls import RESULT_CHARACTERS
from session.continuation import RENEW_SECONDS
from session.effects import Begin, Effect, Emit, ModelEvent, OpenStream, StartTool, StreamOpened, Tick, ToolDone
from session.events import HistoryTurn, SendText, SessionContinued, SessionStarted, Start, ToolFinished, UsageReported
from session.machine import SessionMachine
from session.origin import Origin
from session.snapshot import LIMIT_BYTES, VERSION, ParkedCall, SessionSnapshot, SnapshotError
from session.trace_values import decode, encode
from tests.session.doubles import PLAN, Conversation, Nova
from tests.session.recorded import origin_of

texts = st.text(st.characters(codec="utf-8"), max_size=40)
counts = st.integers(0, 2**53 - 1)
turns = st.lists(st.builds(HistoryTurn, st.sampled_from([Role.USER, Role.ASSISTANT]), texts), max_size=6).map(tuple)
starts = st.builds(
    Start,
    assistant=texts | st.none(),
    language=texts | st.none(),
    voice_id=texts | st.none(),
    prompt=texts | st.none(),
    inference=st.none() | st.builds(InferenceConfiguration, st.integers(1, 5_000), st.floats(0, 1), st.floats(0, 1)),
    endpointing=st.none() | st.sampled_from(Endpointing),
    input_hertz=st.sampled_from([8_000, 16_000, 24_000]),
    output_hertz=st.sampled_from([8_000, 16_000, 24_000]),
    history=turns,
    memory=turns,
    context=texts,
    preferred_voice_id=texts,
)
snapshots = st.builds(
    SessionSnapshot,
    session_id=texts,
    start=starts,
    history=turns,
    turns=counts,
    answered=st.lists(texts, max_size=4).map(tuple),
    untold=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    running=st.lists(st.builds(ParkedCall, texts, texts, texts, counts), max_size=3).map(tuple),
    usage=st.builds(TokenCounts, counts, counts, counts, counts),
    upstream=counts,
    principal=texts,
)


def small(**changes: object) -> dict[str, object]:
    """Return the members of a snapshot, some of them other."""
    members = orjson.loads(SessionSnapshot("session-1", Start()).encode())
    return {**members, **changes}


@given(snapshots)
def test_what_was_written_is_read_again(snapshot: SessionSnapshot) -> None:
    assert SessionSnapshot.decode(snapshot.encode()) == snapshot


@given(st.binary(max_size=200))
def test_bytes_of_anybody_are_refused_in_order(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        SessionSnapshot.decode(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)
)


@given(snapshots, st.data())
def test_a_member_of_another_type_is_refused_or_read_and_nothing_else(snapshot: SessionSnapshot, data: st.DataObject) -> None:
    members = orjson.loads(snapshot.encode())
    name = data.draw(st.sampled_from(sorted(members)))
    members[name] = data.draw(json_values)
    try:
        read = SessionSnapshot.decode(orjson.dumps(members, option=orjson.OPT_PASSTHROUGH_DATACLASS))
    except (SnapshotError, TypeError):  # TypeError: orjson writes no number beyond 64 bits
        return

    assert isinstance(read, SessionSnapshot)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        (small(version=VERSION + 1), "version"),
        (small(version=None), "version"),
        (small(session_id=7), "session_id is no text"),
        (small(turns=-1), "turns is no count"),
        (small(turns=True), "turns is no count"),
        (small(upstream=2**60), "upstream is no count"),
        (small(history={}), "history is no list"),
        (small(history=[{"role": "NOBODY", "text": ""}]), "cannot be read"),
        (small(untold=[["one"]]), "pair"),
        (small(untold=[["one", 2]]), "text"),
        (small(answered=[1]), "text"),
        (small(running=[7]), "object"),
        (small(start={"endpointing": "QUICK"}), "cannot be read"),
        (small(start={"inference": {"max_tokens": 1, "top_p": "x", "temperature": 1}}), "top_p is no number"),
    ],
)
def test_what_is_wrong_is_named_without_its_contents(members: dict[str, object], complaint: str) -> None:
    with pytest.raises(SnapshotError, match=complaint):
        SessionSnapshot.decode(orjson.dumps(members))


def test_members_of_a_later_version_are_left_aside() -> None:
    assert SessionSnapshot.decode(orjson.dumps(small(mood="good"))).session_id == "session-1"


def test_what_is_too_large_is_not_even_read() -> None:
    with pytest.raises(SnapshotError, match="too large"):
        SessionSnapshot.decode(b" " * (LIMIT_BYTES + 1))


def test_the_oldest_turns_go_when_there_is_too_much() -> None:
    said = tuple(HistoryTurn(Role.USER if number % 2 else Role.ASSISTANT, f"{number} " + "ñ" * 10_000) for number in range(40))
    data = SessionSnapshot("session-1", Start(), said).encode()
    kept = SessionSnapshot.decode(data).history

    assert len(data) <= LIMIT_BYTES
    assert kept == said[-len(kept) :]
    assert kept


def test_a_session_that_is_too_large_without_any_history_cannot_be_kept() -> None:
    with pytest.raises(SnapshotError, match="too large"):
        SessionSnapshot("session-1", Start(prompt="x" * LIMIT_BYTES)).encode()


def test_texts_that_are_no_unicode_cannot_be_kept() -> None:
    with pytest.raises(SnapshotError):
        SessionSnapshot("session-1", Start(), (HistoryTurn(Role.USER, "\ud800"),)).encode()


# What another machine makes of it


def spoken() -> Conversation:
    """Return a conversation with one exchange, heard to its end."""
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Me llamo Ana."))
    talk.says(*nova.plans("Hola, Ana."), *nova.speaks(1_000), *nova.said("Hola, Ana."))
    talk.says(*nova.usage(TokenCounts(1, 2, 3, 4)))
    talk.listen(8.0)
    return talk


def adopted(snapshot: SessionSnapshot) -> tuple[Conversation, list[Effect]]:
    """Return another machine that goes on from a snapshot that was stored, and what it wants first."""
    talk = Conversation()
    talk.machine.restore(SessionSnapshot.decode(snapshot.encode()))
    return talk, talk.give(Begin())


def told(effects: list[Effect]) -> list[str]:
    """Return the texts of the stream that is opened, without the prompt."""
    (opening,) = [effect.opening for effect in effects if isinstance(effect, OpenStream)]
    return [event.content for event in opening if isinstance(event, TextInput)][1:]


def test_the_next_stream_is_told_what_was_said_in_the_other_process() -> None:
    _, effects = adopted(spoken().machine.snapshot(8.0))

    assert told(effects) == ["Me llamo Ana.", "Hola, Ana."]


def test_a_session_goes_on_under_its_id_with_its_numbers_and_is_not_started_again() -> None:
    snapshot = spoken().machine.snapshot(8.0, 41, "ana")
    talk, _ = adopted(snapshot)
    talk.now = 0.3
    talk.give(StreamOpened(2))
    nova = Nova()
    effects = talk.give(ModelEvent(2, nova.hears()[0]))
    again = talk.machine.snapshot(talk.now, 41, "ana")

    assert (snapshot.session_id, snapshot.turns, snapshot.upstream, snapshot.principal) == ("session-1", 2, 41, "ana")
    assert [event for event in talk.told if isinstance(event, SessionStarted)] == []
    assert [event.waited_ms for event in talk.told if isinstance(event, SessionContinued)] == [300]
    assert [effect.event.turn for effect in effects if isinstance(effect, Emit) and hasattr(effect.event, "turn")] == [3]
    assert (again.history, again.turns, again.session_id) == (snapshot.history, 3, "session-1")


def test_tokens_are_counted_on() -> None:
    talk, _ = adopted(spoken().machine.snapshot(8.0))
    talk.give(StreamOpened(2))
    (usage,) = Nova().usage(TokenCounts(10, 10, 10, 10))
    talk.give(ModelEvent(2, usage))

    assert talk.told[-1] == UsageReported(11, 12, 13, 14)


def test_what_was_not_heard_yet_is_not_in_the_snapshot() -> None:
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Contá."))
    talk.says(*nova.plans("uno dos tres cuatro cinco seis siete ocho nueve diez"), *nova.speaks(10_000))
    talk.listen(4.0)

    assert [turn.text for turn in talk.machine.snapshot(talk.now).history] == ["Contá.", "uno dos tres cuatro"]
    assert [turn.text for turn in talk.machine.turns.history()][1].endswith("diez")


def test_a_question_without_an_answer_is_asked_again() -> None:
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("¿Qué hora es?"))
    _, effects = adopted(talk.machine.snapshot(1.0))
    (opening,) = [effect.opening for effect in effects if isinstance(effect, OpenStream)]

    assert isinstance(opening[-1], ContentEnd)
    assert opening[-2].content == "¿Qué hora es?" if isinstance(opening[-2], TextInput) else False
    assert opening[-3].interactive if isinstance(opening[-3], TextContentStart) else False


def calling() -> tuple[SessionMachine, SessionSnapshot]:
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("¿Y mi pedido?"))
    talk.says(*nova.calls("tool-1", '{"id":"1"}'), *nova.calls("tool-2"))
    talk.give(ToolDone("tool-1", '{"status":"' + "x" * 5_000 + '"}', None, 1))
    return talk.machine, talk.machine.snapshot(1.0)


def test_a_tool_that_ran_is_run_again_under_its_id_and_an_answered_one_is_not() -> None:
    _, snapshot = calling()
    talk, effects = adopted(snapshot)
    runs = [effect.use for effect in effects if isinstance(effect, StartTool)]

    assert [(use.tool_use_id, use.tool_name, use.content) for use in runs] == [("tool-2", "lookUp", "{}")]
    assert snapshot.answered == ("tool-1",)
    assert [len(result) for _, result in snapshot.untold] == [RESULT_CHARACTERS]
    talk.give(StreamOpened(2))
    nova = Nova()
    assert [effect for event in nova.calls("tool-1") for effect in talk.give(ModelEvent(2, event)) if isinstance(effect, StartTool)] == []


def test_its_result_is_told_in_words() -> None:
    _, snapshot = calling()
    talk, _ = adopted(snapshot)
    talk.give(StreamOpened(2))
    talk.now = 1.0
    effects = talk.give(ToolDone("tool-2", '{"ready":true}', None, 7))
    finished = [effect.event for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, ToolFinished)]
    words = " ".join(event.content for effect in effects for event in getattr(effect, "events", ()) if isinstance(event, TextInput))

    assert [(event.turn, event.tool_use_id) for event in finished] == [(2, "tool-2")]
    assert '{"ready":true}' in words


def test_a_service_that_is_away_is_looked_for_as_after_any_failure() -> None:
    talk, _ = adopted(spoken().machine.snapshot(8.0))
    talk.now = 1.0
    talk.give(Tick())

    assert [type(event).__name__ for event in talk.told] == ["SessionStalled"]


def test_a_stream_of_an_adopted_session_is_renewed_in_time() -> None:
    talk, _ = adopted(spoken().machine.snapshot(8.0))
    talk.give(StreamOpened(2))
    talk.now = RENEW_SECONDS
    talk.give(Tick())

    assert [effect.generation for effect in talk.effects if isinstance(effect, OpenStream)] == [2, 3]


def test_a_typed_question_is_in_the_snapshot_at_once() -> None:
    talk = spoken()
    talk.give(SendText("¿Cómo me llamo?"))

    assert talk.machine.snapshot(talk.now).history[-1] == HistoryTurn(Role.USER, "¿Cómo me llamo?")
    assert PLAN.start == Start()


def test_the_recording_of_an_adopted_session_has_its_snapshot() -> None:
    _, snapshot = calling()
    origin = replace(origin_of(), snapshot=snapshot)
    read = decode(encode(origin), Origin)
    machine, _ = read.make()

    assert read.snapshot == snapshot
    assert machine.handle(Begin(), 0.0) == origin.make()[0].handle(Begin(), 0.0)
    assert told(adopted(machine.snapshot(0.0))[1]) == told(adopted(snapshot)[1])

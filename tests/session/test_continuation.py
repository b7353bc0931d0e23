"""A stream gives way to the next one before it ends, and nobody notices."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import ModelError, Remedy
from s2s.events import (
    AudioInput,
    InputEvent,
    OutputEvent,
    Role,
    Stage,
    TextInput,
    TokenCounts,
    UsageEvent,
)
from session.continuation import (
    EXPIRY_SECONDS,
    FORCE_SECONDS,
    IDLE_SECONDS,
    LAST_SECONDS,
    LINGER_SECONDS,
    RENEW_SECONDS,
    RETRY_SECONDS,
    Continuation,
    LeftStream,
    Moment,
)
from session.effects import (
    Begin,
    CloseStream,
    Effect,
    Emit,
    ModelEvent,
    OpenStream,
    Route,
    Send,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.events import (
    ContinueReason,
    SendAudio,
    SendText,
    SessionContinued,
    TranscriptUpdated,
    UsageReported,
)
from session.life_cycle import State
from tests.session.doubles import Conversation, Nova
from tests.session.test_runner import Rig, session

PIECE = bytes(1_024)


def opened(signed_for_seconds: float | None = None) -> Conversation:
    """Return a conversation in which somebody coughs half way, so that its stream is not idle for too long."""
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1, signed_for_seconds))
    talk.now = RENEW_SECONDS / 2
    talk.says(*Nova().hears(), *Nova().heard_out())
    return talk


def answered(talk: Conversation) -> None:
    """Let the user ask and the model answer, all of it heard."""
    nova = Nova()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Is it there?"), *nova.plans("Yes, it is."), *nova.speaks(500, pieces=5))
    talk.listen(1.0)


def at(talk: Conversation, seconds: float) -> list[Effect]:
    talk.now = seconds
    return talk.give(Tick())


def routes(effects: list[Effect]) -> list[int | None]:
    return [effect.generation for effect in effects if isinstance(effect, Route)]


def opening_of(effects: list[Effect]) -> OpenStream:
    (found,) = [effect for effect in effects if isinstance(effect, OpenStream)]
    return found


def texts(events: tuple[InputEvent, ...]) -> list[str]:
    return [event.content for event in events if isinstance(event, TextInput)]


def test_a_stream_gives_way_when_it_is_six_minutes_old() -> None:
    talk = opened()
    before = at(talk, RENEW_SECONDS - 0.01)
    effects = at(talk, RENEW_SECONDS)

    assert not [effect for effect in before if isinstance(effect, OpenStream)]
    assert Route(None) in effects
    assert opening_of(effects).generation == 2


def test_the_next_stream_knows_what_was_said() -> None:
    talk = opened()
    answered(talk)

    assert texts(opening_of(at(talk, RENEW_SECONDS)).opening)[-2:] == ["Is it there?", "Yes, it is."]


def test_the_next_stream_takes_over_once_it_is_accepted_and_the_old_one_is_closed_later() -> None:
    talk = opened()
    at(talk, RENEW_SECONDS)
    switched = talk.give(StreamOpened(2))
    lingering = at(talk, RENEW_SECONDS + LINGER_SECONDS - 0.1)
    closing = at(talk, RENEW_SECONDS + LINGER_SECONDS)

    assert switched == [Route(2), Emit(SessionContinued(ContinueReason.RENEWED, 0))]
    assert CloseStream(1) not in lingering
    assert CloseStream(1) in closing
    assert talk.machine.state is State.ACTIVE


def test_what_is_said_in_either_stream_is_worded_alike() -> None:
    talk = opened()
    first = talk.give(SendAudio(PIECE))
    at(talk, RENEW_SECONDS)
    talk.give(StreamOpened(2))

    assert talk.give(SendAudio(PIECE)) == first


@pytest.mark.parametrize("moment", ["the user speaks", "an answer is due", "the assistant speaks", "a tool runs", "a typed turn waits"])
def test_no_stream_gives_way_while_something_goes_on_in_it(moment: str) -> None:
    talk = opened()
    talk.now = RENEW_SECONDS - 0.5
    nova = Nova()
    match moment:
        case "the user speaks":
            talk.says(*nova.hears())
        case "an answer is due":
            talk.says(*nova.hears(), *nova.heard_out())
        case "the assistant speaks":
            talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Go on."), *nova.plans("Yes."), *nova.speaks(500, pieces=5)[:-1])
        case "a tool runs":
            talk.says(*nova.calls("tool-1"))
        case _:
            talk.give(SendText("Hello"))
    effects = at(talk, RENEW_SECONDS)

    assert not [effect for effect in effects if isinstance(effect, OpenStream)]
    assert talk.machine.next_deadline() is not None
    assert (talk.machine.next_deadline() or 0) > talk.now


def test_a_stream_gives_way_by_force_when_nobody_ever_stops_speaking() -> None:
    talk = opened()
    talk.now = RENEW_SECONDS - 1
    talk.says(*Nova().hears())
    waiting = at(talk, FORCE_SECONDS - 0.1)
    effects = at(talk, FORCE_SECONDS)

    assert not [effect for effect in waiting if isinstance(effect, OpenStream)]
    assert opening_of(effects).generation == 2
    assert routes(talk.give(StreamOpened(2))) == [2]


def test_a_refused_next_stream_costs_nothing_and_is_tried_again() -> None:
    talk = opened()
    at(talk, RENEW_SECONDS)
    refused = talk.give(StreamFailed(2, "model_throttled", Remedy.BACKOFF))
    waiting = at(talk, RENEW_SECONDS + RETRY_SECONDS - 0.1)
    again = at(talk, RENEW_SECONDS + RETRY_SECONDS)

    assert refused == [Route(1)]
    assert not [effect for effect in waiting if isinstance(effect, OpenStream)]
    assert opening_of(again).generation == 3
    assert talk.give(StreamOpened(2)) == [CloseStream(2)]


def test_who_begins_to_speak_while_the_next_stream_is_opened_stays_with_the_old_one() -> None:
    talk = opened()
    at(talk, RENEW_SECONDS)
    talk.says(*Nova().hears())

    assert talk.give(StreamOpened(2)) == [Route(1), CloseStream(2)]
    assert talk.machine.state is State.ACTIVE


def test_a_tool_that_is_called_while_the_next_stream_is_opened_is_answered_to_the_old_one_at_once() -> None:
    talk = opened()
    at(talk, RENEW_SECONDS)
    talk.says(*Nova().calls("tool-1"))
    stayed = Route(1) in talk.effects
    result = talk.give(ToolDone("tool-1", "{}", None, 5))

    assert stayed
    assert Send in [type(effect) for effect in result]
    assert talk.give(StreamOpened(2)) == [CloseStream(2)]


def test_an_old_stream_that_dies_while_the_next_is_opened_is_not_missed() -> None:
    talk = opened()
    at(talk, RENEW_SECONDS)
    died = talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))
    switched = talk.give(StreamOpened(2))

    assert died == [Route(None), CloseStream(1)]
    assert routes(switched) == [2]


def test_the_last_words_of_the_old_stream_still_count_and_nothing_else_of_it() -> None:
    talk = opened()
    answered(talk)
    at(talk, RENEW_SECONDS)
    talk.give(StreamOpened(2))
    late: list[OutputEvent] = [*Nova().text(Role.ASSISTANT, Stage.FINAL, "Yes, it is."), *Nova().hears(), *Nova().speaks(200, pieces=2)]
    told = talk.says(*late)

    assert [event.text for event in told if isinstance(event, TranscriptUpdated)] == ["Yes, it is."]
    assert not [event for event in told if "Speech" in type(event).__name__]


def test_tokens_of_all_streams_are_counted_together() -> None:
    talk = opened()
    talk.give(ModelEvent(1, usage(100)))
    at(talk, RENEW_SECONDS)
    talk.give(StreamOpened(2))
    talk.give(ModelEvent(1, usage(120)))
    talk.give(ModelEvent(2, usage(7)))

    assert [event.input_speech for event in talk.told if isinstance(event, UsageReported)] == [100, 120, 127]


def usage(tokens: int) -> UsageEvent:
    return UsageEvent("s", "p", "k", TokenCounts(0, 0, 0, 0), TokenCounts(tokens, 0, 0, 0))


def quiet() -> Moment:
    return Moment.QUIET


def voices() -> Moment:
    return Moment.VOICES


@pytest.mark.parametrize(
    ("signed_for", "due", "forced"), [(600.0, RENEW_SECONDS, FORCE_SECONDS), (200.0, 110.0, 170.0), (30.0, RETRY_SECONDS, 0.0)]
)
def test_credentials_that_expire_hurry_a_stream(signed_for: float, due: float, forced: float) -> None:
    continuation = Continuation()
    continuation.opened(0.0, signed_for)
    continuation.used(due)

    assert continuation.check_at == due
    assert not continuation.wants_next(max(due, 0.1) - 0.1 if due else -0.1, quiet)
    assert continuation.wants_next(due, quiet)
    assert continuation.wants_next(max(forced, continuation.check_at), voices)
    assert due + EXPIRY_SECONDS >= min(signed_for, EXPIRY_SECONDS)


@given(st.floats(min_value=0, max_value=30), st.one_of(st.none(), st.floats(min_value=0, max_value=4_000)))
def test_a_stream_is_always_due_before_it_ends_and_forced_after_it_is_due(jitter: float, signed_for: float | None) -> None:
    continuation = Continuation(jitter)
    continuation.opened(0.0, signed_for)
    due = continuation.check_at

    assert 0.0 <= due <= IDLE_SECONDS
    assert not continuation.wants_next(due - 0.01, quiet)
    assert continuation.wants_next(FORCE_SECONDS, voices)
    assert continuation.wants_next(LAST_SECONDS, lambda: Moment.TOOL)


def test_a_stream_on_which_nothing_is_said_gives_way_after_four_minutes() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    before = at(talk, IDLE_SECONDS - 0.01)

    assert not [effect for effect in before if isinstance(effect, OpenStream)]
    assert opening_of(at(talk, IDLE_SECONDS)).generation == 2


@pytest.mark.parametrize("event", ["speech of the user", "a text", "a typed turn"])
def test_a_stream_on_which_something_is_said_is_not_idle(event: str) -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.now = 60.0
    match event:
        case "speech of the user":
            talk.says(*Nova().hears(), *Nova().heard_out())
        case "a text":
            talk.says(*Nova().plans("Hello?"), *Nova().speaks(500))
        case _:
            talk.give(SendText("Hello."))
            talk.says(*Nova().speaks(500))
    talk.listen(1.0)
    before = at(talk, 60.0 + IDLE_SECONDS - 0.01)

    assert not [effect for effect in before if isinstance(effect, OpenStream)]
    assert opening_of(at(talk, 60.0 + IDLE_SECONDS)).generation == 2


def test_sessions_that_idle_together_do_not_renew_together() -> None:
    early, late = Continuation(30.0), Continuation(0.0)
    early.opened(0.0, None)
    late.opened(0.0, None)

    assert (early.check_at, late.check_at) == (IDLE_SECONDS - 30.0, IDLE_SECONDS)


def test_nothing_of_a_stream_that_was_never_left_is_late() -> None:
    left = LeftStream()

    assert not [event for event in Nova().text(Role.ASSISTANT, Stage.FINAL, "Yes.") if left.takes(1, event)]


# With a runner: real tasks, virtual time


async def nearly_due(rig: Rig) -> None:
    """Let the time pass until a second before the stream is six minutes old."""
    await asyncio.sleep(RENEW_SECONDS / 2)
    rig.says(*rig.nova.hears(), *rig.nova.heard_out())
    await asyncio.sleep(RENEW_SECONDS / 2 - 1)


async def test_a_conversation_goes_on_in_a_second_stream_and_no_sample_is_lost() -> None:
    async with session() as rig:
        rig.model.signed_until = None
        numbers = []
        for number in range(round((RENEW_SECONDS + 20) / 0.5)):
            numbers.append(number)
            await rig.runner.submit(SendAudio(number.to_bytes(2, "little") * 256))
            await asyncio.sleep(0.5)
        streams = list(rig.model.streams)

        assert [stream.closed for stream in streams] == [1, 0]
        assert numbers == [number for stream in streams for number in spoken(stream.sent)]


def spoken(groups: list[tuple[InputEvent, ...]]) -> list[int]:
    """Return the numbers in what the microphone sent."""
    audio = [event.pcm for group in groups for event in group if isinstance(event, AudioInput)]
    return [int.from_bytes(pcm[:2], "little") for pcm in audio if len(pcm) == 512]


async def test_what_is_said_while_the_next_stream_is_opened_waits_for_it() -> None:
    async with session() as rig:
        await nearly_due(rig)
        rig.model.opens.clear()
        await asyncio.sleep(2)
        await rig.runner.submit(SendAudio(bytes([7, 0]) * 256))
        await rig.settled()
        waiting = spoken(rig.model.streams[0].sent)
        rig.model.opens.set()
        await asyncio.sleep(1)

        assert waiting == []
        assert spoken(rig.model.streams[1].sent) == [7]


async def test_what_is_said_while_the_next_stream_is_refused_goes_to_the_old_one() -> None:
    async with session() as rig:
        await nearly_due(rig)
        rig.model.opens.clear()
        rig.model.error = ModelError("model_throttled", Remedy.BACKOFF)
        await asyncio.sleep(2)
        await rig.runner.submit(SendAudio(bytes([7, 0]) * 256))
        rig.model.opens.set()
        await asyncio.sleep(1)

        assert spoken(rig.model.streams[0].sent) == [7]
        assert len(rig.model.streams) == 1
        rig.model.error = None


async def test_a_stream_is_continued_before_its_credentials_expire() -> None:
    rig = Rig()
    rig.model.signed_until = datetime.now(UTC) + timedelta(seconds=EXPIRY_SECONDS + 30)
    await rig.opened()
    rig.model.signed_until = None
    await asyncio.sleep(25)
    before = len(rig.model.streams)
    await asyncio.sleep(10)
    after = len(rig.model.streams)
    await asyncio.sleep(LINGER_SECONDS + 1)
    closed = [stream.closed for stream in rig.model.streams]
    assert rig.task is not None
    rig.task.cancel()
    await rig.rest()

    assert (before, after) == (1, 2)
    assert closed == [1, 0]


async def test_a_session_that_ends_while_the_next_stream_is_opened_opens_nothing_more() -> None:
    async with session() as rig:
        await nearly_due(rig)
        rig.model.opens.clear()
        await asyncio.sleep(2)

    assert rig.model.abandoned == 1

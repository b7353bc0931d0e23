"""A stream dies without warning: the conversation goes on in another one as far as the failure allows."""

import asyncio
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import Remedy
from s2s.events import InputEvent, TextContentStart, TextInput, ToolContentStart
from session.continuation import RENEW_SECONDS, RETRY_SECONDS
from session.effects import (
    Begin,
    CloseStream,
    Effect,
    Emit,
    KeepAudio,
    OpenStream,
    Route,
    Send,
    StartTool,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.events import (
    ContinueReason,
    ExchangeRefused,
    SendAudio,
    SendText,
    SessionContinued,
    SessionEnded,
    SessionFailed,
    SessionStalled,
    SpeechEnded,
    ToolFinished,
    UserSpeechEnded,
)
from session.life_cycle import State
from session.resumption import (
    CROWD,
    CROWD_PAUSE_SECONDS,
    CROWD_SECONDS,
    CURES,
    JITTER_SHARE,
    REPEAT_SECONDS,
    STALL_SECONDS,
    TURN_ATTEMPTS,
    WINDOW_ATTEMPTS,
    WINDOW_SECONDS,
    Crowd,
    Resumption,
)
from session.streams import LIVES, Life
from tests.session.doubles import PLAN, Conversation, Nova, Outcome, model_error
from tests.session.test_runner import session

PLAN_WITHOUT_TEXT = replace(PLAN, takes_text=False)
PHASES = ["listening", "user speaking", "answer due", "assistant speaking", "tool running", "next opening"]


def opened(phase: str = "listening") -> Conversation:
    """Return a conversation that is in the middle of something."""
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Hello."), *nova.plans("Hi."), *nova.speaks(500))
    talk.listen(1.0)
    match phase:
        case "user speaking":
            talk.says(*nova.hears())
        case "answer due":
            talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Is it there?"))
        case "assistant speaking":
            talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Is it there?"), *nova.plans("Yes, it is."), *nova.opens_audio())
            talk.says(*nova.audio(300))
        case "tool running":
            talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Is it there?"), *nova.calls("tool-1"))
        case "next opening":
            talk.now = RENEW_SECONDS + 2
            talk.give(Tick())
        case _:
            pass
    return talk


def dies(talk: Conversation, remedy: Remedy = Remedy.RESUME, generation: int = 1) -> list[Effect]:
    return talk.give(StreamFailed(generation, "model_lost", remedy, "ref-1"))


def later(talk: Conversation, seconds: float) -> list[Effect]:
    talk.now += seconds
    return talk.give(Tick())


def opening_of(effects: list[Effect]) -> OpenStream:
    (found,) = [effect for effect in effects if isinstance(effect, OpenStream)]
    return found


def openings(effects: list[Effect]) -> list[int]:
    return [effect.generation for effect in effects if isinstance(effect, OpenStream)]


def told(events: tuple[InputEvent, ...]) -> tuple[list[str], list[str]]:
    """Return the texts of the history, and those that are to be answered."""
    interactive = {event.content_name for event in events if isinstance(event, TextContentStart) and event.interactive}
    texts = [event for event in events if isinstance(event, TextInput)]
    history = [event.content for event in texts if event.content_name not in interactive]
    return history[1:], [event.content for event in texts if event.content_name in interactive]


def failures(effects: list[Effect]) -> list[SessionFailed]:
    return [effect.event for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, SessionFailed)]


# Every remedy in every phase


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("remedy", Remedy)
def test_a_stream_that_dies_is_replaced_as_its_remedy_says(remedy: Remedy, phase: str) -> None:
    talk = opened(phase)
    effects = dies(talk, remedy)
    if remedy is Remedy.FATAL_CONFIG:
        assert [failure.ref for failure in failures(effects)] == ["ref-1"]
        assert talk.machine.state is State.CLOSED
        return
    assert CloseStream(1) in effects
    assert Route(1) not in effects
    is_opening = phase == "next opening" and remedy is not Remedy.DROP_LAST_AND_RESUME
    if remedy is Remedy.BACKOFF and not is_opening:
        assert openings(effects) == []
        effects = later(talk, CURES[remedy].pauses[0])
    generation = 2 if is_opening else opening_of(effects).generation
    switched = talk.give(StreamOpened(generation))

    assert Route(generation) in switched
    assert talk.machine.state is State.ACTIVE
    assert [effect.event.reason for effect in switched if isinstance(effect, Emit) and isinstance(effect.event, SessionContinued)] == [
        ContinueReason.RESUMED
    ]
    assert talk.give(StreamFailed(1, "model_lost", Remedy.RESUME)) == []


@pytest.mark.parametrize("remedy", Remedy)
def test_a_stream_that_is_refused_before_anything_was_said_ends_the_session(remedy: Remedy) -> None:
    talk = Conversation()
    talk.give(Begin())

    assert len(failures(dies(talk, remedy))) == 1


def test_a_new_stream_that_is_refused_is_looked_for_again_until_the_attempts_are_used_up() -> None:
    talk = opened()
    generations = openings(dies(talk))
    effects: list[Effect] = []
    for _ in range(TURN_ATTEMPTS):
        effects = dies(talk, Remedy.BACKOFF, generations[-1])
        generations += openings([*effects, *later(talk, 3.0)])

    assert generations == [2, 3, 4]
    assert [failure.code for failure in failures(effects)] == ["model_lost"]
    assert isinstance(talk.told[-1], SessionEnded)


def test_a_stream_that_nobody_waits_for_any_more_is_closed_when_it_opens() -> None:
    talk = opened("next opening")
    dies(talk, Remedy.DROP_LAST_AND_RESUME)

    assert talk.give(StreamOpened(2)) == [CloseStream(2)]


def test_two_dead_streams_do_not_end_the_session() -> None:
    talk = opened("next opening")
    dies(talk)
    dies(talk, Remedy.BACKOFF, 2)

    assert openings(later(talk, 3.0)) == [3]


# What the new stream is told


def test_the_new_stream_knows_what_was_said() -> None:
    assert told(opening_of(dies(opened())).opening) == (["Hello.", "Hi."], [])


def test_a_question_without_an_answer_is_asked_again_to_be_answered() -> None:
    assert told(opening_of(dies(opened("answer due"))).opening) == (["Hello.", "Hi."], ["Is it there?"])


def test_what_was_typed_while_there_was_no_stream_is_asked_once() -> None:
    talk = opened()
    dies(talk, Remedy.BACKOFF)
    talk.give(SendText("Is it there?"))
    effects = later(talk, 0.5)

    assert effects.index(KeepAudio()) < effects.index(opening_of(effects))
    assert told(opening_of(effects).opening) == (["Hello.", "Hi."], ["Is it there?"])


def test_a_question_that_the_model_repeats_is_not_told_twice() -> None:
    talk = opened("answer due")
    dies(talk)
    talk.give(StreamOpened(2))
    before = talk.machine.turns.history()
    nova = Nova()
    for event in nova.user("Is it there?"):
        talk.machine.turns.receive(event, talk.now)

    assert talk.machine.turns.history() == before


def test_an_answer_that_was_cut_counts_as_far_as_it_came_and_is_still_heard() -> None:
    talk = opened("assistant speaking")
    effects = dies(talk)
    history, asked = told(opening_of(effects).opening)

    assert [effect.event for effect in effects if isinstance(effect, Emit)] == [SpeechEnded(4)]
    assert talk.playback.waiting_ms == 300
    assert history == ["Hello.", "Hi.", "Is it there?", "Yes,"]
    assert asked == []


def test_who_speaks_when_the_stream_dies_is_taken_to_have_stopped() -> None:
    talk = opened("user speaking")

    assert Emit(UserSpeechEnded(3)) in dies(talk)


def test_an_exchange_that_the_service_blocks_is_left_out_and_the_client_is_told() -> None:
    talk = opened("answer due")
    effects = dies(talk, Remedy.DROP_LAST_AND_RESUME)
    (refused,) = [effect.event for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, ExchangeRefused)]

    assert (refused.code, refused.ref) == ("content_blocked", "ref-1")
    assert told(opening_of(effects).opening) == (["Hello.", "Hi."], [])
    assert not failures(effects)


# Tools


def test_a_tool_that_ends_after_its_stream_is_told_in_words_and_not_run_again() -> None:
    talk = opened("tool running")
    opening = opening_of(dies(talk)).opening
    talk.give(StreamOpened(2))
    effects = talk.give(ToolDone("tool-1", '{"status":"ready"}', None, 5))
    (note,) = [effect for effect in effects if isinstance(effect, Send)]

    assert told(opening) == (["Hello.", "Hi.", "Is it there?"], [])
    assert "lookUp" in "".join(event.content for event in note.events if isinstance(event, TextInput))
    assert '{"status":"ready"}' in "".join(event.content for event in note.events if isinstance(event, TextInput))
    assert not [event for event in note.events if isinstance(event, ToolContentStart)]
    assert len([effect for effect in talk.effects if isinstance(effect, StartTool)]) == 1
    assert len([event for event in talk.told if isinstance(event, ToolFinished)]) == 1


def test_a_result_that_the_dead_stream_had_not_used_is_told_to_the_next_one() -> None:
    talk = opened("tool running")
    talk.give(ToolDone("tool-1", '{"status":"ready"}', None, 5))
    history, asked = told(opening_of(dies(talk)).opening)

    assert history == ["Hello.", "Hi.", "Is it there?"]
    assert len(asked) == 1
    assert '{"status":"ready"}' in asked[0]


def test_a_note_waits_until_nobody_speaks() -> None:
    talk = opened("tool running")
    dies(talk)
    talk.give(StreamOpened(2))
    turns = talk.machine.turns
    turns.receive(Nova().hears()[0], talk.now)
    during = talk.give(ToolDone("tool-1", "{}", None, 5))
    turns.receive(Nova().heard_out()[0], talk.now)
    after = later(talk, 6.1)

    assert [effect for effect in during if isinstance(effect, Send)] == []
    assert [effect.is_filler for effect in after if isinstance(effect, Send)] == [True, False]


def test_a_long_result_is_cut() -> None:
    talk = opened("tool running")
    talk.give(ToolDone("tool-1", '{"text":"' + "x" * 8_000 + '"}', None, 5))
    _, asked = told(opening_of(dies(talk)).opening)

    assert 1_000 < len("".join(asked)) < 4_000


# What the client is told


def test_a_client_is_told_of_a_stream_that_is_away_for_more_than_a_second() -> None:
    talk = opened()
    dies(talk)
    before = later(talk, STALL_SECONDS - 0.01)
    stalled = later(talk, 0.02)
    talk.now += 1.0
    recovered = talk.give(StreamOpened(2))

    assert not [effect for effect in before if isinstance(effect, Emit)]
    assert Emit(SessionStalled("model_lost")) in stalled
    assert Emit(SessionContinued(ContinueReason.RESUMED, 2_010)) in recovered


# The budget


@given(st.lists(st.tuples(st.sampled_from(Remedy), st.integers(0, 3), st.floats(0, 30)), max_size=60), st.floats(0, 1))
def test_no_more_streams_are_allowed_than_the_budget_has(given: list[tuple[Remedy, int, float]], jitter: float) -> None:
    budget, now, turn = Resumption(jitter), 0.0, 0
    allowed: list[tuple[float, int]] = []
    for remedy, step, seconds in given:
        now, turn = now + seconds, turn + step
        pause = budget.pause(remedy, turn, now)
        assert pause is None or 0 <= pause <= 2.0 * (1 + JITTER_SHARE)
        assert pause is None or remedy is not Remedy.FATAL_CONFIG
        if pause is not None:
            allowed.append((now, turn))

    assert budget.attempts == len(allowed)
    for at, of_turn in allowed:
        window = [other for other in allowed if 0 <= other[0] - at < WINDOW_SECONDS]
        assert len(window) <= WINDOW_ATTEMPTS
        assert len([other for other in window if other[1] == of_turn]) <= TURN_ATTEMPTS


def test_pauses_grow() -> None:
    budget = Resumption()
    pauses = [budget.pause(Remedy.BACKOFF, 1, 0.0) for _ in range(TURN_ATTEMPTS)]

    assert all(before < after for before, after in pairwise(pause for pause in pauses if pause is not None))
    assert pauses == [0.5, 1.0, 2.0]
    assert budget.pause(Remedy.BACKOFF, 1, 0.0) is None


@pytest.mark.parametrize(("seconds", "is_over"), [(REPEAT_SECONDS - 0.1, True), (REPEAT_SECONDS, False)])
def test_what_is_refused_twice_within_seconds_is_not_tried_a_third_time(seconds: float, *, is_over: bool) -> None:
    budget = Resumption()
    budget.pause(Remedy.RESUME_ONCE, 1, 0.0)

    assert (budget.pause(Remedy.RESUME_ONCE, 2, seconds) is None) is is_over


def test_every_remedy_has_a_cure_and_every_life_can_be_left() -> None:
    assert set(CURES) == set(Remedy)
    assert {before for before, _ in LIVES} == set(Life)


def test_a_model_that_takes_no_text_is_told_everything_as_history() -> None:
    talk = Conversation(PLAN_WITHOUT_TEXT)
    nova = Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Is it there?"), *nova.calls("tool-1"))
    talk.give(ToolDone("tool-1", "{}", None, 5))

    history, asked = told(opening_of(dies(talk)).opening)

    assert asked == []
    assert len(history) == 1
    assert re.fullmatch(r"Is it there\? \(System note.* lookUp was called and returned \{\}\)", history[0])


# Histories that are refused


def talked(exchanges: int = 8) -> Conversation:
    """Return a conversation in which much was said."""
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    for number in range(exchanges):
        nova = Nova()
        talk.says(*nova.hears(), *nova.heard_out(), *nova.user(f"Question {number}. " + "x" * 500))
        talk.says(*nova.plans("y" * 500), *nova.speaks(500))
        talk.listen(1.0)
    return talk


def told_characters(effects: list[Effect]) -> int:
    return sum(len(text) for text in told(opening_of(effects).opening)[0])


@pytest.mark.parametrize("code", ["model_history_too_long", "model_validation"])
def test_a_history_that_is_refused_is_halved_until_the_next_stream_takes_it(code: str) -> None:
    talk = talked()
    sizes = [told_characters(dies(talk))]
    sizes += [told_characters(talk.give(StreamFailed(generation, code, Remedy.RESUME_ONCE))) for generation in (2, 3, 4)]
    talk.give(StreamOpened(5))

    assert sizes[0] > 8_000
    assert 0 < sizes[1] <= sizes[0] / 2
    assert 0 < sizes[2] <= sizes[1] / 2
    assert sizes[3] == 0
    assert talk.machine.state is State.ACTIVE


def test_an_opening_that_is_refused_although_it_tells_nothing_ends_the_session() -> None:
    talk = talked()
    dies(talk)
    effects: list[Effect] = []
    for generation in (2, 3, 4, 5):
        effects = talk.give(StreamFailed(generation, "model_history_too_long", Remedy.RESUME_ONCE))

    assert [failure.code for failure in failures(effects)] == ["model_refused"]


def test_a_stream_that_refuses_its_history_after_it_was_accepted_is_replaced_by_one_that_is_told_less() -> None:
    talk = talked()
    first = told_characters(dies(talk))
    talk.give(StreamOpened(2))
    talk.now += 0.5
    second = told_characters(talk.give(StreamFailed(2, "model_history_too_long", Remedy.RESUME_ONCE)))

    assert 0 < second <= first / 2


def test_a_planned_change_that_is_refused_for_its_history_is_tried_again_with_half_of_it() -> None:
    talk = talked()
    first = told_characters(later(talk, RENEW_SECONDS))
    talk.give(StreamFailed(2, "model_history_too_long", Remedy.RESUME_ONCE))
    second = told_characters(later(talk, RETRY_SECONDS))

    assert 0 < second <= first / 2


# Many at once


def test_streams_that_die_together_are_looked_for_one_after_another_and_a_single_one_at_once() -> None:
    crowd = Crowd()
    joined = [crowd.join(0.01 * number) for number in range(5)]
    pauses = [Resumption(jitter).pause(Remedy.RESUME, 1, 0.0, crowd=4) for jitter in (0.0, 0.5, 1.0)]

    assert joined == [0, 1, 2, 3, 4]
    assert crowd.join(1.0 + CROWD_SECONDS) == 0
    assert pauses == [0.0, CROWD_PAUSE_SECONDS / 2, CROWD_PAUSE_SECONDS]
    assert Resumption(1.0).pause(Remedy.RESUME, 1, 0.0, crowd=CROWD - 1) == 0.0
    assert Resumption(1.0).pause(Remedy.BACKOFF, 1, 0.0, crowd=4) == 0.5 * (1 + JITTER_SHARE)


# With a runner: real tasks, virtual time


async def test_what_is_said_while_there_is_no_stream_goes_to_the_next_one_but_for_what_is_older_than_ten_seconds() -> None:
    async with session() as rig:
        rig.model.opens.clear()
        rig.stream.fail(model_error())
        await rig.settled()
        for number in range(120):
            async with asyncio.timeout(0.05):
                await rig.runner.submit(SendAudio(number.to_bytes(2, "little") * 1_600))
            await asyncio.sleep(0.1)
        rig.model.opens.set()
        await asyncio.sleep(1)
        numbers = [int.from_bytes(event.pcm[:2], "little") for group in rig.stream.sent for event in group if hasattr(event, "pcm")]

        assert numbers[:100] == list(range(20, 120))
        assert rig.machine.statistics.audio_in_dropped_ms == 2_000


async def test_a_tool_outlives_its_stream() -> None:
    async with session() as rig:
        rig.says(*rig.nova.calls("tool-1"))
        await rig.settled()
        rig.stream.fail(model_error())
        await rig.settled()
        rig.tools.finish("tool-1", Outcome('{"status":"ready"}'))
        await asyncio.sleep(10)
        texts = [event.content for group in rig.stream.sent for event in group if isinstance(event, TextInput)]

        assert len(rig.model.streams) == 2
        assert len(texts) == 1
        assert '{"status":"ready"}' in texts[0]
        assert rig.tools.cancelled == []


async def test_a_model_that_stays_away_ends_the_session_with_its_code() -> None:
    async with session() as rig:
        rig.model.error = model_error("model_unreachable", Remedy.BACKOFF)
        rig.stream.fail(model_error())
        await asyncio.sleep(10)
        events = await rig.rest()

        assert [event.code for event in events if isinstance(event, SessionFailed)] == ["model_unreachable"]
        assert all(event.ref for event in events if isinstance(event, SessionFailed))
        assert SessionStalled("model_unreachable") in events

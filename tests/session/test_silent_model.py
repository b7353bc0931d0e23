"""A model that reads and says nothing: no write ever fails, so only the time that an answer takes can tell."""

from dataclasses import replace

import pytest

from s2s.errors import Remedy
from s2s.events import StopReason, TextInput
from session.effects import Begin, CloseStream, Effect, Emit, Finish, ModelEvent, OpenStream, StreamFailed, StreamOpened, Tick, ToolDone
from session.events import Interrupt, SendText, SessionFailed, SpeechChunk
from session.life_cycle import State
from session.machine import STUCK_SECONDS
from session.resumption import TURN_ATTEMPTS
from session.turns import HUNG_AFTER_TEXT_SECONDS, HUNG_SECONDS
from tests.session.doubles import PLAN, Conversation, Nova, speech


def opened() -> Conversation:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    return talk


def asked() -> Conversation:
    """Return an open conversation in which something was typed."""
    talk = opened()
    talk.give(SendText("¿Está mi pedido?"))
    return talk


def codes(effects: list[Effect]) -> list[str]:
    return [effect.event.code for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, SessionFailed)]


def openings(effects: list[Effect]) -> list[OpenStream]:
    return [effect for effect in effects if isinstance(effect, OpenStream)]


def later(talk: Conversation, seconds: float) -> list[Effect]:
    talk.now += seconds
    return talk.give(Tick())


def test_a_model_that_does_not_answer_a_typed_turn_is_asked_again_on_another_stream() -> None:
    talk = asked()
    before = later(talk, HUNG_AFTER_TEXT_SECONDS - 0.01)
    deadline = talk.machine.next_deadline()
    effects = later(talk, 0.02)

    assert openings(before) == []
    assert deadline is not None
    assert deadline <= talk.now
    assert CloseStream(1) in effects
    (opening,) = openings(effects)
    assert [event.content for event in opening.opening if isinstance(event, TextInput)][-1] == "¿Está mi pedido?"


def test_a_model_that_never_answers_is_given_up() -> None:
    talk = asked()
    told: list[str] = []
    for generation in range(2, TURN_ATTEMPTS + 3):
        effects = later(talk, HUNG_AFTER_TEXT_SECONDS + 0.01)
        told += codes(effects)
        talk.give(StreamOpened(generation))

    assert told == ["model_lost"]
    assert effects[-1] == Finish()


def test_a_model_that_understood_what_was_said_and_says_nothing_is_replaced() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Está mi pedido?"))
    before = later(talk, HUNG_SECONDS - 0.01)

    assert openings(before) == []
    assert len(openings(later(talk, 0.02))) == 1


def test_a_model_that_is_silent_after_a_tool_is_replaced() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Está?"), *nova.calls("tool-1"))
    waiting = later(talk, 40.0)
    talk.give(ToolDone("tool-1", "{}", None, 40_000))

    assert openings(waiting) == []
    assert len(openings(later(talk, HUNG_AFTER_TEXT_SECONDS))) == 1


@pytest.mark.parametrize("what", ["a noise", "an answer that has begun", "a tool", "the user speaks on", "the user wants quiet", "nothing"])
def test_a_model_that_owes_no_answer_may_be_silent(what: str) -> None:
    talk, nova = opened(), Nova()
    match what:
        case "a noise":
            talk.says(*nova.hears(), *nova.heard_out())
        case "an answer that has begun":
            talk.give(SendText("Hola."))
            talk.says(*nova.plans("Un momento."))
        case "a tool":
            talk.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Está?"), *nova.calls("tool-1"))
        case "the user speaks on":
            talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Bueno,"), *nova.hears())
        case "the user wants quiet":
            talk.give(SendText("Hola."))
            talk.give(Interrupt())
        case _:
            pass

    assert openings(later(talk, 10 * HUNG_SECONDS)) == []


def test_the_time_of_a_text_that_was_typed_before_the_stream_was_open_begins_with_the_stream() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(SendText("Hola."))
    talk.now += HUNG_AFTER_TEXT_SECONDS
    talk.give(StreamOpened(1))

    assert openings(later(talk, HUNG_AFTER_TEXT_SECONDS - 0.01)) == []
    assert talk.machine.state is State.ACTIVE
    assert len(openings(later(talk, 0.02))) == 1


def test_a_late_text_of_the_answer_before_does_not_count_as_an_answer() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.user("¿Está?"), *nova.plans("Sí."), *nova.speaks(500))
    talk.give(SendText("¿Seguro?"))
    talk.says(*nova.said("Sí."))

    assert openings(later(talk, HUNG_AFTER_TEXT_SECONDS + 0.01)) != []


def typed_over_an_answer(nova: Nova) -> Conversation:
    """Return a conversation in which something was typed in the middle of an answer that the model goes on with for another sentence."""
    talk = opened()
    talk.says(*nova.user("¿Está?"), *nova.plans("Sí."), *nova.opens_audio(), *nova.audio(400))
    talk.give(SendText("¿Seguro?"))
    talk.says(*nova.closes_audio(), *nova.plans("Está acá."), *nova.opens_audio())
    return talk


@pytest.mark.parametrize("repeats", [True, False])
def test_the_rest_of_an_answer_does_not_count_as_the_answer_to_what_was_typed_over_it(*, repeats: bool) -> None:
    nova = Nova()
    talk = typed_over_an_answer(nova)
    talk.says(*nova.closes_audio(StopReason.INTERRUPTED), *nova.marker(), *(nova.user("¿Seguro?") if repeats else ()))
    before = later(talk, HUNG_AFTER_TEXT_SECONDS - 0.01)
    effects = later(talk, 0.02)

    assert openings(before) == []
    (opening,) = openings(effects)
    assert [event.content for event in opening.opening if isinstance(event, TextInput)][-1] == "¿Seguro?"


def test_the_rest_of_an_answer_puts_off_the_one_to_what_was_typed_over_it() -> None:
    nova = Nova()
    talk = typed_over_an_answer(nova)
    talk.now += HUNG_AFTER_TEXT_SECONDS - 1.0
    talk.says(*nova.closes_audio(), *nova.plans("En la tienda."), *nova.speaks(400))

    assert openings(later(talk, HUNG_AFTER_TEXT_SECONDS - 0.01)) == []
    assert len(openings(later(talk, 0.02))) == 1


@pytest.mark.parametrize("seconds", [1.0, 2 * HUNG_SECONDS])
def test_a_model_that_says_nothing_to_a_question_beside_a_tool_of_the_stream_before_is_replaced(seconds: float) -> None:
    talk, nova, again = Conversation(replace(PLAN, takes_text=False)), Nova(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*nova.user("¿Está?"), *nova.calls("tool-1"))
    talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))
    talk.give(Tick())
    talk.give(StreamOpened(2))
    for event in again.user("¿Hola?"):
        talk.give(ModelEvent(2, event))
    waiting = later(talk, seconds)
    talk.give(ToolDone("tool-1", "{}", None, 1))

    assert openings(waiting) == []
    assert len(openings(later(talk, max(0.01, HUNG_SECONDS - seconds + 0.01)))) == 1


def test_a_model_that_stops_in_the_middle_of_an_answer_is_replaced_and_what_came_is_heard() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.user("¿Está?"), *nova.plans("Sí, está."), *nova.opens_audio(), *nova.audio(400))
    talk.listen(STUCK_SECONDS - 0.01)
    before = talk.give(Tick())
    effects = later(talk, 0.02)
    talk.listen(1.0)

    assert openings(before) == []
    assert CloseStream(1) in effects
    assert len(openings(effects)) == 1
    assert sum(len(event.pcm) for event in talk.heard if isinstance(event, SpeechChunk)) == len(speech(400))


def test_a_model_that_stops_in_an_answer_that_nobody_wants_any_more_is_replaced_as_well() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.user("¿Está?"), *nova.plans("Sí, está."), *nova.opens_audio(), *nova.audio(400))
    talk.give(Interrupt())

    assert len(openings(later(talk, STUCK_SECONDS + 0.01))) == 1


def test_a_model_whose_answer_goes_on_slowly_is_not_stuck() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.user("¿Está?"), *nova.plans("Sí, está."), *nova.opens_audio())
    for _ in range(4):
        talk.listen(STUCK_SECONDS - 1.0)
        talk.says(*nova.audio(400))
        talk.give(Tick())

    assert openings(talk.effects) == openings(talk.effects[:1])

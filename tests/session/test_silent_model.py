"""A model that reads and says nothing: no write ever fails, so only the time that an answer takes can tell."""

from session.effects import Begin, Effect, Emit, Finish, StreamOpened, Tick
from session.events import SendText, SessionFailed
from session.machine import SILENT_MODEL_SECONDS, State
from tests.session.doubles import Conversation, Nova


def asked(talk: Conversation) -> Conversation:
    """Return an open conversation in which something was typed."""
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.give(SendText("¿Está mi pedido?"))
    return talk


def codes(effects: list[Effect]) -> list[str]:
    return [effect.event.code for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, SessionFailed)]


def later(talk: Conversation, seconds: float) -> list[Effect]:
    talk.now += seconds
    return talk.give(Tick())


def test_a_model_that_does_not_answer_a_typed_turn_is_given_up() -> None:
    talk = asked(Conversation())
    before = later(talk, SILENT_MODEL_SECONDS - 0.01)
    deadline = talk.machine.next_deadline()
    effects = later(talk, 0.02)

    assert codes(before) == []
    assert deadline is not None
    assert deadline <= talk.now
    assert codes(effects) == ["model_lost"]
    assert effects[-1] == Finish()


def test_a_model_that_has_said_anything_is_waited_for() -> None:
    talk = asked(Conversation())
    talk.says(*Nova().plans("Un momento."))

    assert codes(later(talk, 10 * SILENT_MODEL_SECONDS)) == []


def test_a_listening_model_may_be_silent_for_as_long_as_the_user_is() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))

    assert codes(later(talk, 10 * SILENT_MODEL_SECONDS)) == []


def test_the_time_of_a_text_that_was_typed_before_the_stream_was_open_begins_with_the_stream() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(SendText("Hola."))
    talk.now += SILENT_MODEL_SECONDS
    talk.give(StreamOpened(1))

    assert codes(later(talk, SILENT_MODEL_SECONDS - 0.01)) == []
    assert talk.machine.state is State.ACTIVE
    assert codes(later(talk, 0.02)) == ["model_lost"]

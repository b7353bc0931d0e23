"""What a new stream is told: everything that was said, once and in order. Each test is a fault that simulated conversations found."""

from s2s.errors import Remedy
from s2s.events import OutputEvent
from session.continuation import RENEW_SECONDS
from session.effects import Begin, ModelEvent, StreamFailed, StreamOpened, Tick
from tests.session.doubles import Conversation, Nova


def opened() -> tuple[Conversation, Nova]:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    return talk, Nova()


def says(talk: Conversation, generation: int, events: list[OutputEvent]) -> None:
    for event in events:
        talk.give(ModelEvent(generation, event))


def texts(talk: Conversation) -> list[str]:
    return [turn.text for turn in talk.machine.turns.history()]


def test_what_is_said_after_a_refused_exchange_is_remembered() -> None:
    talk, nova = opened()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Something awful."))
    talk.give(StreamFailed(1, "model_content_blocked", Remedy.DROP_LAST_AND_RESUME))
    talk.give(StreamOpened(2))
    says(talk, 2, [*nova.hears(), *nova.heard_out(), *nova.user("Is my order there?")])

    assert texts(talk) == ["Is my order there?"]


def test_texts_of_a_stream_that_was_left_reach_their_turn_after_the_next_stream_has_confirmed_its_own() -> None:
    talk, nova = opened()
    talk.says(*nova.user("One?"), *nova.plans("First answer."), *nova.speaks(500))
    talk.listen(RENEW_SECONDS)
    talk.give(Tick())
    talk.give(StreamOpened(2))
    says(talk, 2, [*nova.user("Two?"), *nova.plans("Second answer."), *nova.speaks(500), *nova.said("Second answer.")])
    talk.says(*nova.said("First answer."))

    assert texts(talk) == ["One?", "First answer.", "Two?", "Second answer."]

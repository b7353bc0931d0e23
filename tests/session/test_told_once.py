"""What a new stream is told: everything that was said, once and in order. Each test is a fault that simulated conversations found."""

from array import array
from dataclasses import replace
from itertools import cycle, islice

from s2s.errors import Remedy
from s2s.events import OutputEvent
from session.continuation import RENEW_SECONDS
from session.effects import Begin, ModelEvent, OpenStream, StreamFailed, StreamOpened, Tick
from session.events import SendAudio
from tests.session.doubles import PLAN, Conversation, Nova

STILL = (bytes(640),)
VOICE = (array("h", ([8_000] * 40 + [-8_000] * 40) * 4).tobytes(), *STILL)
"""Pieces of 20 ms. What is loud all the time is noise."""


def opened() -> tuple[Conversation, Nova]:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    return talk, Nova()


def says(talk: Conversation, generation: int, events: list[OutputEvent]) -> None:
    for event in events:
        talk.give(ModelEvent(generation, event))


def hears(talk: Conversation, sound: tuple[bytes, ...], seconds: float) -> None:
    """Send the same sound again and again for a while."""
    for piece in islice(cycle(sound), round(seconds / 0.02)):
        talk.now += 0.02
        talk.give(SendAudio(piece))
        talk.give(Tick())


def openings(talk: Conversation) -> list[int]:
    """Return the generations of all streams that were opened."""
    return [effect.generation for effect in talk.effects if isinstance(effect, OpenStream)]


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


def test_a_stream_that_does_not_say_whom_it_hears_is_not_left_before_it_has_understood() -> None:
    talk, nova = Conversation(replace(PLAN, takes_text=False)), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.now = RENEW_SECONDS - 150.0
    talk.says(*nova.user("Hello?"), *nova.plans("Hello."), *nova.speaks(500))
    talk.listen(148.0)
    hears(talk, VOICE, 2.5)
    hears(talk, STILL, 1.0)
    meanwhile = openings(talk)
    talk.says(*nova.user("One?"), *nova.plans("First answer."), *nova.speaks(500))
    talk.listen(5.0)
    hears(talk, STILL, 1.0)

    assert meanwhile == [1]
    assert openings(talk) == [1, 2]

"""What a new stream is told: everything that was said, once and in order. Each test is a fault that simulated conversations found."""

from array import array
from dataclasses import replace
from itertools import cycle, islice

import pytest

from s2s.errors import Remedy
from s2s.events import OutputEvent, Stage, StopReason, TextInput
from session.continuation import RENEW_SECONDS
from session.effects import Begin, Effect, ModelEvent, OpenStream, Route, StreamFailed, StreamOpened, Tick, ToolDone
from session.events import Interrupt, SendAudio, TranscriptUpdated
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


def stopped_and_left() -> tuple[Conversation, Nova]:
    """Return a conversation whose stream was left in the middle of an answer that the user had stopped."""
    talk, nova = opened()
    talk.now = RENEW_SECONDS - 2.0
    talk.says(
        *nova.hears(), *nova.heard_out(), *nova.user("One?"), *nova.plans("First answer."), *nova.speaks(1_000, StopReason.PARTIAL_TURN)
    )
    talk.says(*nova.plans("And more."), *nova.opens_audio(), *nova.audio(400))
    talk.listen(1.0)
    talk.give(Interrupt())
    talk.listen(1.0)
    talk.give(Tick())
    talk.give(StreamOpened(2))
    talk.says(*nova.closes_audio(), *nova.plans("The end."), *nova.speaks(500))
    return talk, nova


@pytest.mark.parametrize("confirms", [True, False])
def test_what_a_stream_says_after_it_was_left_is_no_part_of_the_next_answer(*, confirms: bool) -> None:
    talk, nova = stopped_and_left()
    other = Nova()
    says(talk, 2, [*other.user("Two?"), *other.plans("Second answer."), *other.speaks(500)])
    says(talk, 2, other.said("Second answer.") if confirms else [])
    talk.says(*(event for text in ("First answer.", "And more.", "The end.") for event in nova.said(text)))
    says(talk, 2, [] if confirms else other.said("Second answer."))
    finals = [event.text for event in talk.told if isinstance(event, TranscriptUpdated) and (event.turn, event.stage) == (4, Stage.FINAL)]

    assert openings(talk) == [1, 2]
    assert texts(talk) == ["One?", "First answer.", "Two?", "Second answer."]
    assert finals == ["Second answer."]


def test_a_stream_that_was_left_confirms_its_own_answer_alone_when_it_uses_other_words() -> None:
    talk, nova = opened()
    talk.says(*nova.user("One?"), *nova.plans("It costs two euros."), *nova.speaks(500))
    talk.listen(RENEW_SECONDS)
    talk.give(Tick())
    talk.give(StreamOpened(2))
    says(talk, 2, [*nova.user("Two?"), *nova.plans("Second answer."), *nova.speaks(500)])
    talk.says(*nova.said("It costs 2 €."), *nova.said("That is all."))

    assert texts(talk) == ["One?", "It costs 2 €.", "Two?", "Second answer."]


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


def without_text() -> tuple[Conversation, Nova]:
    """Return a conversation with a model that is sent the sound of a question again, because it takes no text."""
    talk, nova = Conversation(replace(PLAN, takes_text=False)), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    hears(talk, STILL, 1.0)
    return talk, nova


def asks(talk: Conversation, nova: Nova, text: str) -> None:
    hears(talk, VOICE, 1.0)
    hears(talk, STILL, 1.0)
    talk.says(*nova.user(text))


def told(talk: Conversation, effects: list[Effect]) -> str:
    """Return all that the stream is told that is opened when the present one dies."""
    (opening,) = [effect.opening for effect in effects if isinstance(effect, OpenStream)]
    return " ".join(event.content for event in opening if isinstance(event, TextInput))


def test_a_question_that_a_tool_was_called_for_is_remembered_when_only_the_sound_of_a_later_one_is_kept() -> None:
    talk, nova = without_text()
    asks(talk, nova, "One?")
    talk.says(*nova.calls("tool-1"))
    hears(talk, STILL, 1.0)
    asks(talk, nova, "Two?")
    talk.give(ToolDone("tool-1", "{}", None, 5))
    dies = talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))

    assert "One?" in told(talk, dies)
    assert "Two?" not in told(talk, dies), "its sound is sent"


def test_a_question_that_a_tool_was_called_for_is_remembered_while_the_user_says_something_that_has_no_text_yet() -> None:
    talk, nova = without_text()
    asks(talk, nova, "One?")
    talk.says(*nova.calls("tool-1"))
    talk.give(ToolDone("tool-1", "{}", None, 5))
    hears(talk, STILL, 1.0)
    hears(talk, VOICE, 1.0)

    assert "One?" in told(talk, talk.give(StreamFailed(1, "model_lost", Remedy.RESUME)))


def test_two_questions_whose_sound_is_sent_again_are_noted_once_however_the_next_stream_writes_them_down() -> None:
    for again in (["One?", "Two?"], ["One? Two?"]):
        talk, nova = without_text()
        asks(talk, nova, "One?")
        asks(talk, nova, "Two?")
        dies = talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))
        taken = talk.give(StreamOpened(2))
        says(talk, 2, [event for text in again for event in nova.user(text)])

        (route,) = [effect for effect in taken if isinstance(effect, Route)]
        assert "One?" not in told(talk, dies)
        assert sum(group.audio_ms for group in route.first) > 3_500, "the sound of both"
        assert texts(talk) == ["One? Two?"]

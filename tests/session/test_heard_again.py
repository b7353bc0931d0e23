"""A question whose sound is sent again is written again by the next stream, and is no other question for that."""

from s2s.errors import Remedy
from s2s.events import TextInput
from session.effects import Begin, ModelEvent, OpenStream, Route, StreamFailed, StreamOpened
from session.hearing import Hearing, Heed, Sign
from tests.session.doubles import Conversation, Nova
from tests.session.test_hearing import HERTZ, PLAN_WITHOUT_TEXT, noise, speaks


def test_two_texts_that_are_heard_again_are_told_once() -> None:
    talk, nova = Conversation(PLAN_WITHOUT_TEXT), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    speaks(talk, 12.0, noise(6_000, 110) + bytes(2_560))
    talk.says(*nova.user("Is it"), *nova.user("there now?"))
    for generation in (2, 3):
        died = talk.give(StreamFailed(generation - 1, "model_lost", Remedy.RESUME))
        talk.give(StreamOpened(generation))
        for event in (*nova.user("it"), *nova.user("there now?")):
            talk.give(ModelEvent(generation, event))
    (opening,) = [effect for effect in died if isinstance(effect, OpenStream)]

    assert [event.content for event in opening.opening if isinstance(event, TextInput)][-1] == "Is it there now?"
    assert [effect for effect in talk.effects if isinstance(effect, Route) and effect.first]


def test_what_was_sent_again_and_answered_is_not_sent_once_more() -> None:
    hearing = Hearing(HERTZ, listens_itself=True)
    hearing.note(Sign.BEGAN, 0.0)
    hearing.note(Sign.CUT_OFF, 0.0)
    hearing.sent_again(0.0)
    hearing.note(Sign.ANSWERED, 1.0)

    assert hearing.heed is Heed.NOBODY

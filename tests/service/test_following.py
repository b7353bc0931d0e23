"""When a recording has been heard and answered: moments of the session's events, at a time that the test says."""

import pytest

from s2s.events import Role, Stage
from service.following import USUAL, Following
from session.events import (
    Interrupted,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)


def user(text: str, turn: int = 1) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.USER, Stage.FINAL, text)


def plans(text: str, turn: int = 2) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.ASSISTANT, Stage.SPECULATIVE, text)


def said(text: str, turn: int = 2) -> TranscriptUpdated:
    return TranscriptUpdated(turn, Role.ASSISTANT, Stage.FINAL, text)


def followed(*events: SessionEvent | float, wants_answer: bool = True) -> tuple[Following, float]:
    """Return what follows from events and pauses, and the time then; a pause of nothing says that all was sent."""
    following, now = Following(wants_answer=wants_answer), 0.0
    for event in events:
        if not isinstance(event, float):
            following.take(event, now)
        elif event:
            now += event
        else:
            following.heard.sent(now)
        following.look(now)
    return following, now


SENT = 0.0


@pytest.mark.req("S0-30")
def test_a_recording_is_heard_when_the_model_answers_after_all_was_sent() -> None:
    following, now = followed(
        UserSpeechStarted(1), 1.0, SENT, UserSpeechEnded(1), 0.5, user("Hello there."), plans("OK."), wants_answer=False
    )

    assert following.heard.text == "Hello there."
    assert following.done_at == now


@pytest.mark.req("S0-30")
def test_a_model_that_says_nothing_is_given_a_moment() -> None:
    following, now = followed(UserSpeechStarted(1), SENT, 1.0, UserSpeechEnded(1), user("Hello."), wants_answer=False)

    assert following.look(now) == now + USUAL.quiet_seconds
    following.look(now + USUAL.quiet_seconds)
    assert following.done_at == now + USUAL.quiet_seconds


@pytest.mark.parametrize(
    "events",
    [
        (UserSpeechStarted(1),),
        (SENT, UserSpeechStarted(1)),
        (SENT, UserSpeechStarted(1), UserSpeechEnded(1)),
        (UserSpeechStarted(1), UserSpeechEnded(1), user("One.")),
        (UserSpeechStarted(1), UserSpeechEnded(1), user("One."), plans("OK."), UserSpeechStarted(3), SENT),
    ],
)
def test_nothing_is_over_while_something_is_sent_or_somebody_speaks_or_has_no_text_yet(events: tuple[SessionEvent | float, ...]) -> None:
    following, now = followed(*events)

    assert following.look(now + 100.0) is None
    assert following.transcribed_at is None


def test_a_recording_without_speech_is_over_after_a_while() -> None:
    following, now = followed(1.0, SENT)

    assert following.look(now) == now + USUAL.nothing_seconds
    following.look(now + USUAL.nothing_seconds)
    assert (following.done_at, following.heard.text) == (now + USUAL.nothing_seconds, "")


@pytest.mark.req("S0-30")
def test_all_that_was_said_between_pauses_is_one_text() -> None:
    first = (UserSpeechStarted(1), UserSpeechEnded(1), user("One."), plans("OK.", 2))
    second = (UserSpeechStarted(3), UserSpeechEnded(3), SENT, user("Two.", 3), plans("OK.", 4))
    following, _ = followed(*first, *second, wants_answer=False)

    assert following.heard.text == "One. Two."
    assert following.done_at is not None


ASKED = (UserSpeechStarted(1), UserSpeechEnded(1), SENT, user("What time is it?"))


@pytest.mark.req("S0-29")
def test_an_answer_is_its_planned_words_and_all_its_speech() -> None:
    following, now = followed(
        *ASKED, SpeechStarted(2, 16_000), plans("It is"), SpeechChunk(2, b"ab"), plans("nine."), SpeechChunk(2, b"cd")
    )

    assert following.done_at is None
    following.take(SpeechEnded(2), now)
    assert following.look(now) == now + USUAL.settled_seconds
    following.take(said("It is"), now)
    following.look(now + USUAL.settled_seconds)
    assert (following.answered.text, following.answered.pcm, following.answered.hertz) == ("It is nine.", b"abcd", 16_000)
    assert following.done_at == now + USUAL.settled_seconds


def test_an_answer_goes_on_while_a_tool_runs_and_after_it() -> None:
    lookup = (SpeechStarted(2, 24_000), SpeechChunk(2, b"ab"), SpeechEnded(2), ToolStarted(2, "use", "lookUp", "{}"))
    following, now = followed(*ASKED, *lookup)

    assert following.look(now + 100.0) is None
    following.take(ToolFinished(2, "use", "lookUp", "{}", None, 10), now)
    assert following.look(now + 100.0) is None
    for event in (plans("Nine.", 3), SpeechStarted(3, 24_000), SpeechChunk(3, b"cd"), SpeechEnded(3)):
        following.take(event, now)
    following.look(now + USUAL.settled_seconds)
    assert (following.answered.text, following.answered.pcm) == ("Nine.", b"abcd")
    assert following.done_at is not None


def test_an_answer_to_the_first_half_of_a_recording_is_none() -> None:
    half = (UserSpeechStarted(1), UserSpeechEnded(1), user("What"), plans("What what?"), SpeechStarted(2, 24_000), SpeechChunk(2, b"no"))
    rest = (Interrupted(2, 100), UserSpeechStarted(3), UserSpeechEnded(3), user("time is it?", 3), SENT, said("What", 2))
    answer = (plans("Nine.", 4), SpeechStarted(4, 24_000), SpeechChunk(4, b"ok"), SpeechEnded(4), USUAL.settled_seconds)
    following, _ = followed(*half, *rest, *answer)

    assert (following.heard.text, following.answered.text, following.answered.pcm) == ("What time is it?", "Nine.", b"ok")
    assert following.done_at is not None


def test_a_model_that_plans_nothing_is_taken_by_its_final_words() -> None:
    following, _ = followed(*ASKED, SpeechStarted(2, 24_000), SpeechChunk(2, b"ok"), said("Nine."), SpeechEnded(2), USUAL.settled_seconds)

    assert following.answered.text == "Nine."

"""What is written down of a conversation is what was said and heard."""

from datetime import timedelta

import pytest

from observers.transcript import OPEN_TURNS, WITHHELD, LateResult, without_secrets
from s2s.errors import Remedy
from s2s.events import Role, Stage, StopReason
from session.effects import Begin, StreamFailed, StreamOpened, ToolDone
from session.events import (
    End,
    EndReason,
    ExchangeRefused,
    Interrupt,
    SendText,
    SessionEnded,
    SpeechEnded,
    SpeechStarted,
    ToolFinished,
    TranscriptUpdated,
)
from session.turns import RECORDS_LIMIT
from storage.conversation_turns import ToolCall
from tests.observers.written import BEGAN, WrittenConversation
from tests.session.doubles import Nova, chunk

ANSWER = "one two three four five six seven eight nine ten"
"""A word for each second of its speech."""


@pytest.fixture
def talk() -> WrittenConversation:
    talk = WrittenConversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    return talk


@pytest.fixture
def nova() -> Nova:
    return Nova()


def counting(talk: WrittenConversation, nova: Nova, heard_seconds: float) -> None:
    """Play so much of an answer of ten seconds that came in a burst."""
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Count."), *nova.plans(ANSWER))
    talk.says(*nova.speaks(10_000, pieces=40))
    talk.listen(heard_seconds)


@pytest.mark.req("S1-28")
def test_an_exchange_is_written_once_with_its_times(talk: WrittenConversation, nova: Nova) -> None:
    talk.now = 1.0
    talk.says(*nova.start(), *nova.hears())
    talk.now = 3.0
    talk.says(*nova.heard_out(), *nova.user("Hola."))
    talk.says(*nova.plans("Buenos días."), *nova.speaks(1_000))
    before = talk.writes
    talk.listen(2.0)
    talk.says(*nova.said("Buenos días."))
    user, assistant = talk.written[1], talk.written[2]

    assert talk.said == [("USER", "Hola."), ("ASSISTANT", "Buenos días.")]
    assert (user.started_at, user.ended_at) == (BEGAN + timedelta(seconds=1), BEGAN + timedelta(seconds=3))
    assert assistant.started_at == BEGAN + timedelta(seconds=3)
    assert assistant.ended_at is not None
    assert assistant.ended_at > assistant.started_at
    assert not assistant.is_interrupted
    assert (before, talk.writes) == (1, 2)


@pytest.mark.req("S1-28", "S4-78")
@pytest.mark.parametrize("seconds", [0, 1, 4, 9])
def test_of_an_interrupted_answer_what_was_heard_is_written(talk: WrittenConversation, nova: Nova, seconds: int) -> None:
    counting(talk, nova, seconds + 0.02)
    talk.says(*nova.hears(), *nova.marker(), *nova.heard_out(), *nova.user("Stop."), *nova.said(ANSWER))
    words = " ".join(ANSWER.split()[:seconds])

    assert talk.said == [("USER", "Count."), *([("ASSISTANT", words)] if words else []), ("USER", "Stop.")]
    assert [turn.number for turn in talk.written.values() if turn.is_interrupted] == ([2] if words else [])


def test_an_answer_that_is_cut_after_all_of_it_was_delivered_is_written_again(talk: WrittenConversation, nova: Nova) -> None:
    words = [f"w{number}" for number in range(100)]
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Count."), *nova.plans(" ".join(words)), *nova.speaks(5_000))
    talk.listen(4.9)
    whole = talk.written[2].text
    talk.give(Interrupt())

    assert whole == " ".join(words)
    assert talk.written[2].text == " ".join(words[:98])


def test_nothing_of_an_answer_that_is_still_to_be_heard_is_written(talk: WrittenConversation, nova: Nova) -> None:
    counting(talk, nova, 5.0)

    assert talk.said == [("USER", "Count.")]


def test_an_answer_that_goes_on_when_the_session_ends_is_written_as_far_as_it_was_heard(talk: WrittenConversation, nova: Nova) -> None:
    counting(talk, nova, 6.02)
    talk.give(End())

    assert talk.said == [("USER", "Count."), ("ASSISTANT", "one two three four five six")]
    assert talk.written[2].is_interrupted


def test_what_was_planned_and_not_spoken_when_the_session_ends_is_not_written(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Hola."), *nova.plans("Buenos días."))
    talk.give(End())

    assert talk.said == [("USER", "Hola.")]


def test_an_answer_that_was_heard_stays_whole_when_the_service_never_confirms_it(talk: WrittenConversation, nova: Nova) -> None:
    counting(talk, nova, 11.0)
    talk.give(End())

    assert talk.said[-1] == ("ASSISTANT", ANSWER)
    assert not talk.written[2].is_interrupted


@pytest.mark.req("S1-28")
def test_of_an_answer_whose_stream_dies_what_came_is_written(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Count."), *nova.plans(ANSWER), *nova.opens_audio())
    for _ in range(8):
        talk.says(*nova.audio(200))
    talk.give(StreamFailed(1, "connection_lost", Remedy.RESUME))
    talk.listen(3.0)
    history = [(turn.role.value, turn.text) for turn in talk.machine.turns.history()]

    assert talk.said == history == [("USER", "Count."), ("ASSISTANT", "one two three four five")]


def test_sentences_are_confirmed_one_after_the_other_and_none_is_lost_meanwhile(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Hola."))
    first = nova.speaks(500, StopReason.PARTIAL_TURN, pieces=1)
    talk.says(*nova.plans("¡Hola! Soy Carlos."), *first, *nova.plans("¿Qué tal?"), *nova.speaks(500, pieces=1))
    talk.listen(2.0)
    texts = [talk.written[2].text]
    for sentence in ("¡Hola!", "Soy Carlos.", "¿Qué tal?"):
        talk.says(*nova.said(sentence))
        texts.append(talk.written[2].text)

    assert texts == ["¡Hola! Soy Carlos. ¿Qué tal?"] * 4


def test_what_the_service_says_otherwise_than_planned_is_written_as_it_was_said(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Hola."), *nova.plans("Son 3 euros."), *nova.speaks(500))
    talk.listen(1.0)
    planned = talk.written[2].text
    talk.says(*nova.said("Son tres euros."))

    assert (planned, talk.written[2].text) == ("Son 3 euros.", "Son tres euros.")


@pytest.mark.req("S2-24")
def test_a_typed_turn_and_an_answer_without_a_voice_are_written(talk: WrittenConversation, nova: Nova) -> None:
    talk.give(SendText("Hola."))
    talk.says(*nova.start(), *nova.plans("Buenas."), *nova.said("Buenas."))
    talk.give(End())

    assert talk.said == [("USER", "Hola."), ("ASSISTANT", "Buenas.")]


@pytest.mark.req("S1-28")
def test_a_tool_call_is_written_with_what_it_returned_and_without_secrets(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(
        *nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Mi pedido."), *nova.calls("t1", '{"orderId":"1","dni":"30111222"}')
    )
    talk.give(ToolDone("t1", '{"success":true}', None, 12))
    talk.says(*nova.plans("Llega hoy."), *nova.speaks(500), *nova.said("Llega hoy."))
    talk.listen(1.0)

    assert talk.written[2].calls == (ToolCall("t1", "lookUp", f'{{"orderId":"1","dni":"{WITHHELD}"}}', '{"success":true}'),)
    assert talk.said == [("USER", "Mi pedido."), ("ASSISTANT", "Llega hoy.")]


def test_a_tool_call_that_never_ends_is_written_when_the_session_does(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(*nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Mi pedido."), *nova.calls("t1"))
    talk.give(End())

    assert [call.result for call in talk.written[2].calls] == [None]


def test_the_result_of_a_call_that_another_process_wrote_is_told_apart() -> None:
    talk = WrittenConversation()
    talk.take(ToolFinished(7, "t1", "lookUp", '{"success":false}', "not_found", 5))

    assert talk.late == [LateResult(7, ToolCall("t1", "lookUp", "", '{"success":false}', "not_found"))]
    assert talk.transcript.last_turn == 7


def test_an_exchange_that_the_service_refuses_is_marked(talk: WrittenConversation, nova: Nova) -> None:
    talk.says(
        *nova.start(), *nova.hears(), *nova.heard_out(), *nova.user("Hola."), *nova.plans("Sí."), *nova.speaks(300), *nova.said("Sí.")
    )
    talk.listen(1.0)
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Nonsense."))
    talk.take(ExchangeRefused("refused", "Not accepted."))

    assert [turn.is_refused for turn in talk.written.values()] == [False, False, True]


def test_speech_that_nobody_was_given_does_not_keep_its_turn_from_being_written() -> None:
    talk = WrittenConversation()
    talk.take(TranscriptUpdated(1, Role.ASSISTANT, Stage.SPECULATIVE, "Hola."), SpeechStarted(1, 24_000), chunk(1, 500), SpeechEnded(1))
    before = dict(talk.written)
    talk.take(TranscriptUpdated(2, Role.USER, Stage.FINAL, "Hola."))

    assert before == {}
    assert list(talk.written) == [1, 2]


def test_no_more_turns_are_remembered_than_can_still_change() -> None:
    talk = WrittenConversation()
    for number in range(1, RECORDS_LIMIT):
        talk.take(TranscriptUpdated(number, Role.USER, Stage.FINAL, f"{number}"))
    talk.take(TranscriptUpdated(RECORDS_LIMIT - OPEN_TURNS - 1, Role.USER, Stage.FINAL, "too late"), SessionEnded(EndReason.CLIENT))

    assert [turn.text for turn in talk.written.values()] == [f"{number}" for number in range(1, RECORDS_LIMIT)]
    assert talk.writes == RECORDS_LIMIT - 1


@pytest.mark.parametrize("arguments", ["", "[]", "no", '"[1]"', "{" * 100])
def test_arguments_that_are_no_object_are_left_out(arguments: str) -> None:
    assert without_secrets(arguments) == ""

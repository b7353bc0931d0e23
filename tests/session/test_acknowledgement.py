"""When the assistant says that a tool takes its time, and when it holds its tongue."""

import math
from array import array
from dataclasses import replace

import pytest

from s2s.errors import Remedy
from s2s.events import InputEvent, Role, TextInput, ToolContentStart
from session.assistant import ACKNOWLEDGE_AFTER_SECONDS, SessionPlan
from session.effects import Begin, ClientBack, ClientLost, CloseStream, Effect, OpenStream, Send, StreamFailed, StreamOpened, Tick, ToolDone
from session.events import HistoryTurn, Interrupt, SendAudio, SendText, TranscriptUpdated
from session.turns import ANSWER_SECONDS, HUNG_AFTER_TEXT_SECONDS
from tests.session.doubles import PLAN, Conversation, Nova

SENTENCE = "Un momento, lo estoy consultando."
PATIENT = replace(PLAN, acknowledgement=SENTENCE)
VOICE = array("h", (round(8_000 * math.sin(2 * math.pi * 150 * at / 16_000)) for at in range(320))).tobytes()
"""20 ms of somebody's speech."""
RESULT = '{"order":"1"}'


class Call(Conversation):
    """A conversation in which the user has asked something and the model has called a tool, with a client that hears all."""

    def __init__(self, plan: SessionPlan = PATIENT) -> None:
        super().__init__(plan)
        self.nova = Nova()
        self.give(Begin())
        self.give(StreamOpened(1))
        self.asks("¿Y mi pedido?")
        self.calls("tool-1")

    def asks(self, text: str) -> None:
        """Let the user ask something."""
        self.says(*self.nova.hears(), *self.nova.heard_out(), *self.nova.user(text))

    def calls(self, tool_use_id: str) -> None:
        """Let the model call a tool."""
        self.says(*self.nova.calls(tool_use_id))

    def passes(self, seconds: float) -> list[Effect]:
        """Let the time pass with the ticks that the machine wants, and the listener listen; return what was done."""
        until, effects = self.now + seconds, list[Effect]()
        while True:
            wanted = [at for at in (self.machine.next_deadline(), self.playback.ready_at()) if at is not None and at <= until]
            if not wanted:
                break
            self.now = max(self.now, min(wanted))
            effects += self.give(Tick())
            while (event := self.playback.pop(self.now)) is not None:
                self.heard.append(event)
        self.now = until
        return effects

    def done(self, tool_use_id: str = "tool-1") -> list[Effect]:
        """Let a tool end."""
        return self.give(ToolDone(tool_use_id, RESULT, None, 1))


def sent(effects: list[Effect]) -> list[InputEvent]:
    return [event for effect in effects if isinstance(effect, Send) for event in effect.events]


def notes(effects: list[Effect]) -> list[str]:
    """Return the typed turns that are ours."""
    return [event.content for event in sent(effects) if isinstance(event, TextInput)]


def test_a_model_is_asked_for_the_sentence_when_a_tool_lets_everybody_wait() -> None:
    call = Call()
    before = call.passes(ACKNOWLEDGE_AFTER_SECONDS - 0.05)
    at = call.passes(0.1)
    after = call.passes(3 * ACKNOWLEDGE_AFTER_SECONDS)

    assert notes(before) == []
    assert len(notes(at)) == 1
    assert f'"{SENTENCE}"' in notes(at)[0]
    assert notes(after) == []


@pytest.mark.parametrize("seconds", [0.0, 0.5, ACKNOWLEDGE_AFTER_SECONDS - 0.05])
def test_a_tool_that_is_fast_is_not_talked_about(seconds: float) -> None:
    call = Call()
    effects = [*call.passes(seconds), *call.done(), *call.passes(5.0)]

    assert notes(effects) == []


def test_another_time_can_be_set() -> None:
    call = Call(replace(PATIENT, acknowledge_after_seconds=0.5))

    assert notes(call.passes(0.45)) == []
    assert len(notes(call.passes(0.1))) == 1


def test_without_a_sentence_nothing_is_said() -> None:
    call = Call(PLAN)

    assert notes(call.passes(10.0)) == []


def test_it_is_said_once_for_each_thing_that_the_user_asks() -> None:
    call = Call()
    first = call.passes(3.0)
    call.says(*call.nova.plans(SENTENCE), *call.nova.speaks(500))
    call.calls("tool-2")
    same = call.passes(10.0)
    call.done()
    call.done("tool-2")
    call.says(*call.nova.plans("Listo."), *call.nova.speaks(500))
    call.passes(2.0)
    call.asks("¿Y el otro?")
    call.calls("tool-3")
    another = call.passes(3.0)

    assert [len(notes(effects)) for effects in (first, same, another)] == [1, 0, 1]


def test_nobody_is_talked_over() -> None:
    call = Call()
    call.says(*call.nova.hears())
    while_the_user_speaks = call.passes(5.0)
    call.says(*call.nova.heard_out(), *call.nova.user("Digo, el de ayer."))
    while_an_answer_is_due = call.passes(ANSWER_SECONDS - 0.1)
    in_silence = call.passes(ACKNOWLEDGE_AFTER_SECONDS + 0.2)

    assert notes(while_the_user_speaks) == []
    assert notes(while_an_answer_is_due) == []
    assert len(notes(in_silence)) == 1


def test_what_the_model_says_itself_is_heard_out_and_followed_by_silence() -> None:
    call = Call()
    call.says(*call.nova.plans("A ver, dejame buscar eso."), *call.nova.speaks(4_000))
    while_it_is_heard = call.passes(4.0)
    in_silence = call.passes(ACKNOWLEDGE_AFTER_SECONDS + 0.5)

    assert notes(while_it_is_heard) == []
    assert len(notes(in_silence)) == 1


def test_a_user_who_begins_to_speak_is_not_talked_over_before_the_model_has_noticed() -> None:
    call = Call(replace(PATIENT, acknowledge_after_seconds=1.0))
    quiet, loud, effects = bytes(640), VOICE, list[Effect]()
    for piece in [*[quiet] * 45, *[loud] * 20]:
        effects += [*call.give(SendAudio(piece)), *call.passes(0.02)]
    spoken_over = notes(effects)
    for _ in range(75):
        effects += [*call.give(SendAudio(quiet)), *call.passes(0.02)]

    assert spoken_over == []
    assert len(notes(effects)) == 1


@pytest.mark.parametrize("way", ["interrupt", "text"])
def test_what_the_client_does_meanwhile_starts_the_wait_anew(way: str) -> None:
    call = Call()
    call.passes(ACKNOWLEDGE_AFTER_SECONDS - 0.1)
    own = call.give(Interrupt() if way == "interrupt" else SendText("¿Hola?"))
    effects = call.passes(1.0)

    assert len(notes(own)) == (way == "text")
    assert len(notes(effects)) == (way == "interrupt")  # an interruption of nothing changes nothing


def test_a_result_that_comes_meanwhile_is_sent_at_once_and_told_after_the_sentence() -> None:
    call = Call()
    call.passes(3.0)
    call.says(*call.nova.plans(SENTENCE), *call.nova.opens_audio(), *call.nova.audio(300))
    result = call.done()
    call.says(*call.nova.audio(300), *call.nova.closes_audio(), *call.nova.plans("Llega mañana."), *call.nova.speaks(400))
    call.passes(3.0)

    assert [event.tool_use_id for event in sent(result) if isinstance(event, ToolContentStart)] == ["tool-1"]
    assert not [effect for effect in result if type(effect).__name__ == "Flush"]
    assert call.machine.turns.history()[-1] == HistoryTurn(Role.ASSISTANT, f"{SENTENCE} Llega mañana.")


def test_what_the_model_was_asked_for_is_no_words_of_the_user() -> None:
    call = Call()
    (note,) = notes(call.passes(3.0))
    call.says(*call.nova.user(note), *call.nova.plans(SENTENCE), *call.nova.speaks(500))
    told = [event.text for event in call.told if isinstance(event, TranscriptUpdated) and event.role is Role.USER]

    assert told == ["¿Y mi pedido?"]
    assert note not in str(call.machine.turns.history())
    assert note not in str(call.told)


def test_the_sentence_is_no_answer_a_result_that_was_told_before_it_is_told_again_when_the_stream_dies() -> None:
    call = Call()
    call.calls("tool-2")
    call.done("tool-1")
    call.passes(3.0)
    call.says(*call.nova.plans(SENTENCE), *call.nova.speaks(500))
    call.give(StreamFailed(1, "model_lost", Remedy.RESUME))
    call.give(StreamOpened(2))
    effects = [*call.done("tool-2"), *call.passes(5.0)]

    assert " ".join(notes(effects)).count("Tool lookUp returned") == 2


def test_a_model_that_is_stuck_after_the_sentence_is_replaced() -> None:
    call = Call()
    call.passes(3.0)
    call.says(*call.nova.plans(SENTENCE), *call.nova.speaks(500))
    call.passes(2.0)
    call.done()
    thinking = call.passes(HUNG_AFTER_TEXT_SECONDS - 0.2)
    stuck = call.passes(0.5)

    assert not [effect for effect in thinking if isinstance(effect, CloseStream)]
    assert [effect.generation for effect in stuck if isinstance(effect, CloseStream)] == [1]


def test_a_model_that_says_nothing_to_it_is_left_alone_while_the_tool_runs() -> None:
    call = Call()
    effects = call.passes(60.0)

    assert len(notes(effects)) == 1
    assert not [effect for effect in effects if isinstance(effect, CloseStream | OpenStream)]


def test_a_stream_that_does_not_know_the_call_is_not_asked() -> None:
    call = Call()
    call.give(StreamFailed(1, "model_lost", Remedy.RESUME))
    while_away = call.passes(5.0)
    call.give(StreamOpened(2))
    effects = call.passes(10.0)

    assert notes(while_away) == []
    assert notes(effects) == []


def test_nothing_is_said_to_a_client_that_is_away() -> None:
    call = Call()
    call.give(ClientLost(30.0))
    away = call.passes(5.0)
    call.give(ClientBack())
    back = call.passes(ACKNOWLEDGE_AFTER_SECONDS + 0.1)

    assert notes(away) == []
    assert len(notes(back)) == 1


def test_a_tool_that_the_model_calls_before_anybody_spoke_is_talked_about_as_well() -> None:
    call = Conversation(PATIENT)
    call.give(Begin())
    call.give(StreamOpened(1))
    call.says(*Nova().calls("tool-1"))
    effects: list[Effect] = []
    for _ in range(5):
        call.now += 1.0
        effects += call.give(Tick())

    assert len(notes(effects)) == 1


def test_quotation_marks_do_not_end_the_sentence() -> None:
    call = Call(replace(PATIENT, acknowledgement='Busco "eso".'))

    assert "\"Busco 'eso'.\"" in notes(call.passes(3.0))[0]

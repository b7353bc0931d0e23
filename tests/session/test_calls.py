"""Which results of tools another stream is told, and that a model may be silent while a tool runs."""

from typing import cast

import pytest

from s2s.errors import Remedy
from s2s.events import ToolUse
from session.calls import NOTE_CHARACTERS, RESULT_CHARACTERS, Calls
from session.continuation import RENEW_SECONDS
from session.effects import Begin, CloseStream, Effect, OpenStream, Send, StreamFailed, StreamOpened, Tick, ToolDone
from session.machine import TOOLS_LIMIT
from session.turns import HUNG_AFTER_TEXT_SECONDS, HUNG_SECONDS
from tests.session.doubles import Conversation, Nova


def use(tool_use_id: str, name: str = "lookUp") -> ToolUse:
    return ToolUse("s", "p", "c", "content", name, tool_use_id, "{}")


def called(*tool_use_ids: str) -> Calls:
    calls = Calls()
    for tool_use_id in tool_use_ids:
        calls.called(use(tool_use_id, f"tool-{tool_use_id}"), 2, 1)
    return calls


def opened() -> Conversation:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    return talk


def passes(talk: Conversation, seconds: float) -> list[Effect]:
    """Let the time pass, with the ticks that the machine wants."""
    until, effects = talk.now + seconds, list[Effect]()
    while (wanted := talk.machine.next_deadline()) is not None and wanted <= until:
        talk.now = max(talk.now, wanted)
        effects += talk.give(Tick())
    talk.now = until
    return effects


def test_a_call_is_known_from_the_moment_it_is_made() -> None:
    calls = called("a")
    before = calls.knows("a")
    calls.done("a", "{}", 1)

    assert before
    assert calls.knows("a")
    assert not calls.knows("b")
    assert calls.running == {}


def test_what_the_stream_was_told_is_told_again_only_if_it_dies_before_it_speaks() -> None:
    calls = called("a", "b")
    calls.done("a", '{"a":1}', 1)
    calls.spoken()
    calls.done("b", '{"b":1}', 1)
    calls.lost()

    assert calls.has_untold
    assert "tool-b" in (note := calls.note())
    assert "tool-a" not in note
    assert not calls.has_untold


def test_a_note_that_was_lost_as_well_is_told_once_more() -> None:
    calls = called("a")
    calls.done("a", "{}", None)
    first = calls.note()
    calls.lost()

    assert calls.note() == first


def test_nothing_is_told_while_a_call_still_runs() -> None:
    calls = called("a", "b")
    calls.done("a", "{}", None)

    assert not calls.has_untold
    calls.done("b", "{}", None)
    assert calls.has_untold


def test_what_still_runs_for_an_exchange_that_is_over_is_told_to_nobody() -> None:
    calls = called("a", "b")
    calls.done("a", "{}", None)
    calls.forget()
    call = calls.done("b", "{}", None)

    assert call.use.tool_use_id == "b"
    assert not calls.has_untold
    assert calls.knows("b")


@pytest.mark.parametrize("count", [1, 2, 5, TOOLS_LIMIT])
def test_of_many_long_results_each_is_told_in_part(count: int) -> None:
    names = [f"{number:02}" for number in range(count)]
    calls = called(*names)
    for name in names:
        calls.done(name, " ".join(["word"] * 1_000), None)
    note = calls.note()

    assert [name for name in names if f"tool-{name} returned: word" in note] == names
    assert len(note) < min(count * RESULT_CHARACTERS, NOTE_CHARACTERS) + 500 + count * 30


@pytest.mark.parametrize("user_speaks", [False, True])
def test_a_model_may_be_silent_while_a_tool_runs_whatever_the_user_says(*, user_speaks: bool) -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Y mi pedido?"), *nova.calls("tool-1"))
    if user_speaks:
        talk.says(*nova.hears(), *nova.heard_out(), *nova.user("Esperá."))
    waiting = passes(talk, HUNG_SECONDS + 1)
    talk.give(ToolDone("tool-1", "{}", None, 1))
    thinking = passes(talk, HUNG_AFTER_TEXT_SECONDS - 1)
    stuck = passes(talk, 2.0)

    assert not [effect for effect in (*waiting, *thinking) if isinstance(effect, CloseStream)]
    assert [effect.generation for effect in stuck if isinstance(effect, CloseStream)] == [1]


def test_no_stream_gives_way_while_an_answer_to_a_result_is_due() -> None:
    talk, nova = opened(), Nova()
    talk.now = RENEW_SECONDS - 1
    talk.says(*nova.calls("tool-1"))
    talk.give(ToolDone("tool-1", "{}", None, 1))
    waiting = passes(talk, HUNG_AFTER_TEXT_SECONDS - 1)
    talk.says(*nova.plans("Sí."), *nova.speaks(100))
    talk.listen(1.0)
    after = passes(talk, 1.0)

    assert not [effect for effect in waiting if isinstance(effect, OpenStream)]
    assert len([effect for effect in after if isinstance(effect, OpenStream)]) == 1


def test_a_result_that_comes_after_its_exchange_was_blocked_is_not_told() -> None:
    talk, nova = opened(), Nova()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Y mi pedido?"), *nova.calls("tool-1"))
    talk.give(StreamFailed(1, "content_blocked", Remedy.DROP_LAST_AND_RESUME))
    talk.give(StreamOpened(2))
    talk.give(ToolDone("tool-1", '{"order":"1"}', None, 1))
    effects = passes(talk, 5.0)

    assert "lookUp returned" not in str([effect for effect in effects if isinstance(effect, Send)])
    assert cast("float", talk.machine.next_deadline()) > talk.now

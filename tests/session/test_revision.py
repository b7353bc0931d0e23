"""A client changes what its conversation is like: the next stream, at the first quiet moment, is opened by the new wishes."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.replay import Replay
from s2s.events import Endpointing, InferenceConfiguration, InputEvent, PromptStart, Role, SessionStart, TextInput, ToolSpec
from s2s.models import capabilities
from session.assistant import SessionPlan, plan_session
from session.continuation import RETRY_SECONDS
from session.effects import Begin, Effect, Emit, OpenStream, Replan, StartTool, StreamOpened, Tick, ToolDone
from session.errors import NotAllowed, WrongOrder
from session.events import HistoryTurn, Revise, SendText, SessionContinued, Start, SubmitToolResult, ToolStarted
from session.revision import reconsidering, revised
from tests.session.doubles import LOOK_UP, MODEL_ID, PLAN, PROFILE, Conversation, Nova
from tests.session.recorded import Recorded, origin_of

WEATHER = ToolSpec("getWeather", "Tell the weather.", '{"type":"object"}')
NEWS = ToolSpec("getNews", "Tell the news.", '{"type":"object"}')
SHOES = Start(prompt="Sell shoes.", voice_id="lupe", client_tools=(NEWS,))
OTHER = Replan(SHOES, "lupe", "Sell shoes.", InferenceConfiguration(), Endpointing.HIGH, (NEWS,), (LOOK_UP, NEWS))
FIRST = replace(PLAN, client_tools=(WEATHER,))


def begun() -> tuple[Conversation, Nova]:
    """Return a conversation in which something was said."""
    talk, nova = Conversation(FIRST), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.give(SendText("Hello"))
    talk.says(*nova.start(), *nova.user("Hello"), *nova.plans("Hello."), *nova.speaks(400), *nova.said("Hello."))
    talk.listen(2 * RETRY_SECONDS)
    return talk, nova


def wait(talk: Conversation, seconds: float) -> list[Effect]:
    """Let the time pass, tick by tick; return what was asked for."""
    before, until = len(talk.effects), talk.now + seconds
    while (deadline := talk.machine.next_deadline()) is not None and deadline <= until:
        talk.listen(max(0.0, deadline - talk.now))
        talk.give(Tick())
    talk.listen(until - talk.now)
    return talk.effects[before:]


def openings(effects: Sequence[Effect]) -> list[tuple[InputEvent, ...]]:
    """Return the openings of the streams that are asked for."""
    return [effect.opening for effect in effects if isinstance(effect, OpenStream)]


def prompt_of(opening: Sequence[InputEvent]) -> str:
    """Return the first text, which is the system's."""
    return next(event.content for event in opening if isinstance(event, TextInput))


def test_the_next_stream_is_opened_at_once_when_nobody_speaks_and_is_told_what_was_said() -> None:
    talk, _ = begun()
    (opening,) = openings(talk.give(OTHER))
    texts = [event.content for event in opening if isinstance(event, TextInput)]

    assert [event.endpointing for event in opening if isinstance(event, SessionStart)] == [Endpointing.HIGH]
    assert [(event.voice_id, event.tools) for event in opening if isinstance(event, PromptStart)] == [("lupe", (LOOK_UP, NEWS))]
    assert texts == ["Sell shoes.", "Hello", "Hello."]
    assert any(isinstance(effect, Emit) and isinstance(effect.event, SessionContinued) for effect in talk.give(StreamOpened(2)))


def test_while_somebody_speaks_it_waits() -> None:
    talk, nova = begun()
    talk.says(*nova.hears())

    assert openings(talk.give(OTHER)) == []
    assert openings(wait(talk, 3.0)) == []
    talk.says(*nova.heard_out(), *nova.user("Bye"), *nova.plans("Bye."), *nova.speaks(400), *nova.said("Bye."))
    assert [prompt_of(opening) for opening in openings(wait(talk, 3.0))] == ["Sell shoes."]


def test_while_a_tool_of_the_client_runs_it_waits_for_its_result_and_the_old_stream_gets_it() -> None:
    talk, nova = begun()
    talk.says(*nova.calls("call-1", "{}", WEATHER.name))

    assert openings(talk.give(OTHER)) == []
    assert openings(wait(talk, 3.0)) == []
    talk.give(SubmitToolResult("call-1", "{}"))
    talk.says(*nova.plans("Sun."), *nova.speaks(400), *nova.said("Sun."))
    assert len(openings(wait(talk, 3.0))) == 1


def test_a_tool_that_is_gone_is_still_the_clients_as_long_as_the_old_stream_calls_it() -> None:
    talk, nova = begun()
    talk.says(*nova.hears())
    talk.give(OTHER)
    talk.says(*nova.heard_out(), *nova.user("Weather?"), *nova.calls("call-1", "{}", WEATHER.name))

    assert [event.name for event in talk.told if isinstance(event, ToolStarted)] == [WEATHER.name]
    assert not [effect for effect in talk.effects if isinstance(effect, StartTool)]


def test_many_wishes_open_one_stream_in_five_seconds_and_the_latest_count() -> None:
    talk, _ = begun()
    effects = talk.give(replace(OTHER, prompt="Prompt 0."))
    talk.give(StreamOpened(2))
    for number in range(1, 40):
        effects += talk.give(replace(OTHER, prompt=f"Prompt {number}."))
        effects += wait(talk, 0.1)
    effects += wait(talk, RETRY_SECONDS)
    prompts = [prompt_of(opening) for opening in openings(effects)]

    assert prompts == ["Prompt 0.", "Prompt 39."]


def test_wishes_that_come_while_the_first_stream_opens_are_met_by_the_second() -> None:
    talk = Conversation(FIRST)
    talk.give(Begin())
    talk.give(OTHER)
    talk.give(StreamOpened(1))

    assert [prompt_of(opening) for opening in openings(wait(talk, RETRY_SECONDS + 1.0))] == ["Sell shoes."]


def test_wishes_that_come_while_the_next_stream_opens_are_met_by_the_one_after_it() -> None:
    talk, _ = begun()
    talk.give(OTHER)
    talk.give(replace(OTHER, prompt="Sell hats."))
    talk.give(StreamOpened(2))

    assert [prompt_of(opening) for opening in openings(wait(talk, RETRY_SECONDS + 1.0))] == ["Sell hats."]


def test_another_process_goes_on_with_the_new_wishes() -> None:
    talk, _ = begun()
    talk.give(OTHER)

    assert talk.machine.snapshot(talk.now).start == SHOES


def test_the_machine_itself_plans_nothing() -> None:
    talk, _ = begun()

    with pytest.raises(WrongOrder):
        talk.give(Revise(SHOES))


def test_a_trace_with_other_wishes_replays() -> None:
    call = Recorded(origin_of(FIRST))
    call.begin()
    call.listen(2 * RETRY_SECONDS)
    call.give(OTHER)
    call.give(StreamOpened(2))
    call.give(ToolDone("nobody's", "{}", None, 1))
    replay = Replay(call.data.splitlines(keepends=True))
    replay.run()

    assert replay.first is None


def plan(start: Start) -> SessionPlan:
    """Plan for an assistant that lets clients set everything."""
    may = frozenset({"prompt", "voice", "inference", "endpointing", "history", "tools"})
    return plan_session(replace(PROFILE, client_may_set=may), start, capabilities(MODEL_ID))


def test_what_may_change_does_and_the_rest_stays_as_it_began() -> None:
    began = Start(language="en", prompt="Be kind.", history=(HistoryTurn(Role.USER, "Hi"),), context="Ana calls.", input_hertz=8_000)
    first = plan(began)
    other = reconsidering(first, plan, lambda made: (LOOK_UP, *made.client_tools))(
        Start(language="es", prompt="Sell shoes.", client_tools=(NEWS,))
    )
    after = revised(first, other)

    assert (after.prompt, after.client_tools, other.tools) == ("Sell shoes.\n\nAna calls.", (NEWS,), (LOOK_UP, NEWS))
    assert (after.language, after.history, after.input_hertz) == ("en", first.history, 8_000)
    assert plan(after.start) == after


def test_a_wish_that_cannot_be_had_is_refused_and_changes_nothing() -> None:
    with pytest.raises(NotAllowed):
        reconsidering(plan(Start()), plan, lambda _: ())(Start(voice_id="nobody"))

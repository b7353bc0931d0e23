"""Tools of the client: what is accepted of them, and each call answered once, by the client or by the clock."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.replay import Replay
from s2s.errors import Remedy
from s2s.events import ToolResult, ToolSpec
from s2s.limits import TOOL_RESULT_BYTES
from s2s.models import capabilities
from session.assistant import plan_session
from session.client_tools import DESCRIPTION_CHARACTERS, SCHEMA_BYTES, SCHEMA_DEPTH, TOOLS_LIMIT, ClientCalls, check_client_tools
from session.effects import Begin, Effect, Park, Send, StartTool, StreamFailed, StreamOpened, Tick
from session.errors import NotAllowed, SessionError, TooLarge, UnknownCall
from session.events import Start, SubmitToolResult, ToolFinished, ToolStarted
from session.snapshot import SessionSnapshot
from tests.session.doubles import LOOK_UP, MODEL_ID, PLAN, PROFILE, Conversation, Nova, make_machine
from tests.session.recorded import Recorded, origin_of

WEATHER = ToolSpec("getWeather", "Tell the weather.", '{"type":"object","properties":{"place":{"type":"string"}}}')
SECONDS = 30.0
CLIENT_PLAN = replace(PLAN, client_tools=(WEATHER,), client_tool_seconds=SECONDS, start=Start(client_tools=(WEATHER,)))


def calling() -> Conversation:
    """Return a conversation in which the model has called the client's tool."""
    talk = Conversation(CLIENT_PLAN)
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.says(*Nova().calls("call-1", '{"place":"Lima"}', "getWeather"))
    return talk


def results(effects: list[Effect]) -> list[str]:
    """Return the results that go to the model."""
    return [event.content for effect in effects if isinstance(effect, Send) for event in effect.events if isinstance(event, ToolResult)]


def nested(levels: int) -> str:
    """Return a schema of so many levels."""
    return '{"properties":' * (levels - 1) + "{}" + "}" * (levels - 1)


@pytest.mark.parametrize(
    ("tools", "refusal"),
    [
        ([replace(WEATHER, name=f"tool{number}") for number in range(TOOLS_LIMIT + 1)], NotAllowed),
        ([replace(WEATHER, name="get weather")], NotAllowed),
        ([replace(WEATHER, name="")], NotAllowed),
        ([replace(WEATHER, name="x" * 65)], NotAllowed),
        ([WEATHER, WEATHER], NotAllowed),
        ([replace(WEATHER, name="lookUp")], NotAllowed),
        ([replace(WEATHER, description="x" * (DESCRIPTION_CHARACTERS + 1))], TooLarge),
        ([replace(WEATHER, input_schema=json.dumps({"title": "x" * SCHEMA_BYTES}))], TooLarge),
        ([replace(WEATHER, input_schema="[]")], NotAllowed),
        ([replace(WEATHER, input_schema="{")], NotAllowed),
        ([replace(WEATHER, input_schema=nested(SCHEMA_DEPTH + 1))], NotAllowed),
    ],
)
def test_tools_that_cannot_be_told_to_the_model_are_refused(tools: list[ToolSpec], refusal: type[SessionError]) -> None:
    with pytest.raises(refusal):
        check_client_tools(tools, ("lookUp",))


def test_what_is_within_the_limits_is_accepted() -> None:
    tools = [replace(WEATHER, name=f"tool{number}") for number in range(TOOLS_LIMIT - 1)]

    check_client_tools([*tools, replace(WEATHER, name="x" * 64, input_schema=nested(SCHEMA_DEPTH))], ("lookUp",))


def test_only_an_assistant_that_lets_clients_set_tools_gets_theirs() -> None:
    start = Start(client_tools=(WEATHER,))
    may = replace(PROFILE, client_may_set=frozenset({"tools"}))

    assert plan_session(PROFILE, start, capabilities(MODEL_ID)).client_tools == ()
    assert plan_session(may, start, capabilities(MODEL_ID)).client_tools == (WEATHER,)
    with pytest.raises(NotAllowed, match="lookUp"):
        plan_session(may, Start(client_tools=(replace(WEATHER, name="lookUp"),)), capabilities(MODEL_ID))


def test_a_call_is_told_and_run_by_nobody_here() -> None:
    talk = calling()

    assert [(event.name, event.arguments) for event in talk.told if isinstance(event, ToolStarted)] == [("getWeather", '{"place":"Lima"}')]
    assert not [effect for effect in talk.effects if isinstance(effect, StartTool)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"degrees": 21}', '{"degrees": 21}'),
        ("sunny", '{"result": "sunny"}'),
        ("21", '{"result": 21}'),
        ('["sun"]', '{"result": ["sun"]}'),
        ("", '{"result": ""}'),
        ("\x00ñ", '{"result": "ñ"}'),
    ],
)
def test_the_result_of_the_client_goes_to_the_model_as_an_object(content: str, expected: str) -> None:
    talk = calling()
    talk.now += 2.0

    effects = talk.give(SubmitToolResult("call-1", content))

    assert results(effects) == [expected]
    assert [(event.error_code, event.duration_ms) for event in talk.told if isinstance(event, ToolFinished)] == [(None, 2_000)]


@pytest.mark.parametrize("tool_use_id", ["call-1", "call-2", ""])
def test_a_result_that_nobody_waits_for_is_refused(tool_use_id: str) -> None:
    talk = calling()
    talk.give(SubmitToolResult("call-1", "{}"))

    with pytest.raises(UnknownCall):
        talk.give(SubmitToolResult(tool_use_id, "{}"))


def test_a_result_of_a_tool_that_the_server_runs_is_refused() -> None:
    talk = calling()
    talk.says(*Nova().calls("call-2", "{}", "lookUp"))

    with pytest.raises(UnknownCall):
        talk.give(SubmitToolResult("call-2", "{}"))


def test_a_result_that_is_too_long_may_be_given_again_shorter() -> None:
    talk = calling()
    with pytest.raises(TooLarge):
        talk.give(SubmitToolResult("call-1", "x" * TOOL_RESULT_BYTES))

    assert results(talk.give(SubmitToolResult("call-1", "short"))) == ['{"result": "short"}']


def test_a_client_that_does_not_answer_in_time_has_not_answered() -> None:
    talk = calling()
    talk.now += SECONDS - 0.001
    before = results(talk.give(Tick()))
    talk.now += 0.001

    assert before == []
    assert [json.loads(result)["error"] for result in results(talk.give(Tick()))] == ["client_timeout"]
    with pytest.raises(UnknownCall):
        talk.give(SubmitToolResult("call-1", "{}"))


def test_the_machine_asks_to_be_woken_for_the_call_that_waits_longest() -> None:
    calls = ClientCalls((WEATHER,), SECONDS)
    calls.called("call-1", 1.0)
    calls.called("call-2", 2.0)
    first = calls.deadline
    calls.answered("call-1", "{}", 3.0)

    assert (first, calls.deadline) == (31.0, 32.0)
    assert [done.tool_use_id for done in calls.overdue(32.0)] == ["call-2"]
    assert calls.deadline == float("inf")


def test_a_result_is_told_in_words_when_the_stream_that_called_has_died() -> None:
    talk = calling()
    talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))

    effects = talk.give(SubmitToolResult("call-1", "sunny"))

    assert results(effects) == []
    assert [event.result for event in talk.told if isinstance(event, ToolFinished)] == ['{"result": "sunny"}']


def test_another_process_goes_on_with_the_tools_and_waits_for_the_client_anew() -> None:
    talk = calling()
    snapshot = SessionSnapshot.decode(talk.machine.snapshot(talk.now).encode())
    talk.give(Park())
    machine, _ = make_machine(replace(CLIENT_PLAN, start=snapshot.start))
    machine.restore(snapshot)

    effects = [*machine.handle(Begin(), 50.0), *machine.handle(StreamOpened(2), 50.0)]

    assert snapshot.start.client_tools == (WEATHER,)
    assert not [effect for effect in effects if isinstance(effect, StartTool)]
    assert machine.handle(SubmitToolResult("call-1", "{}"), 79.0)


def test_a_recorded_session_runs_again_with_the_clients_tools() -> None:
    recorded = Recorded(origin_of(CLIENT_PLAN, (LOOK_UP, WEATHER)))
    recorded.begin()
    recorded.says(*Nova().calls("call-1", "{}", "getWeather"), *Nova().calls("call-2", "{}", "getWeather"))
    recorded.give(SubmitToolResult("call-1", "sunny"))
    recorded.now += SECONDS
    recorded.give(Tick())
    again = Replay(recorded.data.splitlines(keepends=True))
    again.run()

    assert again.first is None
    assert recorded.data.count(b"ToolFinished") == 2


@given(st.text())
def test_whatever_a_client_returns_becomes_an_object_or_is_too_large(content: str) -> None:
    calls = ClientCalls((WEATHER,), SECONDS)
    calls.called("call-1", 0.0)

    assert isinstance(json.loads(calls.answered("call-1", content, 1.0).content), dict)

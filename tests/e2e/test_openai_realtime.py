"""OpenAI's own client libraries, as they come from their registries, in conversation with the server over the Realtime dialect."""

import json
from pathlib import Path

import pytest
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter

from tests import needs
from tests.e2e.forecaster import ASKING, WEATHER_TOOL, Newsroom, forecasting, pcm
from tests.e2e.node_call import agents_call, node_call
from tests.e2e.realtime_call import RealtimeCall, calling
from tests.e2e.stack import Stack

pytestmark = pytest.mark.speech
HALF_A_SECOND_BYTES = 24_000


def check_shapes(call: RealtimeCall) -> None:
    """Check that every event is one that the library knows, with all members that it wants."""
    adapter: TypeAdapter[RealtimeServerEvent] = TypeAdapter(RealtimeServerEvent)
    for event in call.events:
        adapter.validate_json(json.dumps(event.to_dict()))
    ids = [str(event.to_dict()["event_id"]) for event in call.events]

    assert len(set(ids)) == len(ids)
    assert not call.named("error")


async def answer_weather(call: RealtimeCall, result: str = '{"degrees": 21}') -> None:
    """Run the client's tool, as programs with this library do."""
    asked = await call.until_named("response.function_call_arguments.done")
    assert json.loads(str(asked["arguments"])) == {"place": "Lima"}
    await call.until_named("response.done")
    output = {"type": "function_call_output", "call_id": str(asked["call_id"]), "output": result}
    await call.connection.conversation.item.create(item=output)  # type: ignore[arg-type]  # JSON
    await call.connection.response.create()


async def test_the_python_library_hears_the_order_that_a_tool_of_the_server_read(stack: Stack) -> None:
    async with calling(stack.socket) as call:
        call.say(pcm(ASKING))
        await call.until_named("response.done", 2)

    (done,) = [event["item"] for event in call.named("response.output_item.done") if event["item"]["type"] == "mcp_call"]  # type: ignore[index]  # JSON
    (heard,) = call.named("conversation.item.input_audio_transcription.completed")
    assert done["name"] == "consultarOrder"  # type: ignore[index]  # JSON
    assert json.loads(str(done["output"]))["order"]["status"] == "pending"  # type: ignore[index]  # JSON
    assert heard["item_id"] == call.named("input_audio_buffer.committed")[0]["item_id"]
    assert heard["transcript"]
    assert call.said()
    assert len(call.heard()) > HALF_A_SECOND_BYTES
    assert not call.named("response.function_call_arguments.done")
    check_shapes(call)


async def test_the_python_library_answers_a_call_of_its_own_tool_interrupts_and_types(tmp_path: Path) -> None:
    needs.espeak()
    async with forecasting(tmp_path) as server, calling(server.url, [WEATHER_TOOL]) as call:
        call.say(pcm(ASKING))
        await answer_weather(call)
        await call.until_named("response.done", 2)

        await call.type("story")
        await call.until(lambda: len(call.said()) == 1 and len(call.heard()) > 3 * HALF_A_SECOND_BYTES)
        call.say(pcm(ASKING))
        cancelled = await call.until_named("response.done", 3)
        await answer_weather_again(call)
        await call.until_named("response.done", 5)

        await call.type("the end")
        await call.until_named("response.done", 6)

    response = cancelled["response"]
    assert isinstance(response, dict)
    assert (response["status"], response["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert len(call.named("input_audio_buffer.speech_started")) == 2
    assert call.said()[0] == "In Lima it is 21."
    assert call.said()[-2:] == ["In Lima it is 12.", "You wrote the end."]
    check_shapes(call)


async def answer_weather_again(call: RealtimeCall) -> None:
    """Run the client's tool for the second time."""
    asked = await call.until_named("response.function_call_arguments.done", 2)
    output = {"type": "function_call_output", "call_id": str(asked["call_id"]), "output": '{"degrees": 12}'}
    await call.connection.conversation.item.create(item=output)  # type: ignore[arg-type]  # JSON


async def test_a_call_that_the_client_does_not_answer_is_answered_by_the_clock_and_refused_later(tmp_path: Path) -> None:
    needs.espeak()
    async with forecasting(tmp_path) as server, calling(server.url, [WEATHER_TOOL]) as call:
        call.say(pcm(ASKING))
        asked = await call.until_named("response.function_call_arguments.done")
        await call.until_named("response.done", 3)
        output = {"type": "function_call_output", "call_id": str(asked["call_id"]), "output": "late"}
        await call.connection.send({"type": "conversation.item.create", "event_id": "mine", "item": output})  # type: ignore[arg-type]  # JSON
        error = (await call.until_named("error"))["error"]

    assert isinstance(error, dict)
    assert call.said() == ["One moment.", "In Lima it is client_timeout."]
    assert (error["type"], error["code"], error["event_id"]) == ("invalid_request_error", "unknown_call", "mine")


async def test_the_javascript_library_hears_the_order_that_a_tool_of_the_server_read(stack: Stack, tmp_path: Path) -> None:
    events = await node_call(stack.socket, tmp_path, {"speech": pcm(ASKING), "plan": "ask", "tools": []})

    (done,) = [event["item"] for event in events if event["type"] == "response.output_item.done" and event["item"]["type"] == "mcp_call"]
    assert done["name"] == "consultarOrder"
    assert json.loads(done["output"])["order"]["status"] == "pending"
    assert [event for event in events if event["type"] == "response.output_audio_transcript.done"]
    assert sum(event["bytes"] for event in events if event["type"] == "response.output_audio.delta") > HALF_A_SECOND_BYTES
    assert not [event for event in events if event["type"] == "error"]


async def test_the_javascript_library_answers_a_call_of_its_own_tool_interrupts_and_types(tmp_path: Path) -> None:
    needs.espeak()
    async with forecasting(tmp_path) as server:
        events = await node_call(server.url, tmp_path, {"speech": pcm(ASKING), "plan": "weather", "tools": [WEATHER_TOOL]})

    said = [event["transcript"] for event in events if event["type"] == "response.output_audio_transcript.done"]
    statuses = [event["response"]["status"] for event in events if event["type"] == "response.done"]
    assert said[0] == "In Lima it is 21."
    assert said[-2:] == ["In Lima it is 12.", "You wrote the end."]
    assert statuses == ["completed", "completed", "cancelled", "completed", "completed", "completed"]
    assert not [event for event in events if event["type"] == "error"]


async def test_one_voice_agent_hands_the_conversation_over_to_another(tmp_path: Path) -> None:
    async with forecasting(tmp_path, Newsroom) as server:
        seen = await agents_call(server.url)

    assert seen["handoffs"] == [["Desk", "Reporter"]]
    assert seen["places"] == ["Lima"]
    assert seen["said"][0] == "The reporter takes over."
    assert seen["said"][-1] == "The headline is Nothing happened."
    assert seen["errors"] == []

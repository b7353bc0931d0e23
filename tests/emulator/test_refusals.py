"""Every mistake on record, by the shortest script that makes it, and the service's words for it."""

from dataclasses import dataclass

import orjson
import pytest

from nova_sonic_local.models import MODELS
from nova_sonic_local.options import Options
from nova_sonic_local.order import OrderEngine
from nova_sonic_local.parsing import Checks, EventParser
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.states import State
from tests.emulator.wire import (
    PROMPT_END,
    SESSION_END,
    Json,
    RawClient,
    audio_input,
    audio_start,
    closing,
    content_end,
    inner_message,
    opening,
    prompt_start,
    session_start,
    silence,
    text_block,
    text_input,
    text_start,
    tool,
    tool_result,
)

GENERIC = "Invalid input request, please fix your input and try again."
HISTORY_FIRST = "Chat history should be sent completely before streaming audio."
SYSTEM = text_block("S", "SYSTEM", "Be brief.")
BEGIN = [session_start(), prompt_start()]
AUDIO = audio_input(silence(0.1))


@dataclass(frozen=True)
class Row:
    name: str
    text: str
    script: list[Json]
    model: str = "amazon.nova-2-sonic-v1:0"


def history(*roles: str, text: str = "x") -> list[Json]:
    return [event for index, role in enumerate(roles) for event in text_block(f"H{index}", role, text)]


ROWS = [
    Row("history before the system prompt", "First content must have SYSTEM role", [*BEGIN, text_start("H", "USER")]),
    Row("audio before the system prompt", "First content must have SYSTEM role", [*BEGIN, audio_start()]),
    Row(
        "a second system prompt",
        "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt",
        [*BEGIN, *SYSTEM, text_start("S2", "SYSTEM")],
    ),
    Row("audio while a text is open", HISTORY_FIRST, [*BEGIN, *SYSTEM, text_start("H", "USER"), audio_start()]),
    Row("audioInput while a typed turn is open", HISTORY_FIRST, [*opening(), text_start("H", "USER", interactive=True), AUDIO]),
    Row("history after the audio began", HISTORY_FIRST, [*opening(), text_start("H", "USER")]),
    Row(
        "a history message over 1 KB in one input",
        "Chat history is over max limit. Trim chat history and try again.",
        [*BEGIN, *SYSTEM, text_start("H", "USER"), text_input("H", "x" * 1_025)],
    ),
    Row(
        "41 messages",
        "Chat history is over max limit. Trim chat history and try again.",
        [*BEGIN, *SYSTEM, *history(*(["USER", "ASSISTANT"] * 20), "USER")],
    ),
    Row(
        "a history over 40 KB",
        "Chat history is over max limit. Trim chat history and try again.",
        [*BEGIN, *SYSTEM, text_start("H", "USER"), *[text_input("H", "x" * 1_024)] * 41, content_end("H")],
    ),
    Row("promptEnd with an open block", "All contents must be closed before ending prompt", [*opening(), AUDIO, PROMPT_END]),
    Row("an empty block", "Cannot end content [S] as no content data was received", [*BEGIN, text_start("S", "SYSTEM"), content_end("S")]),
    Row("audio without audio", "Cannot end content [A] as no content data was received", [*opening(), content_end("A")]),
    Row("promptEnd without audio", "Prompt must have at least one audio content", [*BEGIN, *SYSTEM, PROMPT_END]),
    Row(
        "a tool name with a dot",
        "Malformed input request: #/toolConfig/tools/0/toolSpec/name: string [clock.now] does not match pattern ^[a-zA-Z0-9_-]+$, "
        "please reformat your input and try again.",
        [session_start(), prompt_start(tools=[tool("clock.now")])],
    ),
    Row(
        "a schema that is an object",
        "Unable to parse input chunk",
        [session_start(), prompt_start(tools=[tool(schema={"type": "object"})])],
    ),
    Row("an event without a name", "Unable to parse input chunk", [session_start(), {"event": {}}]),
    Row("two events in one", "Unable to parse input chunk", [session_start(), {"event": {"sessionEnd": {}, "promptEnd": {}}}]),
    Row(
        "audio that is no base64",
        "Unable to parse input chunk",
        [*opening(), {"event": {"audioInput": {"promptName": "P", "contentName": "A", "content": "?"}}}],
    ),
    Row("two tools of one name", "Input is invalid", [session_start(), prompt_start(tools=[tool(), tool()])]),
    Row("a voice that does not exist", "Received invalid voiceId", [session_start(), prompt_start("alexa")]),
    Row(
        "a voice of Nova 2 on the first model",
        "Received invalid voiceId",
        [session_start(), prompt_start("tina")],
        "amazon.nova-sonic-v1:0",
    ),
    Row("a voice of the first model on Nova 2", "Received invalid voiceId", [session_start(), prompt_start("greta")]),
    Row("a result of an unknown tool call", GENERIC, [*opening(), tool_result("no-such-id", "{}")[0]]),
    Row("a flat endpointing sensitivity", GENERIC, [session_start(endpointingSensitivity="HIGH")]),
    Row(
        "turn detection on the first model",
        GENERIC,
        [session_start(turnDetectionConfiguration={"endpointingSensitivity": "HIGH"})],
        "amazon.nova-sonic-v1:0",
    ),
    Row(
        "an endpointing sensitivity that does not exist",
        GENERIC,
        [session_start(turnDetectionConfiguration={"endpointingSensitivity": "MAX"})],
    ),
    Row("a temperature above 1", GENERIC, [session_start(inferenceConfiguration={"temperature": 1.1})]),
    Row("a text where a number belongs", GENERIC, [session_start(inferenceConfiguration={"maxTokens": "1024"})]),
    Row("a sampling rate that does not exist", GENERIC, [session_start(), prompt_start(hertz=44_100)]),
    Row(
        "an additional property in a schema",
        GENERIC,
        [session_start(), prompt_start(tools=[tool(schema='{"additionalProperties":false}')])],
    ),
    Row("a choice with null in a schema", GENERIC, [session_start(), prompt_start(tools=[tool(schema='{"anyOf":[{"type":"null"}]}')])]),
    Row(
        "a chosen tool that does not exist",
        GENERIC,
        [session_start(), prompt_start(toolConfiguration={"tools": [tool()], "toolChoice": {"tool": {"name": "x"}}})],
    ),
    Row("a tool result before the system prompt", "First content must have SYSTEM role", [*BEGIN, tool_result("K", "{}")[0]]),
    Row("a style for the speech after the audio began", HISTORY_FIRST, [*opening(), text_start("V", "SYSTEM_SPEECH")]),
    Row("audio in a text block", HISTORY_FIRST, [*BEGIN, text_start("S", "SYSTEM"), audio_input(b"", "S")]),
    Row("a tool result in a text block", GENERIC, [*BEGIN, text_start("S", "SYSTEM"), tool_result("K", "{}", "S")[1]]),
    Row("the end of a block that is not open", GENERIC, [*BEGIN, content_end("S")]),
    Row("a block of another prompt", GENERIC, [session_start(), prompt_start(promptName="Q"), text_start("S", "SYSTEM")]),
    Row(
        "a block of no type that exists",
        GENERIC,
        [*BEGIN, {"event": {"contentStart": {"promptName": "P", "contentName": "V", "type": "VIDEO"}}}],
    ),
    Row("a text of a role that does not exist", GENERIC, [*BEGIN, text_start("S", "NARRATOR")]),
    Row("no JSON in a schema", "Unable to parse input chunk", [session_start(), prompt_start(tools=[tool(schema="{")])]),
    Row("a list as a schema", GENERIC, [session_start(), prompt_start(tools=[tool(schema="[]")])]),
    Row(
        "a choice of tools that does not exist",
        GENERIC,
        [session_start(), prompt_start(toolConfiguration={"tools": [tool()], "toolChoice": {"none": {}}})],
    ),
    Row("a prompt before the session", GENERIC, [prompt_start()]),
    Row("a second session", GENERIC, [session_start(), session_start()]),
    Row("a second prompt", GENERIC, [*BEGIN, prompt_start()]),
    Row("history that begins with the assistant", GENERIC, [*BEGIN, *SYSTEM, *history("ASSISTANT"), audio_start()]),
    Row("history with two users in a row", GENERIC, [*BEGIN, *SYSTEM, *history("USER", "USER"), audio_start()]),
    Row("a content name used twice", GENERIC, [*BEGIN, *SYSTEM, text_start("S", "USER")]),
    Row("an input for no block", GENERIC, [*BEGIN, *SYSTEM, text_input("S", "more")]),
    Row(
        "audio of another prompt",
        GENERIC,
        [*opening(), {"event": {"audioInput": {"promptName": "Q", "contentName": "A", "content": "AAAA"}}}],
    ),
    Row("audio of half a sample", GENERIC, [*opening(), audio_input(b"abc")]),
    Row("audio after its end", GENERIC, [*opening(), AUDIO, content_end("A"), AUDIO]),
    Row("a second audio block", GENERIC, [*opening(), AUDIO, content_end("A"), audio_start("B")]),
    Row("text in the audio block", GENERIC, [*opening(), text_input("A", "hi")]),
    Row("an event that does not exist", GENERIC, [session_start(), {"event": {"connectionEnd": {}}}]),
    Row("sessionEnd before promptEnd", GENERIC, [session_start(), SESSION_END]),
    Row("a system prompt of 17 KB in one input", GENERIC, [*BEGIN, text_start("S", "SYSTEM"), text_input("S", "x" * 17_000)]),
    Row("SYSTEM_SPEECH on the first model", GENERIC, [*BEGIN, *SYSTEM, text_start("V", "SYSTEM_SPEECH")], "amazon.nova-sonic-v1:0"),
]


def engine(model: str, checks: Checks = Checks.STRICT, pending: set[str] | None = None) -> tuple[EventParser, OrderEngine]:
    capabilities = MODELS[model.removesuffix(":0")]
    return EventParser(capabilities, checks), OrderEngine(model, capabilities, checks, pending if pending is not None else set())


def play(
    script: list[Json], model: str = "amazon.nova-2-sonic-v1:0", checks: Checks = Checks.STRICT, pending: set[str] | None = None
) -> OrderEngine:
    parser, order = engine(model, checks, pending)
    for event in script:
        order.accept(parser.parse(orjson.dumps(event)))
    return order


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_last_event_of_each_script_is_refused_in_the_words_of_the_service(row: Row) -> None:
    play(row.script[:-1], row.model)

    with pytest.raises(Refused) as refused:
        play(row.script, row.model)
    assert refused.value.text == row.text


TOOL_ROWS = [
    Row("a result that is a list", "Tool Response parsing error", tool_result("K", "[1]")),
    Row("a result that is no JSON", "Tool Response parsing error", tool_result("K", "sunny")),
    Row("a result that is no text", "Tool Response parsing error", tool_result("K", {"a": 1})),
    Row(
        "a result as JSON type",
        "Tool result media type must be one of: [text/plain]",
        tool_result("K", "{}", media_type="application/json"),
    ),
    Row("a second result", GENERIC, [*tool_result("K", "{}"), *tool_result("K", "{}", "T2")]),
]


@pytest.mark.parametrize("row", TOOL_ROWS, ids=lambda row: row.name)
def test_a_wrong_tool_result_is_refused_in_the_words_of_the_service(row: Row) -> None:
    with pytest.raises(Refused) as refused:
        play([*opening(), *row.script], pending={"K"})
    assert refused.value.text == row.text


def test_every_text_of_the_table_that_an_input_can_cause_has_a_script() -> None:
    timers_and_faults = {
        *(
            Refusal.CONTENT_FILTER,
            Refusal.UNSTABLE,
            Refusal.STREAM_CLOSED,
            Refusal.MODEL_ERROR,
            Refusal.INTERNAL_ERROR,
            Refusal.UNAVAILABLE,
        ),
        *(Refusal.TIME_LIMIT, Refusal.NO_INPUT, Refusal.IDLE_55, Refusal.IDLE_295, Refusal.TOO_MANY_STREAMS, Refusal.MODEL_ID),
    }
    tested = {row.text.split("[")[0] for row in ROWS + TOOL_ROWS}

    assert {row.value.text.split("[")[0].replace("{index}", "0") for row in set(Refusal) - timers_and_faults} == tested


LEGAL = [
    Row("the shortest", "", [*opening(), AUDIO, *closing()]),
    Row("history", "", [*opening(*history("USER", "ASSISTANT")), AUDIO, *closing()]),
    Row("a style for the speech", "", [*opening(*text_block("V", "SYSTEM_SPEECH", "Hindi")), AUDIO, *closing()]),
    Row(
        "an interactive system prompt",
        "",
        [*BEGIN, *text_block("S", "SYSTEM", "Be brief.", interactive=True), audio_start(), AUDIO, *closing()],
    ),
    Row("a typed turn", "", [*opening(), AUDIO, *text_block("U", "USER", "hi", interactive=True), *closing()]),
    Row("text of the assistant while audio is open", "", [*opening(), AUDIO, *text_block("U", "ASSISTANT", "hi"), *closing()]),
    Row("no inference configuration", "", [{"event": {"sessionStart": {}}}, *opening()[1:], AUDIO, *closing()]),
    Row(
        "tools",
        "",
        [
            *opening(tools=[tool(schema='{"type":"object","properties":{"title":{"type":"string"}},"required":["title"]}')]),
            AUDIO,
            *closing(),
        ],
    ),
]


@pytest.mark.parametrize("row", LEGAL, ids=lambda row: row.name)
def test_what_clients_send_in_order_is_taken(row: Row) -> None:
    assert play(row.script).state is State.DONE


RELAXED = [
    Row("an event that does not exist", "", [*opening(), AUDIO, {"event": {"connectionEnd": {}}}, *closing()]),
    Row("audio after its end", "", [*opening(), AUDIO, content_end("A"), AUDIO, PROMPT_END, AUDIO, SESSION_END]),
    Row("open blocks at the end", "", [*opening(), AUDIO, PROMPT_END, SESSION_END]),
    Row("no promptEnd", "", [*opening(), AUDIO, SESSION_END]),
    Row("a second promptStart", "", [*opening(), AUDIO, prompt_start("carlos"), *closing()]),
    Row("more members", "", [session_start(more=1), *opening()[1:], AUDIO, *closing()]),
    Row("a history of 50 KB", "", [*opening(*text_block("H", "USER", "x" * 50_000)), AUDIO, *closing()]),
    Row("half a sample", "", [*opening(), audio_input(b"abc"), *closing()]),
    Row("schemas with defaults", "", [*opening(tools=[tool(schema='{"default":1}')]), AUDIO, *closing()]),
]


@pytest.mark.parametrize("row", RELAXED, ids=lambda row: row.name)
def test_relaxed_checks_take_what_the_service_may_take(row: Row) -> None:
    assert play(row.script, checks=Checks.RELAXED).state is State.DONE


async def test_a_mistake_is_told_in_the_stream_which_then_ends() -> None:
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*BEGIN, *text_block("H", "USER", "hi"))
        ending = await stream.ending()

        assert ending.status == 200
        assert ending.exception == (
            "validationException",
            f"RequestId={ending.headers['x-amzn-requestid']} : First content must have SYSTEM role",
        )
        assert ending.is_ended


async def test_a_mistake_in_the_first_event_is_an_http_error() -> None:
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(prompt_start())
        ending = await stream.ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (400, "ValidationException")
        assert ending.body == b'{"message":"' + GENERIC.encode() + b'"}'


async def test_events_before_bytes_that_are_no_message_are_taken() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.write(b"".join(map(inner_message, [*opening(), AUDIO])) + bytes(64))
        ending = await stream.ending()

        assert len(stream.named("audioOutput")) == 1
        assert ending.exception is not None
        assert ending.exception[1].endswith("Unable to parse input chunk")


@pytest.mark.parametrize("garbage", [b"\0" * 64, b"GET / HTTP/1.1 and so on"])
async def test_bytes_that_are_no_message_are_refused(garbage: bytes) -> None:
    async with NovaSonicLocal(Options()) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.write(garbage)
        ending = await stream.ending()

        assert (ending.status, ending.body) == (400, b'{"message":"Unable to parse input chunk"}')

"""What the service refuses, each by one minimal script, and in which words."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from h2.exceptions import ProtocolError

from tests.conformance.facts import holds
from tests.conformance.recording import LOOKUP, TOOL_SYSTEM, opened, talking
from tests.conformance.target import FIRST_MODEL_ID, MODEL_ID, PLAIN, Brain, Setup, Target
from tests.emulator.signed_wire import path_of
from tests.emulator.wire import (
    PROMPT_END,
    SESSION_END,
    Ending,
    Json,
    audio_input,
    audio_start,
    content_end,
    inner_bytes,
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
TOO_LONG = "Chat history is over max limit. Trim chat history and try again."
SYSTEM = text_block("S", "SYSTEM", "Be brief.")
BEGIN = [session_start(), prompt_start()]
AUDIO = audio_input(silence(0.1))
REFUSAL_SECONDS = 15.0
"""A service that has not refused by then has not refused."""
PREFIX = re.compile(r"^RequestId=[0-9a-f-]{36} : (?:Error\(s\):\nError 1 : )?")


@dataclass(frozen=True)
class Row:
    """A script whose last event is refused."""

    text: str
    script: Sequence[Json]
    model_id: str = MODEL_ID


def history(*roles: str, text: str = "x") -> list[Json]:
    return [event for index, role in enumerate(roles) for event in text_block(f"H{index}", role, text)]


def with_schema(schema: object) -> list[Json]:
    return [session_start(), prompt_start(tools=[tool(schema=schema)])]


def inference(**values: object) -> list[Json]:
    return [session_start(inferenceConfiguration=values), *opening()[1:], AUDIO]


def endpointing(value: object) -> Json:
    return session_start(turnDetectionConfiguration={"endpointingSensitivity": value})


ROWS = {
    "refusal.first-not-system": Row("First content must have SYSTEM role", [*BEGIN, text_start("H", "USER")]),
    "refusal.first-audio": Row("First content must have SYSTEM role", [*BEGIN, audio_start()]),
    "refusal.second-system": Row(
        "Duplicate SYSTEM content. SYSTEM content can only be provided once per prompt", [*BEGIN, *SYSTEM, text_start("S2", "SYSTEM")]
    ),
    "refusal.audio-block-in-open-text": Row(HISTORY_FIRST, [*BEGIN, *SYSTEM, text_start("H", "USER"), audio_start()]),
    "refusal.audio-in-open-text": Row(HISTORY_FIRST, [*opening(), AUDIO, text_start("H", "USER", interactive=True), AUDIO]),
    "refusal.history-after-audio": Row(HISTORY_FIRST, [*opening(), AUDIO, *text_block("H", "USER", "hi")]),
    "refusal.history-messages": Row(TOO_LONG, [*BEGIN, *SYSTEM, *history(*(["USER", "ASSISTANT"] * 20), "USER"), audio_start(), AUDIO]),
    "refusal.history-input": Row(TOO_LONG, [*BEGIN, *SYSTEM, *text_block("H", "USER", "x" * 1_025), audio_start(), AUDIO]),
    "refusal.history-total": Row(
        TOO_LONG, [*BEGIN, *SYSTEM, text_start("H", "USER"), *[text_input("H", "x" * 1_024)] * 41, content_end("H"), audio_start(), AUDIO]
    ),
    "refusal.history-order": Row(GENERIC, [*BEGIN, *SYSTEM, *history("ASSISTANT"), audio_start(), AUDIO]),
    "refusal.history-alternation": Row(GENERIC, [*BEGIN, *SYSTEM, *history("USER", "USER"), audio_start(), AUDIO]),
    "refusal.open-content": Row("All contents must be closed before ending prompt", [*opening(), AUDIO, PROMPT_END]),
    "refusal.empty-text": Row(
        "Cannot end content [S] as no content data was received", [*BEGIN, text_start("S", "SYSTEM"), content_end("S")]
    ),
    "refusal.empty-audio": Row("Cannot end content [A] as no content data was received", [*opening(), content_end("A")]),
    "refusal.no-audio": Row("must have at least one audio content", [*BEGIN, *SYSTEM, PROMPT_END]),
    "refusal.tool-name": Row(
        "#/toolConfig/tools/0/toolSpec/name: string [clock.now] does not match pattern ^[a-zA-Z0-9_-]+$",
        [session_start(), prompt_start(tools=[tool("clock.now")]), *SYSTEM],
    ),
    "refusal.tools-of-one-name": Row("Input is invalid", [session_start(), prompt_start(tools=[tool(), tool()]), *SYSTEM]),
    "refusal.schema-object": Row("Unable to parse input chunk", [*with_schema({"type": "object"}), *SYSTEM]),
    "refusal.schema-default": Row(GENERIC, [*with_schema('{"type":"object","properties":{"a":{"type":"string","default":"x"}}}'), *SYSTEM]),
    "refusal.schema-additional": Row(GENERIC, [*with_schema('{"type":"object","additionalProperties":false}'), *SYSTEM]),
    "refusal.schema-title": Row(GENERIC, [*with_schema('{"type":"object","title":"T"}'), *SYSTEM]),
    "refusal.schema-null": Row(
        GENERIC, [*with_schema('{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]}}}'), *SYSTEM]
    ),
    "refusal.chosen-tool": Row(
        GENERIC,
        [session_start(), prompt_start(toolConfiguration={"tools": [tool()], "toolChoice": {"tool": {"name": "other"}}}), *SYSTEM],
    ),
    "refusal.voice": Row("Received invalid voiceId", [session_start(), prompt_start("alexa"), *SYSTEM]),
    "refusal.voice-of-nova-2": Row("Received invalid voiceId", [session_start(), prompt_start("tina"), *SYSTEM], FIRST_MODEL_ID),
    "refusal.voice-of-nova-1": Row("Received invalid voiceId", [session_start(), prompt_start("greta"), *SYSTEM]),
    "refusal.endpointing-flat": Row(GENERIC, [session_start(endpointingSensitivity="HIGH"), *opening()[1:]]),
    "refusal.endpointing-value": Row(GENERIC, [endpointing("MAX"), *opening()[1:]]),
    "refusal.endpointing-nova-1": Row(GENERIC, [endpointing("HIGH"), *opening()[1:]], FIRST_MODEL_ID),
    "refusal.temperature": Row(GENERIC, inference(temperature=1.1)),
    "refusal.top-p": Row(GENERIC, inference(topP=-0.1)),
    "refusal.max-tokens": Row(GENERIC, inference(maxTokens=0)),
    "refusal.output-rate": Row(GENERIC, [session_start(), prompt_start(hertz=44_100), *SYSTEM]),
    "refusal.input-rate": Row(GENERIC, [*BEGIN, *SYSTEM, audio_start(hertz=44_100), AUDIO]),
    "refusal.unknown-tool-use": Row(GENERIC, [*opening(), AUDIO, *tool_result("no-such-id", "{}")]),
    "refusal.content-name-twice": Row(GENERIC, [*BEGIN, *SYSTEM, *text_block("S", "USER", "hi")]),
    "refusal.other-prompt": Row(GENERIC, [session_start(), prompt_start(promptName="Q"), *SYSTEM]),
    "refusal.second-session": Row(GENERIC, [session_start(), session_start()]),
    "refusal.prompt-before-session": Row(GENERIC, [prompt_start(), *SYSTEM]),
    "refusal.session-end-early": Row(GENERIC, [*opening(), AUDIO, SESSION_END]),
    "refusal.unknown-event": Row(GENERIC, [session_start(), {"event": {"connectionEnd": {}}}, *opening()[1:], AUDIO]),
    "refusal.no-event": Row("Unable to parse input chunk", [session_start(), {"event": {}}]),
    "refusal.bad-base64": Row(
        "Unable to parse input chunk", [*opening(), {"event": {"audioInput": {"promptName": "P", "contentName": "A", "content": "?"}}}]
    ),
    "refusal.half-sample": Row(GENERIC, [*opening(), audio_input(b"abc")]),
    "refusal.second-audio": Row(GENERIC, [*opening(), AUDIO, content_end("A"), audio_start("B"), audio_input(silence(0.1), "B")]),
    "refusal.system-speech-nova-1": Row(GENERIC, [*BEGIN, *SYSTEM, *text_block("V", "SYSTEM_SPEECH", "Hindi")], FIRST_MODEL_ID),
}

TOOL_ROWS = {
    "refusal.result-list": Row("Tool Response parsing error", tool_result("$", "[1]")),
    "refusal.result-text": Row("Tool Response parsing error", tool_result("$", "sunny")),
    "refusal.result-media-type": Row(
        "Tool result media type must be one of: [text/plain]", tool_result("$", "{}", media_type="application/json")
    ),
    "refusal.result-twice": Row(GENERIC, [*tool_result("$", "{}"), *tool_result("$", "{}", "T2")]),
}

FAULTS = {
    "refusal.content-filter": ("content_filter", "validationException", "This request has been blocked by our content filters."),
    "refusal.unstable": ("exception:unstable", "validationException", "System instability detected. Please retry your request."),
    "refusal.closed-531": (
        "exception:stream_closed",
        "validationException",
        "InternalErrorCode=531::RST_STREAM closed stream. HTTP/2 error code: NO_ERROR",
    ),
    "refusal.model-error": (
        "exception:modelStreamErrorException",
        "modelStreamErrorException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    "refusal.internal-error": (
        "exception:internalServerException",
        "internalServerException",
        "The system encountered an unexpected error during processing. Try your request again.",
    ),
    "refusal.timed-out": (
        "exception:modelTimeoutException",
        "modelTimeoutException",
        "Model has timed out in processing the request. Try your request again.",
    ),
    "refusal.throttled": ("exception:throttlingException", "throttlingException", ""),
    "refusal.unavailable": ("exception:serviceUnavailableException", "serviceUnavailableException", ""),
}


async def ending_of(target: Target, script: Sequence[Json], model_id: str = MODEL_ID, setup: Setup = PLAIN) -> Ending:
    """Send a script and return how the stream ended."""
    async with target.raw(setup) as client:
        stream = client.open(path_of(model_id))
        with suppress(ProtocolError):  # the stream may be over before the last event
            await stream.send(*script)
        async with asyncio.timeout(REFUSAL_SECONDS):
            return await stream.ending()


def refusal_of(ending: Ending) -> tuple[str, str]:
    """Return the kind of a refusal and its text, in the stream or before it."""
    if ending.exception is not None:
        return ending.exception[0], PREFIX.sub("", ending.exception[1])
    return ending.headers.get("x-amzn-errortype", "").partition(":")[0], ending.body.decode()


async def assert_refused(target: Target, row: Row) -> None:
    kind, text = refusal_of(await ending_of(target, row.script, row.model_id))

    assert kind.lower() == "validationexception", f"{kind}: {text}"
    assert row.text in text, text


async def assert_result_refused(target: Target, row: Row) -> None:
    async with talking(target, Setup(Brain.TOOL), opened(TOOL_SYSTEM, tools=[LOOKUP])) as (talk, recording):
        await talk.send(*text_block("U", "USER", "What is the weather in Oslo?", interactive=True))
        use = await talk.stream.until("toolUse")
        await talk.stream.until("contentEnd", type="TOOL")
        with suppress(ProtocolError):
            for event in row.script:
                await talk.send(_with_id(event, use["toolUseId"]))
        async with asyncio.timeout(REFUSAL_SECONDS):
            await talk.stream.ending()
        kind, text = refusal_of(recording().ending)

        assert kind == "validationException", f"{kind}: {text}"
        assert row.text in text, text


def _with_id(event: Json, tool_use_id: str) -> Json:
    start = event["event"].get("contentStart")
    if start is None:
        return event
    configuration = start["toolResultInputConfiguration"] | {"toolUseId": tool_use_id}
    return {"event": {"contentStart": start | {"toolResultInputConfiguration": configuration}}}


def _register() -> None:
    for fact_id, row in ROWS.items():
        holds(fact_id)(lambda target, row=row: assert_refused(target, row))  # type: ignore[misc]  # the default binds the row
    for fact_id, row in TOOL_ROWS.items():
        holds(fact_id)(lambda target, row=row: assert_result_refused(target, row))  # type: ignore[misc]  # likewise
    for fact_id, (fault, member, text) in FAULTS.items():
        holds(fact_id)(lambda target, wanted=(fault, member, text): _on_demand(target, *wanted))  # type: ignore[misc]  # likewise


async def _on_demand(target: Target, fault: str, member: str, text: str) -> None:
    kind, said = refusal_of(await ending_of(target, opening(), setup=Setup(fault=fault)))

    assert kind == member
    assert text in said


_register()


@holds("refusal.prefix")
async def _prefix(target: Target) -> None:
    ending = await ending_of(target, [*BEGIN, *SYSTEM, AUDIO])

    assert ending.exception is not None
    assert ending.exception[1].startswith(f"RequestId={ending.headers['x-amzn-requestid']} : ")


@holds("refusal.ends-the-stream")
async def _ends_the_stream(target: Target) -> None:
    ending = await ending_of(target, [*BEGIN, *SYSTEM, AUDIO])

    assert ending.exception is not None
    assert ending.is_ended or ending.reset_code is not None


@holds("refusal.before-the-head")
async def _before_the_head(target: Target) -> None:
    ending = await ending_of(target, [prompt_start()])

    assert (ending.status, ending.headers["x-amzn-errortype"].partition(":")[0]) == (400, "ValidationException")
    assert b'"message"' in ending.body


@holds("refusal.no-json")
async def _no_json(target: Target) -> None:
    async with target.raw() as client:
        stream = client.open()
        await stream.send(session_start())
        await stream.send_inner(inner_bytes(b"{"))
        ending = await stream.ending()

    assert "Unable to parse input chunk" in refusal_of(ending)[1]

"""Events that go to the model: written exactly as AWS documents them, read as tolerantly as clients in the field need it."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, assert_never

from s2s.errors import CodecError, Flaw
from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    ContentStart,
    ContentType,
    Endpointing,
    InferenceConfiguration,
    InputEvent,
    PromptEnd,
    PromptStart,
    Role,
    SessionEnd,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
    ToolSpec,
)
from s2s.limits import EVENT_BYTES
from s2s.wire import Json, Members, UnknownValue, decode_pcm, dump_json, encode_pcm, event_body

_LPCM: Final = {"mediaType": "audio/lpcm", "sampleSizeBits": 16, "channelCount": 1, "encoding": "base64"}
"""The one format of speech that the service takes and gives."""


def encode_input(event: InputEvent) -> bytes:
    """Write an event for the model.

    Raises:
        CodecError: the event holds what JSON or the service cannot carry (lone surrogates, half a sample).
    """
    if isinstance(event, AudioInput):  # the hot path: some 31 of these a second and session
        return _audio_prefix(event.prompt_name, event.content_name) + encode_pcm(event.pcm) + b'"}}}'
    name, body = _body(event)
    return dump_json({"event": {name: body}})


@lru_cache(maxsize=256)
def _audio_prefix(prompt_name: str, content_name: str) -> bytes:
    names = dump_json({"promptName": prompt_name, "contentName": content_name})
    return b'{"event":{"audioInput":' + names[:-1] + b',"content":"'


def _body(event: InputEvent) -> tuple[str, Json]:
    match event:
        case SessionStart():
            return "sessionStart", _session_start(event)
        case PromptStart():
            return "promptStart", _prompt_start(event)
        case TextContentStart() | AudioContentStart() | ToolContentStart():
            return "contentStart", _content_start(event)
        case TextInput() | ToolResult():
            name = "textInput" if isinstance(event, TextInput) else "toolResult"
            return name, {"promptName": event.prompt_name, "contentName": event.content_name, "content": event.content}
        case AudioInput():
            content = encode_pcm(event.pcm).decode()
            return "audioInput", {"promptName": event.prompt_name, "contentName": event.content_name, "content": content}
        case ContentEnd():
            return "contentEnd", {"promptName": event.prompt_name, "contentName": event.content_name}
        case PromptEnd():
            return "promptEnd", {"promptName": event.prompt_name}
        case SessionEnd():
            return "sessionEnd", {}
    assert_never(event)


def _session_start(event: SessionStart) -> Json:
    inference = event.inference
    body: dict[str, Json] = {
        "inferenceConfiguration": {
            "maxTokens": inference.max_tokens,
            "topP": inference.top_p,
            "temperature": inference.temperature,
        }
    }
    if event.endpointing is not None:
        body["turnDetectionConfiguration"] = {"endpointingSensitivity": event.endpointing.value}
    return body


def _prompt_start(event: PromptStart) -> Json:
    body: dict[str, Json] = {
        "promptName": event.prompt_name,
        "textOutputConfiguration": {"mediaType": "text/plain"},
        "audioOutputConfiguration": {
            "mediaType": "audio/lpcm",
            "sampleRateHertz": event.output_hertz,
            "sampleSizeBits": 16,
            "channelCount": 1,
            "voiceId": event.voice_id,
            "encoding": "base64",
            "audioType": "SPEECH",
        },
    }
    if event.tools:  # both members stay away when there are no tools, as in AWS's samples
        body["toolUseOutputConfiguration"] = {"mediaType": "application/json"}
        configuration: dict[str, Json] = {}
        if event.tool_choice is not None:
            configuration["toolChoice"] = _tool_choice(event.tool_choice)
        configuration["tools"] = [_tool(tool) for tool in event.tools]
        body["toolConfiguration"] = configuration
    return body


def _tool(tool: ToolSpec) -> Json:
    return {"toolSpec": {"name": tool.name, "description": tool.description, "inputSchema": {"json": tool.input_schema}}}


def _tool_choice(choice: str) -> Json:
    return {choice: {}} if choice in ("auto", "any") else {"tool": {"name": choice}}


def _content_start(event: ContentStart) -> Json:
    names: dict[str, Json] = {"promptName": event.prompt_name, "contentName": event.content_name}
    text: Json = {"mediaType": "text/plain"}
    match event:
        case TextContentStart():
            return names | {"type": "TEXT", "interactive": event.interactive, "role": event.role.value, "textInputConfiguration": text}
        case AudioContentStart():
            speech: Json = {
                "mediaType": "audio/lpcm",
                "sampleRateHertz": event.input_hertz,
                "sampleSizeBits": 16,
                "channelCount": 1,
                "audioType": "SPEECH",
                "encoding": "base64",
            }
            return names | {"type": "AUDIO", "interactive": True, "role": "USER", "audioInputConfiguration": speech}
        case ToolContentStart():
            result: Json = {"toolUseId": event.tool_use_id, "type": "TEXT", "textInputConfiguration": text}
            return names | {"interactive": False, "type": "TOOL", "role": "TOOL", "toolResultInputConfiguration": result}
    assert_never(event)


def decode_input(data: str | bytes) -> InputEvent:
    """Read an event as clients send it to the model.

    Clients leave things out: the role of TOOL and AUDIO blocks, `interactive`, configurations whose values are fixed anyway. A missing
    member takes AWS's default, an unknown one is ignored.

    Raises:
        CodecError: this is no event, or one that carries something else than LPCM audio and text.
    """
    name, body = event_body(data, EVENT_BYTES)
    read = _READERS.get(name)
    if read is None:
        raise CodecError(Flaw.UNKNOWN_EVENT, "no such input event")
    try:
        return read(body)
    except UnknownValue as error:
        raise CodecError(Flaw.BAD_MEMBER, str(error)) from None


def _read_session_start(body: Members) -> SessionStart:
    asked = body.part("inferenceConfiguration")
    default = InferenceConfiguration()
    turns = body.part("turnDetectionConfiguration")
    return SessionStart(
        InferenceConfiguration(
            asked.whole("maxTokens", default.max_tokens),
            asked.number("topP", default.top_p),
            asked.number("temperature", default.temperature),
        ),
        turns.one_of("endpointingSensitivity", Endpointing) if turns.values.get("endpointingSensitivity") is not None else None,
    )


def _read_prompt_start(body: Members) -> PromptStart:
    speech = _read_lpcm(body.part("audioOutputConfiguration"))
    tools = body.part("toolConfiguration")
    return PromptStart(
        body.text("promptName"),
        speech.text("voiceId", ""),
        speech.whole("sampleRateHertz", 24_000),
        tuple(_read_tool(tool.part("toolSpec")) for tool in tools.parts("tools")),
        _read_tool_choice(tools),
    )


def _read_tool(spec: Members) -> ToolSpec:
    return ToolSpec(spec.text("name"), spec.text("description", ""), spec.part("inputSchema").json_text("json"))


def _read_tool_choice(tools: Members) -> str | None:
    choice = tools.part("toolChoice")
    for kind in ("auto", "any"):
        if kind in choice.values:
            return kind
    return choice.part("tool").text("name") if "tool" in choice.values else None


def _read_lpcm(configuration: Members) -> Members:
    for key, expected in _LPCM.items():
        if configuration.values.get(key, expected) != expected:
            raise CodecError(Flaw.BAD_AUDIO, f"{key}: only {expected} is possible")
    return configuration


def _read_content_start(body: Members) -> ContentStart:
    prompt_name, content_name = body.text("promptName"), body.text("contentName")
    kind = body.one_of("type", ContentType)
    match kind:
        case ContentType.TEXT:
            return TextContentStart(prompt_name, content_name, body.one_of("role", Role), body.flag("interactive"))
        case ContentType.AUDIO:
            speech = _read_lpcm(body.part("audioInputConfiguration"))
            return AudioContentStart(prompt_name, content_name, speech.whole("sampleRateHertz", 16_000))
        case ContentType.TOOL:
            return ToolContentStart(prompt_name, content_name, body.part("toolResultInputConfiguration").text("toolUseId"))
    assert_never(kind)


def _read_text_input(body: Members) -> TextInput:
    return TextInput(body.text("promptName"), body.text("contentName"), body.text("content"))


def _read_audio_input(body: Members) -> AudioInput:
    return AudioInput(body.text("promptName"), body.text("contentName"), decode_pcm(body.text("content")))


def _read_tool_result(body: Members) -> ToolResult:
    return ToolResult(body.text("promptName"), body.text("contentName"), body.json_text("content"))


def _read_content_end(body: Members) -> ContentEnd:
    return ContentEnd(body.text("promptName"), body.text("contentName"))


def _read_prompt_end(body: Members) -> PromptEnd:
    return PromptEnd(body.text("promptName"))


def _read_session_end(_body: Members) -> SessionEnd:
    return SessionEnd()


_READERS: Final[dict[str, Callable[[Members], InputEvent]]] = {
    "sessionStart": _read_session_start,
    "promptStart": _read_prompt_start,
    "contentStart": _read_content_start,
    "textInput": _read_text_input,
    "audioInput": _read_audio_input,
    "toolResult": _read_tool_result,
    "contentEnd": _read_content_end,
    "promptEnd": _read_prompt_end,
    "sessionEnd": _read_session_end,
}

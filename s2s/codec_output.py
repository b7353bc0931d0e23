"""Events that come from the model: read without trusting them, and written again for clients that speak Nova's own events."""

from collections.abc import Callable
from functools import lru_cache
from typing import Final, assert_never

import orjson

from s2s.errors import CodecError
from s2s.events import (
    AudioOutput,
    CompletionEnd,
    CompletionStart,
    ContentEnded,
    ContentStarted,
    ContentType,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextOutput,
    TokenCounts,
    ToolUse,
    UnknownEvent,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from s2s.limits import OUTPUT_EVENT_BYTES
from s2s.wire import Json, Members, UnknownValue, decode_pcm, dump_json, encode_pcm, event_body, load_json

_STAGE_TEXT_BYTES: Final = 4096
"""Longest additionalModelFields that is looked into; the real ones have 30 bytes."""


_SPEECH: Final = b'{"event":{"audioOutput":'
_BEFORE_CONTENT: Final = b'"content":"'
_AFTER_CONTENT: Final = b'"}}}'


def decode_output(data: bytes) -> OutputEvent:
    """Read an event as the model sends it.

    An event of an unknown name, or with a role, type or stop reason that does not exist yet, is returned as UnknownEvent.

    Raises:
        CodecError: this is no event, or a member without which it makes no sense is missing.
    """
    if data[: len(_SPEECH)] == _SPEECH and len(data) <= OUTPUT_EVENT_BYTES and (speech := _read_speech(data)) is not None:
        return speech
    name, body = event_body(data, OUTPUT_EVENT_BYTES)
    read = _READERS.get(name)
    if read is not None:
        try:
            return read(body)
        except UnknownValue:
            pass  # it is kept as it came
    return UnknownEvent(name, dump_json(body.values).decode())


def _read_speech(data: bytes) -> AudioOutput | None:
    """Read a piece of speech of the usual spelling, 31 of which come a second; None for the tolerant reader.

    Between a beginning that holds what it must and the usual end there is base64 or no event: such bytes cannot be read in another way.
    """
    at = data.find(_BEFORE_CONTENT) + len(_BEFORE_CONTENT)
    if at < len(_BEFORE_CONTENT) or not data.endswith(_AFTER_CONTENT):
        return None
    ids = _ids_of_block(data[:at])
    return None if ids is None else AudioOutput(*ids, decode_pcm(data[at : -len(_AFTER_CONTENT)]))


@lru_cache(maxsize=1024)
def _ids_of_block(beginning: bytes) -> tuple[str, str, str, str] | None:
    """Return session, prompt, completion and content: all pieces of a block of speech begin alike."""
    try:
        body = load_json(beginning + _AFTER_CONTENT, OUTPUT_EVENT_BYTES)
    except CodecError:
        return None
    match body:
        case {"event": {"audioOutput": {"sessionId": str(a), "promptName": str(b), "completionId": str(c), "contentId": str(d)}}}:
            return a, b, c, d
        case _:
            return None


def _ids(body: Members) -> tuple[str, str, str]:
    # Seen on the wire without some of them (userSpeechStart), so none is insisted on.
    return body.text("sessionId", ""), body.text("promptName", ""), body.text("completionId", "")


def _read_completion_start(body: Members) -> CompletionStart:
    return CompletionStart(*_ids(body))


def _read_content_start(body: Members) -> ContentStarted:
    kind = body.one_of("type", ContentType)
    hertz = body.part("audioOutputConfiguration").whole("sampleRateHertz", 0) or None
    return ContentStarted(
        *_ids(body),
        body.text("contentId"),
        kind,
        body.one_of("role", Role),
        _read_stage(body) if kind is ContentType.TEXT else None,
        hertz if kind is ContentType.AUDIO else None,
    )


def _read_stage(body: Members) -> Stage | None:
    fields = body.text("additionalModelFields", "")  # a JSON text inside the JSON
    try:
        parsed = load_json(fields, _STAGE_TEXT_BYTES) if fields else None
        return Stage(str(parsed.get("generationStage"))) if isinstance(parsed, dict) else None
    except (CodecError, ValueError):
        return None


def _read_text_output(body: Members) -> TextOutput:
    role = body.one_of("role", Role) if body.values.get("role") is not None else None
    return TextOutput(*_ids(body), body.text("contentId"), role, body.text("content"))


def _read_audio_output(body: Members) -> AudioOutput:
    return AudioOutput(*_ids(body), body.text("contentId"), decode_pcm(body.text("content")))


def _read_tool_use(body: Members) -> ToolUse:
    return ToolUse(*_ids(body), body.text("contentId"), body.text("toolName"), body.text("toolUseId"), body.json_text("content"))


def _read_content_end(body: Members) -> ContentEnded:
    return ContentEnded(*_ids(body), body.text("contentId"), body.one_of("type", ContentType), body.one_of("stopReason", StopReason))


def _read_completion_end(body: Members) -> CompletionEnd:
    return CompletionEnd(*_ids(body), body.one_of("stopReason", StopReason))


def _read_usage(body: Members) -> UsageEvent:
    details = body.part("details")
    return UsageEvent(*_ids(body), _read_counts(details.part("delta")), _read_counts(details.part("total")))


def _read_counts(counts: Members) -> TokenCounts:
    given, made = counts.part("input"), counts.part("output")
    return TokenCounts(
        given.whole("speechTokens", 0), given.whole("textTokens", 0), made.whole("speechTokens", 0), made.whole("textTokens", 0)
    )


def _read_speech_start(body: Members) -> UserSpeechStart:
    return UserSpeechStart(body.text("sessionId", ""), body.text("promptName", ""), body.whole("inputAudioOffsetMs", 0))


def _read_speech_end(body: Members) -> UserSpeechEnd:
    offset_ms = body.whole("inputAudioOffsetMs", 0)
    detected_ms = body.whole("inputAudioDetectionOffsetMs", offset_ms)
    return UserSpeechEnd(body.text("sessionId", ""), body.text("promptName", ""), offset_ms, detected_ms)


_READERS: Final[dict[str, Callable[[Members], OutputEvent]]] = {
    "completionStart": _read_completion_start,
    "contentStart": _read_content_start,
    "textOutput": _read_text_output,
    "audioOutput": _read_audio_output,
    "toolUse": _read_tool_use,
    "contentEnd": _read_content_end,
    "completionEnd": _read_completion_end,
    "usageEvent": _read_usage,
    "userSpeechStart": _read_speech_start,
    "userSpeechEnd": _read_speech_end,
}


def encode_output(event: OutputEvent) -> bytes:
    """Write an event as the model would send it.

    Raises:
        CodecError: the event holds what JSON cannot carry (lone surrogates, half a sample).
    """
    if isinstance(event, AudioOutput):  # the hot path
        prefix = _audio_prefix(event.session_id, event.prompt_name, event.completion_id, event.content_id)
        return prefix + encode_pcm(event.pcm) + b'"}}}'
    if isinstance(event, UnknownEvent):
        return b'{"event":{' + dump_json(event.name) + b":" + orjson.dumps(orjson.Fragment(event.body)) + b"}}"
    name, body = _body(event)
    return dump_json({"event": {name: body}})


@lru_cache(maxsize=256)
def _audio_prefix(session_id: str, prompt_name: str, completion_id: str, content_id: str) -> bytes:
    names = dump_json({"sessionId": session_id, "promptName": prompt_name, "completionId": completion_id, "contentId": content_id})
    return b'{"event":{"audioOutput":' + names[:-1] + b',"content":"'


def _body(event: OutputEvent) -> tuple[str, Json]:
    match event:
        case UserSpeechStart():
            return "userSpeechStart", {
                "inputAudioOffsetMs": event.offset_ms,
                "promptName": event.prompt_name,
                "sessionId": event.session_id,
            }
        case UserSpeechEnd():
            return "userSpeechEnd", {
                "inputAudioOffsetMs": event.offset_ms,
                "inputAudioDetectionOffsetMs": event.detection_offset_ms,
                "promptName": event.prompt_name,
                "sessionId": event.session_id,
            }
        case UsageEvent():
            return "usageEvent", _usage(event)
        case UnknownEvent() | AudioOutput():
            raise AssertionError("written by encode_output itself")
        case CompletionStart() | ContentStarted() | TextOutput() | ToolUse() | ContentEnded() | CompletionEnd():
            return _of_completion(event)
    assert_never(event)


def _of_completion(event: CompletionStart | ContentStarted | TextOutput | ToolUse | ContentEnded | CompletionEnd) -> tuple[str, Json]:
    ids: dict[str, Json] = {"sessionId": event.session_id, "promptName": event.prompt_name, "completionId": event.completion_id}
    match event:
        case CompletionStart():
            return "completionStart", ids
        case CompletionEnd():
            return "completionEnd", ids | {"stopReason": event.stop_reason.value}
        case ContentStarted():
            return "contentStart", ids | {"contentId": event.content_id, "type": event.type.value, "role": event.role.value} | _format(
                event
            )
        case TextOutput():
            role: dict[str, Json] = {} if event.role is None else {"role": event.role.value}
            return "textOutput", ids | {"contentId": event.content_id} | role | {"content": event.content}
        case ToolUse():
            return "toolUse", ids | {
                "contentId": event.content_id,
                "role": "TOOL",
                "toolName": event.tool_name,
                "toolUseId": event.tool_use_id,
                "content": event.content,
            }
        case ContentEnded():
            return "contentEnd", ids | {"contentId": event.content_id, "type": event.type.value, "stopReason": event.stop_reason.value}
    assert_never(event)


def _format(event: ContentStarted) -> dict[str, Json]:
    match event.type:
        case ContentType.TEXT:
            stage: dict[str, Json] = {}
            if event.stage is not None:
                stage["additionalModelFields"] = dump_json({"generationStage": event.stage.value}).decode()
            return stage | {"textOutputConfiguration": {"mediaType": "text/plain"}}
        case ContentType.AUDIO:
            return {
                "audioOutputConfiguration": {
                    "mediaType": "audio/lpcm",
                    "sampleRateHertz": event.output_hertz,
                    "sampleSizeBits": 16,
                    "encoding": "base64",
                    "channelCount": 1,
                }
            }
        case ContentType.TOOL:
            return {"toolUseOutputConfiguration": {"mediaType": "application/json"}}
    assert_never(event.type)


def _usage(event: UsageEvent) -> Json:
    total = event.total
    given, made = total.input_speech + total.input_text, total.output_speech + total.output_text
    return {
        "completionId": event.completion_id,
        "promptName": event.prompt_name,
        "sessionId": event.session_id,
        "totalInputTokens": given,
        "totalOutputTokens": made,
        "totalTokens": given + made,
        "details": {"delta": _counts(event.delta), "total": _counts(total)},
    }


def _counts(counts: TokenCounts) -> Json:
    return {
        "input": {"speechTokens": counts.input_speech, "textTokens": counts.input_text},
        "output": {"speechTokens": counts.output_speech, "textTokens": counts.output_text},
    }

"""The events of the Realtime dialect in its present names, as docs/reference/asyncapi.yaml has them.

What becomes of each is explained in docs/reference/realtime-dialect.md; clients of the beta are told the same under other names.
"""

from collections.abc import Mapping
from typing import Final

from transports.dialects.messages import (
    BASE64,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Json,
    Message,
    Schema,
    Sender,
    Table,
    constant,
    members,
    one_of,
    or_null,
)
from transports.dialects.realtime import SUBPROTOCOL

_ITEM: Final = members(
    {"id": TEXT, "object": constant("realtime.item"), "type": one_of("message", "function_call", "function_call_output", "mcp_call")},
    {
        "status": one_of("in_progress", "completed", "incomplete"),
        "role": one_of("user", "assistant", "system"),
        "content": {"type": "array", "items": members({"type": TEXT}, {"text": TEXT, "transcript": TEXT})},
        "name": TEXT,
        "call_id": TEXT,
        "arguments": TEXT,
        "output": or_null(TEXT),
        "server_label": TEXT,
        "approval_request_id": or_null(TEXT),
        "error": or_null(members({"type": TEXT, "message": TEXT})),
    },
)
_ITEM_VALUE: Final[Mapping[str, Json]] = {
    "id": "item_1",
    "object": "realtime.item",
    "type": "message",
    "status": "completed",
    "role": "user",
    "content": [{"type": "input_text", "text": "Where is my order?"}],
}
_FORMAT: Final = members({"type": one_of("audio/pcm", "audio/pcmu", "audio/pcma")}, {"rate": {"enum": [8_000, 16_000, 24_000]}})
_FORMAT_VALUE: Final[Mapping[str, Json]] = {"type": "audio/pcm", "rate": 24_000}
_MODALITIES: Final[Schema] = {"type": "array", "items": one_of("audio", "text")}
_TOKENS_LIMIT: Final[Schema] = {"anyOf": [WHOLE, constant("inf")]}
_SESSION: Final = members(
    {
        "type": constant("realtime"),
        "object": constant("realtime.session"),
        "id": TEXT,
        "model": TEXT,
        "instructions": TEXT,
        "tools": {"type": "array", "items": {"type": "object"}},
        "tool_choice": constant("auto"),
        "tracing": {"type": "null"},
        "output_modalities": _MODALITIES,
        "max_output_tokens": _TOKENS_LIMIT,
        "audio": members(
            {
                "input": members(
                    {
                        "format": _FORMAT,
                        "transcription": members({"model": TEXT, "language": TEXT}),
                        "noise_reduction": {"type": "null"},
                        "turn_detection": {"type": "object"},
                    }
                ),
                "output": members({"format": _FORMAT, "voice": TEXT, "speed": NUMBER}),
            }
        ),
    }
)
_SESSION_VALUE: Final[Mapping[str, Json]] = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_1",
    "model": "carlos",
    "instructions": "Be kind.",
    "tools": [],
    "tool_choice": "auto",
    "tracing": None,
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "format": _FORMAT_VALUE,
            "transcription": {"model": "nova-sonic", "language": "en"},
            "noise_reduction": None,
            "turn_detection": {"type": "server_vad", "create_response": True, "interrupt_response": True},
        },
        "output": {"format": _FORMAT_VALUE, "voice": "matthew", "speed": 1.0},
    },
}
_USAGE: Final = members(
    {
        "total_tokens": WHOLE,
        "input_tokens": WHOLE,
        "output_tokens": WHOLE,
        "input_token_details": members({"audio_tokens": WHOLE, "text_tokens": WHOLE, "image_tokens": WHOLE, "cached_tokens": WHOLE}),
        "output_token_details": members({"audio_tokens": WHOLE, "text_tokens": WHOLE}),
    }
)
_RESPONSE: Final = members(
    {
        "object": constant("realtime.response"),
        "id": TEXT,
        "status": one_of("in_progress", "completed", "cancelled", "failed", "incomplete"),
        "status_details": or_null({"type": "object"}),
        "output": {"type": "array", "items": _ITEM},
        "conversation_id": TEXT,
        "metadata": or_null({"type": "object"}),
        "usage": or_null(_USAGE),
        "output_modalities": _MODALITIES,
        "max_output_tokens": _TOKENS_LIMIT,
        "audio": {"type": "object"},
    }
)
_RESPONSE_VALUE: Final[Mapping[str, Json]] = {
    "object": "realtime.response",
    "id": "resp_1",
    "status": "in_progress",
    "status_details": None,
    "output": [],
    "conversation_id": "conv_1",
    "metadata": None,
    "usage": None,
    "output_modalities": ["audio"],
    "max_output_tokens": "inf",
    "audio": {"output": {"format": _FORMAT_VALUE, "voice": "matthew"}},
}
_PART: Final = members({"type": one_of("audio", "text")}, {"transcript": TEXT, "text": TEXT})

type _Members = Mapping[str, Schema]
type _Example = Mapping[str, Json]

_PLACE: Final[_Members] = {"item_id": TEXT, "content_index": WHOLE}
_PLACE_VALUES: Final[_Example] = {"item_id": "item_1", "content_index": 0}
_OF_ITEM: Final[_Members] = {"response_id": TEXT, "output_index": WHOLE, "item_id": TEXT}
_OF_ITEM_VALUES: Final[_Example] = {"response_id": "resp_1", "output_index": 0, "item_id": "item_2"}
_OF_PART: Final[_Members] = {**_OF_ITEM, "content_index": WHOLE}
_OF_PART_VALUES: Final[_Example] = {**_OF_ITEM_VALUES, "content_index": 0}
_IN_ORDER: Final[_Members] = {"previous_item_id": or_null(TEXT), "item": _ITEM}
_IN_ORDER_VALUES: Final[_Example] = {"previous_item_id": None, "item": _ITEM_VALUE}


def _from_client(name: str, summary: str, required: _Members, example: _Example, optional: _Members | None = None) -> Message:
    schema = members({"type": constant(name), **required}, {"event_id": TEXT, **(optional or {})})
    return Message(name, Sender.CLIENT, summary, schema, {"type": name, **example})


def _from_server(name: str, summary: str, required: _Members, example: _Example) -> Message:
    schema = members({"type": constant(name), "event_id": TEXT, **required})
    return Message(name, Sender.SERVER, summary, schema, {"type": name, "event_id": "event_1", **example})


_MESSAGE: Final[_Example] = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is my order?"}]}
_CLIENT: Final = (
    _from_client(
        "session.update",
        "Choose voice, instructions, tools and formats; they are fixed once the conversation has begun.",
        {"session": {"type": "object"}},
        {"session": {"type": "realtime", "instructions": "Be kind."}},
    ),
    _from_client("input_audio_buffer.append", "A piece of the microphone.", {"audio": BASE64}, {"audio": "AQD+/w=="}),
    _from_client("input_audio_buffer.commit", "The user's turn is over; the model decides that itself as well.", {}, {}),
    _from_client("input_audio_buffer.clear", "Acknowledged: what was appended was heard already.", {}, {}),
    _from_client("output_audio_buffer.clear", "Be quiet.", {}, {}),
    _from_client(
        "conversation.item.create",
        "Add a message, or the output of a function call.",
        {"item": {"type": "object", "required": ["type"]}},
        {"item": _MESSAGE},
        {"previous_item_id": or_null(TEXT)},
    ),
    _from_client(
        "conversation.item.truncate",
        "How much of an answer was heard.",
        {"item_id": TEXT, "audio_end_ms": WHOLE},
        {"item_id": "item_2", "content_index": 0, "audio_end_ms": 840},
        {"content_index": WHOLE},
    ),
    _from_client("conversation.item.retrieve", "Ask for an item.", {"item_id": TEXT}, {"item_id": "item_1"}),
    _from_client("conversation.item.delete", "Take back a message that the model was not told.", {"item_id": TEXT}, {"item_id": "item_1"}),
    _from_client(
        "response.create", "Answer what was typed; what was said is answered by itself.", {}, {}, {"response": {"type": "object"}}
    ),
    _from_client("response.cancel", "Be quiet.", {}, {}, {"response_id": TEXT}),
)
_ABOUT_SESSION: Final = (
    _from_server("session.created", "The first event of a connection.", {"session": _SESSION}, {"session": _SESSION_VALUE}),
    _from_server("session.updated", "What the session is like now.", {"session": _SESSION}, {"session": _SESSION_VALUE}),
    _from_server(
        "error",
        "Something went wrong.",
        {
            "error": members(
                {
                    "type": one_of("invalid_request_error", "server_error"),
                    "code": TEXT,
                    "message": TEXT,
                    "param": or_null(TEXT),
                    "event_id": or_null(TEXT),
                    "retryable": FLAG,
                    "ref": TEXT,
                },
                {"retry_after": {**WHOLE, "description": "Seconds after which trying again can help."}},
            )
        },
        {
            "error": {
                "type": "invalid_request_error",
                "code": "unknown_event",
                "message": "This event does not exist.",
                "param": "type",
                "event_id": None,
                "retryable": False,
                "ref": "5f0c",
            }
        },
    ),
)
_ABOUT_USER: Final = (
    _from_server(
        "input_audio_buffer.speech_started",
        "The model hears the user.",
        {"item_id": TEXT, "audio_start_ms": WHOLE},
        {"item_id": "item_1", "audio_start_ms": 640},
    ),
    _from_server(
        "input_audio_buffer.speech_stopped",
        "The model takes the user's turn as finished.",
        {"item_id": TEXT, "audio_end_ms": WHOLE},
        {"item_id": "item_1", "audio_end_ms": 2_400},
    ),
    _from_server(
        "input_audio_buffer.committed",
        "The user's turn is an item.",
        {"previous_item_id": or_null(TEXT), "item_id": TEXT},
        {"previous_item_id": None, "item_id": "item_1"},
    ),
    _from_server("input_audio_buffer.cleared", "The answer to clear.", {}, {}),
    _from_server("output_audio_buffer.cleared", "The answer to clear.", {"response_id": or_null(TEXT)}, {"response_id": "resp_1"}),
    _from_server("conversation.item.added", "An item is in the conversation.", _IN_ORDER, _IN_ORDER_VALUES),
    _from_server("conversation.item.done", "An item is complete.", _IN_ORDER, _IN_ORDER_VALUES),
    _from_server("conversation.item.retrieved", "The item that was asked for.", {"item": _ITEM}, {"item": _ITEM_VALUE}),
    _from_server("conversation.item.deleted", "The item is gone.", {"item_id": TEXT}, {"item_id": "item_1"}),
    _from_server(
        "conversation.item.truncated",
        "The answer ends where it was heard.",
        {**_PLACE, "audio_end_ms": WHOLE},
        {**_PLACE_VALUES, "audio_end_ms": 840},
    ),
    _from_server(
        "conversation.item.input_audio_transcription.delta",
        "What the user said, piece by piece.",
        {**_PLACE, "delta": TEXT},
        {**_PLACE_VALUES, "delta": "Where is my order?"},
    ),
    _from_server(
        "conversation.item.input_audio_transcription.completed",
        "All that the user said so far in this turn.",
        {**_PLACE, "transcript": TEXT, "usage": members({"type": constant("duration"), "seconds": NUMBER})},
        {**_PLACE_VALUES, "transcript": "Where is my order?", "usage": {"type": "duration", "seconds": 1.76}},
    ),
)
_ABOUT_RESPONSE: Final = (
    _from_server("response.created", "The assistant begins.", {"response": _RESPONSE}, {"response": _RESPONSE_VALUE}),
    _from_server("response.done", "The assistant has ended, or was interrupted.", {"response": _RESPONSE}, {"response": _RESPONSE_VALUE}),
    *(
        _from_server(
            name,
            f"A message or call of the response {verb}.",
            {"response_id": TEXT, "output_index": WHOLE, "item": _ITEM},
            {"response_id": "resp_1", "output_index": 0, "item": {**_ITEM_VALUE, "id": "item_2", "role": "assistant"}},
        )
        for name, verb in (("response.output_item.added", "begins"), ("response.output_item.done", "ends"))
    ),
    *(
        _from_server(
            name, f"A message {verb}.", {**_OF_PART, "part": _PART}, {**_OF_PART_VALUES, "part": {"type": "audio", "transcript": ""}}
        )
        for name, verb in (("response.content_part.added", "begins"), ("response.content_part.done", "ends"))
    ),
    _from_server(
        "response.output_audio.delta", "A piece of speech.", {**_OF_PART, "delta": BASE64}, {**_OF_PART_VALUES, "delta": "AQD+/w=="}
    ),
    _from_server("response.output_audio.done", "No more speech.", _OF_PART, _OF_PART_VALUES),
    *(
        _from_server(
            f"response.{kind}.delta",
            "What will be said, piece by piece.",
            {**_OF_PART, "delta": TEXT},
            {**_OF_PART_VALUES, "delta": "It is"},
        )
        for kind in ("output_audio_transcript", "output_text")
    ),
    _from_server(
        "response.output_audio_transcript.done",
        "All that was said.",
        {**_OF_PART, "transcript": TEXT},
        {**_OF_PART_VALUES, "transcript": "It is"},
    ),
    _from_server("response.output_text.done", "All that was said.", {**_OF_PART, "text": TEXT}, {**_OF_PART_VALUES, "text": "It is"}),
)
_ABOUT_CALLS: Final = (
    _from_server(
        "response.function_call_arguments.delta",
        "Arguments of a tool of the client.",
        {**_OF_ITEM, "call_id": TEXT, "delta": TEXT},
        {**_OF_ITEM_VALUES, "call_id": "u1", "delta": "{}"},
    ),
    _from_server(
        "response.function_call_arguments.done",
        "Run this tool, and give its output with conversation.item.create.",
        {**_OF_ITEM, "call_id": TEXT, "name": TEXT, "arguments": TEXT},
        {**_OF_ITEM_VALUES, "call_id": "u1", "name": "weather", "arguments": "{}"},
    ),
    _from_server(
        "response.mcp_call_arguments.delta",
        "Arguments of a tool of the server.",
        {**_OF_ITEM, "delta": TEXT},
        {**_OF_ITEM_VALUES, "delta": "{}"},
    ),
    _from_server(
        "response.mcp_call_arguments.done", "All of them.", {**_OF_ITEM, "arguments": TEXT}, {**_OF_ITEM_VALUES, "arguments": "{}"}
    ),
    *(
        _from_server(
            f"response.mcp_call.{state}", meaning, {"item_id": TEXT, "output_index": WHOLE}, {"item_id": "item_2", "output_index": 0}
        )
        for state, meaning in (
            ("in_progress", "The server runs the tool."),
            ("completed", "It did what it was asked."),
            ("failed", "It did not."),
        )
    ),
)
TABLE: Final = Table(
    "realtime",
    "OpenAI's Realtime API",
    f"Connect to /v1/realtime, or ask for the subprotocol {SUBPROTOCOL}.",
    _CLIENT + _ABOUT_SESSION + _ABOUT_USER + _ABOUT_RESPONSE + _ABOUT_CALLS,
    path="/v1/realtime",
)

"""The messages of the voice dialect, as docs/reference/asyncapi.yaml has them; docs/reference/voice-dialect.md explains them."""

from collections.abc import Mapping
from typing import Final

from transports.dialects.flat_message import NAME_LIMIT
from transports.dialects.messages import (
    BASE64,
    FLAG,
    NUMBER,
    RATE,
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

_NAME: Final[Schema] = {"type": "string", "maxLength": NAME_LIMIT}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
_TIME_VALUE: Final = "2026-01-01T00:00:00.000Z"
_SESSION: Final[Schema] = {"type": "string", "description": "As the client named it, else as the server did."}
_EITHER: Final = "The members of data may stand beside type as well."

type _Members = Mapping[str, Schema]
type _Example = Mapping[str, Json]


def _from_client(name: str, summary: str, required: _Members, optional: _Members, example: _Example) -> Message:
    known = {**required, **optional}
    schema = {
        **members({"type": constant(name)}, {"data": {"type": "object", "properties": known}, "timestamp": TEXT, **known}),
        "description": _EITHER,
    }
    if required:
        needs: Schema = {"required": list(required)}
        schema["anyOf"] = [needs, {"required": ["data"], "properties": {"data": needs}}]
    return Message(name, Sender.CLIENT, summary, schema, {"type": name, "data": example, "timestamp": _TIME_VALUE})


def _from_server(name: str, summary: str, data: _Members, example: _Example, optional: _Members | None = None) -> Message:
    schema = members({"type": constant(name), "data": members(data, optional), "timestamp": _TIME})
    return Message(name, Sender.SERVER, summary, schema, {"type": name, "data": example, "timestamp": _TIME_VALUE})


_CLIENT: Final = (
    _from_client(
        "voice_start",
        "Open the microphone, and with it the conversation.",
        {},
        {
            "audioFormat": {
                "type": "string",
                "description": "pcm, wav, and webm, ogg, mp3 where the server decodes them; webm if left out.",
            },
            "sampleRate": RATE,
            "sessionId": _NAME,
            "assistant": _NAME,
            "language": _NAME,
            "voice": _NAME,
        },
        {"audioFormat": "pcm", "sampleRate": 16_000, "sessionId": "mine"},
    ),
    _from_client(
        "voice_data",
        "A piece of the microphone.",
        {"audioData": BASE64},
        {"sessionId": _NAME},
        {"audioData": "AQD+/w==", "sessionId": "mine"},
    ),
    _from_client("voice_end", "Close the microphone; the answer still comes.", {}, {"sessionId": _NAME}, {"sessionId": "mine"}),
    _from_client("voice_interrupt", "Be quiet.", {}, {"sessionId": _NAME}, {"sessionId": "mine"}),
    _from_client(
        "text_message",
        "The user types; begins a conversation if there is none.",
        {"content": {"type": "string", "minLength": 1}},
        {"sessionId": _NAME, "messageId": _NAME},
        {"content": "Where is my order?", "sessionId": "mine"},
    ),
    _from_client("ping", "Answered by pong.", {}, {}, {}),
    Message("ping.action", Sender.CLIENT, "The same.", members({"action": constant("ping")}), {"action": "ping"}),
    _from_client("connection_init", "Answered by connection_ack.", {}, {}, {}),
)
_OF_TURN: Final[_Members] = {"sessionId": _SESSION, "turn": WHOLE}
_OF_TURN_VALUES: Final[_Example] = {"sessionId": "mine", "turn": 2}
_UPLOAD: Final[_Members] = {"uploadId": {"type": "string", "description": "Of an uploaded recording, which has no turn: turn is 0."}}
_SERVER: Final = (
    _from_server(
        "voice_session_started",
        "The model listens.",
        {
            "sessionId": _SESSION,
            "status": constant("ACTIVE"),
            "serverSessionId": TEXT,
            "audioFormat": TEXT,
            "outputFormat": constant("pcm"),
            "outputSampleRate": RATE,
        },
        {
            "sessionId": "mine",
            "status": "ACTIVE",
            "serverSessionId": "b2f1",
            "audioFormat": "pcm",
            "outputFormat": "pcm",
            "outputSampleRate": 24_000,
        },
    ),
    _from_server("voice_data_received", "A piece of audio was taken.", {"sessionId": _SESSION}, {"sessionId": "mine"}),
    _from_server(
        "voice_session_ended",
        "The microphone is closed, or the session has ended.",
        {"sessionId": _SESSION, "status": one_of("COMPLETED", "ERROR"), "serverSessionId": TEXT},
        {"sessionId": "mine", "status": "COMPLETED", "serverSessionId": "b2f1"},
    ),
    _from_server(
        "text_message_received",
        "A typed text was taken.",
        {"content": TEXT, "sessionId": _SESSION, "messageId": TEXT},
        {"content": "Where is my order?", "sessionId": "mine", "messageId": "b2f1:1"},
    ),
    _from_server(
        "ai_response",
        "What the assistant says.",
        {"content": TEXT, "sessionId": _SESSION, "messageId": TEXT, "turn": WHOLE},
        {"content": "It is on its way.", "sessionId": "mine", "messageId": "b2f1:2", "turn": 2, "inReplyTo": "b2f1:1"},
        {"inReplyTo": TEXT, **_UPLOAD},
    ),
    _from_server(
        "transcription",
        "What the user said.",
        {**_OF_TURN, "content": TEXT, "role": constant("USER"), "isFinal": FLAG, "confidence": or_null(NUMBER)},
        {**_OF_TURN_VALUES, "content": "Where is my order?", "role": "USER", "isFinal": True, "confidence": None},
        _UPLOAD,
    ),
    _from_server(
        "audio_response",
        "A piece of speech.",
        {**_OF_TURN, "audioData": BASE64, "format": constant("pcm"), "sampleRate": RATE},
        {**_OF_TURN_VALUES, "audioData": "AQD+/w==", "format": "pcm", "sampleRate": 24_000},
        _UPLOAD,
    ),
    _from_server("audio_response_end", "No more of it.", _OF_TURN, _OF_TURN_VALUES, _UPLOAD),
    _from_server(
        "audio_interrupted", "Throw away what was not played.", {**_OF_TURN, "heardMs": WHOLE}, {**_OF_TURN_VALUES, "heardMs": 840}
    ),
    _from_server(
        "voice_session_updated",
        "A voice session of this connection was created, changed or ended over plain HTTP.",
        {
            "sessionId": _SESSION,
            "serverSessionId": TEXT,
            "change": one_of("created", "updated", "ended"),
            "status": one_of("ACTIVE", "COMPLETED", "ERROR"),
            "updatedAt": _TIME,
            "messageCount": WHOLE,
            "metadata": {"type": "object", "additionalProperties": TEXT},
        },
        {
            "sessionId": "mine",
            "serverSessionId": "b2f1",
            "change": "updated",
            "status": "ACTIVE",
            "updatedAt": _TIME_VALUE,
            "messageCount": 2,
            "metadata": {"topic": "bills"},
        },
        {"audioFormat": TEXT, "totalDuration": NUMBER, "endReason": TEXT},
    ),
    _from_server(
        "server_leaving",
        "The server is leaving; connect again when the connection is closed.",
        {"sessionId": _SESSION, "timeLeftMs": WHOLE},
        {"sessionId": "mine", "timeLeftMs": 20_000},
    ),
    _from_server(
        "error",
        "Something went wrong.",
        {"message": TEXT, "code": TEXT, "retryable": FLAG, "ref": TEXT},
        {"message": "The frame is not JSON.", "code": "bad_frame", "retryable": False, "ref": "5f0c"},
        {"retryAfter": WHOLE},
    ),
    _from_server("pong", "The answer to ping.", {}, {}),
    _from_server("connection_ack", "The answer to connection_init.", {}, {}),
)
TABLE: Final = Table(
    "voice", "Voice sessions and text messages", 'Send an object with the member "type" first; no subprotocol.', _CLIENT + _SERVER
)

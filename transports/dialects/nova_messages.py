"""The messages of the raw dialect, as docs/reference/asyncapi.yaml has them; docs/reference/raw-dialect.md explains them."""

from collections.abc import Mapping
from typing import Final

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
)

_PROMPT: Final = {"promptName": TEXT}
_CONTENT: Final = {"promptName": TEXT, "contentName": TEXT}
_IDS: Final = {"sessionId": TEXT, "promptName": TEXT, "completionId": TEXT}
_BLOCK: Final = {**_IDS, "contentId": TEXT}
_PLAIN: Final = members({}, {"mediaType": TEXT})
_SPEECH: Final = members(
    {},
    {
        "mediaType": constant("audio/lpcm"),
        "sampleRateHertz": RATE,
        "sampleSizeBits": constant(16),
        "channelCount": constant(1),
        "encoding": constant("base64"),
        "audioType": TEXT,
        "voiceId": TEXT,
    },
)
_ROLE: Final = one_of("USER", "ASSISTANT", "SYSTEM", "TOOL", "SYSTEM_SPEECH")
_STOP: Final = one_of("PARTIAL_TURN", "END_TURN", "INTERRUPTED", "TOOL_USE")
_STAGE: Final[Schema] = {"type": "string", "description": 'JSON text: {"generationStage":"SPECULATIVE"} or FINAL.'}
_TOKENS: Final = members({"speechTokens": WHOLE, "textTokens": WHOLE})
_COUNTS: Final = members({"input": _TOKENS, "output": _TOKENS})
_ID_VALUES: Final = {"sessionId": "s", "promptName": "p", "completionId": "k"}
_BLOCK_VALUES: Final = {**_ID_VALUES, "contentId": "c"}
_TEXT_FORMAT: Final[Mapping[str, Json]] = {"mediaType": "text/plain"}
_COUNT_VALUES: Final = {"input": {"speechTokens": 100, "textTokens": 20}, "output": {"speechTokens": 60, "textTokens": 20}}
_SPEECH_FORMAT: Final[Mapping[str, Json]] = {
    "mediaType": "audio/lpcm",
    "sampleRateHertz": 24_000,
    "sampleSizeBits": 16,
    "channelCount": 1,
    "encoding": "base64",
}


def _event(name: str, body: Schema) -> Schema:
    return {"type": "object", "required": [name], "maxProperties": 1, "properties": {name: body}}


def _from_client(name: str, summary: str, body: Schema, example: Mapping[str, Json], key: str = "") -> Message:
    return Message(key or name, Sender.CLIENT, summary, members({"event": _event(name, body)}), {"event": {name: example}})


def _from_server(name: str, summary: str, body: Schema, example: Mapping[str, Json], key: str = "") -> Message:
    schema = members({"event": _event(name, body), "timestamp": WHOLE})
    return Message(key or name, Sender.SERVER, summary, schema, {"event": {name: example}, "timestamp": 1_767_225_600_000})


_CLIENT: Final = (
    _from_client(
        "sessionStart",
        "Begin to gather a session.",
        members(
            {},
            {
                "inferenceConfiguration": members({}, {"maxTokens": WHOLE, "topP": NUMBER, "temperature": NUMBER}),
                "turnDetectionConfiguration": members({}, {"endpointingSensitivity": one_of("HIGH", "MEDIUM", "LOW")}),
            },
        ),
        {"inferenceConfiguration": {"maxTokens": 1024, "topP": 0.95, "temperature": 0.7}},
    ),
    _from_client(
        "promptStart",
        "Choose rate and voice of the answers; tools are the assistant's own.",
        members(
            _PROMPT,
            {
                "textOutputConfiguration": _PLAIN,
                "audioOutputConfiguration": _SPEECH,
                "toolUseOutputConfiguration": _PLAIN,
                "toolConfiguration": {"type": "object"},
            },
        ),
        {"promptName": "p", "textOutputConfiguration": _TEXT_FORMAT, "audioOutputConfiguration": {**_SPEECH_FORMAT, "voiceId": "carlos"}},
    ),
    _from_client(
        "contentStart",
        "Open a text: prompt, history, or a typed turn.",
        members({**_CONTENT, "type": constant("TEXT"), "role": _ROLE}, {"interactive": FLAG, "textInputConfiguration": _PLAIN}),
        {
            "promptName": "p",
            "contentName": "s",
            "type": "TEXT",
            "role": "SYSTEM",
            "interactive": True,
            "textInputConfiguration": _TEXT_FORMAT,
        },
        "contentStart.text",
    ),
    _from_client(
        "contentStart",
        "Open the microphone, and with it the session.",
        members({**_CONTENT, "type": constant("AUDIO")}, {"role": _ROLE, "interactive": FLAG, "audioInputConfiguration": _SPEECH}),
        {
            "promptName": "p",
            "contentName": "a",
            "type": "AUDIO",
            "role": "USER",
            "interactive": True,
            "audioInputConfiguration": {**_SPEECH_FORMAT, "sampleRateHertz": 16_000, "audioType": "SPEECH"},
        },
        "contentStart.audio",
    ),
    _from_client(
        "textInput",
        "A piece of a text.",
        members({**_CONTENT, "content": TEXT}),
        {"promptName": "p", "contentName": "s", "content": "Be kind."},
    ),
    _from_client(
        "audioInput",
        "A piece of the microphone: whole 16-bit samples.",
        members({**_CONTENT, "content": BASE64}),
        {"promptName": "p", "contentName": "a", "content": "AQD+/w=="},
    ),
    _from_client("contentEnd", "Close a text or the microphone.", members(_CONTENT), {"promptName": "p", "contentName": "a"}),
    _from_client("promptEnd", "End the session.", members(_PROMPT), {"promptName": "p"}),
    _from_client("sessionEnd", "End the session.", members({}), {}),
    _from_client(
        "init",
        "In place of the whole opening: the assistant as it is, with a microphone of 16 kHz under this name.",
        members({"promptName": TEXT, "audioContentName": TEXT}, {"textContentName": TEXT}),
        {"promptName": "p", "textContentName": "s", "audioContentName": "a"},
    ),
    _from_client("ping", "Nothing.", members({}), {"timestamp": 1_767_225_600_000}),
    _from_client("APP_CUSTOM_state_update", "Nothing.", members({}), {}),
    Message(
        "body",
        Sender.CLIENT,
        "Any event, as JSON text within JSON.",
        {**members({"body": TEXT}), "not": {"required": ["event"]}},
        {"body": '{"event":{"sessionEnd":{}}}'},
    ),
)
_SERVER: Final = (
    _from_server("completionStart", "The model begins.", members(_IDS), _ID_VALUES),
    _from_server(
        "contentStart",
        "A text begins: what the user said, what will be said, or what was.",
        members({**_BLOCK, "type": constant("TEXT"), "role": _ROLE, "textOutputConfiguration": _PLAIN}, {"additionalModelFields": _STAGE}),
        {
            **_BLOCK_VALUES,
            "type": "TEXT",
            "role": "ASSISTANT",
            "additionalModelFields": '{"generationStage":"SPECULATIVE"}',
            "textOutputConfiguration": _TEXT_FORMAT,
        },
        "contentStart.text",
    ),
    _from_server(
        "contentStart",
        "Speech begins.",
        members({**_BLOCK, "type": constant("AUDIO"), "role": _ROLE, "audioOutputConfiguration": _SPEECH}),
        {**_BLOCK_VALUES, "type": "AUDIO", "role": "ASSISTANT", "audioOutputConfiguration": _SPEECH_FORMAT},
        "contentStart.audio",
    ),
    _from_server(
        "contentStart",
        "A call of a tool begins.",
        members({**_BLOCK, "type": constant("TOOL"), "role": _ROLE, "toolUseOutputConfiguration": _PLAIN}),
        {**_BLOCK_VALUES, "type": "TOOL", "role": "TOOL", "toolUseOutputConfiguration": {"mediaType": "application/json"}},
        "contentStart.toolUse",
    ),
    _from_server(
        "contentStart",
        "The result of a tool begins, as the model is given it.",
        members(
            {
                **_CONTENT,
                "contentId": TEXT,
                "interactive": FLAG,
                "type": constant("TOOL"),
                "role": constant("TOOL"),
                "toolResultInputConfiguration": members({"toolUseId": TEXT, "type": TEXT, "textInputConfiguration": _PLAIN}),
            }
        ),
        {
            "promptName": "p",
            "contentName": "r",
            "contentId": "r",
            "interactive": False,
            "type": "TOOL",
            "role": "TOOL",
            "toolResultInputConfiguration": {"toolUseId": "u1", "type": "TEXT", "textInputConfiguration": _TEXT_FORMAT},
        },
        "contentStart.toolResult",
    ),
    _from_server(
        "textOutput",
        'A text; exactly { "interrupted" : true } is an interruption.',
        members({**_BLOCK, "role": _ROLE, "content": TEXT}),
        {**_BLOCK_VALUES, "role": "ASSISTANT", "content": "Order one is on its way."},
    ),
    _from_server(
        "audioOutput",
        "A piece of speech, a multiple of 6 bytes.",
        members({**_BLOCK, "content": BASE64}),
        {**_BLOCK_VALUES, "content": "AQD+/wMA"},
    ),
    _from_server(
        "toolUse",
        "The model calls a tool; the server runs it.",
        members({**_BLOCK, "role": TEXT, "toolName": TEXT, "toolUseId": TEXT, "content": TEXT}),
        {**_BLOCK_VALUES, "role": "TOOL", "toolName": "consultarOrder", "toolUseId": "u1", "content": '{"orderId":"1"}'},
    ),
    _from_server(
        "toolResult",
        "What the tool returned, as the model is given it.",
        members({**_CONTENT, "contentId": TEXT, "role": constant("TOOL"), "content": TEXT}),
        {"promptName": "p", "contentName": "r", "contentId": "r", "role": "TOOL", "content": "{}"},
    ),
    _from_server(
        "contentEnd",
        "A block of the model's ends.",
        members({**_BLOCK, "type": one_of("TEXT", "AUDIO", "TOOL"), "stopReason": _STOP}),
        {**_BLOCK_VALUES, "type": "AUDIO", "stopReason": "END_TURN"},
    ),
    _from_server(
        "contentEnd",
        "The result of a tool ends.",
        members({**_CONTENT, "contentId": TEXT, "type": constant("TOOL"), "stopReason": _STOP}),
        {"promptName": "p", "contentName": "r", "contentId": "r", "type": "TOOL", "stopReason": "TOOL_USE"},
        "contentEnd.toolResult",
    ),
    _from_server("completionEnd", "The model has ended.", members({**_IDS, "stopReason": _STOP}), {**_ID_VALUES, "stopReason": "END_TURN"}),
    _from_server(
        "usageEvent",
        "Tokens.",
        members(
            {
                **_IDS,
                "totalInputTokens": WHOLE,
                "totalOutputTokens": WHOLE,
                "totalTokens": WHOLE,
                "details": members({"delta": _COUNTS, "total": _COUNTS}),
            }
        ),
        {
            **_ID_VALUES,
            "totalInputTokens": 120,
            "totalOutputTokens": 80,
            "totalTokens": 200,
            "details": {"delta": _COUNT_VALUES, "total": _COUNT_VALUES},
        },
    ),
    _from_server(
        "userSpeechStart",
        "The model hears the user.",
        members({"sessionId": TEXT, "promptName": TEXT, "inputAudioOffsetMs": WHOLE}),
        {"sessionId": "s", "promptName": "p", "inputAudioOffsetMs": 640},
    ),
    _from_server(
        "userSpeechEnd",
        "The model takes the user's turn as finished.",
        members({"sessionId": TEXT, "promptName": TEXT, "inputAudioOffsetMs": WHOLE, "inputAudioDetectionOffsetMs": WHOLE}),
        {"sessionId": "s", "promptName": "p", "inputAudioOffsetMs": 2_400, "inputAudioDetectionOffsetMs": 3_000},
    ),
    _from_server(
        "error",
        "Something went wrong.",
        members({"code": TEXT, "message": TEXT, "retryable": FLAG, "ref": TEXT}, {"retry_after": WHOLE}),
        {"code": "wrong_order", "message": "This event is not expected now.", "retryable": False, "ref": "5f0c"},
    ),
)
TABLE: Final = Table("nova", "Nova's own events", 'Send an object with the member "event" first; no subprotocol.', _CLIENT + _SERVER)

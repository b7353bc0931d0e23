"""The messages of the companion's dialect, as docs/reference/asyncapi.yaml has them; docs/reference/companion-dialect.md explains them."""

from collections.abc import Mapping
from typing import Final

from transports.dialects.messages import BASE64, FLAG, TEXT, WHOLE, Json, Message, Schema, Sender, Table, constant, members, one_of

type _Members = Mapping[str, Schema]
type _Example = Mapping[str, Json]


def _from_client(action: str, summary: str, required: _Members, example: _Example, optional: _Members | None = None) -> Message:
    schema = members({"action": constant(action), **required}, optional)
    return Message(action, Sender.CLIENT, summary, schema, {"action": action, **example})


def _from_server(name: str, summary: str, required: _Members, example: _Example, optional: _Members | None = None) -> Message:
    return Message(name, Sender.SERVER, summary, members(required, optional), example)


_CLIENT: Final = (
    _from_client(
        "initSession",
        "Begin a session with a patient.",
        {"patientId": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}},
        {"patientId": "pt-001"},
        {"transcripts": {"type": "boolean", "description": "Whether to be told what the user says."}},
    ),
    _from_client("textInput", "The user types.", {"text": {"type": "string", "minLength": 1}}, {"text": "Who is Sarah?"}),
    _from_client("audioInput", "A piece of the microphone: 16 kHz, 16 bit.", {"audio": BASE64}, {"audio": "AQD+/w=="}),
    _from_client("endSession", "End the session.", {}, {}),
    _from_client("ping", "Answered by pong.", {}, {}),
)
_SERVER: Final = (
    _from_server(
        "initialized",
        "The assistant knows who it talks to.",
        {"status": constant("initialized"), "patientName": TEXT},
        {"status": "initialized", "patientName": "John"},
    ),
    _from_server("ended", "The session has ended.", {"status": constant("ended")}, {"status": "ended"}),
    _from_server(
        "textOutput",
        "What the assistant says; what the user said, for those who asked for it.",
        {"type": constant("textOutput"), "text": TEXT, "role": one_of("ASSISTANT", "USER")},
        {"type": "textOutput", "text": "Sarah is your daughter.", "role": "ASSISTANT"},
    ),
    _from_server(
        "audioOutput",
        "A piece of speech, 24 kHz, once the client has sent audio.",
        {"type": constant("audioOutput"), "audio": BASE64},
        {"type": "audioOutput", "audio": "AQD+/w=="},
    ),
    _from_server("pong", "The answer to ping.", {"type": constant("pong")}, {"type": "pong"}),
    _from_server(
        "error",
        "Something went wrong.",
        {"type": constant("error"), "message": TEXT, "code": TEXT, "retryable": FLAG, "ref": TEXT},
        {"type": "error", "message": "There is no such patient.", "code": "unknown_patient", "retryable": False, "ref": "5f0c"},
        {"retryAfter": WHOLE},
    ),
)
TABLE: Final = Table(
    "companion", "A companion of patients", 'Send an object with the member "action" first; no subprotocol.', _CLIENT + _SERVER
)

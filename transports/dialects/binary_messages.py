"""The messages of the page's dialect, as docs/reference/asyncapi.yaml has them; docs/reference/binary-dialect.md explains them."""

from collections.abc import Mapping
from typing import Final

from session.events import ContinueReason, Direction, EndReason
from transports.dialects.binary import PROTOCOL_VERSION, SUBPROTOCOL
from transports.dialects.messages import (
    COUNTER,
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

_TURN: Final[Schema] = {"type": "integer", "minimum": 0, "description": "Turns of user and assistant are numbered from 1 in one sequence."}
_NAME: Final[Schema] = {"type": "string", "maxLength": 100}
_TOKEN: Final[Schema] = {"type": "string", "maxLength": 64, "description": "What the client comes back with. Keep it secret."}
_FRAME: Final = (
    "Little-endian: kind u8, flags u8, turn u16, number u32, offset of the first sample u32, time in ms u32; then 16-bit mono PCM."
)
_ERROR: Final = {"code": TEXT, "message": TEXT, "retryable": FLAG, "ref": TEXT}
_WAIT: Final[Schema] = {"type": "integer", "minimum": 0, "description": "Seconds after which trying again can help."}


type _Members = Mapping[str, Schema]
type _Example = Mapping[str, Json]


def _from_client(name: str, summary: str, required: _Members, optional: _Members, example: _Example) -> Message:
    schema = members({"type": constant(name), **required}, optional)
    return Message(name, Sender.CLIENT, summary, schema, {"type": name, **example})


def _of_session(name: str, summary: str, required: _Members, example: _Example, optional: _Members | None = None) -> Message:
    """Return a message with a number in the session."""
    schema = members({"type": constant(name), **required, "seq": COUNTER}, optional)
    return Message(name, Sender.SERVER, summary, schema, {"type": name, **example})


def _of_connection(name: str, summary: str, required: _Members, example: _Example) -> Message:
    """Return a message about the connection."""
    return Message(name, Sender.SERVER, summary, members({"type": constant(name), **required}), {"type": name, **example})


_CLIENT: Final = (
    _from_client(
        "hello",
        "Start a session; what is left out is the assistant's choice.",
        {"protocol": constant(PROTOCOL_VERSION)},
        {
            "assistant": or_null(_NAME),
            "language": or_null(_NAME),
            "voice": or_null(_NAME),
            "input_hertz": RATE,
            "output_hertz": RATE,
            "resume": {"type": "boolean", "description": "Whether the client can come back."},
        },
        {"protocol": 1, "language": "en", "input_hertz": 16_000, "output_hertz": 24_000, "resume": True},
    ),
    _from_client(
        "resume",
        "Go on with a session on this connection.",
        {"protocol": constant(PROTOCOL_VERSION), "token": _TOKEN, "seq": COUNTER},
        {},
        {"protocol": 1, "token": "x7", "seq": 41},
    ),
    _from_client(
        "text",
        "The user types.",
        {"text": {"type": "string", "maxLength": 32_768}},
        {"seq": or_null(COUNTER)},
        {"text": "Where is my order?", "seq": 7},
    ),
    _from_client("interrupt", "Be quiet.", {}, {"seq": or_null(COUNTER)}, {"seq": 8}),
    _from_client("ack", "All frames of the server below this number have arrived.", {"seq": COUNTER}, {}, {"seq": 41}),
    _from_client(
        "playback", "How much of the assistant's turn was heard.", {"turn": COUNTER, "heard_ms": COUNTER}, {}, {"turn": 2, "heard_ms": 251}
    ),
    _from_client("ping", "Answered by pong with the same number.", {"t": NUMBER}, {}, {"t": 1234.5}),
    _from_client("end", "End the session.", {}, {}, {}),
    Message(
        "microphone",
        Sender.CLIENT,
        "A piece of the microphone, kind 1.",
        {"type": "string", "format": "binary", "description": _FRAME},
        bytes.fromhex("01 00 0000 03000000 00060000 e8030000 0100 feff"),
    ),
)
_SERVER: Final = (
    _of_session(
        "session.started",
        "The model listens; send audio from now on.",
        {
            "session_id": TEXT,
            "assistant": TEXT,
            "language": TEXT,
            "voice_id": TEXT,
            "model_id": TEXT,
            "input_hertz": RATE,
            "output_hertz": RATE,
        },
        {
            "session_id": "b2f1",
            "assistant": "carlos",
            "language": "en",
            "voice_id": "matthew",
            "model_id": "amazon.nova-2-sonic-v1:0",
            "input_hertz": 16_000,
            "output_hertz": 24_000,
            "resume_token": "x7",
            "resume_seconds": 30.0,
            "seq": 0,
        },
        {"resume_token": _TOKEN, "resume_seconds": NUMBER},
    ),
    _of_connection(
        "session.resumed",
        "The session goes on here; seq is the client's next frame that is wanted.",
        {"session_id": TEXT, "resume_token": _TOKEN, "resume_seconds": NUMBER, "seq": COUNTER, "adopted": FLAG},
        {"session_id": "b2f1", "resume_token": "Qk", "resume_seconds": 30.0, "seq": 97, "adopted": False},
    ),
    _of_session("user.speech_started", "The model hears the user.", {"turn": _TURN}, {"turn": 1, "seq": 1}),
    _of_session("user.speech_ended", "The model takes the user's turn as finished.", {"turn": _TURN}, {"turn": 1, "seq": 2}),
    _of_session(
        "transcript",
        "One block of a turn's text; the n-th final one replaces the n-th speculative one.",
        {"turn": _TURN, "role": one_of("user", "assistant"), "stage": one_of("speculative", "final"), "text": TEXT},
        {"turn": 1, "role": "user", "stage": "final", "text": "Where is my order?", "seq": 3},
    ),
    _of_session(
        "speech.started",
        "Speech frames of this turn follow.",
        {"turn": _TURN, "output_hertz": RATE},
        {"turn": 2, "output_hertz": 24_000, "seq": 6},
    ),
    _of_session("speech.ended", "No more of them; play what is there.", {"turn": _TURN}, {"turn": 2, "seq": 60}),
    _of_session(
        "interrupted",
        "Throw away what was not played of this turn and those before, then report playback.",
        {"turn": _TURN, "heard_ms": WHOLE},
        {"turn": 2, "heard_ms": 840, "seq": 61},
    ),
    _of_session(
        "tool.started",
        "A tool runs; its arguments are JSON text as the model wrote it.",
        {"turn": _TURN, "id": TEXT, "name": TEXT, "arguments": TEXT},
        {"turn": 2, "id": "u1", "name": "consultarOrder", "arguments": '{"orderId":"1"}', "seq": 4},
    ),
    _of_session(
        "tool.finished",
        "A tool ended; an error code of null is success.",
        {"turn": _TURN, "id": TEXT, "name": TEXT, "result": TEXT, "error_code": or_null(TEXT), "duration_ms": WHOLE},
        {"turn": 2, "id": "u1", "name": "consultarOrder", "result": "{}", "error_code": None, "duration_ms": 4, "seq": 5},
    ),
    _of_session(
        "usage",
        "Tokens since the session began.",
        {"input_speech": WHOLE, "input_text": WHOLE, "output_speech": WHOLE, "output_text": WHOLE},
        {"input_speech": 120, "input_text": 900, "output_speech": 80, "output_text": 20, "seq": 62},
    ),
    _of_session("session.stalled", "The model is away and is being looked for.", {"code": TEXT}, {"code": "model_lost", "seq": 63}),
    _of_session(
        "session.continued",
        "Another stream of the model carries the session.",
        {"reason": one_of(*(reason.value for reason in ContinueReason)), "waited_ms": WHOLE},
        {"reason": "renewed", "waited_ms": 0, "seq": 64},
    ),
    _of_session(
        "audio.dropped",
        "Audio was too much and was dropped since the last such message.",
        {"direction": one_of(*(direction.value for direction in Direction)), "ms": WHOLE},
        {"direction": "up", "ms": 480, "seq": 65},
    ),
    _of_session(
        "goAway",
        "The server is leaving; session.ended follows within this time.",
        {"time_left_ms": WHOLE, "handle": TEXT},
        {"time_left_ms": 20_000, "handle": "x7", "seq": 66},
    ),
    _of_session(
        "error",
        "Something went wrong in the session.",
        _ERROR,
        {"code": "content_blocked", "message": "The assistant cannot talk about this.", "retryable": False, "ref": "5f0c", "seq": 67},
        {"retry_after": _WAIT},
    ),
    _of_session(
        "session.ended",
        "The last message of a session.",
        {"reason": one_of(*EndReason), "statistics": {"type": "object"}},
        {"reason": "client", "statistics": {"turns": 2}, "seq": 68},
    ),
    Message(
        "refusal",
        Sender.SERVER,
        "A message of the client's cannot be used, or a session cannot begin.",
        {**members({"type": constant("error"), **_ERROR}, {"retry_after": _WAIT}), "not": {"required": ["seq"]}},
        {"type": "error", "code": "bad_frame", "message": "The frame is not JSON.", "retryable": False, "ref": "5f0c"},
    ),
    _of_connection("ack", "All numbered frames of the client below this number were taken.", {"seq": COUNTER}, {"seq": 92}),
    _of_connection("pong", "The answer to ping.", {"t": NUMBER}, {"t": 1234.5}),
    Message(
        "speech",
        Sender.SERVER,
        "A piece of the assistant's speech, kind 2; without samples it stands for one that was withdrawn.",
        {"type": "string", "format": "binary", "description": _FRAME},
        bytes.fromhex("02 00 0200 07000000 00000000 70080000 0100 feff"),
    ),
)
TABLE: Final = Table(
    "binary",
    "The page's protocol",
    f"Ask for the subprotocol {SUBPROTOCOL}, or send a binary frame first.",
    _CLIENT + _SERVER,
    subprotocol=SUBPROTOCOL,
)

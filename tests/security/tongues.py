"""How each dialect begins, and how it is told what was wrong: what the battery must know to be hostile in all of them alike."""

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.transports import raw_client

type Frame = str | bytes
type Json = dict[str, object]

HERTZ = 16_000


@dataclass(frozen=True, slots=True)
class Tongue:
    """One dialect, as a client of it sees the server."""

    name: str
    opening: tuple[Frame, ...]
    """Begins a conversation that hears and speaks at one rate."""
    probe: Frame
    """Is refused in every state; its answer shows that everything before it has been worked off."""
    probe_code: str = "unknown_event"
    path: str = "/"
    subprotocols: tuple[str, ...] = ()
    others: tuple[Frame, ...] = ()
    """What else its clients send, as it should be."""

    @property
    def valid(self) -> tuple[object, ...]:
        """Everything that its clients send: documents, and bytes."""
        return tuple(frame if isinstance(frame, bytes) else json.loads(frame) for frame in (*self.opening, *self.others))


def _texts(*messages: Json) -> tuple[str, ...]:
    return tuple(json.dumps(message) for message in messages)


SOUND = base64.b64encode(bytes(range(256)) * 8).decode()
PAGE = Tongue(
    "page",
    _texts({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": HERTZ}),
    '{"type":"probe"}',
    subprotocols=("nova-sonic.v1",),
    others=(
        *_texts(
            {"type": "hello", "protocol": 1, "resume": True, "assistant": "carlos", "language": "en", "voice": "matthew"},
            {"type": "text", "text": "Hello", "seq": 0},
            {"type": "interrupt", "seq": 1},
            {"type": "playback", "turn": 1, "heard_ms": 20},
            {"type": "ack", "seq": 3},
            {"type": "ping", "t": 1.5},
            {"type": "resume", "protocol": 1, "token": "t" * 43, "seq": 0},
            {"type": "auth", "token": "a.b.c"},
            {"type": "end"},
        ),
        struct.pack("<BBHIII", 1, 0, 0, 0, 0, 0) + bytes(640),
    ),
)
RAW = Tongue(
    "raw",
    (raw_client.session_start(), raw_client.prompt_start(hertz=HERTZ), *raw_client.opening()[2:]),
    raw_client.event("probe"),
    others=(
        raw_client.audio(bytes(range(256)) * 4),
        *raw_client.text_block("T", "USER", "Hello"),
        *raw_client.text_block("H", "ASSISTANT", "Hello", interactive=False),
        *raw_client.goodbye(),
        raw_client.event("init", promptName="P", textContentName="T", audioContentName="A"),
        raw_client.event("ping"),
        json.dumps({"body": raw_client.event("sessionEnd")}),
    ),
)
VOICE = Tongue(
    "voice",
    _texts({"type": "voice_start", "data": {"audioFormat": "pcm", "sessionId": "s1"}, "timestamp": "2030-01-16T12:00:00Z"}),
    '{"type":"probe"}',
    others=_texts(
        {"type": "voice_start", "data": {"audioFormat": "webm", "sessionId": "s1", "assistant": "carlos", "voice": "carlos"}},
        {"type": "voice_data", "data": {"audioData": SOUND, "sessionId": "s1"}},
        {"type": "text_message", "data": {"content": "Hello", "sessionId": "s1"}},
        {"type": "voice_interrupt", "data": {"sessionId": "s1"}},
        {"type": "voice_end", "data": {"sessionId": "s1"}},
        {"type": "ping"},
        {"action": "ping"},
        {"type": "connection_init"},
    ),
)
COMPANION = Tongue(
    "companion",
    _texts({"action": "initSession", "patientId": "1"}),
    '{"action":"probe"}',
    others=_texts(
        {"action": "textInput", "text": "Hello"},
        {"action": "audioInput", "audio": SOUND},
        {"action": "endSession"},
        {"action": "ping"},
    ),
)
_ITEM: Json = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]}
REALTIME = Tongue(
    "realtime",
    _texts(
        {
            "type": "session.update",
            "event_id": "e1",
            "session": {
                "type": "realtime",
                "instructions": "Be kind.",
                "output_modalities": ["audio"],
                "audio": {
                    "input": {"format": {"type": "audio/pcm", "rate": 24_000}, "turn_detection": {"type": "server_vad"}},
                    "output": {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "carlos"},
                },
                "tools": [{"type": "function", "name": "look", "description": "d", "parameters": {"type": "object", "properties": {}}}],
            },
        },
        {"type": "input_audio_buffer.append", "audio": SOUND},
    ),
    '{"type":"probe"}',
    path="/v1/realtime",
    others=_texts(
        {"type": "input_audio_buffer.commit"},
        {"type": "input_audio_buffer.clear"},
        {"type": "conversation.item.create", "item": _ITEM},
        {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c1", "output": "{}"}},
        {"type": "response.create", "response": {"input": [_ITEM], "metadata": {"a": "b"}}},
        {"type": "response.cancel"},
        {"type": "output_audio_buffer.clear"},
        {"type": "conversation.item.truncate", "item_id": "i1", "content_index": 0, "audio_end_ms": 10},
        {"type": "conversation.item.retrieve", "item_id": "i1"},
        {"type": "conversation.item.delete", "item_id": "i1"},
    ),
)
TONGUES = (PAGE, RAW, VOICE, COMPANION, REALTIME)


def error_of(message: object) -> Json | None:
    """Return the error that a message of any dialect tells, None when it tells none."""
    if not isinstance(message, dict):
        return None
    event = message.get("event")
    nested: Sequence[object] = (event.get("error") if isinstance(event, dict) else None, message.get("error"), message.get("data"), message)
    is_error = message.get("type") == "error" or message.get("status") == "error" or nested[0] is not None
    return next((each for each in nested if is_error and isinstance(each, dict) and "code" in each), None)

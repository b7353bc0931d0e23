"""A connection of the voice dialect as tests play it: messages in, actions and messages out."""

import base64
import json
from typing import Any

from session.events import EndReason, SessionEnded, SessionEvent, SessionStarted, Start
from transports.dialects.interface import Action, Frame, Reply
from transports.dialects.voice import VoiceDialect

STARTED = SessionStarted("server-1", "carlos", "es", "carlos", "model", 16_000, 24_000)
ENDED = SessionEnded(EndReason.CLIENT)
PCM = b"\1\2" * 160


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def dialect(*encodings: str) -> VoiceDialect:
    return VoiceDialect(lambda: 1_767_225_600_000, frozenset(encodings))


def say(talk: VoiceDialect, kind: str, **data: object) -> list[Action]:
    """Give a message to the dialect, and begin the session that it may ask for, as a connection does."""
    actions = list(talk.decode(json.dumps({"type": kind, "data": data})))
    if any(isinstance(action, Start) for action in actions):
        talk.begin()
    return actions


def read(*frames: Frame) -> list[tuple[str, dict[str, Any]]]:
    """Return types and data of messages to the client."""
    found = []
    for frame in frames:
        message = json.loads(frame)
        assert message.keys() == {"type", "data", "timestamp"}
        assert message["timestamp"] == "2026-01-01T00:00:00.000Z"
        found.append((message["type"], message["data"]))
    return found


def told(talk: VoiceDialect, *events: SessionEvent) -> list[tuple[str, dict[str, Any]]]:
    return read(*(frame for event in events for frame in talk.encode(event)))


def replies(actions: list[Action]) -> list[tuple[str, dict[str, Any]]]:
    return read(*(action.frame for action in actions if isinstance(action, Reply)))


def started(*encodings: str, **data: object) -> VoiceDialect:
    """Return a dialect whose session runs and records."""
    talk = dialect(*encodings)
    say(talk, "voice_start", **{"audioFormat": "pcm", **data})
    talk.encode(STARTED)
    return talk

"""A Realtime client without a socket: what it says becomes actions, what the session tells becomes events that the library knows."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from openai.types.beta.realtime.realtime_server_event import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import TypeAdapter

from session.events import SessionEvent, Start
from tests.session.doubles import PROFILE
from transports.dialects.interface import Action, Reply
from transports.dialects.realtime import RealtimeDialect
from transports.dialects.realtime_wire import Generation

EVERYTHING = frozenset({"prompt", "voice", "inference", "endpointing", "history", "tools"})
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "getWeather",
    "description": "Tell the weather.",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
}
PIECE = base64.b64encode(b"\1\0" * 480).decode()
"""20 ms at 24 kHz."""
_KNOWN: dict[Generation, TypeAdapter[Any]] = {
    Generation.PRESENT: TypeAdapter(RealtimeServerEvent),
    Generation.BETA: TypeAdapter(BetaServerEvent),
}

type Json = dict[str, Any]


class RealtimeTalk:
    """One client.

    Args:
        may: what the assistant lets it set.
        generation: of the names that it knows.
    """

    def __init__(self, may: frozenset[str] = EVERYTHING, generation: Generation = Generation.PRESENT) -> None:
        profile = replace(PROFILE, client_may_set=may)
        self.dialect = RealtimeDialect(lambda: 1_700_000_000_123, profile, assistant="carlos", model="gpt-realtime", generation=generation)
        self.generation = generation
        self.told: list[Json] = []
        """Every event for the client."""

    def says(self, kind: str, **members: object) -> list[Action]:
        """Send an event; return what shall be done beside answering at once."""
        return self.sends(json.dumps({"type": kind, **members}))

    def sends(self, frame: str | bytes) -> list[Action]:
        """Send a frame, as the connection works it off."""
        actions: list[Action] = []
        for action in self.dialect.decode(frame):
            if isinstance(action, Reply):
                self._tell([action.frame])
                continue
            if isinstance(action, Start):
                self.dialect.begin()
            actions.append(action)
        return actions

    def speaks(self, *, begun: bool = True) -> None:
        """Send a piece of audio, so that the session begins."""
        actions = self.says("input_audio_buffer.append", audio=PIECE)

        assert begun == isinstance(actions[0], Start)

    def hears(self, *events: SessionEvent) -> list[Json]:
        """Tell events of the session; return what the client is told."""
        before = len(self.told)
        for event in events:
            self._tell(self.dialect.encode(event))
        return self.told[before:]

    def answers(self, kind: str, **members: object) -> list[Json]:
        """Send an event; return what is answered at once."""
        before = len(self.told)
        self.says(kind, **members)
        return self.told[before:]

    def _tell(self, frames: Sequence[str | bytes]) -> None:
        for frame in frames:
            event = json.loads(frame)
            _KNOWN[self.generation].validate_python(event)
            self.told.append(event)


def kinds(events: Sequence[Json]) -> list[str]:
    """Return the types of events."""
    return [event["type"] for event in events]


def message(text: str, role: str = "user", **members: object) -> Json:
    """Return an item with a text."""
    part = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": part, "text": text}], **members}

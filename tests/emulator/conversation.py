"""One conversation, written as data: what a client sends, and what it has to hear. Every client plays the same one.

The assistant's side is a script. The user speaks a turn, asks for something that needs a tool, interrupts a long story, and says goodbye.
"""

import asyncio
import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from tests.emulator.wire import Json, closing, opening, speech, spoken_turn, tool, tool_result

ACCESS_KEY, SECRET_KEY = "AKIDLOCAL", "a-secret-of-this-test"
TOOL_USE_ID = "$toolUseId"
"""Stands in a step for the id of the last tool use that was heard."""

STORY = " ".join(["once upon a time there was a robot who told long stories"] * 10)
SCRIPT = f"""
repeat = false
[[turns]]
hear = "hello"
say = "Hello there."
[[turns]]
hear = "weather"
say = "Let me see."
tools = [{{ name = "lookup", arguments = {{ city = "Oslo" }} }}]
then = "It is {{sky}}."
[[turns]]
hear = "a story"
say = "{STORY}"
[[turns]]
hear = "stop"
say = "All right."
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What ends a step: an output event with these members."""

    name: str
    members: Mapping[str, object] = field(default_factory=dict)

    def matches(self, event: Json) -> bool:
        body = event.get(self.name)
        return body is not None and all(body.get(key) == value for key, value in self.members.items())


@dataclass(frozen=True, slots=True)
class Step:
    """Send events, then wait for one that was not there before; None goes on at once."""

    send: Sequence[Json]
    until: Event | None = None


ALL_SAID = Event("contentEnd", {"type": "AUDIO", "stopReason": "END_TURN"})
ALL_HEARD = Event("contentEnd", {"type": "TEXT", "stopReason": "END_TURN"})
"""The FINAL text of a turn's last sentence comes when the listener has heard it: what is said now interrupts nothing."""

STEPS = (
    Step(opening(tools=[tool()])),
    Step(spoken_turn(), ALL_HEARD),
    Step(spoken_turn(), Event("contentEnd", {"type": "TOOL"})),
    Step(tool_result(TOOL_USE_ID, '{"sky":"grey"}'), ALL_HEARD),
    Step(spoken_turn(), ALL_SAID),
    Step(spoken_turn(), ALL_SAID),
    Step(closing()),
)
"""After the last one the client ends its request and reads to the end."""


class WordVoice:
    """Speaks each word for a tenth of a second."""

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        return speech(0.1, hertz) * len(text.split())


def options(folder: Path) -> Options:
    """Return an emulator's part in the conversation, with every signature checked."""
    scenario = folder / "conversation.toml"
    scenario.write_text(SCRIPT)
    return Options(
        brain="script",
        scenario=scenario,
        voice=WordVoice(),
        manner=Manner(speech_speed=0, final_delay_seconds=0),
        signatures=SignatureCheck.STRICT,
        secrets={ACCESS_KEY: SECRET_KEY},
        max_streams=2,
    )


def with_tool_use_id(step: Step, tool_use_id: str) -> list[Json]:
    """Return the events of a step as they are sent."""
    events: list[Json] = json.loads(json.dumps(list(step.send)).replace(TOOL_USE_ID, tool_use_id))
    return events


def steps_as_json() -> list[Json]:
    """Return the steps for a client that is no Python."""
    return [asdict(step) for step in STEPS]


class Client(Protocol):
    """One stream of a client library."""

    async def send(self, *events: Json) -> None:
        """Send events."""

    async def receive(self) -> Json | None:
        """Return the next event (name -> body), None at the orderly end; never cancelled."""

    async def end(self) -> None:
        """End the request."""


class _Ear:
    """Receives everything that a client hears."""

    def __init__(self, client: Client) -> None:
        self.heard: list[Json] = []
        self._client = client
        self._changed = asyncio.Condition()
        self._is_over = False

    async def listen(self) -> None:
        while (event := await self._client.receive()) is not None:
            async with self._changed:
                self.heard.append(event)
                self._changed.notify_all()
        async with self._changed:
            self._is_over = True
            self._changed.notify_all()

    async def wait(self, until: Event, start: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._is_over or any(map(until.matches, self.heard[start:])))


async def converse(client: Client) -> list[Json]:
    """Play the conversation and return everything that was heard, up to the orderly end."""
    ear = _Ear(client)
    listening: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as tasks:
        for step in STEPS:
            start = len(ear.heard)
            ids = [event["toolUse"]["toolUseId"] for event in ear.heard if "toolUse" in event]
            await client.send(*with_tool_use_id(step, ids[-1] if ids else ""))
            listening = listening or tasks.create_task(ear.listen())
            if step.until is not None:
                await ear.wait(step.until, start)
        await client.end()
    return ear.heard


def _outline_lines(events: Iterable[Json]) -> Iterable[str]:
    blocks: dict[str, str] = {}
    pcm: dict[str, bytes] = {}
    for event in events:
        ((name, body),) = event.items()
        match name:
            case "contentStart":
                stage = json.loads(body.get("additionalModelFields") or "{}").get("generationStage", "")
                blocks[body["contentId"]] = " ".join(filter(None, (body["role"], stage)))
            case "textOutput" if blocks[body["contentId"]] != "ASSISTANT FINAL" or "interrupted" in body["content"]:
                yield f"{blocks[body['contentId']]}: {body['content']}"
            case "audioOutput":
                pcm[body["contentId"]] = pcm.get(body["contentId"], b"") + base64.b64decode(body["content"])
            case "toolUse":
                yield f"tool {body['toolName']} {body['content']}"
            case "contentEnd" if body["type"] == "AUDIO":
                yield f"audio {zlib.crc32(pcm.pop(body['contentId'])):08x} {body['stopReason']}"
            case "contentEnd" if body["stopReason"] == "INTERRUPTED":
                yield "interrupted"
            case "completionStart" | "completionEnd" | "userSpeechStart" | "userSpeechEnd":
                yield name


def outline(events: Iterable[Json]) -> list[str]:
    """Return the events in short, without usage and without the FINAL texts, whose moment depends on the clock."""
    return list(_outline_lines(events))


def _audio(text: str, stop_reason: str = "END_TURN") -> str:
    return f"audio {zlib.crc32(speech(0.1, 24_000) * len(text.split())):08x} {stop_reason}"


HEARD = [
    "userSpeechStart",
    "completionStart",
    "userSpeechEnd",
    "USER FINAL: hello",
    "ASSISTANT SPECULATIVE: Hello there.",
    _audio("Hello there."),
    "userSpeechStart",
    "userSpeechEnd",
    "USER FINAL: weather",
    "ASSISTANT SPECULATIVE: Let me see.",
    _audio("Let me see.", "PARTIAL_TURN"),
    'tool lookup {"city":"Oslo"}',
    "ASSISTANT SPECULATIVE: It is grey.",
    _audio("It is grey."),
    "userSpeechStart",
    "userSpeechEnd",
    "USER FINAL: a story",
    f"ASSISTANT SPECULATIVE: {STORY}",
    _audio(STORY),
    "userSpeechStart",
    'ASSISTANT FINAL: { "interrupted" : true }',
    "interrupted",
    "userSpeechEnd",
    "USER FINAL: stop",
    "ASSISTANT SPECULATIVE: All right.",
    _audio("All right."),
    "completionEnd",
]
"""The outline of what a client hears, to the last sample."""

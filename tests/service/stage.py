"""Uploads between a real session registry and the emulator, whose brain hears tones as words and does what its prompt says."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import numpy as np

from audio.decoding import AudioDecoding
from audio.wav import wav_file
from nova_sonic_local.brains.interface import Listener, Prompt, Reply, UserTurn
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from publishing.events import Event
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.events import InferenceConfiguration, ToolSpec
from s2s.models import DEFAULT_MODEL_ID, capabilities
from service.following import Patience
from service.pipeline import Surroundings
from service.uploads import AudioDesk, UploadLimits
from session.assistant import AssistantLanguage, AssistantProfile
from session.notices import Notice, Recipient
from session.registry import SessionRegistry
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from tests.session.doubles import LOOK_UP, LoopClock, Outcome

WORDS = {300: "hello", 500: "status", 700: "weather", 900: "break", 1_100: "wait"}
"""What a tone of so many Hertz says."""
HERTZ = 16_000
LIMITS = UploadLimits(speed=1_000.0, patience=Patience(quiet_seconds=0.5, nothing_seconds=20.0, settled_seconds=0.1))
"""A recording is given at once, so that a busy machine tears no word; where something is said, nobody counts how long nothing is."""
IMPATIENT = replace(LIMITS, patience=replace(LIMITS.patience, nothing_seconds=0.5))
"""Where nothing is said."""


def tones(*pitches: int, pause: float = 0.1) -> bytes:
    """Return words as samples, 0.4 s each, between pauses."""
    quiet = bytes(2 * round(HERTZ * pause))
    words = [(np.sin(np.arange(round(0.4 * HERTZ)) * 2 * np.pi * pitch / HERTZ) * 8_000).astype("<i2").tobytes() for pitch in pitches]
    return bytes(2 * HERTZ // 5) + quiet.join(words)


def spoken(*pitches: int, pause: float = 0.1) -> bytes:
    """Return words as a WAV file."""
    return wav_file(tones(*pitches, pause=pause), HERTZ)


class ToneListener:
    """Hears tones as words."""

    def __init__(self) -> None:
        self._heard = io.BytesIO()

    async def feed(self, pcm: bytes) -> None:
        self._heard.write(pcm)

    async def finish(self) -> str | None:
        samples = np.frombuffer(self._heard.getvalue(), "<i2").astype(np.float64)
        said: list[str] = []
        for start in range(0, samples.size - 3_199, 1_600):
            piece = samples[start : start + 3_200]
            if np.abs(piece).mean() < 3_000:
                said.append("")
                continue
            pitch = int(np.abs(np.fft.rfft(piece)).argmax()) * 5
            said.append(WORDS[min(WORDS, key=lambda known: abs(known - pitch))])
        words = [word for before, word in zip(["", *said], said, strict=False) if word and word != before]
        return " ".join(words) or None


@dataclass
class ToneBrain:
    """Says what a text says that is to be read; takes dictation; else answers, and calls a tool for the weather."""

    prompt: Prompt
    heard: list[str]

    def listen(self) -> Listener | None:
        return ToneListener()

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        text = turn.text or ""
        self.heard.append(text)
        if (asked := re.search(r'"([^"]+)"', text)) and "read aloud" in self.prompt.system:
            await reply.say(asked[1])
        elif "take dictation" in self.prompt.system:
            await reply.say("OK.")
        elif "break" in text:
            raise RuntimeError("the model breaks")
        elif "wait" in text:
            await asyncio.Event().wait()
        elif "weather" in text:
            await reply.say("Let me see.")
            await reply.call_tools([("lookUp", {})])
            await reply.say("It is sunny.")
        else:
            before = " after " + self.prompt.history[-1][1] if self.prompt.history else ""
            await reply.say(f"You said {text}{before}")

    async def close(self) -> None:
        pass


@dataclass
class Told:
    """A publisher and deliverer that keeps what it is given."""

    events: list[Event] = field(default_factory=list)
    delivered: list[tuple[Recipient, list[Notice]]] = field(default_factory=list)

    def publish(self, event: Event) -> None:
        self.events.append(event)

    async def deliver(self, to: Recipient, notices: Iterable[Notice]) -> bool:
        self.delivered.append((to, list(notices)))
        return True


class OneTool:
    """Runs a tool at once."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        return tuple(LOOK_UP for _ in names)

    async def run(self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = "") -> Outcome:
        self.callers.append(caller)
        return Outcome()

    def forget(self, session_id: str) -> None:
        pass


ASSISTANT = AssistantProfile(
    name="carlos",
    default_language="en",
    languages={"en": AssistantLanguage("You are Carlos.", "matthew"), "es": AssistantLanguage("Sos Carlos.", "carlos")},
    tools=("lookUp",),
    client_may_set=frozenset({"voice"}),
    inference=InferenceConfiguration(),
    endpointing=None,
    hidden_markers=(),
)


@dataclass
class Stage:
    """What uploads are worked on with, and what came of them."""

    emulator: NovaSonicLocal
    registry: SessionRegistry
    desk: AudioDesk
    surroundings: Surroundings
    objects: FolderStore
    told: Told
    tools: OneTool
    prompts: list[Prompt]
    heard: list[str]
    begun: asyncio.Event
    """Set by the first stream of the model."""

    async def kept(self, session_id: str) -> list[str]:
        """Return the keys of what is kept of a session, without the names of uploads."""
        found = [
            *(await self.objects.list(f"voice-sessions/{session_id}/")).objects,
            *(await self.objects.list(f"processed/{session_id}/")).objects,
        ]
        return sorted(re.sub(r"\d{8}T\d{9}Z-[0-9a-f]{8}", "UPLOAD", one.key) for one in found)


@asynccontextmanager
async def staged(folder: Path, limits: UploadLimits | None = None, *, max_sessions: int = 8) -> AsyncIterator[Stage]:
    """Run everything that an upload meets."""
    prompts: list[Prompt] = []
    heard: list[str] = []
    told, tools, numbers = Told(), OneTool(), count()

    begun = asyncio.Event()

    def brain(prompt: Prompt) -> ToneBrain:
        prompts.append(prompt)
        begun.set()
        return ToneBrain(prompt, heard)

    options = Options(brain=brain, manner=Manner(speech_speed=0), max_streams=max_sessions + 4)
    async with NovaSonicLocal(options) as emulator:
        client = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), StaticCredentials("a", "b"))
        decoding = AudioDecoding()
        await decoding.start()
        registry = SessionRegistry(
            model=client,
            tools=tools,
            assistants={"carlos": ASSISTANT},
            default_assistant="carlos",
            observers=(),
            clock=LoopClock(),
            max_sessions=max_sessions,
        )
        desk = AudioDesk(capabilities(DEFAULT_MODEL_ID), decoding, limits or LIMITS)
        desk.belong_to(registry)
        objects = FolderStore(folder, LinkSigner((bytes(32),)), "http://localhost")
        surroundings = Surroundings(desk, told, objects, told, utc=lambda: datetime.fromtimestamp(1_900_000_000 + next(numbers), UTC))
        try:
            yield Stage(emulator, registry, desk, surroundings, objects, told, tools, prompts, heard, begun)
        finally:
            await registry.close()
            await objects.aclose()
            decoding.close()
            await client.aclose()

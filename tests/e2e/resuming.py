"""A whole server in this process, from its WebSocket to an emulator over TLS, with tools that end when the test says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from api.plain_http import PlainHttp
from auth.anonymous import AnonymousAuthenticator
from bench.positions import Verdict, compare
from bench.resumable_client import ResumableClient
from nova_sonic_local.options import BrainFactory, Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.events import InferenceConfiguration
from s2s.models import DEFAULT_MODEL_ID
from session.assistant import AssistantLanguage, AssistantProfile
from session.registry import SessionRegistry
from telemetry.counters import Counters
from tests.session.doubles import LoopClock, ScriptedTools
from transports.authentication import Gate
from transports.origins import OriginPolicy
from transports.sockets import listen, port_of
from transports.websocket import WebSocketServer

HERTZ = 16_000
PIECE_BYTES = 1_024
PIECE_SECONDS = PIECE_BYTES / 2 / HERTZ
HELLO = {"input_hertz": HERTZ, "output_hertz": HERTZ}


@dataclass(frozen=True, slots=True)
class House:
    """A running server."""

    url: str
    registry: SessionRegistry
    tools: ScriptedTools
    counters: Counters


@asynccontextmanager
async def serving(folder: Path, brain: str | BrainFactory = "echo", resume_seconds: float = 30) -> AsyncIterator[House]:
    """Run a server for the length of the block."""
    async with NovaSonicLocal(Options(brain=brain, ca_dir=folder)) as emulator:
        model = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), StaticCredentials("a", "b"))
        languages = {"en": AssistantLanguage("You are kind.", "matthew")}
        profile = AssistantProfile("kind", "en", languages, ("lookUp",), frozenset(), InferenceConfiguration(), None, ())
        tools, counters = ScriptedTools(), Counters()
        registry = SessionRegistry(
            assistants={"kind": profile},
            default_assistant="kind",
            max_sessions=3,
            model=model,
            tools=tools,
            observers=(),
            clock=LoopClock(),
        )
        sockets = listen("127.0.0.1", 0)
        server = WebSocketServer(
            sockets=sockets,
            registry=registry,
            plain=PlainHttp(web.Application()),
            origins=OriginPolicy(),
            gate=Gate(AnonymousAuthenticator(), counters),
            counters=counters,
            clock=LoopClock(),
            resume_seconds=resume_seconds,
        )
        await server.start()
        try:
            yield House(f"ws://127.0.0.1:{port_of(sockets)}/", registry, tools, counters)
        finally:
            await server.stop()
            await registry.close()
            await model.aclose()


async def speak(client: ResumableClient, speech: bytes) -> None:
    """Send sound at the pace of a microphone, whether there is a connection or not."""
    loop = asyncio.get_running_loop()
    due_at = loop.time()
    for start in range(0, len(speech), PIECE_BYTES):
        await client.send_audio(speech[start : start + PIECE_BYTES])
        due_at += PIECE_SECONDS
        await asyncio.sleep(max(0.0, due_at - loop.time()))


def without_silence(pcm: bytes) -> bytes:
    """Return the samples that are not 0: the server sends silence for a client that is away, and the echo returns it."""
    return b"".join(pcm[at : at + 2] for at in range(0, len(pcm), 2) if pcm[at : at + 2] != b"\0\0")


def heard_of(speech: bytes, heard: bytes) -> Verdict:
    """Find every sample of what was said in what was heard, silence aside."""
    return compare(without_silence(speech), without_silence(heard))

"""What the tests of the Bedrock client say to the emulator."""

import array
import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import Credentials
from s2s.bedrock.stream import Timeouts
from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    InputEvent,
    OutputEvent,
    PromptStart,
    Role,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolSpec,
)
from session.interfaces import ModelStream
from tests.s2s.ways import Way

SHORT = Timeouts(connect=1.5, opening=2.0, write=0.7, closing=0.7)
"""So that a test of what never answers is over soon."""
FRAME_BYTES = 1024
LOOKUP = ToolSpec("lookup", "Finds an order", '{"type":"object","properties":{"order_id":{"type":"string"}}}')


def opening(tools: tuple[ToolSpec, ...] = (), voice_id: str = "matthew") -> tuple[InputEvent, ...]:
    """Return the least that opens a stream, with the microphone open and primed."""
    return (
        SessionStart(),
        PromptStart("P", voice_id, 16_000, tools),
        TextContentStart("P", "S", Role.SYSTEM),
        TextInput("P", "S", "You are kind."),
        ContentEnd("P", "S"),
        AudioContentStart("P", "A"),
        AudioInput("P", "A", bytes(3200)),
    )


def tone(duration_ms: int) -> bytes:
    """Return something loud enough to pass for speech, 16 kHz."""
    samples = (int(12_000 * math.sin(index * 0.17)) for index in range(16 * duration_ms))
    return array.array("h", samples).tobytes()


def typed(name: str, text: str) -> tuple[InputEvent, ...]:
    """Return a typed turn."""
    return (TextContentStart("P", name, Role.USER, interactive=True), TextInput("P", name, text), ContentEnd("P", name))


async def say(stream: ModelStream, pcm: bytes) -> None:
    """Send speech in frames, as fast as the stream takes them."""
    for start in range(0, len(pcm), FRAME_BYTES):
        await stream.send([AudioInput("P", "A", pcm[start : start + FRAME_BYTES])])


async def hear(stream: ModelStream, until: Callable[[OutputEvent], bool]) -> list[OutputEvent]:
    """Receive until an event of a kind has come, and return all."""
    heard: list[OutputEvent] = []
    while not heard or not until(heard[-1]):
        event = await stream.receive()
        assert event is not None, f"the stream ended after {heard}"
        heard.append(event)
    return heard


async def eventually(condition: Callable[[], bool], within_seconds: float = 5.0) -> None:
    """Wait until something holds that only the other process's side of a socket can bring about."""
    async with asyncio.timeout(within_seconds):
        while not condition():  # noqa: ASYNC110  # the emulator tells nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def talking(
    options: Options,
    way: Way = Way.H2,
    *,
    credentials: Credentials | None = None,
    timeouts: Timeouts = SHORT,
    streams_per_connection: int = 1,
) -> AsyncIterator[tuple[NovaSonicClient, NovaSonicLocal]]:
    """Run an emulator and a client for it."""
    async with NovaSonicLocal(options) as emulator:
        client = way.client_for(way.endpoint(emulator), emulator.ca_file, timeouts, credentials, streams_per_connection)
        try:
            yield client, emulator
        finally:
            await client.aclose()

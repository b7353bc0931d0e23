"""Makes the traces of tests/session/traces anew: real conversations with Nova Sonic Local, recorded by the server's own recorder.

Run as `python -m bench.make_traces FOLDER`; it takes a minute. Each scene is a session of the registry with the real client of the model,
the real tools on an embedded database, and a caller who types, speaks or interrupts. What people say is masked, as it is by default.
"""

import argparse
import asyncio
import math
import struct
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from smithy_aws_core.identity import AWSCredentialsIdentity

from bench.replay import main as replay
from bootstrap import Application, build
from config import Settings, StorageKind
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from parts.tools import open_tools
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import Credentials, StaticCredentials
from s2s.events import ToolSpec
from s2s.models import DEFAULT_MODEL_ID
from session.continuation import EXPIRY_SECONDS
from session.events import End, SendAudio, SendText, SessionContinued, SessionEvent, SpeechChunk, SpeechEnded, Start, StopAudio, ToolStarted
from session.interfaces import ToolOutcome, ToolRunner
from session.runner import SessionRunner

REGION, KEY, SECRET = "us-east-1", "AKIDTRACES", "no-secret"
PIECE_SECONDS = 0.032
HERTZ = 16_000
SLOW_SECONDS = 2.0
"""How long tools take where their stream is to die meanwhile."""
PATIENCE_SECONDS = 30.0
LEAD_SECONDS = 0.6
"""Speech is delivered a little less than this ahead of the listener."""
ORDER = ("Quiero consultar mi pedido número 1", "Soy Juan Pérez")


@dataclass(slots=True)
class Caller:
    """Whoever talks to the assistant."""

    runner: SessionRunner
    heard: list[SessionEvent] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Hear everything until the end."""
        while (event := await self.runner.next_event()) is not None:
            self.heard.append(event)
            self._changed.set()

    async def until(self, kind: type[SessionEvent], count: int = 1) -> None:
        """Wait until so many events of this class were heard."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(isinstance(event, kind) for event in self.heard) < count:
                self._changed.clear()
                await self._changed.wait()

    async def hears_out(self, turns: int = 1) -> None:
        """Wait until the assistant has finished so many turns, and what is on the way was heard."""
        await self.until(SpeechEnded, turns)
        await asyncio.sleep(LEAD_SECONDS)

    async def types(self, text: str) -> None:
        """Type a turn."""
        await self.runner.submit(SendText(text))

    async def speaks(self, seconds: float, loudness: float = 9_000.0) -> None:
        """Make sounds like a voice, or none, at the pace of a microphone."""
        samples = round(PIECE_SECONDS * HERTZ)
        for piece in range(round(seconds / PIECE_SECONDS)):
            values = (loudness * math.sin(0.06 * at) * math.sin(0.0031 * at) for at in range(piece * samples, (piece + 1) * samples))
            await self.runner.submit(SendAudio(struct.pack(f"<{samples}h", *map(round, values))))
            await asyncio.sleep(PIECE_SECONDS)


class RenewedCredentials:
    """A key that ends soon for the first stream, and one without an end for all others.

    Args:
        seconds: until the first ends.
    """

    source = "static"

    def __init__(self, seconds: float) -> None:
        self._first: Credentials | None = StaticCredentials(KEY, SECRET, expiration=datetime.now(UTC) + timedelta(seconds=seconds))
        self._others = StaticCredentials(KEY, SECRET)

    async def identity(self) -> AWSCredentialsIdentity:
        """Return the key."""
        first, self._first = self._first, None
        return await (first or self._others).identity()

    def forget(self) -> None:
        """Do nothing: there is no other key."""


class SlowTools:
    """Tools that take their time."""

    def __init__(self, tools: ToolRunner) -> None:
        self._tools = tools

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        """Return the specs."""
        return self._tools.specs(names)

    async def run(
        self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = ""
    ) -> ToolOutcome:
        """Run a tool, after a pause."""
        await asyncio.sleep(SLOW_SECONDS)
        return await self._tools.run(
            session_id=session_id, tool_use_id=tool_use_id, name=name, arguments=arguments, caller=caller, patient_id=patient_id
        )

    def forget(self, session_id: str) -> None:
        """Forget a session."""
        self._tools.forget(session_id)


async def typed_conversation(caller: Caller) -> None:
    """Ask for an order, by its number and a name, and thank."""
    for count, text in enumerate((*ORDER, "Gracias"), 1):
        await caller.types(text)
        await caller.hears_out(count)


async def barge_in(caller: Caller) -> None:
    """Speak while the assistant does."""
    await caller.types(ORDER[0])
    await caller.until(SpeechChunk, 5)
    await caller.speaks(1.0)
    await caller.speaks(1.5, loudness=0.0)
    await caller.hears_out()
    await caller.runner.submit(StopAudio())


async def lost_with_a_tool(caller: Caller) -> None:
    """Wait for a tool whose stream dies, and hear of its result all the same."""
    await caller.types(ORDER[0])
    await caller.hears_out()
    await caller.types(ORDER[1])
    await caller.until(ToolStarted)
    await caller.until(SessionContinued)
    await caller.hears_out(2)


async def continuation(caller: Caller) -> None:
    """Go on in another stream, before the credentials of the first expire."""
    await caller.types(ORDER[0])
    await caller.hears_out()
    await caller.until(SessionContinued)
    await caller.types(ORDER[1])
    await caller.hears_out(2)


@dataclass(frozen=True, slots=True)
class Scene:
    """One conversation."""

    name: str
    play: Callable[[Caller], Awaitable[None]]
    fault: str = ""
    """Of the first stream."""
    signed_for_seconds: float | None = None
    has_slow_tools: bool = False


SCENES = (
    Scene("typed-conversation-with-tools", typed_conversation),
    Scene("barge-in", barge_in),
    Scene("stream-lost-with-a-tool-running", lost_with_a_tool, fault="rst:CANCEL@toolUse", has_slow_tools=True),
    Scene("planned-continuation", continuation, signed_for_seconds=EXPIRY_SECONDS + 4.0),
)


async def record(scene: Scene, folder: Path) -> Path:
    """Play a scene and return its trace."""
    faults = iter([scene.fault])
    database, traces = folder / f"{scene.name}.sqlite3", folder / scene.name
    settings = Settings(local=True, storage=StorageKind.SQLITE, sqlite_path=database, trace_folder=traces)
    credentials: Credentials = RenewedCredentials(scene.signed_for_seconds) if scene.signed_for_seconds else StaticCredentials(KEY, SECRET)
    async with AsyncExitStack() as resources, asyncio.timeout(PATIENCE_SECONDS * 4):
        options = Options(brain="demo", ca_dir=folder / "ca", fault=lambda: next(faults, ""))
        emulator = await resources.enter_async_context(NovaSonicLocal(options))
        model = NovaSonicClient(REGION, DEFAULT_MODEL_ID, emulator.endpoint, str(emulator.ca_file), credentials)
        resources.push_async_callback(model.aclose)
        tools = SlowTools(await open_tools(settings, None, resources, {})) if scene.has_slow_tools else None
        application = await build(settings, model=model, tools=tools)
        resources.push_async_callback(application.stop)
        await _play(application, scene)
    [trace] = traces.iterdir()
    return trace


async def _play(application: Application, scene: Scene) -> None:
    runner = application.registry.open(Start(language="es", output_hertz=HERTZ))
    running = asyncio.create_task(application.registry.run(runner))
    caller = Caller(runner)
    listening = asyncio.create_task(caller.listen())
    try:
        await scene.play(caller)
        await runner.submit(End())
        await listening
        await running
    finally:
        for task in (listening, running):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def main(arguments: Sequence[str]) -> int:
    """Make all traces, replay them, and return the exit code of that."""
    parser = argparse.ArgumentParser(prog="python -m bench.make_traces")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    made: list[str] = []
    for scene in SCENES:
        with tempfile.TemporaryDirectory() as work:
            trace = asyncio.run(record(scene, Path(work)))
            target = folder / f"{scene.name}.jsonl.gz"
            target.write_bytes(trace.read_bytes())
            made.append(str(target))
            print(f"{target}: {target.stat().st_size} bytes")
    return replay(made)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

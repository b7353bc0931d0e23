"""Server processes that share a model and a store, and clients that are told to go from one to another."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import ClientSession

from bench.processes import free_port
from bench.resumable_client import Message, ResumableClient
from nova_sonic_local.brains.interface import Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.e2e.remembering import Remembering
from tests.server.process import ROOT, WITHOUT_AWS, environment

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
READY_SECONDS = 40.0
LEAVE_SECONDS = 30.0
THINK_SECONDS = 2.0
"""Longer than it takes until a question is stored."""


class Thoughtful(Remembering):
    """Takes its time for the answer to what begins with "Think"."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        if (turn.text or "").startswith("Think"):
            await asyncio.sleep(THINK_SECONDS)
        await super().answer(turn, reply)


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """One server."""

    port: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def address(self) -> str:
        """Of the WebSocket."""
        return f"ws://127.0.0.1:{self.port}/"

    async def is_ready(self) -> bool:
        """Ask /ready."""
        async with ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/ready") as response:
            return response.status == 200

    async def counted(self, name: str) -> int:
        """Return one of the counters of /health."""
        async with ClientSession() as http, http.get(f"http://127.0.0.1:{self.port}/health") as response:
            body = await response.json()
        return int(body["counters"].get(name, 0))

    async def until_counted(self, name: str, count: int) -> None:
        """Wait until something has been counted."""
        async with asyncio.timeout(READY_SECONDS):
            while await self.counted(name) < count:  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(0.05)

    async def exit_code(self) -> int:
        """Wait for the end of the process."""
        async with asyncio.timeout(LEAVE_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def shared_model(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run a model that tells what it was told; yield the settings with which servers reach it."""
    async with NovaSonicLocal(Options(brain=Thoughtful, ca_dir=folder / "ca")) as emulator:
        yield {
            **WITHOUT_AWS,
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint,
            "BEDROCK_CA_FILE": str(emulator.ca_file),
            "SQLITE_PATH": str(folder / "shared.sqlite3"),
            "SESSIONS_KEY": KEY,
        }


@asynccontextmanager
async def server(folder: Path, settings: Mapping[str, str]) -> AsyncIterator[ServerProcess]:
    """Run a server for the length of the block."""
    port = free_port()
    log = folder / f"server-{port}.log"
    own = {**settings, "WS_PORT": str(port), "HEALTH_PORT": str(port)}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "server.py", cwd=ROOT, env=environment(folder, own), stdout=output, stderr=output
        )
    running = ServerProcess(port, process, log)
    try:
        await _until_ready(running)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _until_ready(running: ServerProcess) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            assert running.process.returncode is None, running.log.read_text(errors="replace")
            try:
                if await running.is_ready():
                    return
            except OSError:
                pass
            await asyncio.sleep(0.05)


async def says(client: ResumableClient, text: str) -> str:
    """Type something and return the answer, once all of it was spoken."""
    answers, ends = len(final(client)), len(client.received.named("speech.ended"))
    await client.send_numbered({"type": "text", "text": text})
    await client.until(lambda: len(final(client)) > answers and len(client.received.named("speech.ended")) > ends)
    return str(final(client)[-1]["text"])


def final(client: ResumableClient) -> list[Message]:
    """Return what the assistant has said."""
    told = client.received.named("transcript")
    return [message for message in told if (message["role"], message["stage"]) == ("assistant", "final")]


async def moved(client: ResumableClient, to: ServerProcess) -> Message:
    """Go on with another server, as the load balancer would have it."""
    client.go_to(to.address)
    return await client.resume()


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it runs."""
        return time.monotonic() - self._began

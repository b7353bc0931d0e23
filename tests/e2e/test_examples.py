"""The clients in examples/ hold conversations with a whole server: microphone and loudspeaker are WAV files, and the network breaks."""

import asyncio
import base64
import io
import os
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp import web
from playwright.async_api import Page
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from bench.positions import coded_speech
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from tests import loopback, needs
from tests.browser import Chromium, until
from tests.e2e.resuming import HERTZ, heard_of, serving
from tests.web.cuttable import CuttableNetwork

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICK_RETRIES = {"WEBSOCKETS_BACKOFF_INITIAL_DELAY": "0.2", "WEBSOCKETS_BACKOFF_MIN_DELAY": "0.2"}
TOKEN = "a.b-c_d"
SECONDS = 3
ANSWER = coded_speech(4 * HERTZ)


class Storyteller:
    """Answers whatever is said with four seconds of sound that tells its place."""

    def __init__(self, prompt: Prompt) -> None:
        self._history = prompt.history

    def listen(self) -> None:
        """Need no words."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Tell the story."""
        await reply.play(ANSWER, f"Story {turn.number}.")

    async def close(self) -> None:
        """Hold nothing."""


class Example(Protocol):
    """A client that runs."""

    async def until(self, line: str) -> None:
        """Wait until it has told this."""

    async def heard(self) -> bytes:
        """Return what it played, once it has ended."""


class Program:
    """A client that is a program.

    Args:
        process: the program.
        answers: the file that it writes.
    """

    def __init__(self, process: asyncio.subprocess.Process, answers: Path) -> None:
        self.process = process
        self._answers = answers
        self._lines: list[str] = []

    async def until(self, line: str) -> None:
        """Read its output until it has printed this."""
        assert self.process.stdout
        async with asyncio.timeout(30):
            while line not in self._lines:
                printed = await self.process.stdout.readline()
                assert printed, self._lines
                self._lines.append(printed.decode().strip())

    async def heard(self) -> bytes:
        """Wait for its end and read the file."""
        async with asyncio.timeout(10):
            assert await self.process.wait() == 0
        return samples_of(self._answers.read_bytes())


class InPage:
    """The client in a page of its own.

    Args:
        page: where it runs.
    """

    def __init__(self, page: Page) -> None:
        self._page = page

    async def until(self, line: str) -> None:
        """Wait for a line of its log."""
        await until(self._page, f"document.getElementById('log').textContent.split('\\n').some((line) => line.trim() === '{line}')", 30)

    async def heard(self) -> bytes:
        """Fetch the file that it offers."""
        script = """async () => {
            const bytes = new Uint8Array(await (await fetch(document.getElementById("answers").src)).arrayBuffer());
            return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
        }"""
        return samples_of(base64.b64decode(await self._page.evaluate(script)))


def samples_of(file: bytes) -> bytes:
    """Return what a WAV file holds."""
    with wave.open(io.BytesIO(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (HERTZ, 1, 2)
        return bytes(sound.readframes(sound.getnframes()))


def write_wav(path: Path, pcm: bytes) -> Path:
    """Write a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, HERTZ, 0, "NONE", ""))
        file.writeframes(pcm)
    return path


@cache
def node_command() -> tuple[str, ...]:
    """Return how Node is started so that it has WebSocket: newer ones have it by themselves."""
    node = str(needs.node())
    for command in ((node,), (node, "--experimental-websocket")):
        told = subprocess.run([*command, "-p", "typeof WebSocket"], capture_output=True, text=True, check=False, timeout=30)
        if told.stdout.strip() == "function":
            return command
    return needs.missing("Node 20.10 or newer")


@asynccontextmanager
async def program(folder: Path, command: tuple[str, ...], *after: str) -> AsyncIterator[Program]:
    """Run a client for the length of the block."""
    environment = {**os.environ, **QUICK_RETRIES, "TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        *command, *after, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment
    )
    try:
        yield Program(process, folder / "answers.wav")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def in_page(url: str, question: Path, stay: float) -> AsyncIterator[InPage]:
    """Serve the page as any web server would, and talk through it for the length of the block."""
    application = web.Application()
    application.router.add_static("/", EXAMPLES / "javascript")
    async with loopback.serving(application) as address, Chromium(needs.chromium()).open(f"{address}/index.html") as page:
        await page.fill("#url", url)
        await page.fill("#token", TOKEN)
        await page.set_input_files("#question", question)
        await page.fill("#stay", str(stay))
        await page.click("#talk")
        yield InPage(page)


@asynccontextmanager
async def talking(kind: str, folder: Path, server: str, question: bytes, stay: float) -> AsyncIterator[tuple[Example, CuttableNetwork]]:
    """Let a client say something to the server, over a network that can be cut."""
    file = write_wav(folder / "question.wav", question)
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(CuttableNetwork(int(server.rstrip("/").rpartition(":")[2])))
        url, answers = f"ws://127.0.0.1:{network.port}/", str(folder / "answers.wav")
        example: Example
        match kind:
            case "python":
                python = (sys.executable, str(EXAMPLES / "python" / "talk.py"))
                example = await stack.enter_async_context(program(folder, python, url, str(file), answers, "--stay", str(stay)))
            case "node":
                node = (*node_command(), str(EXAMPLES / "javascript" / "talk.mjs"))
                example = await stack.enter_async_context(program(folder, node, url, str(file), answers, str(stay)))
            case _:
                example = await stack.enter_async_context(in_page(url, file, stay))
        yield example, network


CLIENTS = pytest.mark.parametrize("kind", ["python", "node", pytest.param("page", marks=pytest.mark.browser)])


@CLIENTS
async def test_every_sample_said_and_heard_survives_a_cut_connection(tmp_path: Path, kind: str) -> None:
    said = coded_speech(SECONDS * HERTZ)
    async with serving(tmp_path) as house, talking(kind, tmp_path, house.url, said, stay=8) as (example, network):
        await example.until("session.started")
        await asyncio.sleep(SECONDS / 2)
        network.cut()
        await example.until("closed 1006")
        await asyncio.sleep(0.3)
        network.mend()
        await example.until("session.resumed")
        await example.until("ended: client")
        heard = await example.heard()

    assert heard_of(said, heard).is_exact
    assert house.counters.read()["client_resumed"] == 1


@CLIENTS
async def test_an_interrupted_answer_stops_and_one_over_a_cut_connection_is_heard_whole(tmp_path: Path, kind: str) -> None:
    question = coded_speech(HERTZ) + bytes(2 * 2 * HERTZ) + coded_speech(HERTZ)
    async with serving(tmp_path, Storyteller) as house, talking(kind, tmp_path, house.url, question, stay=12) as (example, network):
        await example.until("interrupted")
        await example.until("transcript Story 2.")
        await asyncio.sleep(1)
        network.cut()
        await example.until("closed 1006")
        network.mend()
        await example.until("ended: client")
        heard = await example.heard()
    before = heard[: -len(ANSWER)]

    assert heard[-len(ANSWER) :] == ANSWER
    assert ANSWER.startswith(before)
    assert 0 < len(before) < len(ANSWER)


@CLIENTS
async def test_a_token_comes_with_the_handshake_and_its_refusal_is_final(tmp_path: Path, kind: str) -> None:
    handshakes: list[tuple[str | None, str | None]] = []

    async def refuse(socket: ServerConnection) -> None:
        assert socket.request
        handshakes.append((socket.request.headers.get("Authorization"), socket.request.headers.get("Sec-WebSocket-Protocol")))
        await socket.close(4401)

    async with serve(refuse, "127.0.0.1", 0, subprotocols=[Subprotocol("nova-sonic.v1")]) as server:
        address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with talking(kind, tmp_path, address, coded_speech(HERTZ), stay=1) as (example, _):
            await example.until("ended: closed with 4401")

    by_header, by_subprotocol = (f"Bearer {TOKEN}", "nova-sonic.v1"), (None, f"nova-sonic.v1, bearer.{TOKEN}")
    assert handshakes == [by_header if kind == "python" else by_subprotocol]

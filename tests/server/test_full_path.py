"""The server as a process between real clients and Nova Sonic Local, over TLS and HTTP/2."""

import asyncio
import base64
import json
import re
import signal
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from local_emulator import EmulatorFailed, LocalEmulator
from tests.server.process import WITHOUT_AWS, run, running
from tests.transports import raw_client
from transports.dialects.binary import SUBPROTOCOL, Header, pack_audio, unpack_audio

CHUNK_SAMPLES = 512
CHUNKS = 60


def positions(chunk: int) -> bytes:
    """Return a chunk whose samples say where they are: nothing lost, doubled or moved can go unseen."""
    first = chunk * CHUNK_SAMPLES + 1
    return struct.pack(f"<{CHUNK_SAMPLES}h", *range(first, first + CHUNK_SAMPLES))


SPOKEN = b"".join(positions(chunk) for chunk in range(CHUNKS))


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """Point a server at an emulator that says back what it hears."""
    emulator = LocalEmulator(tmp_path / "emulator", ("--brain", "echo", "--voice", "builtin"))
    endpoint = await emulator.start()
    yield {**WITHOUT_AWS, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint.uri, "BEDROCK_CA_FILE": str(endpoint.ca_file)}
    await emulator.stop()


def port_in(line: str) -> int:
    found = re.search(r":(\d+)/", line)
    assert found
    return int(found[1])


def heard(pcm: bytes) -> bytes:
    """Return what came back without the silence that the server adds where the client was late."""
    return b"".join(pcm[start : start + 2] for start in range(0, len(pcm), 2) if pcm[start : start + 2] != b"\0\0")


async def speak(client: ClientConnection, *, is_page: bool) -> None:
    """Speak at the pace of a microphone, as a client in the field would."""
    due_at = asyncio.get_running_loop().time()
    for chunk in range(CHUNKS):
        pcm = positions(chunk)
        await client.send(pack_audio(Header(1, 0, 0, chunk, 0, 0), pcm) if is_page else raw_client.audio(pcm))
        due_at += CHUNK_SAMPLES / 16_000
        await asyncio.sleep(due_at - asyncio.get_running_loop().time())


async def next_speech(client: ClientConnection) -> bytes:
    """Return the PCM of the next frame that has any, in either dialect."""
    while True:
        frame = await client.recv()
        if isinstance(frame, bytes):
            return unpack_audio(frame)[1]
        event: dict[str, Any] = json.loads(frame).get("event", {})
        if "audioOutput" in event:
            return base64.b64decode(event["audioOutput"]["content"], validate=True)


async def listen_until_all_is_back(client: ClientConnection) -> bytes:
    pcm = b""
    async with asyncio.timeout(20):
        while len(heard(pcm)) < len(SPOKEN):
            pcm += await next_speech(client)
    return heard(pcm)


async def rest_of(client: ClientConnection) -> list[dict[str, Any]]:
    """Return all messages until the server closes."""
    messages: list[dict[str, Any]] = []
    while True:
        try:
            frame = await client.recv()
        except ConnectionClosed:
            return messages
        if isinstance(frame, str):
            messages.append(json.loads(frame))


@pytest.mark.req("S4-74", "S4-09")
@pytest.mark.parametrize("is_page", [True, False])
async def test_every_sample_goes_through_the_server_and_back_in_order(tmp_path: Path, settings: dict[str, str], *, is_page: bool) -> None:
    async with running(tmp_path, settings) as (process, line):
        protocols = [Subprotocol(SUBPROTOCOL)] if is_page else None
        async with connect(f"ws://127.0.0.1:{port_in(line)}/", subprotocols=protocols, compression=None) as client:
            hello = ['{"type":"hello","protocol":1,"output_hertz":16000}']
            for frame in (
                hello if is_page else [raw_client.session_start(), raw_client.prompt_start(hertz=16_000), *raw_client.opening()[2:]]
            ):
                await client.send(frame)
            speaking = asyncio.create_task(speak(client, is_page=is_page))
            back = await listen_until_all_is_back(client)
            await speaking
        process.send_signal(signal.SIGTERM)
        code = await process.wait()

    assert back == SPOKEN
    assert code == 0


async def test_check_says_that_all_is_well(tmp_path: Path, settings: dict[str, str]) -> None:
    code, output, _ = await run(tmp_path, settings, "--check")

    assert [line.split() for line in output.splitlines()] == [
        [part, "ok"] for part in ("settings", "assistants", "credentials", "model", "storage")
    ]
    assert code == 0


@pytest.mark.req("S4-35", "S4-85")
async def test_sigterm_ends_a_conversation_politely(tmp_path: Path, settings: dict[str, str]) -> None:
    async with running(tmp_path, {**settings, "DRAIN_SECONDS": "1"}) as (process, line):
        address = f"ws://127.0.0.1:{port_in(line)}/"
        async with connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], compression=None) as client:
            await client.send('{"type":"hello","protocol":1}')
            started = json.loads(await client.recv())
            process.send_signal(signal.SIGTERM)
            messages = await rest_of(client)
        code = await process.wait()

    assert started["type"] == "session.started"
    assert messages[-1]["type"] == "session.ended"
    assert messages[-1]["reason"] == "server_leaving"
    assert client.close_code == 1012
    assert code == 0


async def test_an_emulator_that_cannot_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(EmulatorFailed, match="ended with status 2"):
        await LocalEmulator(tmp_path, ("--brain", "nobody")).start()


async def test_an_emulator_that_says_something_else_is_not_believed(tmp_path: Path) -> None:
    with pytest.raises(EmulatorFailed, match="something else"):
        await LocalEmulator(tmp_path, ("--help",)).start()


async def test_an_emulator_that_is_not_ready_in_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local_emulator.READY_SECONDS", 0.0)
    emulator = LocalEmulator(tmp_path, ("--brain", "echo", "--voice", "builtin"))
    with pytest.raises(EmulatorFailed, match="was not ready"):
        await emulator.start()

    assert emulator._process is not None
    assert emulator._process.returncode is not None


async def test_an_emulator_that_ends_by_itself_is_told_in_the_log(tmp_path: Path) -> None:
    emulator = LocalEmulator(tmp_path, ("--brain", "echo", "--voice", "builtin"))
    await emulator.start()
    assert emulator._process is not None
    assert emulator._watch is not None
    with capture_logs() as lines:
        emulator._process.kill()
        async with asyncio.timeout(10):
            await emulator._watch
    await emulator.stop()

    assert [(line["event"], line["status"]) for line in lines] == [("emulator.ended", -signal.SIGKILL)]


async def test_an_emulator_ends_with_its_parent(tmp_path: Path) -> None:
    emulator = LocalEmulator(tmp_path, ("--brain", "echo", "--voice", "builtin"))
    await emulator.start()
    process = emulator._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # what the system does with the pipe when the parent is killed
    async with asyncio.timeout(10):
        status = await process.wait()
    await emulator.stop()

    assert status == 0

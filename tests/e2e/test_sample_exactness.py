"""Every sample arrives once and in order: client -> server -> SDK over TLS and HTTP/2 -> emulator's echo -> back."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from bench.bridge import server_environment, wait_until_healthy
from bench.positions import Verdict, coded_speech, compare
from bench.processes import child, free_port, read_json

HERTZ = 16_000
PIECE_SAMPLES = 512
PIECE_SECONDS = PIECE_SAMPLES / HERTZ
SESSIONS = 20
SECONDS = 60
HEADER = struct.Struct("<BBHIII")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server in front of the echoing emulator, as two processes."""
    folder = tmp_path_factory.mktemp("echo")
    arguments = ("-m", "nova_sonic_local", "--brain", "echo", "--ca-dir", str(folder), "--ready-json")
    async with child(*arguments) as emulator:
        model = await read_json(emulator)
        port = free_port()
        async with child("server.py", environment=server_environment(model, str(folder), port)):
            await wait_until_healthy(port)
            yield f"ws://127.0.0.1:{port}/"


async def echo(url: str, speech: bytes) -> bytes:
    """Speak in real time and return what comes back."""
    heard = bytearray()
    async with connect(url, subprotocols=[Subprotocol("nova-sonic.v1")], compression=None) as socket, asyncio.TaskGroup() as tasks:
        await socket.send(json.dumps({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": HERTZ}))
        while json.loads(await socket.recv())["type"] != "session.started":
            pass

        async def speak() -> None:
            loop = asyncio.get_running_loop()
            next_at = loop.time()
            for number, start in enumerate(range(0, len(speech), 2 * PIECE_SAMPLES)):
                head = HEADER.pack(1, 0, 0, number, start // 2, 0)
                await socket.send(head + speech[start : start + 2 * PIECE_SAMPLES])
                next_at += PIECE_SECONDS
                await asyncio.sleep(max(0.0, next_at - loop.time()))

        speaking = tasks.create_task(speak())
        async with asyncio.timeout(len(speech) / 2 / HERTZ + 20):
            while len(heard) < len(speech):
                frame = await socket.recv()
                if isinstance(frame, bytes):
                    heard += frame[HEADER.size :]
        await speaking
    return bytes(heard)


@pytest.mark.req("S0-53", "S4-74", "S4-80", "S4-81")
@pytest.mark.timeout(180)
async def test_no_sample_is_lost_doubled_or_moved_in_a_minute_of_twenty_sessions(url: str) -> None:
    speech = coded_speech(SECONDS * HERTZ // PIECE_SAMPLES * PIECE_SAMPLES)

    heard = await asyncio.gather(*(echo(url, speech) for _ in range(SESSIONS)))

    samples = len(speech) // 2
    verdicts = [compare(speech, one) for one in heard]
    assert verdicts == [Verdict(samples, samples, lost=0, doubled=0, out_of_order=0, foreign=0)] * SESSIONS


def test_the_comparison_sees_every_kind_of_damage() -> None:
    speech = coded_speech(HERTZ)
    cut, gap, end = 10 * 1_024, 12 * 1_024, len(speech)

    assert compare(speech, speech).is_exact
    assert compare(speech, speech[:cut] + speech[gap:end]).lost == 1_024
    assert compare(speech, speech[:gap] + speech[cut:end]).doubled == 1_024
    assert compare(speech, speech[:cut] + speech[gap : 14 * 1_024] + speech[cut:gap] + speech[14 * 1_024 :]).out_of_order == 1
    assert compare(speech, speech[:cut] + bytes(200) + speech[cut:]).foreign == 100

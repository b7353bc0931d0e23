"""The process itself: what it says of its health, and what it does when it cannot keep up, is killed, or is fed nonsense."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from urllib.request import urlopen

from websockets.exceptions import ConnectionClosed

from bench.positions import coded_speech, compare
from bench.processes import free_port
from bootstrap import Application, build, listen_on
from config import Settings
from nova_sonic_local.server import NovaSonicLocal
from telemetry.loop_lag import WINDOW
from tests.e2e.clients import Client, connected, conversing
from tests.e2e.desk import Model, desk, serving
from tests.transports import raw_client

SPEECH = coded_speech(16_000)
FOREVER_MS = 10_000
"""A limit of the lag that no machine reaches by itself."""


@asynccontextmanager
async def serving_here(folder: Path, settings: dict[str, str] | None = None) -> AsyncIterator[tuple[Application, int]]:
    """Run a server in this process, on the loop of the test; yields it and its port."""
    model = Model(brain="echo", ca_dir=folder)
    async with NovaSonicLocal(model.options()) as emulator:
        environment = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "SQLITE_PATH": str(folder / "records.sqlite3")}
        environment |= {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
        application = await build(chosen := Settings.from_env({**environment, **(settings or {})}, local=True))
        listening = listen_on(chosen)
        await application.start(listening)
        try:
            yield application, listening.port
        finally:
            await application.stop()


async def ask(port: int, path: str) -> int:
    """Return the status of a page."""

    def get() -> int:
        try:
            with urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
                return int(answer.status)
        except OSError as error:
            return int(getattr(error, "code", 0))

    return await asyncio.to_thread(get)


async def test_a_loop_that_stands_still_does_not_say_that_it_is_well(tmp_path: Path) -> None:
    asking = threading.Event()
    answered_after: list[bool] = []
    goes_on = threading.Event()

    def ask_while_it_stands() -> None:
        asking.set()
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert answer.status == 200
            answered_after.append(goes_on.is_set())

    async with serving_here(tmp_path) as (_, port):
        assert await ask(port, "health") == 200
        thread = threading.Thread(target=ask_while_it_stands)
        thread.start()
        asking.wait()
        time.sleep(0.5)  # noqa: ASYNC251 - the loop stands still under test
        goes_on.set()
        await asyncio.to_thread(thread.join)

    assert answered_after == [True]


async def test_a_server_that_falls_behind_turns_newcomers_away_serves_the_others_and_recovers(tmp_path: Path) -> None:
    async with serving_here(tmp_path, {"MAX_LOOP_LAG_MS": str(FOREVER_MS)}) as (application, port):
        url = f"ws://127.0.0.1:{port}/"
        async with conversing(url) as talking, connected(url) as newcomer, connected(url, is_page=False) as raw_newcomer:
            await talking.until(lambda: bool(talking.bodies("session.started")))
            for _ in range(WINDOW):
                application._lag.note(FOREVER_MS)
            await newcomer.begin()
            await newcomer.until(lambda: bool(newcomer.codes))
            await raw_newcomer.begin()
            close_code = await raw_newcomer.until_closed()
            alive, ready = await ask(port, "health"), await ask(port, "ready")
            await talking.speak(SPEECH)
            await talking.until(lambda: len(talking.speech) >= len(SPEECH))
            for _ in range(WINDOW):
                application._lag.note(0.0)
            ready_again = await ask(port, "ready")
            await newcomer.begin()
            await newcomer.until(lambda: bool(newcomer.bodies("session.started")))

    assert (newcomer.codes, close_code) == (["server_busy"], 1013)
    assert (alive, ready, ready_again) == (200, 503, 200)
    assert compare(SPEECH, bytes(talking.speech[: len(SPEECH)])).is_exact
    assert talking.codes == []


async def test_a_server_that_was_killed_starts_again_at_once_with_what_it_had(tmp_path: Path) -> None:
    model, port = Model(ca_dir=tmp_path), str(free_port())
    place = {"WS_PORT": port, "HEALTH_PORT": port}
    order = {"customerName": "Ada Lovelace", "customerEmail": "ada@example.org", "items": [{"name": "Mate", "quantity": 2, "price": 5}]}
    async with NovaSonicLocal(model.options()) as emulator:
        async with serving(tmp_path, emulator, place, "--local") as server, conversing(server.url) as client:
            placed = (await call(client, "crearOrder", order))["order"]
            assert isinstance(placed, dict)
            server.process.send_signal(signal.SIGKILL)
            await server.process.wait()
        began = asyncio.get_running_loop().time()
        async with serving(tmp_path, emulator, place, "--local") as server:
            seconds = asyncio.get_running_loop().time() - began
            ready = await server.until(lambda: server.get("ready")[0] == 200)
            async with conversing(server.url) as again:
                found = await call(again, "consultarOrder", {"orderId": placed["id"], "customerName": "Ada Lovelace"})

    assert ready
    assert seconds < 20.0, "1.2 s where nothing else runs"
    assert found["order"] == placed


async def call(client: Client, tool: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """Let the model call a tool; return its result."""
    before = len(client.results())
    await client.type(f"call {json.dumps([[tool, json.dumps(arguments)]])}")
    await client.until(lambda: len(client.results()) > before)
    return client.results()[before]


NONSENSE = (
    b"",
    b"\x00" * 7,
    b"\xff" * 40,
    bytes(30_001),
    "",
    "{",
    "null",
    "[[[[[[[[[[[[[[[[",
    '{"event":{}}',
    '{"event":{"sessionStart":[]}}',
    '{"event":{"promptStart":{"promptName":1e309}}}',
    '{"type":"hello","protocol":-1}',
    '{"type":"hello","protocol":1,"input_hertz":"many"}',
    '{"type":"playback","turn":-9,"heard_ms":1e300}',
    '{"type":"text","text":"\\ud800"}',
    '{"type":"resume","token":7}',
    '{"type":"ack","seq":-1}',
    raw_client.audio(b"\x00" * 640),
    raw_client.event("toolResult", promptName="P", contentName="T", content="{}"),
    "﻿{}",
    "9" * 5_000,
)
BATTERY = 40


async def test_no_nonsense_is_ever_taken_for_a_fault_of_ours(tmp_path: Path) -> None:
    chance = Random(7)
    frames = [chance.choices(NONSENSE, k=25) for _ in range(BATTERY)]
    async with desk(tmp_path, Model(brain="echo")) as (server, _):
        async with conversing(server.url) as witness:
            speaking = asyncio.create_task(witness.speak(SPEECH))
            closed = await asyncio.gather(
                *(feed(server.url, each, is_page=bool(index % 2), begins=index % 4 < 2) for index, each in enumerate(frames))
            )
            await speaking
            await witness.until(lambda: len(witness.speech) >= len(SPEECH))
        ended = await server.until(lambda: server.sessions() == 0)
        crashes = [line for line in server.log() if "crashed" in str(line["event"]) or line["level"] == "error"]

    assert ended
    assert set(closed) <= {1000, 1002, 1003, 1007, 1008, 1009, 1013}
    assert crashes == []
    assert compare(SPEECH, bytes(witness.speech[: len(SPEECH)])).is_exact


async def feed(url: str, frames: list[str | bytes], *, is_page: bool, begins: bool) -> int | None:
    """Send these frames, before or in a session; return how the connection ended."""
    async with connected(url, is_page=is_page) as client:
        try:
            if begins:
                await client.begin()
            for frame in frames:
                await client.socket.send(frame)
            await client.until(lambda: bool(client.messages))
        except (ConnectionClosed, AssertionError):
            await client.until_closed()
        return client.socket.close_code or 1000

"""However a conversation ends: the model's stream is closed, the server holds nothing more than before, and nobody else notices."""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio

import transports.websocket
from bench.positions import coded_speech, compare
from bootstrap import build, listen_on
from config import Settings
from nova_sonic_local.server import NovaSonicLocal
from tests.e2e.clients import Client, connected, conversing
from tests.e2e.desk import Model, Server, desk, serving
from transports.dialects.binary import SUBPROTOCOL

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPEECH = coded_speech(16_000)
ROUNDS = 4
READER_FILES = 2
"""Of the database's second reader, which is there once two reads were wanted at once."""
ENDED_SECONDS = 5.0
LEAVE_SECONDS = 8.0

type Way = Callable[[Client], Awaitable[object]]
type Place = tuple[Model, Server, NovaSonicLocal]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    model = Model(brain="echo")
    async with desk(tmp_path_factory.mktemp("endings"), model) as (server, emulator):
        yield model, server, emulator


async def say_end(client: Client) -> None:
    await client.socket.send('{"type":"end"}')
    await client.until(lambda: bool(client.bodies("session.ended")))


async def leave(client: Client) -> None:
    await client.socket.close()


async def reset(client: Client) -> None:
    """Vanish with a TCP reset and no close frame."""
    raw = client.socket.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.transport.abort()
    await client.until_closed()


async def misbehave(client: Client) -> None:
    for _ in range(20):
        await client.socket.send("not JSON")
    assert await client.until_closed() == 1008


async def send_too_much(client: Client) -> None:
    await client.socket.send(bytes(300_000))
    assert await client.until_closed() == 1009


async def be_failed(client: Client) -> None:
    """Wait for what the model does."""
    await client.speak(SPEECH * 2)
    await client.until(lambda: bool(client.codes))


async def be_resumed(client: Client) -> None:
    """Wait until another stream carries the session, and leave."""
    await client.speak(SPEECH * 2)
    await client.until(lambda: bool(client.bodies("session.continued")))
    await client.socket.close()


WAYS: list[tuple[str, Way]] = [
    ("", say_end),
    ("", leave),
    ("", reset),
    ("", misbehave),
    ("", send_too_much),
    ("stall@20", reset),
    ("no_200", leave),
    ("http_403", be_failed),
    ("rst@40", be_resumed),
    ("goaway@40", be_resumed),
    ("tcp_drop@40", be_resumed),
    ("exception:content_filter@40", be_resumed),
    ("slow_reader@20", leave),
    ("http_429", leave),  # the last one: it is asked for again, and would take the fault of the next client
]


async def end_in_every_way(place: Place) -> None:
    """Hold as many conversations at once as there are ways, and end each in its own."""
    model, server, emulator = place
    begun = asyncio.Lock()
    all_begun = asyncio.Barrier(len(WAYS))  # a stream that replaces another one would take the fault that was meant for the next client

    async def hold(fault: str, way: Way) -> None:
        async with connected(server.url) as client:
            async with begun, asyncio.timeout(20):
                model.fault = fault
                model.asked.clear()
                await client.begin()
                await model.asked.wait()
            await all_begun.wait()
            await client.send_audio(SPEECH[:1_024])
            await way(client)

    await asyncio.gather(*(hold(fault, way) for fault, way in WAYS))
    async with asyncio.timeout(15):
        await emulator.idle()
    assert await server.until(lambda: server.sessions() == 0)


async def test_fifty_sessions_that_ended_in_every_way_leave_nothing_open(place: Place) -> None:
    _, server, emulator = place
    await end_in_every_way(place)
    files, threads = server.open_files(), server.threads()
    for _ in range(ROUNDS):
        await end_in_every_way(place)
    files, threads = files + READER_FILES, threads + 1
    await server.until(lambda: server.open_files() <= files and server.threads() <= threads)

    assert server.open_files() <= files
    assert server.threads() <= threads
    assert emulator.live_streams == 0
    assert len(server.log("session.closed")) >= 50
    assert [line for line in server.log() if line["level"] == "error"] == []


@pytest.mark.parametrize("is_page", [True, False])
@pytest.mark.parametrize("vanish", [leave, reset])
async def test_a_client_that_vanishes_takes_its_models_stream_with_it_and_no_other(place: Place, vanish: Way, *, is_page: bool) -> None:
    _, server, emulator = place
    async with conversing(server.url) as other:
        async with conversing(server.url, is_page=is_page) as client:
            await client.speak(SPEECH[:8_192])
            await client.until(lambda: bool(client.speech))
            streams = emulator.live_streams
            speaking = asyncio.create_task(other.speak(SPEECH))
            await vanish(client)
        ended = await server.until(lambda: server.sessions() == 1 and emulator.live_streams == 1, ENDED_SECONDS)
        await speaking
        await other.until(lambda: len(other.speech) >= len(SPEECH))

        assert streams == 2
        assert ended
        assert compare(SPEECH, bytes(other.speech[: len(SPEECH)])).is_exact


async def test_when_the_model_is_started_anew_the_next_session_works(tmp_path: Path) -> None:
    model = Model(brain="echo", ca_dir=tmp_path)
    async with NovaSonicLocal(model.options()) as emulator:
        model.port = int(emulator.endpoint.rpartition(":")[2])
        async with serving(tmp_path, emulator) as server, connected(server.url) as client:
            await client.begin()
            await client.speak(SPEECH[:8_192])
            await emulator.__aexit__(None, None, None)
            await client.until(lambda: bool(client.codes))
            await client.begin()
            await client.until(lambda: len(client.codes) == 2)
            codes = client.codes
            async with NovaSonicLocal(model.options()):
                await client.begin()
                client.speech.clear()
                await client.speak(SPEECH)
                await client.until(lambda: len(client.speech) >= len(SPEECH))

    assert codes == ["model_unreachable", "model_unreachable"]
    assert compare(SPEECH, bytes(client.speech[: len(SPEECH)])).is_exact


@pytest.mark.parametrize("signals", [1, 2])
async def test_sigterm_tells_every_client_and_ends_with_0(tmp_path: Path, signals: int) -> None:
    async with desk(tmp_path, Model(brain="echo"), {"DRAIN_SECONDS": "1" if signals == 1 else "60"}) as (server, emulator):
        async with (
            conversing(server.url) as page,
            conversing(server.url, is_page=False) as raw,
            connected(server.url) as idle,
        ):
            speaking = [asyncio.create_task(client.speak(SPEECH * 20)) for client in (page, raw)]
            await page.until(lambda: bool(page.speech))
            await raw.until(lambda: bool(raw.speech))
            for _ in range(signals):
                server.process.send_signal(signal.SIGTERM)
                await server.until(lambda: bool(server.log("server.draining")))
            codes = [await client.until_closed(LEAVE_SECONDS) for client in (page, raw, idle)]
            await asyncio.gather(*speaking)
        async with asyncio.timeout(LEAVE_SECONDS):
            status = await server.process.wait()
            await emulator.quiet()

        assert status == 0
        assert codes[2] == 1001
        assert set(codes[:2]) <= {1001, 1012}
        assert server.log("server.stopped")


async def shake_hands(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a WebSocket by hand and begin a session on it; whoever holds it need never read again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16)).decode()
    head = f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    writer.write(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    hello = b'{"type":"hello","protocol":1}'
    writer.write(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
    return reader, writer


async def in_time(condition: Callable[[], bool]) -> bool:
    """Wait until the condition is true; False when the time is over. What is counted here has no event."""
    for _ in range(1_000):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_client_that_is_there_and_never_answers_is_let_go_and_no_task_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transports.websocket, "PING_SECONDS", 0.3)
    monkeypatch.setattr(transports.websocket, "CLOSE_SECONDS", 0.3)
    model = Model(brain="echo", ca_dir=tmp_path)
    async with NovaSonicLocal(model.options()) as emulator:
        environment = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "SQLITE_PATH": str(tmp_path / "records.sqlite3")}
        environment |= {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
        settings = Settings.from_env(environment, local=True)
        application = await build(settings)
        listening = listen_on(settings)
        await application.start(listening)
        before = len(asyncio.all_tasks())
        _, silent = await shake_hands(listening.port)
        opened = await in_time(lambda: emulator.live_streams == 1)
        ended = await in_time(lambda: application.registry.live == 0 and emulator.live_streams == 0)
        back = await in_time(lambda: len(asyncio.all_tasks()) <= before)
        silent.close()
        await application.stop()

    assert opened
    assert ended
    assert back


async def test_personal_data_never_reaches_the_log_at_debug(tmp_path: Path) -> None:
    name, dni, email = "Zenobia Quiroga", "48151623", "zenobia.quiroga@example.org"
    secrets = re.compile("zenobia|quiroga|48151623|example\\.org", re.IGNORECASE)
    items = [{"name": "Producto A", "quantity": 1, "price": 5}]
    order = {"customerName": name, "customerEmail": email, "items": items}
    calls = [
        ("crearOrder", order),
        ("consultarOrder", {"orderId": "1", "dni": dni}),
        (f"tool of {name}", order),
        ("crearOrder", f"{name}{{"),
    ]
    model = Model()
    async with desk(tmp_path, model, None, "--local", "--debug") as (server, _):
        for is_page in (True, False):
            model.fault = ""
            async with conversing(server.url, is_page=is_page) as client:
                await client.type(f"I am {name}, my DNI is {dni}")
                await client.type(f"call {json.dumps(calls)}")
                await client.until(lambda client=client: len(client.results()) == len(calls))  # type: ignore[misc]  # bound at once
                await client.socket.send(f'{{"type":"{name}"}}')
                await client.socket.send(f"{name} {dni} {email}")
                await client.until(lambda client=client: len(client.codes) == 2)  # type: ignore[misc]
        log = server.log_file.read_text(encoding="utf-8")

    assert secrets.findall(log) == []
    assert len(server.log("tool.finished")) == 2 * len(calls)
    assert {line["level"] for line in server.log()} >= {"info"}

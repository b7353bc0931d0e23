"""One port for everything: who serves a connection is decided by its first request, and nobody can hold it open before that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import uvloop
from aiohttp import ClientSession, WSServerHandshakeError, web

from api.plain_http import PlainHttp
from tests.api.raw import exchange
from tests.transports.doubles import Rig, running_server
from transports import first_request
from transports.first_request import MAX_HEAD_BYTES

UPGRADE = (
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
BIG = bytes(range(256)) * 8_000


async def hello(_request: web.Request) -> web.Response:
    return web.Response(body=b'{"local":true}', content_type="application/json")


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


async def big(_request: web.Request) -> web.Response:
    return web.Response(body=BIG)


async def crash(_request: web.Request) -> web.Response:
    raise ZeroDivisionError("secret words")


def plain_http() -> PlainHttp:
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.add_routes([web.get("/config", hello), web.post("/echo", echo), web.get("/big", big), web.get("/crash", crash)])
    return PlainHttp(app)


@asynccontextmanager
async def server(open_seconds: float = 10) -> AsyncIterator[Rig]:
    async with running_server(plain=plain_http(), open_seconds=open_seconds) as rig:
        yield rig


async def both_ways(rig: Rig) -> tuple[bytes, str]:
    """Return what plain HTTP answers, and the subprotocol of a WebSocket, both over one port."""
    async with ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{rig.port}/config")
        async with http.ws_connect(rig.address, protocols=("nova-sonic.v1",)) as client:
            return await response.read(), client.protocol or ""


async def test_one_port_serves_plain_http_and_websockets() -> None:
    async with server() as rig:
        assert await both_ways(rig) == (b'{"local":true}', "nova-sonic.v1")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_every_event_loop_hands_connections_over(loop: object) -> None:
    async def run() -> tuple[bytes, str]:
        async with server() as rig:
            return await both_ways(rig)

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        assert runner.run(run()) == (b'{"local":true}', "nova-sonic.v1")


@pytest.mark.parametrize("cut", [1, 5, len(UPGRADE) - 2, len(UPGRADE) - 1])
async def test_an_upgrade_that_comes_in_pieces_is_put_together(cut: int) -> None:
    async with server() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        for piece in (UPGRADE[:cut], UPGRADE[cut:]):
            writer.write(piece.encode())
            await writer.drain()
            await asyncio.sleep(0)
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()

        assert answer.startswith(b"HTTP/1.1 101 ")


async def test_a_body_that_comes_later_reaches_its_request() -> None:
    async with server() as rig, ClientSession() as http:
        response = await http.post(f"http://127.0.0.1:{rig.port}/echo", data=BIG)

        assert await response.read() == BIG


async def test_a_long_answer_arrives_whole() -> None:
    async with server() as rig, ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{rig.port}/big")

        assert await response.read() == BIG


@pytest.mark.parametrize("path", ["/", "/ws", "/interact-s2s", "/any/thing?x=1"])
async def test_any_path_upgrades(path: str) -> None:
    async with running_server() as rig, ClientSession() as http:
        async with http.ws_connect(f"ws://127.0.0.1:{rig.port}{path}", protocols=("other", "nova-sonic.v1")) as client:
            assert client.protocol == "nova-sonic.v1"
        async with http.ws_connect(f"ws://127.0.0.1:{rig.port}{path}", protocols=("other",)) as client:
            assert client.protocol is None


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_a_foreign_page_cannot_upgrade(origin: str) -> None:
    async with running_server() as rig, ClientSession() as http:
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect(f"ws://127.0.0.1:{rig.port}/", headers={"Origin": origin})

        assert caught.value.status == 403
        assert rig.counters.read() == {"origin_refused": 1}


async def test_a_leaving_server_takes_no_new_websocket_and_goes_on_answering() -> None:
    async with server() as rig, ClientSession() as http:
        await rig.registry.drain(0)
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect(f"ws://127.0.0.1:{rig.port}/")
        response = await http.get(f"http://127.0.0.1:{rig.port}/config")

        assert caught.value.status == 503
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "2"
        assert response.status == 200


@pytest.mark.parametrize(
    "head",
    [
        "",
        "GET / HTTP/1.1\r\nHost: ",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\n" + "X: y\r\n" * 5_000 + "\r\n",
        "GET /" + "a" * 70_000 + " HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: five\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET /crash HTTP/1.1\nHost: x\n\n",
    ],
)
async def test_bytes_that_are_no_request_for_us_are_turned_away(head: str) -> None:
    async with server(open_seconds=0.2) as rig, ClientSession() as http:
        try:
            answer = await exchange(rig.port, head)
        except ConnectionError:
            answer = b""
        alive = await http.get(f"http://127.0.0.1:{rig.port}/config")

        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
        assert b"aiohttp" not in answer
        assert alive.status == 200


async def test_a_head_that_does_not_end_is_refused_when_its_time_is_over() -> None:
    async with server(open_seconds=0.05) as rig:
        answer = await exchange(rig.port, "GET / HTTP/1.1\r\nHost: x\r\n")

        assert answer.startswith(b"HTTP/1.1 408 ")
        assert rig.counters.read() == {"first_request_refused.408": 1}


async def test_whoever_says_nothing_is_dropped_without_a_word() -> None:
    async with server(open_seconds=0.05) as rig:
        assert await exchange(rig.port, "") == b""


@pytest.mark.parametrize("end", ["", "\r\n\r\n"])
async def test_a_head_over_its_limit_is_refused_at_once(end: str) -> None:
    async with server() as rig:
        answer = await exchange(rig.port, "GET / HTTP/1.1\r\nCookie: " + "a" * MAX_HEAD_BYTES + end)

        assert answer.startswith(b"HTTP/1.1 431 ")
        assert rig.counters.read() == {"first_request_refused.431": 1}


async def test_the_one_who_waited_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_request, "MAX_WAITING", 2)
    async with server() as rig:
        crowd = [await asyncio.open_connection("127.0.0.1", rig.port) for _ in range(3)]
        dropped = await crowd[0][0].read()
        answer = await exchange(rig.port, "GET /config HTTP/1.1\r\nHost: x\r\n\r\n")
        for _, writer in crowd:
            writer.close()

        assert dropped == b""
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert rig.counters.read()["first_request_crowded_out"] >= 1


async def test_an_answer_that_nobody_reads_does_not_keep_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_request, "PLAIN_SECONDS", 0.1)
    async with server() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, limit=1_024)
        writer.write(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        while "plain_request_overdue" not in rig.counters.read():  # noqa: ASYNC110 - a counter has no event to wait for
            await asyncio.sleep(0.01)
        received = b""
        with suppress(ConnectionError):
            while piece := await reader.read(65_536):
                received += piece
        writer.close()

        assert len(received) < len(BIG)


async def test_a_server_that_stops_waits_for_nobody_who_says_nothing() -> None:
    async with asyncio.timeout(5):
        async with server() as rig:
            reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
            writer.write(b"GET /")
            await writer.drain()
        with suppress(ConnectionResetError):  # what it did say was not read
            assert await reader.read() == b""
        writer.close()


async def test_a_crash_shows_none_of_its_words() -> None:
    async with server() as rig, ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{rig.port}/crash")

        assert response.status == 500
        assert "secret words" not in await response.text()
        assert (await response.json())["error"]["code"] == "internal"

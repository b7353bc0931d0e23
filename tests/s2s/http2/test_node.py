"""Our side of HTTP/2 against nghttp2, by Node's http2 server with a window of 32 KB, five streams and no header table."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from s2s.bedrock.http2.exchange import Http2Exchange
from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.interfaces import StreamBroken, StreamRefused
from tests import needs
from tests.s2s.http2.certificates import self_signed

SCRIPT = Path(__file__).parent / "node" / "serve.mjs"
HEADERS = [("content-type", "application/octet-stream"), ("authorization", "x" * 300)]
pytestmark = pytest.mark.timeout(60)


@asynccontextmanager
async def node(*, is_secured: bool, folder: Path) -> AsyncIterator[Http2Exchanges]:
    secure = self_signed(folder) if is_secured else None
    files = (str(folder / "certificate.pem"), str(folder / "key.pem")) if is_secured else ()
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(str(needs.node()), str(SCRIPT), *files, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    exchanges = Http2Exchanges(
        f"{'https' if is_secured else 'http'}://localhost:{port}", ca_file=secure.ca_file if secure is not None else None
    )
    try:
        yield exchanges
    finally:
        await exchanges.close()
        await process.communicate()


@pytest.fixture(params=[False, True], ids=["h2c", "tls"])
async def exchanges(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Http2Exchanges]:
    async with node(is_secured=request.param, folder=tmp_path) as found:
        yield found


async def write(exchange: Http2Exchange, data: bytes) -> None:
    for start in range(0, len(data), 2200):
        await exchange.room()
        exchange.write(data[start : start + 2200])
    exchange.end_input()


async def read(exchange: Http2Exchange) -> bytes:
    got = bytearray()
    while (piece := await exchange.read()) is not None:
        got += piece
    return bytes(got)


async def test_much_passes_small_windows_both_ways_at_once(exchanges: Http2Exchanges) -> None:
    bodies = [bytes(range(number, 200 + number)) * 5000 for number in range(8)]
    streams = await asyncio.gather(*(exchanges.open("POST", "/echo", HEADERS) for _ in bodies))
    connections = exchanges.connections
    writing = [asyncio.create_task(write(stream, body)) for stream, body in zip(streams, bodies, strict=True)]
    echoes = await asyncio.gather(*(read(stream) for stream in streams))
    await asyncio.gather(*writing)

    assert echoes == bodies
    assert connections == 2


async def test_interim_heads_and_trailers_are_passed_over(exchanges: Http2Exchanges) -> None:
    exchange = await exchanges.open("POST", "/informed", HEADERS)
    exchange.end_input()
    status, _ = await exchange.head()

    assert status == 200
    assert await read(exchange) == b"informed"


async def test_resets_are_told_apart(exchanges: Http2Exchanges) -> None:
    refused = await exchanges.open("POST", "/refuse", HEADERS)
    failed = await exchanges.open("POST", "/fail", HEADERS)
    with pytest.raises(StreamRefused):
        await refused.head()
    begun = await failed.read()
    with pytest.raises(StreamBroken, match="INTERNAL_ERROR"):
        await failed.read()

    assert begun == b"begun"


async def test_a_session_that_leaves_serves_its_last_stream(exchanges: Http2Exchanges) -> None:
    staying = await exchanges.open("POST", "/leave", HEADERS)
    await staying.head()
    staying.write(b"still here")
    first = await staying.read()
    later = await exchanges.open("POST", "/echo", HEADERS)
    later.write(b"elsewhere")
    second = await later.read()
    staying.end_input()
    end = await staying.read()
    await later.close()

    assert (first, second, end) == (b"still here", b"elsewhere", None)


async def test_hundreds_of_streams_one_after_the_other(exchanges: Http2Exchanges) -> None:
    for turn in range(300):
        exchange = await exchanges.open("POST", "/echo" if turn % 3 else "/nothing", HEADERS)
        exchange.write(b"x")
        assert (await exchange.head())[0] == (200 if turn % 3 else 404)
        await exchange.close()

    assert exchanges.connections == 1

"""HTTP/1.1 on the ports of HTTP/2: what clients that speak nothing newer may send, and what nobody should."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.cascade_clients import user

pytestmark = pytest.mark.timeout(30)
ECHO = Options(brain="echo")
BODY = json.dumps({"messages": [user("one two")]}).encode()
HEAD = b"POST /model/x/converse HTTP/1.1\r\nHost: localhost\r\n"


@asynccontextmanager
async def connection(emulator: NovaSonicLocal) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(emulator.h2c_endpoint.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and body of a response that has a length."""
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        return int(head.split()[1]), await reader.readexactly(length)


async def test_one_connection_carries_many_requests() -> None:
    async with NovaSonicLocal(ECHO) as emulator, connection(emulator) as (reader, writer):
        answers = []
        for _ in range(3):
            writer.write(HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
            answers.append(await answer(reader))

        assert [status for status, _body in answers] == [200] * 3
        assert json.loads(answers[2][1])["output"]["message"]["content"] == [{"text": "one two"}]


async def test_a_request_may_come_byte_by_byte_and_in_chunks() -> None:
    async with NovaSonicLocal(ECHO) as emulator, connection(emulator) as (reader, writer):
        for byte in HEAD + b"Transfer-Encoding: chunked\r\n\r\n":
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        for piece in (BODY[:10], BODY[10:], b""):
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")

        assert (await answer(reader))[0] == 200


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/9.9\r\n\r\n", b"POST / y z\r\n\r\n", b"POST / HTTP/1.1\r\nA b\r\n\r\n", b"POST /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n"],
    ids=["version", "line", "header", "long"],
)
async def test_what_is_no_request_is_answered_with_400_and_harms_nobody(data: bytes) -> None:
    async with NovaSonicLocal(ECHO) as emulator, connection(emulator) as (reader, writer):
        writer.write(data)
        async with asyncio.timeout(5):
            line = await reader.readline()
        async with connection(emulator) as (other, sending):
            sending.write(HEAD + f"Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY)
            status, _body = await answer(other)

        assert line.split()[1] == b"400"
        assert status == 200


@pytest.mark.parametrize("path", ["/", "/model/x/invoke", "/v1/voices", "/v1/next"])
async def test_other_paths_are_no_operation(path: str) -> None:
    async with NovaSonicLocal(ECHO) as emulator, connection(emulator) as (reader, writer):
        writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        status, body = await answer(reader)

        assert (status, json.loads(body)) == (404, {"message": "There is no such operation here."})


async def test_a_stream_in_both_directions_needs_http2() -> None:
    async with NovaSonicLocal(ECHO) as emulator, connection(emulator) as (reader, writer):
        writer.write(b"POST /stream-transcription HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        status, body = await answer(reader)

        assert status == 505
        assert b"HTTP/2" in body


async def test_a_client_that_goes_in_the_middle_leaves_nothing_behind() -> None:
    async with NovaSonicLocal(ECHO) as emulator:
        async with connection(emulator) as (_reader, writer):
            writer.write(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
            await writer.drain()
            while not emulator.serves_requests:  # noqa: ASYNC110 -- nothing tells when a request begins
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await emulator.idle()

        assert emulator.control.counters()["calls"] == {"converse": {"client_gone": 1}}


async def test_a_client_that_says_nothing_does_not_hold_up_the_end() -> None:
    async with NovaSonicLocal(ECHO) as emulator, connection(emulator) as (reader, writer):
        writer.write(b"PO")
        await writer.drain()
        while not emulator.live_connections:  # noqa: ASYNC110 -- nothing tells when a connection is taken
            await asyncio.sleep(0)
        await emulator.__aexit__(None, None, None)

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)

"""Bytes on a fresh connection that are no handshake, or one that is not to be trusted."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.security.battery import CANARY, Answered, Ground, knock

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-27", "S2-28", "S0-17")]

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    b"Host": b"localhost",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}
HERD_SECONDS = 10.0
"""For all of them, in a process that has a neighbour and a model beside."""
DROP_SECONDS = 15.0
"""The longest that a client may take to say what it wants, and a little more."""


def handshake(line: bytes = b"GET / HTTP/1.1", without: bytes = b"", more: bytes = b"") -> bytes:
    """Return a handshake, less one header and with more lines."""
    lines = [name + b": " + value + b"\r\n" for name, value in HEADERS.items() if name != without]
    return line + b"\r\n" + b"".join(lines) + more + b"\r\n"


def plain(line: bytes, *headers: bytes) -> bytes:
    """Return a request that wants no WebSocket."""
    return b"".join(each + b"\r\n" for each in (line, b"Host: localhost", *headers, b""))


SMUGGLED = plain(b"GET /ready HTTP/1.1")
HANDSHAKES = {
    "an old version": handshake(without=b"Sec-WebSocket-Version", more=b"Sec-WebSocket-Version: 8\r\n"),
    "a version from the future": handshake(without=b"Sec-WebSocket-Version", more=b"Sec-WebSocket-Version: 99999999999999999999\r\n"),
    "no version": handshake(without=b"Sec-WebSocket-Version"),
    "two versions": handshake(more=b"Sec-WebSocket-Version: 13\r\n"),
    "no key": handshake(without=b"Sec-WebSocket-Key"),
    "a short key": handshake(without=b"Sec-WebSocket-Key", more=b"Sec-WebSocket-Key: YWJj\r\n"),
    "a key that is no base64": handshake(without=b"Sec-WebSocket-Key", more=b"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!!!\r\n"),
    "two keys": handshake(more=b"Sec-WebSocket-Key: " + KEY + b"\r\n"),
    "no connection header": handshake(without=b"Connection"),
    "a connection that closes": handshake(without=b"Connection", more=b"Connection: close\r\n"),
    "a post": handshake(b"POST / HTTP/1.1"),
    "HTTP/1.0": handshake(b"GET / HTTP/1.0"),
    "HTTP/2.0 in text": handshake(b"GET / HTTP/2.0"),
    "an invented version of HTTP": handshake(b"GET / HTTP/9.9"),
    "a tunnel": handshake(b"CONNECT model.invalid:443 HTTP/1.1"),
    "no host": handshake(without=b"Host"),
    "two hosts": handshake(more=b"Host: evil.example\r\n"),
    "a null byte in the path": handshake(b"GET /\0 HTTP/1.1"),
    "a control character in the path": handshake(b"GET /a\x01b HTTP/1.1"),
    "a path that is no ASCII": handshake("GET /ñ HTTP/1.1".encode()),
    "a null byte in a header": handshake(more=b"X-A: a\0b\r\n"),
    "a bare carriage return": handshake(more=b"X-A: a\rb\r\n"),
    "a folded header": handshake(more=b"X-A: a\r\n b\r\n"),
    "a space before the colon": handshake(more=b"X-A : a\r\n"),
    "a header without a colon": handshake(more=b"nonsense\r\n"),
    "a header without a name": handshake(more=b": a\r\n"),
    "a line of 9 KB": handshake(b"GET /" + b"a" * 9_000 + b" HTTP/1.1"),
    "a line of 64 KB": handshake(b"GET /" + b"a" * 65_536 + b" HTTP/1.1"),
    "two hundred headers": handshake(more=b"".join(b"X-%d: a\r\n" % number for number in range(200))),
    "two thousand headers": handshake(more=b"".join(b"X-%d: a\r\n" % number for number in range(2_000))),
    "a header of 9 KB": handshake(more=b"X-A: " + b"a" * 9_000 + b"\r\n"),
    "a header of a megabyte": handshake(more=b"X-A: " + b"a" * 1_000_000 + b"\r\n"),
    "a handshake with a body": handshake(more=b"Content-Length: 57\r\n") + SMUGGLED,
    "a chunked handshake": handshake(more=b"Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n" + SMUGGLED,
    "an unprintable subprotocol": handshake(more=b"Sec-WebSocket-Protocol: \x01,,@\r\n"),
}
REQUESTS = {
    "no version of HTTP": b"GET /\r\n\r\n",
    "an echo of headers": plain(b"TRACE / HTTP/1.1", b"Cookie: " + CANARY.encode()),
    "a tunnel to elsewhere": plain(b"CONNECT 169.254.169.254:80 HTTP/1.1"),
    "a proxy request": plain(b"GET http://169.254.169.254/latest/meta-data/ HTTP/1.1"),
    "an unknown method": plain(b"BREW / HTTP/1.1"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "bytes of no protocol": b"\xff\xfe\xfd\xfc\r\n\r\n",
    "another protocol": b"EHLO localhost\r\n\r\n",
    "null bytes": bytes(64) + b"\r\n\r\n",
    "a length and chunks": plain(b"POST / HTTP/1.1", b"Content-Length: 6", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED,
    "two lengths": plain(b"POST / HTTP/1.1", b"Content-Length: 0", b"Content-Length: 44") + SMUGGLED,
    "a negative length": plain(b"POST / HTTP/1.1", b"Content-Length: -1"),
    "a length that is no number": plain(b"POST / HTTP/1.1", b"Content-Length: +6") + b"aaaaaa",
    "an odd transfer encoding": plain(b"POST / HTTP/1.1", b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + SMUGGLED,
    "a chunk of a huge size": plain(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked") + b"f" * 32 + b"\r\n",
    "files of the machine": plain(b"GET /../../../../etc/passwd HTTP/1.1"),
    "the same, encoded": plain(b"GET /%2e%2e/%2e%2e/%2e%2e/etc/passwd HTTP/1.1"),
    "the same, encoded twice": plain(b"GET /%252e%252e/%252e%252e/etc/passwd HTTP/1.1"),
    "the same, with backslashes": plain(b"GET /..\\..\\..\\etc\\passwd HTTP/1.1"),
    "the server's own code": plain(b"GET /../server.py HTTP/1.1"),
    "a hidden file": plain(b"GET /.git/config HTTP/1.1"),
    "a null byte in the path": plain(b"GET /index.html%00.png HTTP/1.1"),
    "a line break in the path": plain(b"GET /%0d%0aX-Evil:%201 HTTP/1.1"),
    "a path that is no UTF-8": plain(b"GET /%ff%fe HTTP/1.1"),
}
ORIGINS = {
    "another site": b"https://evil.example",
    "a sandboxed page": b"null",
    "our name as a suffix": b"http://evillocalhost",
    "our name as a prefix": b"http://localhost.evil.example",
    "our name as a user": b"http://localhost@evil.example",
    "our name behind a port": b"http://evil.example:80#localhost",
    "a file": b"file:///etc/passwd",
    "another scheme": b"ftp://localhost",
    "an empty origin": b"",
    "a list of origins": b"http://localhost, https://evil.example",
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_a_handshake_that_is_none_is_refused(ground: Ground, name: str) -> None:
    async with ground.watched():
        told = await knock(ground, [HANDSHAKES[name]])

        assert told.is_closed
        assert len(told.statuses) <= 1
        assert all(400 <= status <= 505 for status in told.statuses)


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_that_wants_what_is_not_offered_is_refused(ground: Ground, name: str) -> None:
    async with ground.watched():
        told = await knock(ground, [REQUESTS[name]])

        assert told.is_closed
        assert len(told.statuses) <= 1
        assert all(400 <= status <= 505 for status in told.statuses)
        assert CANARY.encode() not in told.data
        assert b"root:" not in told.data
        assert b"X-Evil: 1" not in told.data


@pytest.mark.parametrize("name", ORIGINS)
async def test_a_foreign_page_is_refused_before_the_upgrade(ground: Ground, name: str) -> None:
    async with ground.watched():
        told = await knock(ground, [handshake(more=b"Origin: " + ORIGINS[name] + b"\r\n")])

        assert told.statuses == [403]


async def test_two_origins_are_refused(ground: Ground) -> None:
    async with ground.watched():
        told = await knock(ground, [handshake(more=b"Origin: http://localhost\r\nOrigin: https://evil.example\r\n")])

        assert told.statuses == [403]


async def test_compression_is_not_agreed_to(ground: Ground) -> None:
    async with ground.watched():
        told = await knock(
            ground, [handshake(more=b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")], seconds=0.5
        )

        assert told.statuses == [101]
        assert b"permessage-deflate" not in told.data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """Return single bytes."""
    return (data[place : place + 1] for place in range(len(data)))


SLOW: dict[str, tuple[bytes, float]] = {
    "nothing at all": (b"", 0.0),
    "half a line": (b"GET / HT", 0.0),
    "half a head": (handshake()[:-4], 0.0),
    "a byte each second": (handshake(more=b"X-A: " + b"a" * 100 + b"\r\n"), 1.0),
    "a header each second": (handshake()[:-2], 1.0),
    "the hello of TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), 0.0),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow(ground: Ground) -> AsyncIterator[dict[str, asyncio.Task[Answered]]]:
    """Clients that never come to the point, begun together: each costs the server its patience."""
    tasks = {
        name: asyncio.create_task(knock(ground, byte_by_byte(data) if every else [data], seconds=DROP_SECONDS, every=every))
        for name, (data, every) in SLOW.items()
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.wait(tasks.values())


@pytest.mark.parametrize("name", SLOW)
async def test_who_does_not_come_to_the_point_is_dropped(ground: Ground, slow: dict[str, asyncio.Task[Answered]], name: str) -> None:
    async with ground.watched():
        told = await slow[name]

        assert told.is_closed
        assert 101 not in told.statuses


async def test_five_hundred_who_come_back_at_once_are_all_let_in(ground: Ground) -> None:
    async def upgraded() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", ground.port)
        writer.write(handshake())
        status = await reader.readline()
        writer.close()
        return status

    async with ground.watched():
        async with asyncio.timeout(HERD_SECONDS):
            told = await asyncio.gather(*(upgraded() for _ in range(500)))

        assert set(told) == {b"HTTP/1.1 101 Switching Protocols\r\n"}


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

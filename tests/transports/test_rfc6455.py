"""RFC 6455 by raw bytes against the real server, its dialects included: what Autobahn's cases, which need an echo, do not reach.

Section numbers are those of the RFC.
"""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.transports.coming_back.caller import eventually
from tests.transports.doubles import Rig, running_server
from transports.limits import MAX_FRAME_BYTES

pytestmark = [pytest.mark.req("S4-10")]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Key and answer of section 1.3."""
MASK = b"\x37\xfa\x21\x3d"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
QUESTION = b'{"type":"ping","t":1}'
ANSWER = {"type": "pong", "t": 1}
HEADERS = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "nova-sonic.v1",
}


def frame(opcode: int, payload: bytes = b"", *, flags: int = FIN, length: int | None = None, mask: bytes | None = MASK) -> bytes:
    """Return a client's frame; `length` is what the header claims."""
    size = len(payload) if length is None else length
    bit = 0x80 if mask is not None else 0
    if size < 126:
        head = struct.pack("!BB", flags | opcode, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", flags | opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", flags | opcode, bit | 127, size)
    return head + (mask or b"") + bytes(byte ^ (mask or bytes(4))[at % 4] for at, byte in enumerate(payload))


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the server's."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int:
        """The close code."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2]) if self.payload else 1005


@dataclass(frozen=True, slots=True)
class Wire:
    """A TCP connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *pieces: bytes) -> None:
        """Send all in one go."""
        self.writer.write(b"".join(pieces))

    async def head(self) -> tuple[int, Mapping[str, str]]:
        """Read the head of an answer: status and headers, their names in lower case."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value for name, value in headers.items()}

    async def frame(self) -> Frame:
        """Read a frame, which must be whole, plain and unmasked, as a server's are."""
        first, second = await self.reader.readexactly(2)
        assert first & 0xF0 == FIN
        assert second < 126
        return Frame(first & 0x0F, await self.reader.readexactly(second))

    async def answer(self) -> object:
        """Read a control message of the dialect."""
        got = await self.frame()
        assert got.opcode == TEXT
        return json.loads(got.payload)

    async def is_dropped(self) -> bool:
        """Wait for the end of the connection; tell whether nothing came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionResetError:
            return True


def request(headers: Mapping[str, str | None] | None = None, line: str = "GET / HTTP/1.1") -> bytes:
    """Return a handshake with these headers changed; None leaves one out."""
    told = HEADERS | dict(headers or {})
    fields = (f"{name}: {value}" for name, value in told.items() if value is not None)
    return "".join(f"{each}\r\n" for each in (line, *fields, "")).encode()


@asynccontextmanager
async def dialled(rig: Rig) -> AsyncIterator[Wire]:
    """Connect for the length of the block, ten seconds at most."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    try:
        async with asyncio.timeout(10):
            yield Wire(reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with running_server() as running:
        yield running


@pytest.fixture
async def wire(rig: Rig) -> AsyncIterator[Wire]:
    """A connection past its handshake."""
    async with dialled(rig) as opened:
        opened.send(request())
        assert (await opened.head())[0] == 101
        yield opened


async def test_the_handshake_is_answered_as_the_rfc_computes_it(rig: Rig) -> None:
    async with dialled(rig) as wire:
        wire.send(request({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}))
        status, headers = await wire.head()

    assert status == 101
    assert headers["sec-websocket-accept"] == ACCEPT
    assert headers["upgrade"].lower() == "websocket"
    assert headers["connection"].lower() == "upgrade"
    assert headers["sec-websocket-protocol"] == "nova-sonic.v1"
    assert "sec-websocket-extensions" not in headers


async def test_a_subprotocol_that_nobody_speaks_is_not_agreed_to(rig: Rig) -> None:
    async with dialled(rig) as wire:
        wire.send(request({"Sec-WebSocket-Protocol": "chess.v9, mail"}))
        status, headers = await wire.head()

    assert status == 101
    assert "sec-websocket-protocol" not in headers


@pytest.mark.parametrize(
    ("headers", "line", "status"),
    [
        ({"Sec-WebSocket-Key": None}, "GET / HTTP/1.1", 400),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, "GET / HTTP/1.1", 400),
        ({"Sec-WebSocket-Key": "not base64 at all!!!"}, "GET / HTTP/1.1", 400),
        ({"Sec-WebSocket-Version": None}, "GET / HTTP/1.1", 400),
        ({"Sec-WebSocket-Version": "8"}, "GET / HTTP/1.1", 400),
        ({"Connection": "keep-alive"}, "GET / HTTP/1.1", 426),
    ],
)
async def test_a_handshake_that_lacks_something_is_refused(rig: Rig, headers: dict[str, str | None], line: str, status: int) -> None:
    async with dialled(rig) as wire:
        wire.send(request(headers, line))
        answered, _ = await wire.head()

    assert status == answered


async def test_what_comes_right_behind_the_handshake_is_taken(rig: Rig) -> None:
    async with dialled(rig) as wire:
        wire.send(request(), frame(TEXT, QUESTION))
        assert (await wire.head())[0] == 101
        answer = await wire.answer()

    assert answer == ANSWER


async def test_a_message_comes_whole_out_of_fragments_with_control_frames_between(wire: Wire) -> None:
    wire.send(
        frame(TEXT, QUESTION[:5], flags=0),
        frame(PING, b"between"),
        frame(CONTINUATION, b"", flags=0),
        frame(PONG, b"unasked"),
        frame(CONTINUATION, QUESTION[5:]),
    )

    assert await wire.frame() == Frame(PONG, b"between")
    assert await wire.answer() == ANSWER


async def test_a_message_comes_whole_out_of_single_bytes(wire: Wire) -> None:
    for byte in frame(TEXT, QUESTION):
        wire.send(bytes([byte]))
        await wire.writer.drain()

    assert await wire.answer() == ANSWER


@pytest.mark.parametrize("payload", [b"", b"hello", bytes(range(125))])
async def test_a_ping_is_answered_with_its_own_payload(wire: Wire, payload: bytes) -> None:
    wire.send(frame(PING, payload))

    assert await wire.frame() == Frame(PONG, payload)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(frame(TEXT, QUESTION, mask=None), 1002, id="5.1 unmasked"),
        pytest.param(frame(TEXT, QUESTION, flags=FIN | 0x40), 1002, id="5.2 first reserved bit"),
        pytest.param(frame(TEXT, QUESTION, flags=FIN | 0x20), 1002, id="5.2 second reserved bit"),
        pytest.param(frame(PING, b"", flags=FIN | 0x10), 1002, id="5.2 third reserved bit"),
        *(pytest.param(frame(opcode), 1002, id=f"5.2 opcode {opcode}") for opcode in (*range(3, 8), *range(11, 16))),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="5.4 nothing to continue"),
        pytest.param(frame(TEXT, b"{", flags=0) + frame(TEXT, b"}"), 1002, id="5.4 a message within a message"),
        pytest.param(frame(PING, b"x", flags=0), 1002, id="5.5 fragmented ping"),
        pytest.param(frame(PING, bytes(126)), 1002, id="5.5 long ping"),
        pytest.param(close(1000, bytes(124)), 1002, id="5.5 long close"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="5.5.1 half a code"),
        pytest.param(close(1000, b"\xff"), 1007, id="5.5.1 reason in no UTF-8"),
        pytest.param(frame(TEXT, b'{"type":"\xff"}'), 1007, id="8.1 no UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="8.1 a surrogate"),
        pytest.param(frame(TEXT, b"\xc3", flags=0) + frame(CONTINUATION, b"\x28"), 1007, id="8.1 no UTF-8 over fragments"),
        pytest.param(frame(TEXT, b"", length=MAX_FRAME_BYTES + 1), 1009, id="one byte too long"),
        pytest.param(frame(BINARY, b"", length=1 << 62), 1009, id="more than there is memory"),
        pytest.param(
            frame(BINARY, bytes(200_000), flags=0) + frame(CONTINUATION, bytes(200_000)), 1009, id="fragments that are too long together"
        ),
    ],
)
async def test_a_violation_closes_the_connection_with_its_code(rig: Rig, wire: Wire, sent: bytes, code: int) -> None:
    wire.send(sent)
    told = await wire.frame()

    assert told.code == code
    wire.send(close(code))
    assert await wire.is_dropped()
    assert rig.model.streams == []


async def test_utf_8_may_be_cut_anywhere_between_fragments(wire: Wire) -> None:
    text = '{"type":"ping","t":1,"ü":"\U00010348"}'.encode()
    pieces = [text[at : at + 1] for at in range(len(text))]
    wire.send(frame(TEXT, b"", flags=0), *(frame(CONTINUATION, piece, flags=0) for piece in pieces), frame(CONTINUATION))

    assert await wire.answer() == ANSWER


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999])
async def test_a_close_is_answered_with_its_code_and_the_connection_dropped(wire: Wire, code: int) -> None:
    wire.send(close(code, b"bye"))

    assert (await wire.frame()).code == code
    assert await wire.is_dropped()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
async def test_a_code_that_must_not_be_sent_is_a_violation(wire: Wire, code: int) -> None:
    wire.send(close(code))

    assert (await wire.frame()).code == 1002
    assert await wire.is_dropped()


async def test_a_close_without_a_code_is_answered_without_one(wire: Wire) -> None:
    wire.send(frame(CLOSE))

    assert (await wire.frame()).code == 1005
    assert await wire.is_dropped()


async def test_what_comes_behind_a_close_is_not_looked_at(wire: Wire) -> None:
    wire.send(close(1000), frame(TEXT, QUESTION), frame(PING, b"late"))

    assert (await wire.frame()).code == 1000
    assert await wire.is_dropped()


async def test_a_client_that_stops_sending_is_left_in_order(rig: Rig, wire: Wire) -> None:
    wire.send(frame(TEXT, QUESTION))
    wire.writer.write_eof()

    assert await wire.answer() == ANSWER
    await wire.is_dropped()
    await eventually(lambda: rig.counters.read().get("connection_closed") == 1)


async def test_a_connection_cut_within_a_frame_ends_its_session(rig: Rig, wire: Wire) -> None:
    wire.send(frame(TEXT, b'{"type":"hello","protocol":1}'))
    stream = await rig.model.stream()
    wire.send(frame(BINARY, bytes(100))[:50])
    await wire.writer.drain()
    wire.writer.transport.abort()
    await eventually(lambda: rig.counters.read().get("connection_closed") == 1)

    assert stream.is_closed
    assert rig.registry.live == 0

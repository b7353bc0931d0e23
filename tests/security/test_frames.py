"""Frames that break the rules of RFC 6455, byte by byte."""

import struct
import zlib

import pytest

from tests.security.battery import Ground
from tests.security.tongues import PAGE, RAW, Tongue

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-28", "S4-06")]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
KEY = b"\x12\x34\x56\x78"
BOMB = zlib.compress(bytes(50_000_000), 9)[2:-4]
"""Fifty megabytes of nothing, as permessage-deflate would send them."""


def masked(payload: bytes) -> bytes:
    return bytes(byte ^ KEY[place % 4] for place, byte in enumerate(payload))


def frame(opcode: int, payload: bytes = b"", *, flags: int = FIN, length: bytes = b"", is_masked: bool = True) -> bytes:
    """Return a frame; `length` replaces the whole field that tells it."""
    size = len(payload)
    if not length:
        length = bytes((size,)) if size < 126 else b"\x7e" + struct.pack("!H", size) if size < 65_536 else b"\x7f" + struct.pack("!Q", size)
    head = bytes((flags | opcode, length[0] | (0x80 if is_masked else 0))) + length[1:]
    return head + (KEY + masked(payload) if is_masked else payload)


def claimed(size: int) -> bytes:
    """Return the field of a length of eight bytes."""
    return b"\x7f" + struct.pack("!Q", size)


FRAMES: dict[str, tuple[bytes, int]] = {
    "no mask": (frame(TEXT, b"{}", is_masked=False), 1002),
    "the first reserved bit": (frame(TEXT, b"{}", flags=FIN | RSV1), 1002),
    "the second reserved bit": (frame(TEXT, b"{}", flags=FIN | RSV2), 1002),
    "the third reserved bit": (frame(TEXT, b"{}", flags=FIN | RSV3), 1002),
    "a compressed message that nobody agreed to": (frame(TEXT, BOMB[:60_000], flags=FIN | RSV1), 1002),
    "a reserved kind of data": (frame(3, b"{}"), 1002),
    "a reserved kind of control": (frame(11, b"{}"), 1002),
    "a ping of 126 bytes": (frame(PING, bytes(126)), 1002),
    "a ping in pieces": (frame(PING, b"a", flags=0), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"{}"), 1002),
    "a text within a text": (frame(TEXT, b"{", flags=0) + frame(TEXT, b"}"), 1002),
    "text that is no UTF-8": (frame(TEXT, b"\xff\xfe"), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "UTF-8 cut off in the last piece": (frame(TEXT, b'"\xc3', flags=0) + frame(CONTINUATION, b'"'), 1007),
    "a goodbye of one byte": (frame(CLOSE, b"\x03"), 1002),
    "a goodbye that is reserved": (frame(CLOSE, struct.pack("!H", 1005)), 1002),
    "a goodbye below all codes": (frame(CLOSE, struct.pack("!H", 999)), 1002),
    "a goodbye above all codes": (frame(CLOSE, struct.pack("!H", 65_535)), 1002),
    "a goodbye that is no UTF-8": (frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), 1007),
    "a claim of 300 KB": (frame(BINARY, length=claimed(300_000)), 1009),
    "a claim of 2^62 bytes": (frame(BINARY, length=claimed(2**62)), 1009),
    "a claim of 2^63 bytes": (frame(BINARY, length=claimed(2**63)), 1009),
    "pieces that are too much together": (frame(TEXT, bytes(100_000), flags=0) + frame(CONTINUATION, bytes(100_000), flags=0) * 2, 1009),
    "pieces without end": (frame(TEXT, b"a", flags=0) + frame(CONTINUATION, flags=0) * 5_000, 1009),
}


@pytest.mark.parametrize("tongue", [PAGE, RAW], ids=lambda tongue: tongue.name)
@pytest.mark.parametrize("name", FRAMES)
async def test_a_broken_frame_closes_its_own_connection(ground: Ground, tongue: Tongue, name: str) -> None:
    data, expected = FRAMES[name]
    async with ground.watched(), ground.attacker(tongue) as attacker:
        await attacker.begin()
        attacker.socket.transport.write(data)

        assert await attacker.until_closed() == expected


async def test_a_thousand_pings_are_answered_and_cost_nobody_anything(ground: Ground) -> None:
    async with ground.watched(), ground.attacker() as attacker:
        await attacker.begin()
        waiting = [await attacker.socket.ping(str(number)) for number in range(1_000)]
        for answered in waiting:
            await answered

        assert await attacker.codes_until_probe(0) == [PAGE.probe_code]


async def test_answers_to_pings_that_never_were_are_ignored(ground: Ground) -> None:
    async with ground.watched(), ground.attacker() as attacker:
        attacker.socket.transport.write(frame(PONG, b"nobody asked") * 1_000)

        assert await attacker.codes_until_probe(0) == [PAGE.probe_code]


async def test_a_text_in_two_hundred_pieces_is_one_text(ground: Ground) -> None:
    text = b'{"type":"' + b"a" * 200 + b'"}'
    pieces = [frame(TEXT, text[:1], flags=0), *(frame(CONTINUATION, text[place : place + 1], flags=0) for place in range(1, len(text)))]
    async with ground.watched(), ground.attacker() as attacker:
        attacker.socket.transport.write(b"".join(pieces) + frame(CONTINUATION))
        told = await attacker.codes_until_probe(1)

        assert told == ["unknown_event", PAGE.probe_code]


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

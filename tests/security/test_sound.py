"""Sound that is none: base64, samples, sizes, rates, and headers of binary frames at their extremes."""

import base64
import json

import pytest

from tests.e2e.clients import HEADER
from tests.security.battery import Case, Ground, endure
from tests.security.tongues import PAGE, RAW, Frame
from tests.transports import raw_client
from tests.transports.raw_client import event

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-28", "S4-06")]

type Expected = str | int | tuple[str, ...]

FEW = bytes(64)
LONG = bytes(80_000)
"""Two and a half seconds at once."""
WEBM = bytes.fromhex("1a45dfa3") + bytes(500)


def frame(*, kind: int = 1, flags: int = 0, turn: int = 0, number: int = 0, offset: int = 0, time: int = 0, pcm: bytes = FEW) -> bytes:
    return HEADER.pack(kind, flags, turn, number, offset, time) + pcm


def content(value: object) -> str:
    return event("audioInput", promptName="P", contentName="A", content=value)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def second_microphone(**members: object) -> list[Frame]:
    """Return a conversation whose microphone is closed and opened again in another way."""
    start = json.loads(raw_client.audio_start("B"))
    start["event"]["contentStart"]["audioInputConfiguration"] |= members
    return [event("contentEnd", promptName="P", contentName="A"), json.dumps(start)]


OF_A_PAGE: list[tuple[str, Frame, Expected]] = [
    ("nothing", b"", "bad_frame"),
    ("one byte", b"\x01", "bad_frame"),
    ("a header less a byte", frame(pcm=b"")[:-1], "bad_frame"),
    ("a header alone", frame(pcm=b""), "invalid_audio"),
    ("one byte of sound", frame(pcm=b"\0"), "invalid_audio"),
    ("half a sample", frame(pcm=bytes(63)), "invalid_audio"),
    ("two and a half seconds", frame(pcm=LONG), "too_large"),
    ("the most that a message may have", frame(pcm=bytes(256 * 1024 - 16)), "too_large"),
    ("a byte more than a message may have", frame(pcm=bytes(256 * 1024 - 15)), 1009),
    ("a megabyte", frame(pcm=bytes(1_048_576)), 1009),
    *((f"kind {kind}", frame(kind=kind), "unknown_event") for kind in (0, 2, 3, 0x7F, 0x80, 0xFF)),
    ("all flags", frame(flags=0xFF), ()),
    ("the last turn", frame(turn=0xFFFF), ()),
    ("the last number", frame(number=0xFFFF_FFFF), ()),
    ("the last offset and time", frame(offset=0xFFFF_FFFF, time=0xFFFF_FFFF), ()),
    ("everything at its most", HEADER.pack(1, 0xFF, 0xFFFF, *(0xFFFF_FFFF,) * 3) + FEW, ()),
    ("a file of a recorder", WEBM, "unknown_event"),
    ("the header of a RIFF file", b"RIFF" + bytes(60), "unknown_event"),
    ("JSON in bytes", b'{"type":"end"}    ', "unknown_event"),
]
OF_A_RAW_CLIENT: list[tuple[str, Frame, Expected]] = [
    ("words", content("no base64 at all!"), "invalid_audio"),
    ("wrong padding", content("AAA"), "invalid_audio"),
    ("padding in the middle", content("AA==AAAA"), "invalid_audio"),
    ("padding alone", content("===="), "invalid_audio"),
    ("base64 for addresses", content("-_-_"), "invalid_audio"),
    ("line breaks", content("AAAA\r\nAAAA"), "invalid_audio"),
    ("letters that look like others", content("\u0410\u0410\u0410\u0410"), "invalid_audio"),
    ("a null byte", content("AAA\0"), "invalid_audio"),
    ("a data address", content("data:audio/wav;base64,AAAA"), "invalid_audio"),
    ("an address", content("http://169.254.169.254/latest/meta-data/"), "invalid_audio"),
    ("half a sample", content(encoded(bytes(63))), "invalid_audio"),
    ("a file of a recorder of an odd length", content(encoded(WEBM + b"\0")), "invalid_audio"),
    ("two and a half seconds", content(encoded(LONG)), "too_large"),
    ("the most that a message may have", content(encoded(bytes(190_000))), "too_large"),
    ("more than a message may have", content(encoded(bytes(200_000))), 1009),
    ("nothing", content(""), ()),
    ("null", content(None), "bad_frame"),
    ("a number", content(7), "bad_frame"),
    ("a list of bytes", content([0, 0, 0, 0]), "bad_frame"),
    ("an object", content({"0": 0}), "bad_frame"),
]
CASES = [
    *(Case(name, [data], expected, PAGE) for name, data, expected in OF_A_PAGE),
    *(Case(name, [data], expected, RAW) for name, data, expected in OF_A_RAW_CLIENT),
    *(
        Case(f"a rate of {hertz!r}", second_microphone(sampleRateHertz=hertz), expected, RAW)
        for hertz, expected in [
            (0, "invalid_audio"),
            (-1, "invalid_audio"),
            (44_100, "invalid_audio"),
            (10**30, "invalid_audio"),
            ("8000", "bad_frame"),
        ]
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_sound_that_is_none_is_told_and_left_out(ground: Ground, case: Case) -> None:
    await endure(ground, case)


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

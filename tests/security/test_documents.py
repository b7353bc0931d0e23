"""JSON that is made to hurt: nested, endless, ambiguous or none at all, in each dialect."""

import json

import pytest

from tests.security.battery import CANARY, Case, Ground, endure
from tests.security.tongues import RAW, Frame
from tests.transports import raw_client

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-28", "S2-14", "S4-06")]

LIMIT = 250_000
CONTROL_LIMIT = 32_768
"""Longer messages of a page are not parsed at all."""
DEEP = 100_000


def page_text(value: str) -> str:
    """Return a typed text with this JSON as the text."""
    return f'{{"type":"text","text":{value}}}'


def raw_text(value: str) -> str:
    """Return a textInput with this JSON as its content."""
    return f'{{"event":{{"textInput":{{"promptName":"P","contentName":"nowhere","content":{value}}}}}}}'


BOMBS: list[tuple[str, Frame, str]] = [
    ("nothing", "", "bad_frame"),
    ("a space", " ", "bad_frame"),
    ("null", "null", "bad_frame"),
    ("true", "true", "bad_frame"),
    ("a number", "7", "bad_frame"),
    ("a text", f'"{CANARY}"', "bad_frame"),
    ("an empty list", "[]", "bad_frame"),
    ("an empty object", "{}", "bad_frame"),
    ("half an object", '{"type":', "bad_frame"),
    ("two objects", '{"type":"end"}{"type":"end"}', "bad_frame"),
    ("a comment", '{"type":"end"/* now */}', "bad_frame"),
    ("a trailing comma", '{"type":"end",}', "bad_frame"),
    ("single quotes", "{'type':'end'}", "bad_frame"),
    ("a byte order mark", '\ufeff{"type":"end"}', "bad_frame"),
    ("UTF-16 in text", '{"type":"end"}'.encode("utf-16-le").decode("latin-1"), "bad_frame"),
    ("a null byte", '{"type":"e\0nd"}', "bad_frame"),
    ("NaN", '{"type":NaN}', "bad_frame"),
    ("Infinity", '{"type":-Infinity}', "bad_frame"),
    ("a lone surrogate", '{"type":"\\ud800"}', "bad_frame"),
    ("a wrong escape", '{"type":"\\x41"}', "bad_frame"),
    ("brackets alone", "[" * LIMIT, "bad_frame"),
    ("nested lists", "[" * DEEP + "]" * DEEP, "bad_frame"),
    ("nested objects", '{"a":' * 30_000 + "1" + "}" * 30_000, "bad_frame"),
    ("a hundred thousand digits", "1" * DEEP, "bad_frame"),
    ("an exponent without end", "1e" + "9" * DEEP, "bad_frame"),
    ("a list of a hundred thousand", "[" + "0," * DEEP + "0]", "bad_frame"),
    ("an object of twelve thousand names", json.dumps({str(number): number for number in range(12_000)}), "bad_frame"),
    ("a text of a quarter of a megabyte", json.dumps("a" * LIMIT), "bad_frame"),
]
PAGE_FLAWS: list[tuple[str, Frame, str]] = [
    ("a type that is no text", '{"type":{"type":"end"}}', "bad_frame"),
    ("the last of two types", '{"type":"end","type":"fly"}', "unknown_event"),
    ("a nested member", page_text("[" * 1_500 + "]" * 1_500), "bad_frame"),
    ("a huge number as a turn", '{"type":"playback","turn":1e400,"heard_ms":0}', "bad_frame"),
    ("a number beyond 64 bits", '{"type":"playback","turn":18446744073709551616,"heard_ms":0}', "bad_frame"),
    ("a whole number written as a float", '{"type":"ack","seq":1.0}', "bad_frame"),
    ("a thousand digits", f'{{"type":"ack","seq":{"9" * 1_000}}}', "bad_frame"),
    ("32 KB and one", page_text(json.dumps("a" * 32_768)), "too_large"),
    (
        "prototype pollution",
        '{"type":"hello","protocol":1,"__proto__":{"is_admin":true},"constructor":7,"assistant":"__proto__"}',
        "not_allowed",
    ),
]
RAW_FLAWS: list[tuple[str, Frame, str]] = [
    ("two events in one frame", '{"event":{"sessionEnd":{},"promptEnd":{}}}', "bad_frame"),
    ("a nested member", raw_text("[" * 20_000 + "]" * 20_000), "bad_frame"),
    ("a lone surrogate in a text", raw_text('"\\udfff"'), "bad_frame"),
    ("an event that is a list", '{"event":["sessionEnd"]}', "bad_frame"),
    ("an event that is a number", '{"event":7}', "bad_frame"),
    ("an event without a body", '{"event":{"textInput":null}}', "bad_frame"),
    ("a body that is no text", '{"body":{"event":{}}}', "bad_frame"),
    ("a body in a body", json.dumps({"body": json.dumps({"body": raw_client.event("sessionEnd")})}), "bad_frame"),
    ("a body that is no JSON", '{"body":"{"}', "bad_frame"),
    ("a name of ten thousand letters", raw_client.event("f" * 10_000), "unknown_event"),
    ("a name from a canary", raw_client.event(CANARY), "unknown_event"),
    ("a number for a text", raw_text("7"), "bad_frame"),
    ("a text of a quarter of a megabyte", raw_text(json.dumps("a" * 240_000)), "wrong_order"),
]
OF_A_PAGE = [
    *(Case(name, [frame], "too_large" if len(frame) > CONTROL_LIMIT else code) for name, frame, code in BOMBS),
    *(Case(name, [frame], code) for name, frame, code in PAGE_FLAWS),
]
OF_A_RAW_CLIENT = [Case(name, [frame], code, RAW) for name, frame, code in (*BOMBS, *RAW_FLAWS)]


@pytest.mark.parametrize("is_live", [True, False], ids=["in a conversation", "before one"])
@pytest.mark.parametrize("case", OF_A_PAGE, ids=str)
async def test_a_page_is_told_what_is_wrong(ground: Ground, case: Case, *, is_live: bool) -> None:
    await endure(ground, Case(case.name, case.frames, case.expected, case.tongue, is_live=is_live))


@pytest.mark.parametrize("case", OF_A_RAW_CLIENT, ids=str)
async def test_a_raw_client_is_told_what_is_wrong(ground: Ground, case: Case) -> None:
    await endure(ground, case)


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

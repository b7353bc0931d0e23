"""Messages at the wrong time and members of the wrong type, in each dialect."""

import json

import pytest

from tests.security.battery import Case, Ground, endure
from tests.security.tongues import PAGE, RAW, Frame, Json
from tests.transports import raw_client
from tests.transports.raw_client import event

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-28", "S2-14", "S4-06")]

type Expected = str | int | tuple[str, ...]

VALUES: dict[str, object] = {"null": None, "true": True, "a number": 7, "a list": ["a"], "an object": {"a": 1}}
NOT_TEXTS = {name: value for name, value in VALUES.items() if name != "null"}
WRONG_NUMBERS: dict[str, object] = {"null": None, "true": True, "a text": "1", "minus one": -1, "a half": 0.5, "2^32": 2**32, "a list": [1]}


def hello(**members: object) -> str:
    return json.dumps({"type": "hello", "protocol": 1, **members})


def message(kind: str, **members: object) -> str:
    return json.dumps({"type": kind, **members})


def block(**members: object) -> str:
    """Return a contentStart of text that lacks nothing but what is wrong with it."""
    text = {"promptName": "P", "contentName": "X", "type": "TEXT", "role": "USER", "interactive": True}
    return event("contentStart", **{**text, "textInputConfiguration": {"mediaType": "text/plain"}, **members})


def prompt(**members: object) -> str:
    """Return a promptStart whose audio configuration has these members."""
    body: Json = json.loads(raw_client.prompt_start(hertz=16_000))["event"]["promptStart"]
    audio = body["audioOutputConfiguration"]
    assert isinstance(audio, dict)
    return event("promptStart", **{**body, "audioOutputConfiguration": {**audio, **members}})


EARLY_PAGE: list[tuple[str, Frame, Expected]] = [
    ("text", message("text", text="hello"), "wrong_order"),
    ("an interruption", message("interrupt"), "wrong_order"),
    ("a report", message("playback", turn=1, heard_ms=1), "wrong_order"),
    ("an end", message("end"), "wrong_order"),
    ("sound", bytes((1, *bytes(15))) + bytes(64), "wrong_order"),
    ("no version", message("hello"), "not_allowed"),
    ("an old version", message("hello", protocol=0), "not_allowed"),
    ("a version in words", message("hello", protocol="1"), "not_allowed"),
    *((f"{name} for an assistant", hello(assistant=value), "bad_frame") for name, value in NOT_TEXTS.items()),
    *((f"{name} for a language", hello(language=value), "bad_frame") for name, value in NOT_TEXTS.items()),
    *((f"{name} for a voice", hello(voice=value), "bad_frame") for name, value in NOT_TEXTS.items()),
    ("a long assistant", hello(assistant="a" * 101), "too_large"),
    ("an unknown assistant", hello(assistant="nobody"), "not_allowed"),
    ("an unknown language", hello(language="xx"), "not_allowed"),
    ("a rate of zero", hello(input_hertz=0), "not_allowed"),
    ("a negative rate", hello(output_hertz=-16_000), "not_allowed"),
    ("a rate of 44.1 kHz", hello(input_hertz=44_100), "not_allowed"),
    ("a rate in words", hello(output_hertz="16000"), "not_allowed"),
    ("a rate as a float", hello(input_hertz=16_000.0), "not_allowed"),
    ("a rate in a list", hello(input_hertz=[16_000]), "not_allowed"),
    ("a resumption in words", hello(resume="yes"), "bad_frame"),
]
LIVE_PAGE: list[tuple[str, Frame, Expected]] = [
    *((f"{name} for a text", message("text", text=value), "bad_frame") for name, value in VALUES.items()),
    ("no text", message("text"), "bad_frame"),
    ("an empty text", message("text", text=""), "wrong_order"),
    ("a text over the limit", message("text", text="a" * 5_000), "too_large"),
    *((f"{name} for a turn", message("playback", turn=value, heard_ms=0), "bad_frame") for name, value in WRONG_NUMBERS.items()),
    *((f"{name} for what was heard", message("playback", turn=1, heard_ms=value), "bad_frame") for name, value in WRONG_NUMBERS.items()),
    *((f"{name} for an acknowledgement", message("ack", seq=value), "bad_frame") for name, value in WRONG_NUMBERS.items()),
    ("an acknowledgement of what was never sent", message("ack", seq=2**32 - 1), "bad_frame"),
    ("a report of a turn that never was", message("playback", turn=4_000_000_000, heard_ms=4_000_000_000), ()),
    ("a ping without a time", message("ping"), "bad_frame"),
    ("a ping in words", message("ping", t="now"), "bad_frame"),
    ("a resumption in a session", message("resume", protocol=1, token="t" * 43, seq=0), "wrong_order"),
    ("an event of the server", message("session.ended", reason="client"), "unknown_event"),
    ("an error of the server", message("error", code="internal", message="m", retryable=True, ref="r"), "unknown_event"),
    ("a result of a tool", message("tool.finished", turn=1, id="x", name="consultarOrder", result="{}"), "unknown_event"),
    ("an event of another dialect", event("sessionEnd"), "bad_frame"),
]
EARLY_RAW: list[tuple[str, Frame, Expected]] = [
    ("sound", raw_client.audio(bytes(64)), "wrong_order"),
    ("a prompt", raw_client.prompt_start(), "wrong_order"),
    ("a text block", block(), "wrong_order"),
    ("an audio block", raw_client.audio_start(), "wrong_order"),
    ("a text", event("textInput", promptName="P", contentName="X", content="a"), "wrong_order"),
    ("an end of content", event("contentEnd", promptName="P", contentName="X"), "wrong_order"),
    ("an end of a prompt", event("promptEnd", promptName="P"), "wrong_order"),
    ("an end of a session", event("sessionEnd"), "wrong_order"),
]
LIVE_RAW: list[tuple[str, Frame, Expected]] = [
    ("a second microphone", raw_client.audio_start("B"), "wrong_order"),
    ("sound of no content", raw_client.audio(bytes(64), content="B"), "wrong_order"),
    ("a text of no content", event("textInput", promptName="P", contentName="X", content="a"), "wrong_order"),
    ("an end of no content", event("contentEnd", promptName="P", contentName="X"), "wrong_order"),
    ("words of the model", block(role="ASSISTANT"), "unknown_event"),
    ("another system text", block(role="SYSTEM"), "wrong_order"),
    ("a text block of the tools", block(role="TOOL"), "unknown_event"),
    ("an unknown role", block(role="ROOT"), "bad_frame"),
    ("a role that is a list", block(role=["USER"]), "bad_frame"),
    ("a text block that is not interactive", block(interactive=False), "wrong_order"),
    ("a block of a kind that is none", block(type="VIDEO"), "bad_frame"),
    ("a name that is a number", block(contentName=7), "bad_frame"),
    ("a block without a name", event("contentStart", promptName="P", type="TEXT", role="USER"), "bad_frame"),
    ("a result of a tool", event("toolResult", promptName="P", contentName="T", content="{}"), "unknown_event"),
    ("the start of a completion", event("completionStart", promptName="P"), "unknown_event"),
    ("a use of a tool", event("toolUse", toolName="cancelarOrder", toolUseId="1", content="{}"), "unknown_event"),
    ("an event of a page", '{"type":"end"}', "bad_frame"),
    ("another prompt with a rate of 1 Hz", prompt(sampleRateHertz=1), "not_allowed"),
    ("another prompt with a rate in words", prompt(sampleRateHertz="16000"), "bad_frame"),
    ("another prompt with a voice that is a list", prompt(voiceId=["carlos"]), "bad_frame"),
    ("a prompt without a name", event("promptStart"), "bad_frame"),
    ("a temperature in words", event("sessionStart", inferenceConfiguration={"temperature": "hot"}), "bad_frame"),
    ("a frame of bytes", b"\x01\x02", "bad_frame"),
]
CASES = [
    *(Case(name, [frame], expected, PAGE, is_live=False) for name, frame, expected in EARLY_PAGE),
    *(Case(name, [frame], expected, PAGE) for name, frame, expected in LIVE_PAGE),
    *(Case(name, [frame], expected, RAW, is_live=False) for name, frame, expected in EARLY_RAW),
    *(Case(name, [frame], expected, RAW) for name, frame, expected in LIVE_RAW),
    Case("thirty-three blocks at once", [block(contentName=f"X{number}") for number in range(33)], "too_large", RAW),
    Case("the same block twice", [block(), block()], "wrong_order", RAW),
    Case("twenty flaws", [message("fly")] * 20, 1008, PAGE),
    Case("twenty flaws", [event("fly")] * 20, 1008, RAW),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_makes_no_sense_is_told_and_nothing_else_happens(ground: Ground, case: Case) -> None:
    await endure(ground, case)


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

"""What cannot be used of clients that other people wrote: the voice dialect, the companion's, and OpenAI's Realtime API."""

import base64
import json

import pytest

from tests.security.battery import CANARY, Case, Ground, endure
from tests.security.test_documents import BOMBS
from tests.security.tongues import COMPANION, REALTIME, VOICE, Frame

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.req("S2-28", "S2-14", "S4-06")]

type Flaws = list[tuple[str, Frame, str | int | tuple[str, ...]]]

OBJECTS = ("an empty object", "an object of twelve thousand names")
"""Are messages of no kind to the voice dialect."""
PICTURE = {"type": "input_image", "image_url": "file:///etc/passwd"}
FILE = {"type": "input_file", "url": "http://169.254.169.254/"}
ELSEWHERE = {"type": "mcp", "server_label": "x", "server_url": "http://169.254.169.254/"}
MANY = [{"type": "function", "name": f"t{number}", "parameters": {}} for number in range(1_000)]
NESTED = {"type": "function", "name": "t", "parameters": json.loads('{"a":' * 60 + "1" + "}" * 60)}
NOT_TEXTS: dict[str, object] = {"null": None, "true": True, "a number": 7, "a list": ["a"], "an object": {"a": 1}}


def voice(kind: str, **data: object) -> str:
    return json.dumps({"type": kind, "data": data})


def companion(action: object, **members: object) -> str:
    return json.dumps({"action": action, **members})


def realtime(kind: object, **members: object) -> str:
    return json.dumps({"type": kind, **members})


def item(**members: object) -> str:
    return realtime("conversation.item.create", item=members)


def update(**session: object) -> str:
    return realtime("session.update", session={"type": "realtime", **session})


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


EARLY_VOICE: Flaws = [
    ("sound", voice("voice_data", audioData=encoded(bytes(64))), "wrong_order"),
    ("an end", voice("voice_end"), "wrong_order"),
    ("an interruption", voice("voice_interrupt"), "wrong_order"),
    *((f"{name} for a text", voice("text_message", content=value), "bad_frame") for name, value in NOT_TEXTS.items()),
    ("no text", voice("text_message"), "bad_frame"),
    ("a text of spaces", voice("text_message", content="   "), "bad_frame"),
    ("a text over the limit", voice("text_message", content="a" * 5_000), "too_large"),
    ("a type that is a list", json.dumps({"type": ["ping"]}), "bad_frame"),
    ("a type that is an object", json.dumps({"type": {"ping": 1}}), "bad_frame"),
    ("an event of the server", voice("voice_session_started", sessionId="s"), "unknown_event"),
    *(
        (f"{name} for a format", voice("voice_start", audioFormat=value), "bad_frame")
        for name, value in NOT_TEXTS.items()
        if value is not None
    ),
    ("a format that is a path", voice("voice_start", audioFormat="../../etc/passwd"), "unsupported_format"),
    ("a format that is a program", voice("voice_start", audioFormat="pcm;$(id)", sampleRate=1), "not_allowed"),
    ("a playlist for a format", voice("voice_start", audioFormat="application/vnd.apple.mpegurl"), "unsupported_format"),
    ("a format without end", voice("voice_start", audioFormat="a" * 1_000), "bad_frame"),
    ("a rate of zero", voice("voice_start", audioFormat="pcm", sampleRate=0), "not_allowed"),
    ("a rate in words", voice("voice_start", audioFormat="pcm", sampleRate="16000"), "bad_frame"),
    ("a rate without end", voice("voice_start", audioFormat="pcm", sampleRate=10**30), "bad_frame"),
    ("an unknown assistant", voice("voice_start", audioFormat="pcm", assistant=CANARY), "not_allowed"),
]
LIVE_VOICE: Flaws = [
    ("words for sound", voice("voice_data", audioData="please"), "invalid_audio"),
    ("half a sample", voice("voice_data", audioData=encoded(b"abc")), "invalid_audio"),
    ("no sound", voice("voice_data"), "invalid_audio"),
    ("a list for sound", voice("voice_data", audioData=[0, 0]), "invalid_audio"),
    ("somebody else's session", voice("voice_data", audioData=encoded(bytes(64)), sessionId="another"), "wrong_order"),
    ("the end of somebody else's session", voice("voice_end", sessionId="another"), "wrong_order"),
    ("a session that is a list", voice("voice_data", audioData=encoded(bytes(64)), sessionId=["s1"]), "bad_frame"),
    ("a hundred flaws in one", json.dumps({"type": "voice_data", "data": [1] * 100}), "invalid_audio"),
]
EARLY_COMPANION: Flaws = [
    ("a text", companion("textInput", text="hello"), "wrong_order"),
    ("sound", companion("audioInput", audio=encoded(bytes(64))), "wrong_order"),
    ("an end", companion("endSession"), "wrong_order"),
    ("no patient", companion("initSession"), "bad_frame"),
    *((f"{name} for a patient", companion("initSession", patientId=value), "bad_frame") for name, value in NOT_TEXTS.items()),
    ("a patient of a path", companion("initSession", patientId="../1"), "unknown_patient"),
    ("a patient of a key", companion("initSession", patientId="PATIENT#1"), "unknown_patient"),
    ("a patient of a statement", companion("initSession", patientId="1' OR '1'='1"), "unknown_patient"),
    ("nobody", companion("initSession", patientId="nobody-of-that-name"), "unknown_patient"),
    ("a patient without end", companion("initSession", patientId="1" * 200), "bad_frame"),
    ("an action that is a list", companion(["textInput"]), "bad_frame"),
    ("an action that is a method", companion("__class__"), "unknown_event"),
]
EARLY_REALTIME: Flaws = [
    ("a type that is a list", realtime(["response.create"]), "bad_frame"),
    ("no type", "{}", "bad_frame"),
    ("an event of the server", realtime("response.done", response={}), "unknown_event"),
    ("words for sound", realtime("input_audio_buffer.append", audio="please"), "invalid_audio"),
    ("a list for sound", realtime("input_audio_buffer.append", audio=[0]), "bad_frame"),
    ("no sound", realtime("input_audio_buffer.append"), "bad_frame"),
    ("no item", realtime("conversation.item.create"), "bad_frame"),
    ("an item that is a text", realtime("conversation.item.create", item="hello"), "bad_frame"),
    ("an item of no kind", item(type="picture"), "not_allowed"),
    ("a message of a role that is none", item(type="message", role="root", content=[]), "not_allowed"),
    (
        "a message with a picture",
        item(type="message", role="user", content=[PICTURE]),
        "not_allowed",
    ),
    (
        "a message with an address",
        item(type="message", role="user", content=[FILE]),
        "not_allowed",
    ),
    ("content that is a number", item(type="message", role="user", content=7), "bad_frame"),
    ("the output of a call that never was", item(type="function_call_output", call_id="c", output="{}"), "unknown_call"),
    ("another conversation", realtime("response.create", response={"conversation": "none"}), "not_allowed"),
    ("a session that is a list", realtime("session.update", session=[]), "bad_frame"),
    ("a voice that is none", update(audio={"output": {"voice": CANARY}}), "not_allowed"),
    ("a rate of 1 Hz", update(audio={"input": {"format": {"type": "audio/pcm", "rate": 1}}}), "not_allowed"),
    ("a format that is a path", update(audio={"input": {"format": {"type": "../../etc/passwd"}}}), "not_allowed"),
    (
        "a tool of a server elsewhere",
        update(tools=[ELSEWHERE]),
        "not_allowed",
    ),
    ("a tool without a name", update(tools=[{"type": "function"}]), "bad_frame"),
    ("a tool of the server's", update(tools=[{"type": "function", "name": "cancelarOrder", "parameters": {}}]), "not_allowed"),
    ("a tool whose name is a path", update(tools=[{"type": "function", "name": "../x", "parameters": {}}]), "not_allowed"),
    (
        "a thousand tools",
        update(tools=[{"type": "function", "name": f"t{number}", "parameters": {}} for number in range(1_000)]),
        "not_allowed",
    ),
    (
        "a schema that is nested without end",
        update(tools=[{"type": "function", "name": "t", "parameters": json.loads('{"a":' * 60 + "1" + "}" * 60)}]),
        "too_large",
    ),
    ("instructions of 200 KB, which are read", update(instructions="a" * 200_000), ()),
    ("a temperature in words", update(temperature="hot"), "bad_frame"),
    ("an id that is a list", realtime("conversation.item.retrieve", item_id=["i"]), "bad_frame"),
    ("a place that is none", realtime("conversation.item.truncate", item_id="i", content_index=0, audio_end_ms=-1), "item_not_found"),
]
CASES = [
    *(Case(name, [frame], code, VOICE, is_live=False) for name, frame, code in EARLY_VOICE),
    *(Case(name, [frame], code, VOICE) for name, frame, code in LIVE_VOICE),
    *(Case(name, [frame], code, COMPANION, is_live=False) for name, frame, code in EARLY_COMPANION),
    *(Case(name, [frame], code, REALTIME, is_live=False) for name, frame, code in EARLY_REALTIME),
    *(Case(name, [frame], "unknown_event" if name in OBJECTS else code, VOICE) for name, frame, code in BOMBS),
    *(Case(name, [frame], code, REALTIME, is_live=False) for name, frame, code in BOMBS),
    Case("twenty flaws", [VOICE.probe] * 20, 1008, VOICE),
    Case("twenty flaws", [COMPANION.probe] * 20, 1008, COMPANION),
    Case("twenty flaws", [REALTIME.probe] * 20, 1008, REALTIME),
]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_cannot_be_used_is_told_and_nothing_else_happens(ground: Ground, case: Case) -> None:
    await endure(ground, case)


async def test_afterwards_everything_is_as_it_was(ground: Ground) -> None:
    await ground.unharmed()

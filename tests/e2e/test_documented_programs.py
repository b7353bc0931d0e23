"""Programs with which others test such servers, run as their documents have them: only the address is ours."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from tests.e2e.resuming import serving
from tests.e2e.stack import Stack
from tests.e2e.wscat import wscat
from tests.transports import raw_client
from tests.transports.coming_back.caller import eventually

PROGRAMS = Path(__file__).parent / "programs"
THEIR_ADDRESS = "wss://xxxxx.execute-api.us-east-1.amazonaws.com/dev"


class Neighbour:
    """Says what was said."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def listen(self) -> None:
        """Need no words."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Repeat it."""
        await reply.say(f"You said: {turn.text}")

    async def close(self) -> None:
        """Hold nothing."""


@pytest.mark.req("S3-12", "S4-10")
async def test_wscat_holds_a_conversation_in_novas_own_events(tmp_path: Path) -> None:
    async with serving(tmp_path, Neighbour) as house, wscat(house.url) as cat:
        await cat.type(*raw_client.opening(), *raw_client.text_block("T", "USER", "Is this a test?"))
        await cat.until(lambda message: message["event"].get("textOutput", {}).get("content") == "You said: Is this a test?")
        await cat.until(lambda message: "audioOutput" in message["event"])
        await cat.until(lambda message: message["event"].get("contentEnd", {}).get("type") == "AUDIO")
        await cat.type(*raw_client.goodbye())
        await eventually(lambda: house.registry.live == 0)

    assert not [message for message in cat.messages if "error" in message["event"]]


async def test_wscat_is_told_what_was_wrong_with_a_line(tmp_path: Path) -> None:
    async with serving(tmp_path, Neighbour) as house, wscat(house.url) as cat:
        await cat.type("hello?")
        told = await cat.until(lambda message: "error" in message["event"])

    assert told["event"]["error"]["code"] == "bad_frame"


@pytest.mark.req("S3-12")
async def test_wscat_reads_the_control_messages_of_the_pages_dialect(tmp_path: Path) -> None:
    async with serving(tmp_path) as house, wscat(house.url, "-s", "nova-sonic.v1") as cat:
        await cat.type('{"type":"ping","t":1}', '{"type":"hello","protocol":1}')
        await cat.until(lambda message: message == {"type": "pong", "t": 1})
        started = await cat.until(lambda message: message["type"] == "session.started")
        await cat.type('{"type":"end"}')
        ended = await cat.until(lambda message: message["type"] == "session.ended")

    assert started["assistant"] == "kind"
    assert ended["reason"] == "client"


@pytest.mark.req("S3-12", "S3-13", "S3-14")
async def test_wscat_asks_the_companion_who_sarah_is(stack: Stack) -> None:
    async with wscat(stack.socket) as cat:
        await cat.type('{"action":"initSession","patientId":"pt-001"}')
        begun = await cat.until(lambda _: True)
        await cat.type('{"action":"textInput","text":"Who is Sarah?"}')
        answer = await cat.until(lambda _: True)

    assert begun == {"status": "initialized", "patientName": "John"}
    assert (answer["type"], answer["role"]) == ("textOutput", "ASSISTANT")
    assert "daughter" in answer["text"]


@pytest.mark.req("S3-12", "S3-13", "S3-14", "S3-15")
async def test_the_documented_program_of_the_companion_runs_as_it_stands(stack: Stack, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text((PROGRAMS / "companion.txt").read_text(encoding="utf-8").replace(THEIR_ADDRESS, stack.socket), encoding="utf-8")
    running = await asyncio.create_subprocess_exec(
        sys.executable, str(program), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        printed, _ = await running.communicate()
    first, second = printed.decode().splitlines()

    assert running.returncode == 0
    assert json.loads(first.removeprefix("Init response: ")) == {"status": "initialized", "patientName": "John"}
    answer = json.loads(second.removeprefix("Response: "))
    assert (answer["type"], answer["role"]) == ("textOutput", "ASSISTANT")
    assert "breakfast" in answer["text"].lower()

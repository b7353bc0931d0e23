"""Programs with which others test such servers, run as their documents have them: only the address is ours."""

from pathlib import Path

import pytest

from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from tests.e2e.resuming import serving
from tests.e2e.wscat import wscat
from tests.transports import raw_client
from tests.transports.coming_back.caller import eventually


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

"""Everything that is said in whole conversations is in docs/reference/asyncapi.yaml, member by member."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from bench.positions import coded_speech
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from tests.e2e.clients import Client, connected
from tests.e2e.resuming import HERTZ, House, serving
from tests.session.doubles import Outcome
from tests.transports.documented import matching, problems
from transports.dialects import binary_messages, nova_messages, realtime_messages, voice_messages
from transports.dialects.messages import Sender, Table

pytestmark = [pytest.mark.req("S4-86")]


class Clerk:
    """Looks something up when it is asked to, and tells a long story otherwise."""

    def __init__(self, prompt: Prompt) -> None:
        self._prompt = prompt

    def listen(self) -> None:
        """Need no words."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Call a tool, or talk."""
        if turn.text == "look":
            (result,) = await reply.call_tools([("lookUp", {})])
            await reply.say(f"It is {result['found']}.")
        else:
            await reply.say("That is a long story, which takes its time to be told. " * 4)

    async def close(self) -> None:
        """Hold nothing."""


async def converse(client: Client, house: House) -> None:
    """Say something, interrupt the answer, have something looked up, and say something that cannot be used."""
    await client.begin()
    await client.speak(coded_speech(HERTZ) + bytes(2 * 2 * HERTZ))
    await client.until(lambda: len(client.speech) > 2 * HERTZ)
    await client.type("look")
    started = "tool.started" if client.is_page else "toolUse"
    await client.until(lambda: bool(client.bodies(started)))
    body = client.bodies(started)[0]
    house.tools.finish(str(body["id" if client.is_page else "toolUseId"]), Outcome('{"found":"here"}'))
    heard = len(client.speech)
    await client.until(lambda: len(client.speech) > heard + HERTZ)
    await client.socket.send("{}")
    await client.socket.send('{"type":"auth","token":"x"}')
    await client.until(lambda: bool(client.bodies("error")) and bool(client.bodies("auth.accepted")))


def said(client: Client, table: Table) -> tuple[list[str], set[str]]:
    """Return what was said and is not documented, and the names of all that was said."""
    frames = [json.dumps(message) for message in client.messages]
    return problems(table, Sender.SERVER, frames), {name for frame in frames for name in matching(table, Sender.SERVER, frame)}


async def test_what_the_page_is_told_is_documented(tmp_path: Path) -> None:
    async with serving(tmp_path, Clerk) as house, connected(house.url) as client:
        await converse(client, house)
        for message in ({"type": "ping", "t": 1}, {"type": "end"}):
            await client.socket.send(json.dumps(message))
        await client.until(lambda: bool(client.bodies("session.ended")))
        unknown, names = said(client, binary_messages.TABLE)

    assert unknown == []
    assert names >= {
        "interrupted",
        "tool.started",
        "tool.finished",
        "usage",
        "transcript",
        "refusal",
        "pong",
        "session.ended",
        "auth.accepted",
    }


async def test_what_clients_of_novas_own_events_are_told_is_documented(tmp_path: Path) -> None:
    async with serving(tmp_path, Clerk) as house, connected(house.url, is_page=False) as client:
        await converse(client, house)
        unknown, names = said(client, nova_messages.TABLE)

    assert unknown == []
    assert names >= {
        "toolUse",
        "contentStart.toolResult",
        "toolResult",
        "auth.accepted",
        "contentEnd.toolResult",
        "audioOutput",
        "usageEvent",
        "error",
    }


async def converse_in_realtime(socket: ClientConnection, house: House) -> list[str]:
    """Do all that clients of the Realtime API do, one after another; return what they are told."""
    frames: list[str] = []

    async def send(kind: str, **body: object) -> None:
        await socket.send(json.dumps({"type": kind, **body}))

    async def until(kind: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while True:
                frame = await socket.recv()
                assert isinstance(frame, str)
                frames.append(frame)
                told: dict[str, Any] = json.loads(frame)
                if told["type"] == kind:
                    return told

    async def type_in(text: str) -> dict[str, Any]:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        await send("conversation.item.create", item=item)
        return await until("conversation.item.done")

    await until("session.created")
    await send("session.update", session={"type": "realtime", "instructions": "Be kind.", "output_modalities": ["audio"]})
    await until("session.updated")
    taken_back = await type_in("no")
    await send("conversation.item.delete", item_id=taken_back["item"]["id"])
    await until("conversation.item.deleted")
    sound = coded_speech(24_000) + bytes(4 * 24_000)
    for start in range(0, len(sound), 4_800):
        await send("input_audio_buffer.append", audio=base64.b64encode(sound[start : start + 4_800]).decode())
    await until("response.output_audio.delta")
    await send("input_audio_buffer.commit")
    await send("input_audio_buffer.clear")
    await until("input_audio_buffer.cleared")
    await send("response.cancel")
    spoken = (await until("response.done"))["response"]["output"][0]["id"]
    await send("conversation.item.truncate", item_id=spoken, content_index=0, audio_end_ms=100)
    await until("conversation.item.truncated")
    await send("conversation.item.retrieve", item_id=spoken)
    await until("conversation.item.retrieved")
    await type_in("look")
    await send("response.create")
    await until("response.mcp_call.in_progress")
    house.tools.finish(next(iter(house.tools.calls)), Outcome('{"found":"here"}'))
    await until("response.done")
    await send("output_audio_buffer.clear")
    await until("output_audio_buffer.cleared")
    await send("nonsense")
    await until("error")
    return frames


async def test_what_clients_of_the_realtime_api_are_told_is_documented(tmp_path: Path) -> None:
    async with serving(tmp_path, Clerk) as house, connect(f"{house.url}v1/realtime?model=kind", compression=None) as socket:
        frames = await converse_in_realtime(socket, house)
    names = {name for frame in frames for name in matching(realtime_messages.TABLE, Sender.SERVER, frame)}

    assert problems(realtime_messages.TABLE, Sender.SERVER, frames) == []
    assert len(names) > 25


async def test_what_clients_of_voice_sessions_are_told_is_documented(tmp_path: Path) -> None:
    frames: list[str] = []

    async def until(kind: str) -> None:
        async with asyncio.timeout(20):
            while not frames or json.loads(frames[-1])["type"] != kind:
                frame = await socket.recv()
                assert isinstance(frame, str)
                frames.append(frame)

    async with serving(tmp_path, Clerk) as house, connect(house.url, compression=None) as socket:
        await socket.send('{"type":"voice_start","audioFormat":"pcm","data":{"sessionId":"mine"}}')
        await until("voice_session_started")
        sound = coded_speech(HERTZ) + bytes(2 * 2 * HERTZ)
        for start in range(0, len(sound), 16_000):
            piece = base64.b64encode(sound[start : start + 16_000]).decode()
            await socket.send(json.dumps({"type": "voice_data", "data": {"audioData": piece, "sessionId": "mine"}}))
        await until("audio_response")
        await socket.send('{"type":"voice_interrupt"}')
        await until("audio_interrupted")
        await socket.send('{"type":"text_message","data":{"content":"Go on."}}')
        await until("text_message_received")
        await until("ai_response")
        for message in ('{"type":"ping"}', '{"type":"voice_data"}', '{"type":"voice_end"}'):
            await socket.send(message)
        await until("voice_session_ended")

    assert problems(voice_messages.TABLE, Sender.SERVER, frames) == []

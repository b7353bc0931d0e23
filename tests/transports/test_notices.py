"""What came about past a connection reaches its client, in the words of its dialect, and nobody else's."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from session.notices import (
    Notice,
    Recipient,
    RecordingAnswered,
    RecordingHeard,
    RecordingSpeech,
    RecordingSpeechEnded,
    SessionNoted,
)
from tests.transports.doubles import Rig, running_server
from tests.transports.voice_talk import b64, dialect, read, started
from transports.dialects.binary import SUBPROTOCOL
from transports.directory import Directory

NOTED = SessionNoted(
    session_id="s-1", change="updated", status="ACTIVE", updated_at="2026-01-01T00:00:00.000Z", messages=2, metadata={"topic": "bills"}
)
RECORDING: tuple[Notice, ...] = (
    RecordingHeard("s-1", "u-1", "hello"),
    RecordingAnswered("s-1", "u-1", "Hi."),
    RecordingSpeech("s-1", "u-1", b"\1\0", 24_000),
    RecordingSpeechEnded("s-1", "u-1"),
)
PING = '{"type":"ping","t":1}'
VOICE_PING = '{"type":"ping"}'
UPLOAD = {"sessionId": "s-1", "turn": 0, "uploadId": "u-1"}


@pytest.mark.req("S0-24")
def test_an_uploaded_recording_is_told_of_in_the_words_of_a_conversation() -> None:
    talk = dialect()

    assert read(*(frame for notice in RECORDING for frame in talk.notify(notice))) == [
        ("transcription", {**UPLOAD, "content": "hello", "role": "USER", "isFinal": True, "confidence": None}),
        ("ai_response", {**UPLOAD, "content": "Hi.", "messageId": "u-1"}),
        ("audio_response", {**UPLOAD, "audioData": b64(b"\1\0"), "format": "pcm", "sampleRate": 24_000}),
        ("audio_response_end", UPLOAD),
    ]


@pytest.mark.req("S0-14")
def test_a_change_is_told_under_the_name_that_the_client_gave_its_session() -> None:
    named = started(sessionId="mine")
    ((kind, data),) = read(*named.notify(NOTED))
    ((_, own),) = read(*named.notify(SessionNoted(session_id="server-1", change="ended", status="COMPLETED", updated_at="", messages=0)))

    assert (kind, data["sessionId"], data["metadata"], data["messageCount"]) == ("voice_session_updated", "s-1", {"topic": "bills"}, 2)
    assert (own["sessionId"], own["serverSessionId"], own["status"]) == ("mine", "server-1", "COMPLETED")


@dataclass
class House:
    """A server, and who is connected to it."""

    rig: Rig
    directory: Directory

    @asynccontextmanager
    async def client(self, user: str, first: str = VOICE_PING, subprotocol: str = "") -> AsyncIterator[tuple[ClientConnection, str]]:
        """Connect, say something, and return the connection with its id once it is answered."""
        known = {live.id for live in self.directory.of_user(user)}
        offered = [Subprotocol(subprotocol)] if subprotocol else None
        async with connect(f"{self.rig.address}?userId={user}", subprotocols=offered, compression=None) as socket:
            if first:
                await socket.send(first)
                await socket.recv()
            while not (own := [live.id for live in self.directory.of_user(user) if live.id not in known]):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            yield socket, own[0]

    async def deliver(self, user: str, connection_id: str, notices: Iterable[Notice] = (NOTED,), session_id: str = "s-1") -> bool:
        return await self.directory.deliver(Recipient(user, connection_id, session_id), notices)


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    directory = Directory()
    async with running_server(directory=directory) as rig:
        yield House(rig, directory)


async def kinds(socket: ClientConnection) -> list[str]:
    """Return the types of what comes before the answer to a ping."""
    await socket.send(VOICE_PING)
    found: list[str] = []
    while not found or found[-1] != "pong":
        found.append(json.loads(await socket.recv())["type"])
    return found[:-1]


@pytest.mark.req("S0-14", "S0-24")
async def test_a_client_is_told_on_its_own_connection_alone() -> None:
    async with house() as rooms, rooms.client("eva") as (eva, eva_id), rooms.client("ada") as (ada, _):
        was_told = await rooms.deliver("eva", eva_id, (*RECORDING, NOTED))

        assert was_told
        assert await kinds(eva) == ["transcription", "ai_response", "audio_response", "audio_response_end", "voice_session_updated"]
        assert await kinds(ada) == []


@pytest.mark.req("S0-54")
async def test_somebody_elses_connection_is_told_nothing_and_neither_is_one_that_is_gone() -> None:
    async with house() as rooms:
        async with rooms.client("eva") as (eva, eva_id):
            assert not await rooms.deliver("ada", eva_id)
            assert not await rooms.deliver("eva", "none")
            assert await kinds(eva) == []
        while rooms.directory.open:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)

        assert not await rooms.deliver("eva", eva_id)


@pytest.mark.parametrize(("first", "subprotocol"), [("", ""), (PING, SUBPROTOCOL)])
async def test_a_dialect_without_such_words_tells_nothing(first: str, subprotocol: str) -> None:
    async with house() as rooms, rooms.client("eva", first, subprotocol) as (_, eva_id):
        assert not await rooms.deliver("eva", eva_id)


async def until(socket: ClientConnection, kind: str) -> dict[str, Any]:
    while (message := json.loads(await socket.recv()))["type"] != kind:
        pass
    return dict(message["data"])


@pytest.mark.req("S0-24")
async def test_in_a_conversation_the_words_are_told_and_the_second_voice_is_not() -> None:
    async with house() as rooms, rooms.client("eva") as (eva, _):
        await eva.send('{"type":"voice_start","data":{"audioFormat":"pcm"}}')
        own = (await until(eva, "voice_session_started"))["serverSessionId"]
        was_told = await rooms.deliver("eva", "the one before", RECORDING, own)

        assert was_told
        assert await kinds(eva) == ["transcription", "ai_response"]

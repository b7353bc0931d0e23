"""What comes of requests over plain HTTP reaches the client's WebSocket and those who follow events: recordings, changes of sessions."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from bootstrap import build, listen_on
from config import Settings
from nova_sonic_local.brains.interface import Prompt
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.auth.issuer import running_issuer
from tests.e2e.test_events import Server, told
from tests.service.stage import ToneBrain, spoken
from tests.transports.documented import problems
from transports.dialects import voice_messages
from transports.dialects.messages import Sender

pytestmark = pytest.mark.timeout(60)
WAV = {"Content-Type": "audio/wav"}
SECONDS = 30.0

type Message = dict[str, Any]


@asynccontextmanager
async def serving(folder: Path, prompts: list[Prompt]) -> AsyncIterator[Server]:
    """Run a server whose users sign in, with a model that hears tones as words; write down how it is asked to be."""

    def brain(prompt: Prompt) -> ToneBrain:
        prompts.append(prompt)
        return ToneBrain(prompt, [])

    options = Options(brain=brain, manner=Manner(speech_speed=0), ca_dir=folder / "ca")
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        emulator = await stack.enter_async_context(NovaSonicLocal(options))
        model = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
        places = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "STORAGE": "sqlite", "SQLITE_PATH": str(folder / "r.sqlite3")}
        settings = Settings.from_env({**model, **places, **issuer.settings, "EVENTS": "local", "UPLOAD_SPEED": "20"})
        application = await build(settings)
        stack.push_async_callback(application.stop)
        listening = listen_on(settings)
        await application.start(listening)
        yield Server(application, listening.port, issuer)


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    async with serving(tmp_path, []) as running:
        yield running


@asynccontextmanager
async def connected(server: Server, user: str) -> AsyncIterator[tuple[ClientConnection, str]]:
    """Connect as a client of voice sessions does; return the connection and its id."""
    headers = {"Authorization": f"Bearer {server.token(user)}"}
    async with connect(f"ws://127.0.0.1:{server.port}/", additional_headers=headers) as socket:
        await socket.send('{"type":"connection_init"}')
        await until(socket, "connection_ack")
        _, listed = await server.ask("GET", "/connections", user)
        yield socket, listed["data"][0]["connectionId"]


async def until(socket: ClientConnection, kind: str) -> list[Message]:
    """Return what comes up to a message of this type; all of it is documented."""
    frames: list[str | bytes] = []
    async with asyncio.timeout(SECONDS):
        while not frames or json.loads(frames[-1])["type"] != kind:
            frames.append(await socket.recv())
    assert problems(voice_messages.TABLE, Sender.SERVER, frames) == []
    return [json.loads(frame) for frame in frames]


@pytest.mark.req("S0-14", "S0-24", "S0-25", "S0-26", "S0-29")
async def test_what_is_uploaded_by_rest_is_answered_on_the_socket(server: Server) -> None:
    async with connected(server, "eva") as (eva, eva_id), connected(server, "ada") as (ada, _):
        _, made = await server.ask("POST", "/voice-sessions", "eva", json={"connectionId": eva_id})
        session_id = made["data"]["sessionId"]
        status, answered = await server.ask("POST", f"/voice-sessions/{session_id}/audio", "eva", data=spoken(300), headers=WAV)
        await eva.send('{"type":"ping"}')
        await ada.send('{"type":"ping"}')
        messages = (await until(eva, "pong"))[:-1]
        of_ada = await until(ada, "pong")
    speech = b"".join(base64.b64decode(one["data"]["audioData"]) for one in messages if one["type"] == "audio_response")
    kinds = list(dict.fromkeys(one["type"] for one in messages))
    words = {one["type"]: one["data"]["content"] for one in messages if "content" in one["data"]}

    assert status == 200
    assert kinds == ["voice_session_updated", "transcription", "ai_response", "audio_response", "audio_response_end"]
    assert words == {"transcription": "hello", "ai_response": "You said hello"}
    assert len(speech) // 48 == answered["data"]["speech"]["durationMs"]
    assert {one["data"].get("uploadId") for one in messages if "turn" in one["data"]} == {answered["data"]["uploadId"]}
    assert [(one["data"]["change"], one["data"]["messageCount"]) for one in messages if one["type"] == "voice_session_updated"] == [
        ("created", 0),
        ("updated", 2),
    ]
    assert [one["type"] for one in of_ada] == ["pong"]


@pytest.mark.req("S0-14", "S0-16")
async def test_a_session_on_request_is_pushed_and_published_from_its_beginning_to_its_end(server: Server) -> None:
    async with connected(server, "eva") as (eva, eva_id), server.follower("eva", "/events/voice-sessions/eva/*") as follower:
        _, made = await server.ask("POST", "/voice-sessions", "eva", json={"connectionId": eva_id})
        path = f"/voice-sessions/{made['data']['sessionId']}"
        await server.ask("PATCH", path, "eva", json={"metadata": {"topic": "bills"}})
        for _ in range(2):
            await server.ask("POST", f"{path}/end", "eva")
        await server.ask("PATCH", path, "eva", json={"metadata": {"mood": "good"}})
        published = [await told(follower) for _ in range(4)]
        await eva.send('{"type":"ping"}')
        pushed = [one["data"] for one in (await until(eva, "pong"))[:-1]]

    steps = [("created", "ACTIVE"), ("updated", "ACTIVE"), ("ended", "COMPLETED"), ("updated", "COMPLETED")]
    assert [(one["eventName"], one["status"]) for one in published] == steps
    assert [(one["change"], one["status"]) for one in pushed] == steps
    assert [one["metadata"] for one in pushed] == [{}, {"topic": "bills"}, {"topic": "bills"}, {"topic": "bills", "mood": "good"}]
    assert pushed[2]["totalDuration"] >= 0


@pytest.mark.req("S0-14", "S0-16")
async def test_a_conversation_is_told_once_whoever_notes_or_ends_it(server: Server) -> None:
    async with connected(server, "eva") as (eva, _), server.follower("eva", "/events/voice-sessions/eva/*") as follower:
        await eva.send('{"type":"voice_start","data":{"audioFormat":"pcm","sessionId":"mine"}}')
        started = (await until(eva, "voice_session_started"))[-1]["data"]
        path = f"/voice-sessions/{started['serverSessionId']}"
        async with asyncio.timeout(SECONDS):
            while (await server.ask("GET", path, "eva"))[0] != 200:  # noqa: ASYNC110 - the record is written beside the conversation
                await asyncio.sleep(0.05)
        await server.ask("PATCH", path, "eva", json={"metadata": {"topic": "bills"}})
        (pushed,) = await until(eva, "voice_session_updated")
        await server.ask("POST", f"{path}/end", "eva")
        await until(eva, "voice_session_ended")
        published = Counter([(await told(follower))["eventName"] for _ in range(3)])
        _, made = await server.ask("POST", "/voice-sessions", "eva", json={})
        following = await told(follower)

    assert (pushed["data"]["sessionId"], pushed["data"]["metadata"]) == ("mine", {"topic": "bills"})
    assert published == {"created": 1, "updated": 1, "ended": 1}
    assert following["sessionId"] == made["data"]["sessionId"]

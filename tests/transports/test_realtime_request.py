"""Which clients are served as Realtime clients, over a real socket: by path or subprotocol, with the names that they know."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from s2s.events import AudioContentStart, AudioInput, PromptStart, TextInput
from tests.transports.doubles import Rig, denied, running_server

SPEECH = b"\1\1" * 480
APPEND = json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(SPEECH).decode()})


@asynccontextmanager
async def joined(
    rig: Rig, path: str = "/v1/realtime", offered: tuple[str, ...] = (), headers: dict[str, str] | None = None
) -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
    """Connect; yield the connection and the first thing that it is told."""
    protocols = [Subprotocol(name) for name in offered] or None
    async with connect(f"ws://127.0.0.1:{rig.port}{path}", subprotocols=protocols, additional_headers=headers, compression=None) as socket:
        yield socket, json.loads(await socket.recv())


@pytest.mark.parametrize(
    ("path", "offered", "subprotocol"),
    [
        ("/v1/realtime", (), None),
        ("/v1/realtime/?model=gpt-realtime", (), None),
        ("/", ("realtime",), "realtime"),
        ("/v1/realtime", ("realtime", "openai-insecure-api-key.sk-1", "openai-agents-sdk.1"), "realtime"),
    ],
)
async def test_the_path_or_the_subprotocol_makes_a_realtime_client(path: str, offered: tuple[str, ...], subprotocol: str | None) -> None:
    async with running_server() as rig, joined(rig, path, offered) as (socket, created):
        assert created["type"] == "session.created"
        assert created["session"]["type"] == "realtime"
        assert socket.subprotocol == subprotocol


@pytest.mark.parametrize(
    ("offered", "headers"),
    [((), {"OpenAI-Beta": "realtime=v1"}), (("realtime", "openai-beta.realtime-v1"), None)],
)
async def test_clients_of_the_beta_are_known_by_header_or_subprotocol(offered: tuple[str, ...], headers: dict[str, str] | None) -> None:
    async with running_server() as rig, joined(rig, offered=offered, headers=headers) as (_, created):
        assert created["session"]["input_audio_format"] == "pcm16"


@pytest.mark.parametrize(("model", "voice"), [("buddy", "matthew"), ("gpt-realtime", "carlos"), ("x" * 500, "carlos")])
async def test_a_model_that_is_the_name_of_an_assistant_chooses_it(model: str, voice: str) -> None:
    async with running_server() as rig, joined(rig, f"/v1/realtime?model={model}") as (socket, created):
        await socket.send(APPEND)
        stream = await rig.model.stream()

    (prompt,) = [event for event in stream.opening if isinstance(event, PromptStart)]
    (audio,) = [event for event in stream.opening if isinstance(event, AudioContentStart)]
    assert (created["session"]["model"], created["session"]["audio"]["output"]["voice"]) == (model[:100], voice)
    assert (prompt.voice_id, audio.input_hertz) == (voice, 24_000)


async def test_what_is_said_and_typed_reaches_the_model() -> None:
    async with running_server() as rig, joined(rig) as (socket, _):
        await socket.send(APPEND)
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hola."}]}
        await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await socket.send('{"type":"response.create"}')
        stream = await rig.model.stream()
        await stream.wait_for(TextInput)

    assert SPEECH in {event.pcm for event in stream.sent if isinstance(event, AudioInput)}
    assert "Hola." in stream.texts


async def test_a_session_that_is_not_to_be_had_is_an_error_and_the_end_of_the_connection() -> None:
    async with running_server(max_sessions=0) as rig, joined(rig) as (socket, _):
        await socket.send(APPEND)
        error = json.loads(await socket.recv())["error"]
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert (error["type"], error["code"], error["retryable"], error["retry_after"]) == ("server_error", "server_busy", True, 5)
    assert socket.close_code == 1013


async def test_a_model_that_refuses_is_told_in_the_same_way() -> None:
    async with running_server() as rig, joined(rig) as (socket, _):
        rig.model.refusal = denied()
        await socket.send(APPEND)
        error = json.loads(await socket.recv())["error"]
        with pytest.raises(ConnectionClosed):
            await socket.recv()

    assert error["code"] == "model_refused"


async def test_an_event_that_is_refused_is_named_and_the_conversation_goes_on() -> None:
    async with running_server() as rig, joined(rig) as (socket, _):
        await socket.send('{"type":"no.such.event","event_id":"mine"}')
        error = json.loads(await socket.recv())["error"]
        await socket.send('{"type":"session.update","session":{"type":"realtime"}}')
        updated = json.loads(await socket.recv())

    assert (error["code"], error["event_id"], error["param"], bool(error["ref"])) == ("unknown_event", "mine", "type", True)
    assert updated["type"] == "session.updated"

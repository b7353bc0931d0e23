"""A client that records by MediaRecorder, and one that types, with the product as a user starts it."""

import asyncio
import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect

from tests.audio.recorder import HERTZ, record
from tests.e2e.speech import Utterance, resampled, silence, speak
from tests.e2e.stack import Stack

SLICE_SECONDS = 0.25
"""What MediaRecorder hands over at a time."""
ASKING = Utterance("es-419", "Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho")

type Message = dict[str, Any]


async def say(client: ClientConnection, kind: str, **data: object) -> None:
    await client.send(json.dumps({"type": kind, "data": data}))


async def until(client: ClientConnection, condition: Callable[[Message], bool], seconds: float = 40.0) -> list[Message]:
    """Return what comes up to the message for which the condition is true."""
    messages: list[Message] = []
    async with asyncio.timeout(seconds):
        while not messages or not condition(messages[-1]):
            messages.append(json.loads(await client.recv()))
    return messages


def named(messages: Sequence[Message], kind: str) -> list[Message]:
    return [message["data"] for message in messages if message["type"] == kind]


async def stream_recording(client: ClientConnection, recorded: bytes, seconds: float, slice_seconds: float) -> None:
    """Send a recording as it grows, at the pace of the clock."""
    loop = asyncio.get_running_loop()
    due_at, size = loop.time(), round(len(recorded) * slice_seconds / seconds)
    for start in range(0, len(recorded), size):
        due_at += slice_seconds
        await asyncio.sleep(max(0.0, due_at - loop.time()))
        await say(client, "voice_data", audioData=base64.b64encode(recorded[start : start + size]).decode())


def spoken(utterance: Utterance, before_seconds: float = 0.5, after_seconds: float = 0.3) -> tuple[NDArray[np.int16], float]:
    """Return an utterance in a quiet room at the recorder's rate, and how long it is."""
    samples = np.concatenate([silence(before_seconds), speak(utterance), silence(after_seconds)])
    recorded = resampled(samples, HERTZ)
    return recorded, recorded.size / HERTZ


@pytest.mark.speech
@pytest.mark.req("S0-18", "S2-09", "S2-10", "S2-11", "S2-23", "S2-44")
@pytest.mark.parametrize("slice_seconds", [SLICE_SECONDS, 1.0])
async def test_a_question_that_a_browser_recorded_is_answered_from_the_database(stack: Stack, slice_seconds: float) -> None:
    samples, seconds = spoken(ASKING)
    async with connect(f"{stack.socket}?userId=u-1&sessionId=s-1") as client:
        await say(client, "voice_start", audioFormat="audio/webm;codecs=opus", sessionId="s-1")
        (begun,) = await until(client, lambda message: message["type"] == "voice_session_started")
        await stream_recording(client, record(samples), seconds, slice_seconds)
        await say(client, "voice_end", sessionId="s-1")  # as a recorder that is stopped before the answer
        told = await until(client, lambda message: message["type"] == "audio_response_end")

    assert begun["data"]["sessionId"] == "s-1"
    assert [said["role"] for said in named(told, "transcription")] == ["USER"]
    assert "pedido 1 está" in " ".join(said["content"] for said in named(told, "ai_response"))
    assert sum(len(base64.b64decode(speech["audioData"])) for speech in named(told, "audio_response")) > 48_000
    assert named(told, "voice_session_ended")[0]["status"] == "COMPLETED"
    assert named(told, "error") == []


@pytest.mark.req("S2-12", "S2-13")
async def test_a_typed_question_is_answered_without_voice_start(stack: Stack) -> None:
    async with connect(stack.socket) as client:
        await client.send('{"type":"ping"}')
        await say(client, "text_message", content="Consulta el pedido número 1, mi DNI es 12345678", sessionId="chat")
        told = await until(client, lambda message: message["type"] == "ai_response")

    assert [message["type"] for message in told] == ["pong", "text_message_received", "ai_response"]
    assert told[-1]["data"]["content"].startswith("Tu pedido 1 está")
    assert {message["data"]["sessionId"] for message in told[1:]} == {"chat"}


@pytest.mark.speech
@pytest.mark.req("S3-12", "S3-16")
async def test_the_companion_hears_a_spoken_question_and_answers_aloud(stack: Stack) -> None:
    pcm = resampled(np.concatenate([silence(0.5), speak(Utterance("en-us", "Who is Sarah?")), silence(2.0)]), 16_000).tobytes()
    async with connect(stack.socket) as client:
        await client.send('{"action":"initSession","patientId":"pt-001"}')
        begun = json.loads(await client.recv())
        for start in range(0, len(pcm), 3_200):
            await client.send(json.dumps({"action": "audioInput", "audio": base64.b64encode(pcm[start : start + 3_200]).decode()}))
            await asyncio.sleep(0.1)
        told = await until(client, lambda message: message["type"] == "audioOutput")

    assert begun == {"status": "initialized", "patientName": "John"}
    assert told[0] == {"type": "textOutput", "text": "Sarah is your daughter, and she visits you every Sunday.", "role": "ASSISTANT"}
    assert len(base64.b64decode(told[-1]["audio"])) > 0

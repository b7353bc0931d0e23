"""A spoken conversation of two minutes: recording, transcript, events and session record agree with what caller and client know of it."""

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from tests import needs
from tests.e2e.speech import Utterance
from tests.e2e.stack import Stack, running_stack
from tests.records.long_call import HERTZ, LongCall, connected

pytestmark = [pytest.mark.speech, pytest.mark.timeout(400)]

LEAST_SECONDS = 120.0
WRITTEN_SECONDS = 30.0
WORDS_APART = 3
"""At an interruption: the model reckons by what it has sent, the server by what was played."""
VOICE = "es+m3"
ORDER = "Quiero consultar el pedido número {number}, mi DNI es uno dos tres cuatro cinco seis siete ocho"
SCENES = [
    (Utterance(VOICE, ORDER.format(number="uno"), 1.5), "quiet"),
    (Utterance(VOICE, "Cancela el pedido número dos para Juan Pérez", 2.0), "quiet"),
    (Utterance(VOICE, ORDER.format(number="uno"), 2.0), "quiet"),
    (Utterance(VOICE, "No, gracias", 1.5), "speaking"),
    (Utterance(VOICE, "Consulta la cita número dos para Luis Fernández", 2.0), "quiet"),
    (Utterance(VOICE, "Modifica la cita número uno para el viernes a las quince, soy Juan Pérez", 2.0), "quiet"),
    (Utterance(VOICE, ORDER.format(number="dos"), 2.0), "quiet"),
    (Utterance(VOICE, "Consulta la cita número dos para Luis Fernández", 2.0), "quiet"),
    (Utterance(VOICE, ORDER.format(number="tres"), 2.0), "quiet"),
    (Utterance(VOICE, "Cancela el pedido número dos para Juan Pérez", 2.0), "quiet"),
    (Utterance(VOICE, ORDER.format(number="uno"), 2.0), "quiet"),
]

type Json = Any


async def get(stack: Stack, path: str, *, raw: bool = False) -> Json:
    """Ask the server; wait while what is asked for is still being written."""
    async with ClientSession() as http, asyncio.timeout(WRITTEN_SECONDS):
        while True:
            async with http.get(f"http://127.0.0.1:{stack.port}{path}") as answer:
                if answer.status == 200:
                    return await answer.read() if raw else (await answer.json())["data"]
            await asyncio.sleep(0.1)  # another process has no event to wait for


async def until(stack: Stack, path: str, holds: Any) -> Json:
    """Ask until the answer is so."""
    async with asyncio.timeout(WRITTEN_SECONDS):
        while not holds(found := await get(stack, path)):  # noqa: ASYNC110 - it comes from another process
            await asyncio.sleep(0.1)
    return found


@asynccontextmanager
async def followed(stack: Stack) -> AsyncIterator[list[Json]]:
    """Follow the events of all sessions, as a front end does."""
    events: list[Json] = []
    async with connect(f"ws://127.0.0.1:{stack.port}/event/realtime", subprotocols=[Subprotocol("aws-appsync-event-ws")]) as socket:
        await socket.send('{"type":"connection_init"}')
        await socket.send('{"type":"subscribe","id":"1","channel":"/events/voice-sessions/*"}')

        async def take() -> None:
            async for message in socket:
                told = json.loads(message)
                if told["type"] == "data":
                    events.append(json.loads(told["event"]))

        taking = asyncio.create_task(take())
        yield events
        async with asyncio.timeout(WRITTEN_SECONDS):
            while not any(event.get("eventName") == "ended" for event in events):  # noqa: ASYNC110 - they come from another process
                await asyncio.sleep(0.05)
        await socket.close()
        await taking


def without_silence(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.extract(samples != 0, samples)


@pytest.mark.req("S0-23", "S0-47", "S1-28", "S0-22", "S0-25", "S0-26")
async def test_recording_transcript_events_and_session_record_agree(tmp_path: Path) -> None:
    needs.espeak()
    settings = {"RECORD_AUDIO": "all", "RECORDING_FORMAT": "wav", "RECORDINGS_DIR": str(tmp_path / "recordings"), "EVENTS": "local"}
    async with running_stack(tmp_path, settings) as stack:
        async with followed(stack) as events, connected(stack.socket) as socket:
            call = LongCall(socket)
            await call.hold(SCENES)
        session_id = call.all("session.started")[0]["session_id"]
        record = await until(stack, f"/voice-sessions/{session_id}", lambda found: found["status"] == "COMPLETED")
        conversation = await get(stack, f"/conversations/{session_id}?limit=100")
        (recording,) = (await until(stack, f"/recordings/{session_id}", lambda found: found["recordings"][0]["state"] == "complete"))[
            "recordings"
        ]
        sound = await get(stack, recording["link"]["url"].removeprefix(f"http://127.0.0.1:{stack.port}"), raw=True)

    seconds = call.ended_at - call.started_at
    assert seconds >= LEAST_SECONDS
    check_words(call, conversation, events)
    check_figures(call, record, seconds)
    check_sound(call, recording, sound, seconds)


def check_words(call: LongCall, conversation: Json, events: list[Json]) -> None:
    """Every word that the client was told is in the transcript and in the events, once, and nothing else."""
    texts = call.texts()
    interrupted = {message["turn"] for message in call.all("interrupted")}
    kept = [(turn["turn"], turn["role"].lower(), turn["text"]) for turn in conversation["turns"]]
    assert [one for one in kept if one[0] not in interrupted] == [one for one in texts if one[0] not in interrupted]
    told = [event for event in events if event["type"] in ("TRANSCRIPTION", "RESPONSE")]
    roles = {"TRANSCRIPTION": "user", "RESPONSE": "assistant"}
    assert sorted((event["turn"], roles[event["type"]], event["text"]) for event in told) == texts
    assert {turn["turn"] for turn in conversation["turns"] if turn["interrupted"]} == interrupted
    assert {event["turn"] for event in told if event.get("interrupted")} == interrupted
    for (_, _, as_heard), (_, _, as_confirmed) in zip(kept, texts, strict=True):
        check_beginning(as_heard.split(), as_confirmed.split())
    calls = [one["name"] for turn in conversation["turns"] for one in turn.get("tools", [])]
    assert calls == [message["name"] for message in call.all("tool.finished")]


def check_beginning(as_heard: list[str], as_confirmed: list[str]) -> None:
    """Of an answer that was cut short the transcript has what was heard, and the model says what it takes for heard: near by."""
    both = min(len(as_heard), len(as_confirmed))
    assert as_heard[:both] == as_confirmed[:both]
    assert abs(len(as_heard) - len(as_confirmed)) <= WORDS_APART


def check_figures(call: LongCall, record: Json, seconds: float) -> None:
    """The session's record counts what the client was told."""
    assert abs(record["totalDuration"] - seconds) < 1.0
    assert record["messageCount"] == len(call.texts())


def check_sound(call: LongCall, recording: Json, sound: bytes, seconds: float) -> None:
    """The recording holds every sample that was said and heard, each voice on its side, for as long as the conversation lasted."""
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getframerate(), file.getnchannels()) == (HERTZ, 2)
        stereo = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert abs(len(stereo) / HERTZ - seconds) < 1.0
    assert (recording["droppedMs"], recording["aheadMs"]) == (0, 0)
    np.testing.assert_array_equal(without_silence(stereo[:, 0]), np.concatenate(call.said))
    np.testing.assert_array_equal(without_silence(stereo[:, 1]), without_silence(np.concatenate(call.heard())))

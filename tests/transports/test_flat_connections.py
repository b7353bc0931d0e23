"""Clients of the voice dialect and of the companion over a real socket, with a model that the test drives."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect

from auth.principal import Principal
from auth.principal import Role as Office
from parts.companion import KnownPatients
from s2s.events import (
    AudioOutput,
    ContentEnded,
    ContentStarted,
    ContentType,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextInput,
    TextOutput,
)
from session.errors import UnknownPatient
from session.events import Start
from storage.examples import write_example_patients
from storage.patients import PatientBook, PatientTables
from storage.sqlite import SqliteDatabase
from tests.audio.recorder import record, tone
from tests.transports.coming_back.caller import eventually
from tests.transports.doubles import Rig, denied, running_server
from transports.dialects.interface import PatientFound, StartFor
from transports.patients import NoPatients, introduce
from transports.provisions import Provisions, open_provisions

IDS = ("S", "internal", "K")
TONE = b"\1\1" * 512


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@asynccontextmanager
async def connected(rig: Rig) -> AsyncIterator[ClientConnection]:
    async with connect(rig.address, compression=None) as client:
        yield client


async def example_book(resources: AsyncExitStack) -> PatientBook:
    """Return a book with the example patients."""
    database = SqliteDatabase(":memory:")
    resources.push_async_callback(database.aclose)
    tables = PatientTables()
    for definition in tables.all():
        await database.table(definition).create()
    book = PatientBook(database, tables)
    async for _ in write_example_patients(book, now=datetime.now(UTC)):
        pass
    return book


@asynccontextmanager
async def serving(max_sessions: int = 3) -> AsyncIterator[Rig]:
    """Run a server that decodes, and knows the example patients."""
    async with AsyncExitStack() as resources:
        provisions = await open_provisions(resources, KnownPatients(await example_book(resources)))
        async with running_server(max_sessions=max_sessions, provisions=provisions) as rig:
            yield rig


async def say(client: ClientConnection, kind: str, **data: object) -> None:
    await client.send(json.dumps({"type": kind, "data": data}))


async def told(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the data of the next message of a type, reading over others."""
    while True:
        message = json.loads(await client.recv())
        if message["type"] == kind:
            return dict(message["data"])


def answer(text: str, pcm: bytes = b"\2\2" * 480) -> list[OutputEvent]:
    """Return what the model sends for an answer."""
    return [
        ContentStarted(*IDS, "T", ContentType.TEXT, Role.ASSISTANT, Stage.SPECULATIVE, None),
        TextOutput(*IDS, "T", Role.ASSISTANT, text),
        ContentEnded(*IDS, "T", ContentType.TEXT, StopReason.PARTIAL_TURN),
        ContentStarted(*IDS, "A", ContentType.AUDIO, Role.ASSISTANT, None, 24_000),
        AudioOutput(*IDS, "A", pcm),
        ContentEnded(*IDS, "A", ContentType.AUDIO, StopReason.END_TURN),
    ]


def prompt(rig: Rig) -> str:
    return next(event.content for event in rig.model.streams[-1].opening if isinstance(event, TextInput))


@pytest.mark.req("S0-18", "S2-09", "S2-10", "S2-11", "S2-44")
async def test_what_a_browser_records_reaches_the_model_as_samples() -> None:
    recorded = record(tone(2.0))
    async with serving() as rig, connected(rig) as client:
        await say(client, "voice_start", audioFormat="audio/webm;codecs=opus", sessionId="mine")
        started = await told(client, "voice_session_started")
        for start in range(0, len(recorded), 3_001):
            await say(client, "voice_data", audioData=b64(recorded[start : start + 3_001]), sessionId="mine")
            assert (await told(client, "voice_data_received")) == {"sessionId": "mine"}
        await say(client, "voice_end")
        ended = await told(client, "voice_session_ended")
        stream = rig.model.streams[0]
        await eventually(lambda: len(stream.pcm) > 62_000)
        pcm = np.frombuffer(stream.pcm, "<i2")
        stream.say(*answer("I hear a tone."))
        reply = await told(client, "ai_response")
        speech = await told(client, "audio_response")

    assert started["status"] == "ACTIVE"
    assert pcm.size / 16_000 == pytest.approx(2.0, abs=0.05)
    assert np.abs(np.fft.rfft(pcm[8_000:24_000].astype(np.float64))).argmax() == 440
    assert ended["status"] == "COMPLETED"
    assert reply["content"] == "I hear a tone."
    assert base64.b64decode(speech["audioData"]) == b"\2\2" * 480


@pytest.mark.req("S2-10")
async def test_samples_are_taken_by_a_server_that_decodes_nothing() -> None:
    async with running_server() as rig, connected(rig) as client:
        await say(client, "voice_start")
        refused = await told(client, "error")
        await say(client, "voice_data", audioData=b64(b"of the recorder that was refused"))
        await say(client, "voice_start", audioFormat="pcm")
        await told(client, "voice_session_started")
        await say(client, "voice_data", audioData=b64(TONE))
        stream = await rig.model.stream()
        await eventually(lambda: bool(stream.pcm))

        assert refused["code"] == "unsupported_format"
        assert stream.pcm == TONE
        assert rig.counters.read().get("frame_refused") == 1


@pytest.mark.req("S0-38", "S2-14")
async def test_a_recording_that_cannot_be_read_is_told_once_and_the_next_is_heard() -> None:
    recorded = record(tone(0.5))
    async with serving() as rig, connected(rig) as client:
        await say(client, "voice_start")
        for _ in range(40):
            await say(client, "voice_data", audioData=b64(b"this is no recording"))
        refused = await told(client, "error")
        await say(client, "voice_start")
        await say(client, "voice_data", audioData=b64(recorded))
        stream = await rig.model.stream()
        await eventually(lambda: bool(stream.pcm))

        assert refused["code"] == "invalid_audio"
        assert len(stream.pcm) / 32_000 == pytest.approx(0.5, abs=0.05)
        assert rig.counters.read().get("frame_refused") == 1


@pytest.mark.req("S2-12", "S2-13")
async def test_a_conversation_is_typed_without_ever_being_started() -> None:
    async with running_server() as rig, connected(rig) as client:
        await client.send('{"action":"ping"}')
        await told(client, "pong")
        await say(client, "text_message", content="Hola", sessionId="chat")
        stream = await rig.model.stream()
        received = await told(client, "text_message_received")
        await stream.wait_for(TextInput)
        stream.say(*answer("¡Hola!"))
        reply = await told(client, "ai_response")

        assert "Hola" in stream.texts
        assert (reply["content"], reply["sessionId"], reply["inReplyTo"]) == ("¡Hola!", "chat", received["messageId"])


async def test_a_busy_server_is_told_and_the_same_connection_may_try_again() -> None:
    async with serving(max_sessions=1) as rig, connected(rig) as first, connected(rig) as second:
        await say(first, "text_message", content="Hola")
        await told(first, "text_message_received")
        await say(second, "voice_start", audioFormat="pcm")
        refused = await told(second, "error")
        await first.close()
        await eventually(lambda: rig.registry.live == 0)
        await say(second, "voice_start", audioFormat="pcm")
        await told(second, "voice_session_started")

        assert (refused["code"], refused["retryable"]) == ("server_busy", True)


@pytest.mark.req("S2-14")
async def test_a_model_that_refuses_does_not_make_the_client_connect_again() -> None:
    async with running_server() as rig, connected(rig) as client:
        rig.model.refusal = denied()
        await say(client, "voice_start", audioFormat="pcm", sessionId="mine")
        error = await told(client, "error")
        ended = await told(client, "voice_session_ended")
        rig.model.refusal = None
        await say(client, "voice_start", audioFormat="pcm", sessionId="mine")
        await told(client, "voice_session_started")

        assert error["code"] == "model_refused"
        assert ended["status"] == "ERROR"


@pytest.mark.req("S3-13", "S3-14", "S3-16")
async def test_the_companion_knows_the_patient_that_it_was_told() -> None:
    async with serving() as rig, connected(rig) as client:
        await client.send('{"action":"initSession","patientId":"pt-001"}')
        begun = await client.recv()
        await client.send('{"action":"textInput","text":"Who is Sarah?"}')
        stream = await rig.model.stream()
        await stream.wait_for(TextInput)
        stream.say(*answer("Sarah is your daughter."))
        reply = await client.recv()
        await client.send(json.dumps({"action": "audioInput", "audio": b64(TONE)}))
        await eventually(lambda: bool(stream.pcm))
        stream.say(*answer("She comes on Sunday."))
        frames = [json.loads(await client.recv()) for _ in range(2)]

    assert begun == '{"status":"initialized","patientName":"John"}'
    assert reply == '{"type":"textOutput","text":"Sarah is your daughter.","role":"ASSISTANT"}'
    assert "Sarah, daughter. She visits every Sunday afternoon" in prompt(rig)
    assert "08:00 breakfast" in prompt(rig)
    assert {frame["type"] for frame in frames} == {"textOutput", "audioOutput"}


@pytest.mark.req("S3-13")
async def test_a_patient_whom_nobody_knows_is_refused_and_no_stream_is_opened() -> None:
    async with serving() as rig, connected(rig) as client:
        await client.send('{"action":"initSession","patientId":"pt-404"}')
        error = json.loads(await client.recv())
        await client.send('{"action":"initSession","patientId":"pt-002"}')
        begun = json.loads(await client.recv())

        assert (error["type"], error["code"]) == ("error", "unknown_patient")
        assert begun["patientName"] == "Rose"
        assert len(rig.model.streams) == 1


class John:
    """Somebody who has a family with accounts."""

    name = "John"
    user_ids = frozenset({"family"})

    async def context(self) -> str:
        return "He likes tea."


class OnePatient:
    """Knows him alone."""

    async def find(self, patient_id: str) -> John | None:
        return John() if patient_id == "pt-001" else None


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("principal", [Principal("family"), Principal("nurse", roles=frozenset({Office.OPERATOR}))])
async def test_a_patients_own_people_and_operators_may_talk_to_the_companion(principal: Principal) -> None:
    start, found = await introduce(StartFor("pt-001", Start()), OnePatient(), principal)

    assert (start.context, start.patient_id) == ("He likes tea.", "pt-001")
    assert found == PatientFound("John")


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("patient_id", ["pt-001", "pt-002"])
async def test_others_are_told_the_same_whether_there_is_such_a_patient_or_not(patient_id: str) -> None:
    with pytest.raises(UnknownPatient) as refused:
        await introduce(StartFor(patient_id, Start()), OnePatient(), Principal("somebody"))

    assert refused.value.text == UnknownPatient.message


async def test_without_a_source_of_patients_nobody_is_known() -> None:
    with pytest.raises(UnknownPatient):
        await introduce(StartFor("pt-001", Start()), Provisions().patients, Principal("", roles=frozenset({Office.OPERATOR})))

    assert isinstance(Provisions().patients, NoPatients)

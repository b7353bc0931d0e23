"""Patients talk to their companion, with the product as a user starts it: what the prompt is told, and what the tools look up."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession
from websockets.asyncio.client import ClientConnection, connect

from tests.e2e.speech import Utterance, resampled, silence, speak
from tests.e2e.stack import Stack

ANSWER_SECONDS = 40.0
PIECE_BYTES, PIECE_SECONDS = 3_200, 0.1

type Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Talk:
    """One patient's connection."""

    client: ClientConnection

    async def until(self, kind: str) -> Message:
        """Read up to a message of a type."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while True:
                message: Message = json.loads(await self.client.recv())
                if message.get("type", message.get("status")) == kind:
                    return message

    async def begin(self, patient_id: str) -> Message:
        """Ask for a session with a patient, and return the answer."""
        await self.client.send(json.dumps({"action": "initSession", "patientId": patient_id}))
        message: Message = json.loads(await self.client.recv())
        return message

    async def ask(self, text: str) -> str:
        """Type a question and return the answer."""
        await self.client.send(json.dumps({"action": "textInput", "text": text}))
        return str((await self.until("textOutput"))["text"])

    async def ask_aloud(self, text: str) -> str:
        """Speak a question at the pace of a microphone, hear the answer begin, and return its text."""
        samples = np.concatenate([silence(0.5), speak(Utterance("en-us", text)), silence(2.0)])
        pcm = resampled(samples, 16_000).tobytes()
        for start in range(0, len(pcm), PIECE_BYTES):
            audio = base64.b64encode(pcm[start : start + PIECE_BYTES]).decode()
            await self.client.send(json.dumps({"action": "audioInput", "audio": audio}))
            await asyncio.sleep(PIECE_SECONDS)
        said = str((await self.until("textOutput"))["text"])
        assert len(base64.b64decode((await self.until("audioOutput"))["audio"])) > 0
        return said


@asynccontextmanager
async def talking(stack: Stack, patient_id: str) -> AsyncIterator[Talk]:
    async with connect(stack.socket) as client:
        talk = Talk(client)
        assert (await talk.begin(patient_id))["status"] == "initialized"
        yield talk


async def write(stack: Stack, path: str, body: object) -> Any:
    """Write something as an operator."""
    async with ClientSession() as http, http.post(f"{stack.page}patients{path}", json=body) as response:
        answer = await response.json()
        assert response.status == 201, answer
        return answer["data"]


async def read(stack: Stack, path: str) -> Any:
    """Read something as an operator."""
    async with ClientSession() as http, http.get(f"{stack.page}{path}") as response:
        return (await response.json())["data"]


@pytest.mark.req("S3-13", "S3-14", "S3-16", "S3-17")
async def test_typed_questions_are_answered_from_what_the_session_began_with(stack: Stack) -> None:
    async with talking(stack, "pt-001") as john:
        sarah = await john.ask("Who is Sarah?")
        morning = await john.ask("What do I do this morning?")

    assert sarah == "Sarah is your daughter, and she visits you every Sunday."
    assert morning.startswith("You have breakfast at eight, take your blue tablet with it")


@pytest.mark.req("S3-16")
async def test_what_is_written_down_while_they_talk_is_looked_up_by_the_tools(stack: Stack) -> None:
    await write(stack, "", {"id": "pt-ann", "name": "Ann"})
    async with talking(stack, "pt-ann") as ann:
        before = await ann.ask("Who is Sarah?")
        await write(stack, "/pt-ann/relatives", {"name": "Sarah", "relation": "sister", "about": "She lives next door."})
        await write(stack, "/pt-ann/routine", {"part": "morning", "what": "yoga", "at": "07:15"})
        after = await ann.ask("who is SÁRAH?")
        morning = await ann.ask("What do I do this morning?")

    assert before == "I do not know anybody of that name. Shall we ask your family?"
    assert after == "Sarah is your sister. She lives next door."
    assert morning == "In the morning: 07:15 yoga."


@pytest.mark.speech
@pytest.mark.req("S3-15", "S3-16")
async def test_spoken_questions_are_answered_from_what_the_session_began_with(stack: Stack) -> None:
    async with talking(stack, "pt-001") as john:
        sarah = await john.ask_aloud("Who is Sarah?")
        morning = await john.ask_aloud("What do I do this morning?")

    assert sarah == "Sarah is your daughter, and she visits you every Sunday."
    assert morning.startswith("You have breakfast at eight, take your blue tablet with it")


@pytest.mark.speech
@pytest.mark.req("S3-16")
async def test_a_spoken_question_about_the_morning_is_answered_by_the_tools(stack: Stack) -> None:
    async with talking(stack, "pt-002") as rose:
        morning = await rose.ask_aloud("What do I do this morning?")

    assert morning == "In the morning: 07:30 feeding Milo, the cat; 08:00 breakfast with the newspaper."


@pytest.mark.speech
@pytest.mark.req("S3-16")
async def test_a_spoken_question_is_answered_by_the_tools(stack: Stack) -> None:
    async with talking(stack, "pt-002") as rose:
        peter = await rose.ask_aloud("Who is Peter?")

    assert peter == "Peter is your son. They live together, and he comes home from work at five."


@pytest.mark.req("S3-16")
async def test_a_reminder_is_written_down_by_voice_and_read_by_an_operator(stack: Stack) -> None:
    async with talking(stack, "pt-002") as rose:
        written = await rose.ask("Remind me to water the plants at ten in the morning")
        listed = await rose.ask("What are my reminders?")
        stored = await read(stack, "patients/pt-002/reminders")
        done = await rose.ask("Mark water the plants as done")
        left = await read(stack, "patients/pt-002/reminders")

    assert written.startswith("I will remind you to water the plants, ")
    assert "water the plants" in listed
    assert [one["what"] for one in stored] == ["water the plants"]
    assert done.startswith("Well done!")
    assert left == []


@pytest.mark.req("S3-07")
async def test_asking_for_help_sends_for_the_people_who_look_after_the_patient(stack: Stack) -> None:
    async with talking(stack, "pt-001") as john:
        said = await john.ask("I have fallen")
    alerts = [one for one in await read(stack, "alerts") if one["code"] == "patient_needs_help"]

    assert said == "I have told the people who look after you. Stay calm, I am here with you."
    assert [one["message"] for one in alerts] == ["John: asks for help"]


@pytest.mark.req("S3-16")
async def test_two_patients_who_talk_at_once_never_mix(stack: Stack) -> None:
    async with talking(stack, "pt-001") as john, talking(stack, "pt-002") as rose:
        for _ in range(3):
            johns, roses = await asyncio.gather(john.ask("Who is Peter?"), rose.ask("Who is Peter?"))
            assert johns == "I do not know anybody of that name. Shall we ask your family?"
            assert roses == "Peter is your son. They live together, and he comes home from work at five."
            johns, roses = await asyncio.gather(john.ask("What do I do this evening?"), rose.ask("What do I do this evening?"))
            assert johns == "In the evening: 19:00 listening to music; 21:00 going to bed."
            assert roses == "In the evening: 18:00 dinner with Peter."


@pytest.mark.req("S3-13")
async def test_an_unknown_patient_is_a_clear_error_and_the_connection_goes_on(stack: Stack) -> None:
    async with connect(stack.socket) as client:
        talk = Talk(client)
        refused = await talk.begin("pt-404")
        begun = await talk.begin("pt-001")

    assert (refused["type"], refused["code"], refused["message"]) == ("error", "unknown_patient", "There is no such patient.")
    assert begun == {"status": "initialized", "patientName": "John"}

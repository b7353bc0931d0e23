"""A session that names no voice begins with the one that its user likes best, if that is known in time."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect

from s2s.events import PromptStart
from session.events import Start
from tests.transports.doubles import Rig, running_server
from transports.preferences import NoPreferences, PreferredVoice
from transports.provisions import Provisions


class Tastes:
    """Knows what users like, at once or when it is let."""

    def __init__(self, **voices: str) -> None:
        self.voices = voices
        self.may_tell = asyncio.Event()
        self.may_tell.set()

    async def voice_of(self, user_id: str) -> str:
        await self.may_tell.wait()
        return self.voices.get(user_id, "")


@asynccontextmanager
async def talking(tastes: Tastes, user: str) -> AsyncIterator[tuple[Rig, ClientConnection]]:
    async with running_server(provisions=Provisions(preferences=tastes)) as rig:
        address = f"{rig.address}?userId={user}" if user else rig.address
        async with connect(address, compression=None) as socket:
            yield rig, socket


async def voice_of(rig: Rig, socket: ClientConnection, number: int = 1, data: Mapping[str, str] | None = None) -> str:
    """Begin a session and return with which voice the model is asked to speak."""
    await socket.send(json.dumps({"type": "voice_start", "data": {"audioFormat": "pcm", "sampleRate": 8_000 * number, **(data or {})}}))
    while json.loads(await socket.recv())["type"] != "voice_session_started":
        pass
    stream = await rig.model.stream(number)
    (prompt,) = [event for event in stream.opening if isinstance(event, PromptStart)]
    return prompt.voice_id


@pytest.mark.req("S0-67")
@pytest.mark.parametrize(
    ("user", "data", "voice"),
    [
        ("eva", {}, "tiffany"),
        ("eva", {"language": "en"}, "tiffany"),
        ("eva", {"voice": "lupe"}, "lupe"),
        ("ada", {}, "carlos"),
        ("", {}, "carlos"),
        ("old", {}, "carlos"),
    ],
)
async def test_the_model_is_opened_with_the_voice_that_counts(user: str, data: dict[str, str], voice: str) -> None:
    async with talking(Tastes(eva="tiffany", old="a voice that was taken away"), user) as (rig, socket):
        assert await voice_of(rig, socket, data=data) == voice


@pytest.mark.req("S0-67")
async def test_the_next_session_of_a_connection_has_what_is_liked_by_then(monkeypatch: pytest.MonkeyPatch) -> None:
    tastes = Tastes(eva="tiffany")
    async with talking(tastes, "eva") as (rig, socket):
        first = await voice_of(rig, socket)
        tastes.voices["eva"] = "lupe"
        second = await voice_of(rig, socket, 2)
        monkeypatch.setattr("transports.preferences.KNOWN_SECONDS", 0.01)
        tastes.may_tell.clear()
        third = await voice_of(rig, socket, 3)
        tastes.may_tell.set()

    assert (first, second, third) == ("tiffany", "lupe", "carlos")


@pytest.mark.req("S0-67")
async def test_a_session_with_a_patient_and_one_whose_client_chooses_keep_their_voices() -> None:
    async with asyncio.TaskGroup() as tasks:
        preferred = PreferredVoice(Tastes(eva="tiffany"), "eva")
        preferred.look_up(tasks)
        kept = [await preferred.with_voice(start) for start in (Start(patient_id="p1"), Start(voice_id="lupe"))]
        liked = await preferred.with_voice(Start())
        nobody = PreferredVoice(NoPreferences(), "eva")
        nobody.look_up(tasks)

    assert kept == [Start(patient_id="p1"), Start(voice_id="lupe")]
    assert liked == Start(preferred_voice_id="tiffany")
    assert await nobody.with_voice(Start()) == Start()

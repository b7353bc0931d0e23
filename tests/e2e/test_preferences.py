"""The voice that a user likes best, from the request that says so to the opening that the model receives."""

import asyncio
import json
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from nova_sonic_local.brains.interface import Prompt
from storage.errors import StorageUnavailable
from tests.e2e.test_deliveries import WAV, serving, until
from tests.e2e.test_events import Server
from tests.service.stage import spoken

pytestmark = pytest.mark.timeout(60)
OWN = "carlos"
"""The assistant's own voice in Spanish."""


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


async def talk(server: Server, user: str, **data: str) -> None:
    """Have a conversation until the model listens."""
    headers = {"Authorization": f"Bearer {server.token(user)}"}
    async with connect(f"ws://127.0.0.1:{server.port}/", additional_headers=headers) as socket:
        await socket.send(json.dumps({"type": "voice_start", "data": {"audioFormat": "pcm", "language": "es", **data}}))
        await until(socket, "voice_session_started")


@pytest.mark.req("S0-67")
async def test_the_model_is_opened_with_the_voice_that_its_user_asked_for(tmp_path: Path) -> None:
    prompts: list[Prompt] = []
    async with serving(tmp_path, prompts) as server:
        noted, _ = await server.ask("PUT", "/users/eva/preferences", "eva", json={"voiceId": "lupe"})
        foreign, _ = await server.ask("PUT", "/users/eva/preferences", "ada", json={"voiceId": "tiffany"})
        await talk(server, "eva")
        await talk(server, "ada")
        await talk(server, "eva", voice="tiffany")
        _, made = await server.ask("POST", "/voice-sessions", "eva", json={"metadata": {"language": "es"}})
        heard, _ = await server.ask("POST", f"/voice-sessions/{made['data']['sessionId']}/audio", "eva", data=spoken(300), headers=WAV)
        erased, _ = await server.ask("DELETE", "/users/eva/conversations", "eva")
        await talk(server, "eva")

    assert (noted, foreign, heard, erased) == (200, 404, 200, 200)
    assert [prompt.voice_id for prompt in prompts] == ["lupe", OWN, "tiffany", "lupe", OWN]


@pytest.mark.req("S0-45", "S0-67")
async def test_with_the_table_away_everybody_is_answered_with_the_assistants_own_voice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[Prompt] = []

    async def away(*_: object) -> None:
        raise StorageUnavailable("away")

    async with serving(tmp_path, prompts) as server:
        await server.ask("PUT", "/users/eva/preferences", "eva", json={"voiceId": "lupe"})
        monkeypatch.setattr("storage.preferences.UserPreferences.get", away)
        async with asyncio.timeout(10):
            await talk(server, "eva")

    assert [prompt.voice_id for prompt in prompts] == [OWN]

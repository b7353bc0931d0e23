"""Preferences over plain HTTP: one's own, and for operators everybody's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientSession, web

from api import conversations as conversations_api
from api import preferences as preferences_api
from api.app import build_app
from api.preferences import DESK, PreferenceDesk
from s2s.models import DEFAULT_MODEL_ID, capabilities
from storage.conversations import Conversations
from storage.preferences import UserPreferences
from storage.sqlite import SqliteDatabase
from storage.tables import conversations_table, voice_sessions_table
from tests.api.people import NamedPeople
from tests.api.raw import serving
from tests.storage.databases import StandingClock
from transports.origins import OriginPolicy

TIFFANY = {"voiceId": "tiffany"}


@dataclass
class Rig:
    """A server of the API, and what is behind it."""

    port: int
    preferences: UserPreferences

    async def ask(self, method: str, user: str = "eva", who: str = "eva", what: str = "preferences", **more: Any) -> tuple[int, Any]:
        address = f"http://127.0.0.1:{self.port}/users/{user}/{what}"
        async with ClientSession(headers={"Authorization": f"Bearer {who}"}) as http, http.request(method, address, **more) as answer:
            told = await answer.json()
            return answer.status, told.get("data") or told["error"]["code"]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock = StandingClock()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    tables = [database.table(define()) for define in (voice_sessions_table, conversations_table)]
    for table in tables:
        await table.create()
    preferences, said = UserPreferences(tables[0], clock), Conversations(tables[1])
    parts: dict[web.AppKey[Any], object] = {
        DESK: PreferenceDesk(preferences, capabilities(DEFAULT_MODEL_ID)),
        conversations_api.CONVERSATIONS: said,
    }
    groups = [preferences_api.OPERATIONS, conversations_api.OPERATIONS]
    async with serving(build_app(groups, authenticator=NamedPeople(), origins=OriginPolicy(), parts=parts)) as port:
        yield Rig(port, preferences)
    await database.aclose()


@pytest.mark.req("S0-67")
async def test_a_user_says_changes_and_forgets_what_they_prefer(rig: Rig) -> None:
    none = {"userId": "eva", "voiceId": None}
    noted = {"userId": "eva", "voiceId": "tiffany", "updatedAt": "2030-01-16T15:00:00.000Z"}

    assert await rig.ask("GET") == (200, none)
    assert await rig.ask("PUT", json=TIFFANY) == (200, noted)
    assert await rig.ask("GET") == (200, noted)
    assert await rig.ask("DELETE") == (200, none)
    assert await rig.ask("DELETE") == (200, none)
    assert await rig.ask("GET") == (200, none)


@pytest.mark.req("S0-67", "S0-35")
@pytest.mark.parametrize(
    ("body", "code"),
    [({"voiceId": "hal"}, "rule_broken"), ({"voiceId": ""}, None), ({"voiceId": "x" * 65}, None), ({}, None), ({"voice": "tiffany"}, None)],
)
async def test_a_voice_that_the_model_does_not_have_is_refused(rig: Rig, body: dict[str, str], code: str | None) -> None:
    status, refused = await rig.ask("PUT", json=body)

    assert status in (400, 422)
    assert code in (None, refused)
    assert await rig.preferences.get("eva") is None


@pytest.mark.req("S0-54", "S0-67")
async def test_the_preferences_of_somebody_else_are_nobodys_but_an_operators(rig: Rig) -> None:
    await rig.preferences.set_voice("eva", "tiffany")
    foreign = [await rig.ask(method, who="ada", json=TIFFANY if method == "PUT" else None) for method in ("GET", "PUT", "DELETE")]
    status, _ = await rig.ask("PUT", who="op", json={"voiceId": "lupe"})
    found = await rig.preferences.get("eva")

    assert foreign == [(404, "not_found")] * 3
    assert status == 200
    assert found is not None
    assert found.voice_id == "lupe"


@pytest.mark.req("S1-28", "S0-67")
async def test_erasing_a_user_removes_what_they_prefer(rig: Rig) -> None:
    await rig.preferences.set_voice("eva", "tiffany")
    await rig.preferences.set_voice("ada", "lupe")
    refused, _ = await rig.ask("DELETE", "ada", "eva", "conversations")
    status, _ = await rig.ask("DELETE", "eva", "eva", "conversations")

    assert (refused, status) == (404, 200)
    assert await rig.preferences.get("eva") is None
    assert await rig.preferences.get("ada") is not None

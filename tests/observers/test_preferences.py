"""The voice that a user likes best, in time for the conversation or not at all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from observers.preferences import AWAY_SECONDS, LOOK_UP_SECONDS, PreferredVoices
from storage.errors import StorageError, StorageUnavailable
from storage.preferences import Preferences, UserPreferences
from storage.sqlite import SqliteDatabase
from storage.table import Key
from storage.tables import voice_sessions_table
from telemetry.counters import Counters
from tests.storage.databases import StandingClock


class Moody(UserPreferences):
    """The repository, which can be slow or away."""

    failure: StorageError | None = None
    is_slow = False
    asked = 0

    async def get(self, user_id: str) -> Preferences | None:
        self.asked += 1
        if self.is_slow:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return await super().get(user_id)


@dataclass
class Rig:
    """What looks up, and what is looked up."""

    voices: PreferredVoices
    preferences: Moody
    counters: Counters
    clock: StandingClock


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, counters = StandingClock(), Counters()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    table = database.table(voice_sessions_table())
    await table.create()
    preferences = Moody(table, clock)
    yield Rig(PreferredVoices(preferences, counters, clock.seconds), preferences, counters, clock)
    await database.aclose()


@pytest.mark.req("S0-67")
async def test_each_user_has_the_voice_that_they_asked_for(rig: Rig) -> None:
    await rig.preferences.set_voice("eva", "tiffany")

    assert [await rig.voices.voice_of(user) for user in ("eva", "ada", "")] == ["tiffany", "", ""]
    assert rig.counters.read()["preference_found"] == 1


@pytest.mark.req("S0-67", "S0-45")
@pytest.mark.parametrize("is_slow", [True, False])
async def test_a_store_that_does_not_answer_is_waited_for_once_and_left_alone_for_a_while(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, *, is_slow: bool
) -> None:
    monkeypatch.setattr("observers.preferences.LOOK_UP_SECONDS", 0.01)
    await rig.preferences.set_voice("eva", "tiffany")
    rig.preferences.is_slow = is_slow
    rig.preferences.failure = None if is_slow else StorageUnavailable("away")
    away = [await rig.voices.voice_of("eva") for _ in range(3)]
    rig.preferences.is_slow, rig.preferences.failure = False, None
    asked = rig.preferences.asked
    rig.clock.advance(seconds=AWAY_SECONDS)

    assert (away, asked) == (["", "", ""], 1)
    assert await rig.voices.voice_of("eva") == "tiffany"
    assert rig.counters.read()["preference_not_known"] == 1
    assert LOOK_UP_SECONDS <= 0.25


async def test_a_name_that_nobody_can_have_or_a_record_that_is_none_keeps_nobody_elses_from_being_known(rig: Rig) -> None:
    await rig.preferences.set_voice("eva", "tiffany")
    table = rig.preferences._table
    await table.put({"PK": Key("USER#odd", "PREFERENCES").partition, "SK": "PREFERENCES", "voiceId": "lupe"})

    assert [await rig.voices.voice_of(user) for user in ("x" * 300, "odd", "eva")] == ["", "", "tiffany"]

"""What users prefer, on every driver."""

import pytest

from storage.errors import InvalidRequest
from storage.preferences import Preferences, UserPreferences
from storage.table import Database, Key
from storage.tables import voice_sessions_table
from storage.voice_sessions import VoiceSessions
from tests.storage.databases import StandingClock


@pytest.fixture
async def sessions(database: Database, clock: StandingClock, prefix: str) -> VoiceSessions:
    table = database.table(voice_sessions_table(f"{prefix}-voice-sessions"))
    await table.create()
    return VoiceSessions(table, clock)


@pytest.fixture
def preferences(sessions: VoiceSessions, clock: StandingClock) -> UserPreferences:
    return UserPreferences(sessions.table, clock)


@pytest.mark.req("S0-67")
async def test_what_was_said_last_counts_until_it_is_forgotten(preferences: UserPreferences, clock: StandingClock) -> None:
    before = await preferences.get("eva")
    await preferences.set_voice("eva", "tiffany")
    clock.advance(seconds=60)
    said = await preferences.set_voice("eva", "lupe")
    found = await preferences.get("eva")
    for _ in range(2):
        await preferences.forget("eva")

    assert before is None
    assert found == said == Preferences("eva", "lupe", clock())
    assert await preferences.get("eva") is None


@pytest.mark.req("S0-54", "S0-67")
async def test_nobody_has_the_preferences_of_somebody_else(preferences: UserPreferences) -> None:
    names = ["eva", "eva ", "EVA", "eva#PREFERENCES", "é", "x" * 256]
    for number, name in enumerate(names):
        await preferences.set_voice(name, f"voice-{number}")
    await preferences.forget("eva")
    found = [await preferences.get(name) for name in names]

    assert [one and one.voice_id for one in found] == [None, "voice-1", "voice-2", "voice-3", "voice-4", "voice-5"]


@pytest.mark.parametrize(("user", "voice"), [("", "tiffany"), ("x" * 257, "tiffany"), ("eva", ""), ("eva", "v" * 65)])
async def test_what_cannot_be_a_user_or_a_voice_is_refused(preferences: UserPreferences, user: str, voice: str) -> None:
    with pytest.raises(InvalidRequest):
        await preferences.set_voice(user, voice)


async def test_they_are_no_session_of_their_user(preferences: UserPreferences, sessions: VoiceSessions) -> None:
    await preferences.set_voice("eva", "tiffany")
    item = await sessions.table.get(Key("USER#eva", "PREFERENCES"))

    assert item is not None
    assert (await sessions.of_user("eva")).records == ()
    assert await sessions.sweep() == ()

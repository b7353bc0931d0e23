"""Recordings in every store of objects: written in parts while the conversation goes on, found by session, removed at once."""

from datetime import timedelta

import pytest

from observers.recording_upkeep import RecordingUpkeep
from storage.objects import ObjectStore, owner_mark
from storage.recordings import Recordings, RecordingState
from telemetry.counters import Counters
from tests.observers.recorded_calls import CALLER, CODES, Call, Desk, channels


@pytest.mark.req("S0-23", "S0-43", "S0-54")
async def test_a_conversation_is_recorded_to_the_sample(objects: ObjectStore, place: str) -> None:
    desk = Desk(objects)
    call = Call(desk, (8_000, 8_000), place)
    call.speak(2, 2.0)
    await call.run(6.0)
    await desk.end(call.tape)
    recording, file = await desk.only(place)
    info = await objects.head(recording.key)
    await desk.close()

    assert channels(file)[0] == [(CALLER + at) % CODES for at in range(6 * 8_000)]
    assert recording.state is RecordingState.COMPLETE
    assert info is not None
    assert (info.content_type, info.metadata) == ("audio/wav", {"owner": owner_mark("ana")})
    assert [one.key for one in (await objects.list(f"voice-sessions/{place}/")).objects] == [recording.key, recording.notes_key]


async def test_what_was_left_behind_is_completed_and_said_to_break_off(objects: ObjectStore, place: str) -> None:
    desk = Desk(objects)
    call = Call(desk, (8_000, 8_000), place)
    await call.run(6.0)
    await RecordingUpkeep(desk.recordings, Counters(), keep_days=None, left_for=timedelta(0)).look()
    recording, file = await desk.only(place)

    assert recording.state is RecordingState.CUT
    assert len(channels(file)[0]) >= 2 * 8_000


async def test_what_is_removed_is_gone_as_a_whole(objects: ObjectStore, place: str) -> None:
    desk = Desk(objects)
    call, other = Call(desk, (8_000, 8_000), place), Call(desk, (8_000, 8_000), f"{place}-1")
    await call.run(0.5)
    await desk.end(call.tape, other.tape)
    await desk.recordings.delete(place)

    assert await desk.recordings.of_session(place) == ()
    assert (await objects.list(f"voice-sessions/{place}/")).objects == ()
    assert len(await desk.recordings.of_session(f"{place}-1")) == 1
    await desk.close()


@pytest.mark.parametrize("session_id", ["", "..", "a/b", "-", "x" * 300])
async def test_no_session_has_an_id_that_is_a_path(objects: ObjectStore, session_id: str) -> None:
    assert await Recordings(objects).of_session(session_id) == ()


async def test_what_is_no_metadata_of_ours_is_left_aside(objects: ObjectStore, place: str) -> None:
    for name, text in (("metadata.json", b"{"), ("metadata-1.json", b"[]"), ("metadata-2.json", b'{"sessionId": "s"}')):
        await objects.put(f"voice-sessions/{place}/{name}", text, "application/json")

    assert await Recordings(objects).of_session(place) == ()

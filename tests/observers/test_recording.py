"""Recordings of conversations: what is in the file is what was said and heard, to the sample."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from observers.recording_encoders import choose_studio
from session.events import EndReason
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.objects import owner_mark
from storage.recordings import RecordingFormat, RecordingState
from tests.observers.recorded_calls import ASSISTANT, BEGAN_AT, CALLER, CODES, Call, Desk, NearPress, channels, label
from tests.observers.test_recording_encoders import decoded


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FolderStore]:
    folder = FolderStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/recordings/content")
    yield folder
    await folder.aclose()


@pytest.fixture
async def desk(store: FolderStore) -> AsyncIterator[Desk]:
    made = Desk(store)
    yield made
    await made.close()


def jitter(number: int) -> float:
    """Return up to 200 ms, without a pattern and always the same."""
    return (number * 7_919 % 101) / 505


async def test_the_callers_voice_is_there_to_the_sample_from_where_it_began(desk: Desk) -> None:
    call = Call(desk)
    await call.run(4.0)
    await desk.end(call.tape)
    left, right, hertz = channels((await desk.only())[1])

    assert hertz == 24_000
    assert left == [(CALLER + at) % CODES for at in range(4 * 24_000)]
    assert set(right) == {-1}


async def test_jitter_of_the_network_leaves_no_trace_but_one_offset(desk: Desk) -> None:
    call = Call(desk, delay=jitter)
    await call.run(6.0)
    await desk.end(call.tape)
    left, _, _ = channels((await desk.only())[1])
    said = left[left.index(CALLER) : left.index(CALLER) + round(5.7 * 24_000)]

    assert said == [(CALLER + at) % CODES for at in range(len(said))]
    assert left.index(CALLER) <= 0.2 * 24_000


async def test_the_assistant_is_where_the_listener_is_at_every_moment(desk: Desk) -> None:
    call = Call(desk)
    await call.run(0.5)
    call.speak(2, 3.0)
    await call.run(3.5)
    call.speak(4, 1.0, ASSISTANT + 80_000)
    await call.run(1.5)
    await desk.end(call.tape)
    _, right, hertz = channels((await desk.only())[1])

    for second, turn, sample in call.heard:
        at = round(second * hertz) - 1
        if turn == 2 and 0 < sample < 3 * hertz:
            assert right[at] == (ASSISTANT + sample - 1) % CODES
    assert [place for place in right if place >= 0] == [
        *((ASSISTANT + at) % CODES for at in range(3 * hertz)),
        *((ASSISTANT + 80_000 + at) % CODES for at in range(hertz)),
    ]


async def test_what_was_not_heard_is_not_recorded_to_the_sample(desk: Desk) -> None:
    call = Call(desk)
    call.speak(2, 10.0)
    await call.run(3.0)
    heard_ms = call.interrupt()
    await call.run(1.0)
    call.speak(4, 0.5, ASSISTANT + 300_000)
    await call.run(1.5)
    await desk.end(call.tape)
    recording, file = await desk.only()
    _, right, hertz = channels(file)
    first = heard_ms * hertz // 1_000

    assert 2_900 <= heard_ms <= 3_000
    assert [place for place in right if place >= 0] == [
        *((ASSISTANT + at) % CODES for at in range(first)),
        *((ASSISTANT + 300_000 + at) % CODES for at in range(hertz // 2)),
    ]
    assert [(one.turn, one.heard_ms, one.at_ms, one.unheard_ms) for one in recording.figures.interruptions] == [(2, heard_ms, heard_ms, 0)]


async def test_a_caller_who_hangs_up_heard_nothing_of_what_was_on_its_way(desk: Desk) -> None:
    call = Call(desk)
    call.speak(2, 5.0)
    await call.run(2.0)
    await desk.end(call.tape)
    _, right, hertz = channels((await desk.only())[1])

    assert right == [(ASSISTANT + at) % CODES for at in range(2 * hertz)]


@pytest.mark.req("S0-23", "S0-43")
async def test_the_file_and_what_is_known_of_it_lie_under_the_session(desk: Desk, store: FolderStore) -> None:
    call = Call(desk)
    call.speak(2, 1.0)
    await call.run(2.0)
    await desk.end(call.tape, reason=EndReason.OPERATOR)
    recording, _ = await desk.only()
    keys = [one.key for one in (await store.list("")).objects]
    infos = [await store.head(key) for key in keys]

    assert keys == ["voice-sessions/s1/audio-20300116T150000250Z.wav", "voice-sessions/s1/metadata.json"]
    assert [(one.content_type, one.metadata) for one in infos if one is not None] == [
        ("audio/wav", {"owner": owner_mark("ana")}),
        ("application/json", {"owner": owner_mark("ana")}),
    ]
    assert (recording.state, recording.reason, recording.user_id) == (RecordingState.COMPLETE, "operator", "ana")
    assert (recording.began_at, recording.ended_at) == (BEGAN_AT, BEGAN_AT + timedelta(seconds=2))
    assert (recording.figures.samples, recording.figures.caller_samples, recording.figures.assistant_samples) == (48_000, 48_000, 24_000)
    assert (recording.figures.dropped_ms, recording.figures.caller_gaps, recording.figures.ahead_ms) == (0, 0, 0)


async def test_what_is_known_is_there_from_the_beginning(desk: Desk) -> None:
    call = Call(desk)
    await call.run(0.25)
    (recording,) = await desk.recordings.of_session("s1")

    assert (recording.state, recording.ended_at) == (RecordingState.RUNNING, None)
    await desk.end(call.tape)


@pytest.mark.parametrize(("rates", "hertz"), [((16_000, 24_000), 24_000), ((8_000, 8_000), 8_000), ((16_000, 8_000), 16_000)])
async def test_both_voices_have_the_higher_rate_of_the_two(desk: Desk, rates: tuple[int, int], hertz: int) -> None:
    call = Call(desk, rates)
    call.speak(2, 1.0)
    await call.run(3.0)
    await desk.end(call.tape)
    recording, file = await desk.only()
    left, right, found = channels(file)

    assert (recording.hertz, found) == (hertz, hertz)
    assert (len(left), len(right)) == (3 * hertz, 3 * hertz)
    assert abs(left.index(next(place for place in left if place >= 0))) <= hertz // 100


@pytest.mark.parametrize("kind", [RecordingFormat.WEBM, RecordingFormat.OGG, RecordingFormat.FLAC])
async def test_every_format_can_be_played_and_lasts_as_long(store: FolderStore, kind: RecordingFormat) -> None:
    desk = Desk(store, press=NearPress(choose_studio(kind)))
    call = Call(desk, (16_000, 24_000))
    call.speak(2, 1.0)
    await call.run(4.0)
    await desk.end(call.tape)
    recording, file = await desk.only()
    await desk.close()

    assert recording.key.endswith(f".{kind.value}")
    assert abs(decoded(file).shape[1] - 4 * 24_000) <= 24_000 * 0.03


async def test_a_session_that_another_process_had_keeps_what_that_one_recorded(desk: Desk) -> None:
    first = Call(desk)
    await first.run(1.0)
    await desk.end(first.tape, reason=EndReason.PARKED)
    tape = desk.begin(replace(label(), is_adopted=True, began_at=BEGAN_AT + timedelta(seconds=2)))
    desk.now += 1.0
    await desk.end(tape)
    before, after = await desk.recordings.of_session("s1")

    assert (before.reason, after.reason, after.is_continued) == ("parked", "client", True)
    assert before.key != after.key


async def test_only_assistants_that_say_so_are_recorded(store: FolderStore) -> None:
    desk = Desk(store, assistants=frozenset({"buddy"}))

    assert desk.desk.attend(label(assistant="carlos")) is None
    assert desk.desk.attend(label("s2", assistant="buddy")) is not None
    await desk.close()


async def test_no_more_than_the_operator_allows_are_recorded_at_once(store: FolderStore) -> None:
    desk = Desk(store, at_once=2)
    tapes = [desk.begin(label("s1")), desk.begin(label("s2"))]

    assert desk.desk.attend(label("s3")) is None
    assert desk.counters.read()["recording_refused"] == 1
    await desk.end(*tapes)
    assert desk.desk.attend(label("s4")) is not None
    await desk.close()


async def test_conversations_at_once_are_held_apart(store: FolderStore) -> None:
    desk = Desk(store, at_once=20)
    calls = [Call(desk, session_id=f"s{number}") for number in range(12)]
    for number, call in enumerate(calls):
        call.speak(2, 0.5, 1_000 * number)
    began = desk.now
    for call in calls:
        desk.now = began
        await call.run(1.0)
    await desk.end(*(call.tape for call in calls))
    for number in range(12):
        _, right, _ = channels((await desk.only(f"s{number}"))[1])
        assert [place for place in right if place >= 0] == [1_000 * number + at for at in range(12_000)]
    await desk.close()


async def test_a_minute_of_interruptions_and_jitter_stays_aligned(desk: Desk) -> None:
    call = Call(desk, delay=jitter)
    for turn in range(2, 22, 2):
        call.speak(turn, 4.0, ASSISTANT)
        await call.run(2.5)
        if turn % 4 == 0:
            call.interrupt()
        else:
            await call.run(2.0)
        await call.run(0.5)
    await desk.end(call.tape)
    recording, file = await desk.only()
    left, right, hertz = channels(file)
    starts = [at for at, (before, place) in enumerate(pairwise(right), 1) if before == -1 and place == ASSISTANT]

    assert all(place == (CALLER + at - left.index(CALLER)) % CODES for at, place in enumerate(left) if place >= 0)
    assert len(starts) == 9
    assert len(recording.figures.interruptions) == 5
    assert recording.figures.samples == len(left) == len(right)
    for one in recording.figures.interruptions:
        at = one.at_ms * hertz // 1_000
        assert (right[at - 1] >= 0, right[at]) == (True, -1)

"""Recordings when something goes wrong: nobody waits, memory is bounded, and what is lost is silence that is counted."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import override

import pytest

from observers.recording_encoders import Encoder, PlainRiser, Studio, WavEncoder
from observers.recording_tape import WAITING_BYTES as TAPE_BYTES
from observers.recording_tape import WAITING_ENTRIES, RecordingTape, Sound
from observers.recording_upkeep import RecordingUpkeep
from observers.recording_work import WAITING_BYTES
from session.events import EndReason, SpeechChunk
from storage.errors import StorageUnavailable
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.recordings import Recording, RecordingFormat, Recordings, RecordingState
from telemetry.counters import Counters
from tests import needs
from tests.observers.recorded_calls import CALLER, CODES, Call, Desk, NearPress, channels, gave_way, label
from tests.observers.test_recording_encoders import decoded

PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from observers.recording_press import ProcessPress
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.recordings import RecordingFormat
from tests.observers.recorded_calls import Call, Desk

async def main() -> None:
    store = FolderStore(Path(sys.argv[1]), LinkSigner([bytes(32)]), "/")
    call = Call(Desk(store, press=ProcessPress(RecordingFormat(sys.argv[2])), part_seconds=float(sys.argv[3])), (8_000, 8_000))
    call.speak(2, 10.0)
    await call.run(20.0)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


class MoodyStore(FolderStore):
    """A folder that can be away, or not answer."""

    mood = "fine"

    @override
    async def _run[T](self, call: Callable[[], T]) -> T:
        if self.mood == "hangs":
            await asyncio.Event().wait()
        if self.mood == "away":
            raise StorageUnavailable("away")
        return await super()._run(call)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[MoodyStore]:
    folder = MoodyStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/recordings/content")
    yield folder
    await folder.aclose()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observers.backlog.AWAY_SECONDS", (0.001,))
    monkeypatch.setattr("observers.backlog.CLOSE_SECONDS", 0.2)
    monkeypatch.setattr("observers.recording.END_SECONDS", 0.2)


async def back(desk: Desk, store: MoodyStore) -> None:
    """Let the store be there again, and everybody know."""
    store.mood = "fine"
    desk.waits = True
    await desk.desk._backlog.written()


async def test_an_outage_that_fits_into_memory_costs_nothing(store: MoodyStore) -> None:
    desk = Desk(store)
    call = Call(desk, (8_000, 8_000))
    await call.run(3.0)
    store.mood, desk.waits = "away", False
    await call.run(20.0)
    await back(desk, store)
    await call.run(3.0)
    await desk.end(call.tape)
    recording, file = await desk.only()
    await desk.close()

    assert channels(file)[0] == [(CALLER + at) % CODES for at in range(26 * 8_000)]
    assert (recording.state, recording.figures.dropped_ms) == (RecordingState.COMPLETE, 0)


async def test_a_longer_outage_leaves_silence_that_is_counted_and_everything_else_in_its_place(store: MoodyStore) -> None:
    desk = Desk(store)
    call = Call(desk, (24_000, 24_000))
    await call.run(3.0)
    store.mood, desk.waits = "away", False
    await call.run(40.0)
    waiting = desk.desk._jobs[0].reel.waiting_bytes
    await back(desk, store)
    await call.run(5.0)
    await desk.end(call.tape)
    recording, file = await desk.only()
    left = channels(file)[0]
    silent = sum(place < 0 for place in left)
    await desk.close()

    assert waiting <= WAITING_BYTES + 20_000
    assert len(left) == 48 * 24_000
    assert all(place in (-1, (CALLER + at) % CODES) for at, place in enumerate(left))
    assert 10_000 < recording.figures.dropped_ms < 30_000
    assert silent == recording.figures.dropped_ms * 24


async def test_a_store_that_hangs_holds_nobody_up_and_the_end_is_bounded(store: MoodyStore) -> None:
    desk = Desk(store)
    store.mood, desk.waits = "hangs", False
    call = Call(desk, (8_000, 8_000))
    await call.run(10.0)
    async with asyncio.timeout(5):
        await desk.close()

    assert desk.desk.live == 1


async def test_while_nothing_can_be_stored_no_more_are_begun_than_allowed(store: MoodyStore) -> None:
    desk = Desk(store, at_once=1)
    store.mood, desk.waits = "away", False
    call = Call(desk, (8_000, 8_000))
    await call.run(1.0)
    call.tape.close(EndReason.CLIENT)
    for _ in range(5):
        await desk.work()
    refused = desk.desk.attend(label("s2"))
    await back(desk, store)
    while desk.desk.live:
        await desk.work()

    assert refused is None
    assert desk.desk.attend(label("s3")) is not None
    await desk.close()


async def test_a_process_that_gets_no_time_leaves_silence_that_is_counted(store: MoodyStore) -> None:
    desk = Desk(store)
    call = Call(desk, (8_000, 8_000))
    await call.run(3.0)
    desk.is_stuck = True
    await call.run(20.0)
    desk.is_stuck = False
    await call.run(3.0)
    await desk.end(call.tape)
    recording, file = await desk.only()
    left = channels(file)[0]
    await desk.close()

    assert len(left) == 26 * 8_000
    assert all(place in (-1, (CALLER + at) % CODES) for at, place in enumerate(left))
    assert sum(place < 0 for place in left) == recording.figures.dropped_ms * 8
    assert 10_000 <= recording.figures.dropped_ms <= 20_000


def test_a_tape_that_nobody_takes_is_bounded() -> None:
    tape = RecordingTape(lambda: 0.0)
    for number in range(WAITING_ENTRIES + 1_000):
        tape.on_caller_audio(bytes(640), number * 0.02)
        tape.on_delivered(SpeechChunk(1, bytes(960)), number * 0.02)
    held = sum(len(entry.pcm) for entry in tape._entries if isinstance(entry, Sound) and isinstance(entry.pcm, bytes))

    assert held <= TAPE_BYTES
    assert len(tape._entries) == WAITING_ENTRIES
    assert tape.lost_bytes > 0


class BrokenEncoder(WavEncoder):
    """Breaks after a second."""

    @override
    def encode(self, stereo: bytes) -> bytes:
        if self._size > 32_000:
            raise ValueError
        return super().encode(stereo)


async def test_an_encoder_that_breaks_ends_its_own_recording_alone(store: MoodyStore) -> None:
    encoders = iter([BrokenEncoder, WavEncoder])

    def encoder(hertz: int) -> Encoder:
        return next(encoders)(hertz)

    desk = Desk(store, press=NearPress(Studio(RecordingFormat.WAV, encoder, PlainRiser)))
    broken, sound = Call(desk, (8_000, 8_000), "s1"), Call(desk, (8_000, 8_000), "s2")
    for _ in range(20):
        began = desk.now
        await broken.run(0.24)
        desk.now = began
        await sound.run(0.24)
    await desk.end(broken.tape, sound.tape)
    failed, whole = await desk.only("s1"), await desk.only("s2")
    await desk.close()

    assert (failed[0].state, whole[0].state) == (RecordingState.FAILED, RecordingState.COMPLETE)
    assert len(channels(whole[1])[0]) == round(4.8 * 8_000)


async def test_what_the_store_never_takes_is_given_up(store: MoodyStore) -> None:
    desk = Desk(store)
    await store.put("voice-sessions/s1", b"in the way", "text/plain")
    call = Call(desk, (8_000, 8_000))
    await call.run(3.0)

    assert desk.desk.live == 0
    assert desk.counters.read()["recording_failed"] == 1
    await desk.close()


@pytest.mark.parametrize("kind", list(RecordingFormat))
async def test_a_process_that_is_killed_loses_the_last_seconds_alone(tmp_path: Path, kind: RecordingFormat) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "objects"), kind.value, "1"]
    died = await asyncio.to_thread(subprocess.run, command, cwd=needs.ROOT, capture_output=True, timeout=60, check=False)
    store = FolderStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/")
    recordings, counters = Recordings(store), Counters()
    before = (await recordings.of_session("s1"))[0].state
    await RecordingUpkeep(recordings, counters, keep_days=30, left_for=timedelta(0)).look()
    (recording,) = await recordings.of_session("s1")
    file = await store.get(recording.key)
    await store.aclose()

    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert file is not None
    assert (before, recording.state, counters.read()["recording_salvaged"]) == (RecordingState.RUNNING, RecordingState.CUT, 1)
    assert 14.0 <= decoded(file, 8_000).shape[1] / 8_000 <= 20.0


async def test_a_recording_whose_process_died_before_its_first_part_breaks_off_and_can_be_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "objects"), RecordingFormat.FLAC.value, "600"]
    await asyncio.to_thread(subprocess.run, command, cwd=needs.ROOT, capture_output=True, timeout=60, check=False)
    store = FolderStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/")
    recordings, counters = Recordings(store), Counters()
    sounds = [info.key for info in (await store.list("")).objects if "audio-" in info.key]
    await RecordingUpkeep(recordings, counters, keep_days=30).look()
    young = (await recordings.of_session("s1"))[0].state
    for _ in range(2):
        await RecordingUpkeep(recordings, counters, keep_days=30, clock=in_an_hour).look()
    (recording,) = await recordings.of_session("s1")
    await store.aclose()

    assert sounds == []
    assert (young, recording.state, counters.read()["recording_never_heard"]) == (RecordingState.RUNNING, RecordingState.CUT, 1)


async def test_what_still_grows_or_has_its_sound_is_not_taken_for_silent(store: MoodyStore) -> None:
    recordings = Recordings(store)
    began = datetime(2030, 1, 16, 15, tzinfo=UTC)
    states = {"growing": RecordingState.RUNNING, "whole": RecordingState.RUNNING, "failed": RecordingState.FAILED}
    made = {
        name: Recording(name, "eva", "carlos", "es", "carlos", "m", began, RecordingFormat.WAV, 8_000, state=state)
        for name, state in {**states, "silent": RecordingState.RUNNING}.items()
    }
    for one in made.values():
        await recordings.write(one)
    await recordings.upload(made["growing"]).part(b"sound")
    await store.put(made["whole"].key, b"sound", "audio/wav")
    await store.put("voice-sessions/silent/audio-20300116T150000000Z-0a1b2c3d.wav", b"an upload", "audio/wav")

    assert await recordings.left_silent(in_an_hour()) == (made["silent"],)
    assert await recordings.left_silent(datetime.now(UTC) - timedelta(hours=1)) == ()


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


@pytest.mark.req("S0-04", "S0-50")
async def test_what_is_older_than_its_days_is_removed(store: MoodyStore) -> None:
    await store.put("voice-sessions/s1/metadata.json", b"{}", "application/json")
    await store.put("uploads/u/a.wav", b"x", "audio/wav")
    now = datetime.now(UTC)

    def upkeep(days: float, keep_days: int | None = 30) -> RecordingUpkeep:
        return RecordingUpkeep(Recordings(store), Counters(), keep_days=keep_days, clock=lambda: now + timedelta(days=days))

    await upkeep(29.9).look()
    young = (await store.list("")).objects
    await upkeep(31, None).look()
    kept = (await store.list("")).objects
    await upkeep(30.1).look()

    assert len(young) == len(kept) == 2
    assert (await store.list("")).objects == ()


async def test_the_first_look_is_at_the_start_and_an_outage_ends_none(store: MoodyStore) -> None:
    await store.upload("voice-sessions/s1/audio-1.wav", "audio/wav").part(b"x")
    counters, store.mood = Counters(), "away"
    upkeep = RecordingUpkeep(Recordings(store), counters, keep_days=30, left_for=timedelta(0))
    upkeep.start()
    await gave_way()
    assert upkeep._task is not None
    is_alive = not upkeep._task.done()
    await upkeep.aclose()

    assert is_alive
    assert counters.read() == {}

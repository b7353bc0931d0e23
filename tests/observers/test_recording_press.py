"""The process that encodes recordings: what it is given and answers, and what happens when it dies, hangs or cannot be started."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from observers import recording
from observers.recording import Order, RecordingDesk
from observers.recording_encoders import choose_studio
from observers.recording_press import PressFailed, ProcessPress
from observers.recording_process import NICE
from observers.recording_tape import CALLER, Cut, Sound
from observers.recording_wire import LENGTH, Made, Task, pack_made, pack_task, read_made, read_task
from session.events import EndReason, SessionEnded
from storage.object_folder import FolderStore
from storage.object_links import LinkSigner
from storage.recordings import Figures, Interruption, Recording, RecordingFormat, Recordings, RecordingState
from telemetry.counters import Counters
from tests.observers.recorded_calls import CALLER as CALLER_CODE
from tests.observers.recorded_calls import CODES, Call, Desk, NearPress, channels, label

TASK = Task(1, (8_000, 8_000), 100.0, 101.0, None, 0, (Sound(CALLER, 100.5, bytes(4_000)), Cut(2, 300), Sound(2, 100.7, 640)), (7, 8))
MADE = Made(b"data", RecordingState.COMPLETE, b"head", Figures(5, 4, 3, 2, 1, 6, (Interruption(2, 300, 310, 20),)), "ValueError")


@pytest.fixture
async def press() -> AsyncIterator[ProcessPress]:
    made = ProcessPress(RecordingFormat.WAV)
    yield made
    await made.aclose()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FolderStore]:
    folder = FolderStore(tmp_path / "objects", LinkSigner([bytes(32)]), "/recordings/content")
    yield folder
    await folder.aclose()


@pytest.fixture
async def desk(store: FolderStore, press: ProcessPress) -> AsyncIterator[Desk]:
    made = Desk(store, press=press)
    yield made
    await made.close()


def process_of(press: ProcessPress) -> asyncio.subprocess.Process:
    assert press._running is not None
    return press._running.process


def test_messages_say_what_was_told() -> None:
    assert read_task(pack_task(TASK)[LENGTH.size :]) == TASK
    assert read_made(pack_made(MADE)[LENGTH.size :]) == MADE


async def test_the_process_makes_what_is_made_here(press: ProcessPress) -> None:
    near = NearPress(choose_studio(RecordingFormat.WAV))
    tasks = [TASK, replace(TASK, now=104.0), replace(TASK, now=105.0, ended=104.5, entries=())]

    assert [await press.work(task) for task in tasks] == [await near.work(task) for task in tasks]


async def test_it_leaves_the_cores_to_conversations_and_knows_no_secrets(press: ProcessPress, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORDINGS_KEY", "secret")
    await press.work(TASK)
    pid = process_of(press).pid

    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICE
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_what_ends_the_server_ends_the_process_only_with_it(press: ProcessPress, sent: signal.Signals) -> None:
    await press.work(TASK)
    process = process_of(press)
    process.send_signal(sent)
    made = await press.work(replace(TASK, number=2))
    await press.aclose()

    assert made.state is RecordingState.RUNNING
    assert process.returncode == 0


async def test_recordings_that_were_in_a_process_that_died_keep_what_was_stored_and_the_next_are_whole(
    desk: Desk, press: ProcessPress
) -> None:
    first = Call(desk, (8_000, 8_000), "s1")
    await first.run(10.0)
    process_of(press).kill()
    await process_of(press).wait()
    await first.run(1.0)
    second = Call(desk, (8_000, 8_000), "s2")
    await second.run(3.0)
    await desk.end(first.tape, second.tape)
    (cut, part), (whole, file) = await desk.only("s1"), await desk.only("s2")

    assert (cut.state, whole.state) == (RecordingState.FAILED, RecordingState.COMPLETE)
    assert 6.0 <= len(channels(part)[0]) / 8_000 <= 10.0
    assert channels(file)[0] == [(CALLER_CODE + at) % CODES for at in range(3 * 8_000)]
    assert desk.counters.read()["recording_process_lost"] == 1


async def test_a_process_that_hangs_is_killed(press: ProcessPress, monkeypatch: pytest.MonkeyPatch) -> None:
    await press.work(TASK)
    process = process_of(press)
    process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr("observers.recording_press.ANSWER_SECONDS", 0.05)
    with pytest.raises(PressFailed):
        await press.work(TASK)

    assert process.returncode == -signal.SIGKILL


async def test_whoever_is_cancelled_leaves_no_answer_for_another(press: ProcessPress) -> None:
    await press.work(TASK)
    process = process_of(press)
    process.send_signal(signal.SIGSTOP)
    working = asyncio.create_task(press.work(TASK))
    await asyncio.sleep(0)
    working.cancel()
    await asyncio.wait({working})

    assert working.cancelled()
    assert process.returncode == -signal.SIGKILL
    assert (await press.work(replace(TASK, number=3))).state is RecordingState.RUNNING


async def test_where_no_process_can_be_started_conversations_go_on_without_recordings(
    desk: Desk, press: ProcessPress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(PressFailed):
        await press.start()
    call = Call(desk, (8_000, 8_000))
    await call.run(1.0)
    await desk.end(call.tape)
    (recorded,) = await desk.recordings.of_session("s1")

    assert recorded.state is RecordingState.FAILED


async def test_the_end_encodes_and_stores_what_is_on_the_tapes(store: FolderStore, press: ProcessPress) -> None:
    recordings = Recordings(store)
    now = [100.0]
    desk = RecordingDesk(recordings, press, Order(None, 1, 5.0), Counters(), clock=lambda: now[-1])
    await desk.start()
    tape = desk.attend(label())
    assert tape is not None
    for second in range(5):
        now.append(101.0 + second)
        tape.on_caller_audio(bytes([1, 0]) * 24_000, now[-1])
    await desk.aclose()
    (recorded,) = await recordings.of_session("s1")

    assert (recorded.state, recorded.reason) == (RecordingState.COMPLETE, EndReason.SERVER_LEAVING.value)
    assert (recorded.figures.samples, recorded.figures.caller_samples) == (5 * 24_000, 5 * 24_000)


class SlowRecordings(Recordings):
    """Takes longer to write what is known of a recording than it takes until its turn comes again."""

    async def write(self, one: Recording) -> None:
        await asyncio.sleep(0.1)
        await super().write(one)


async def test_recordings_that_end_while_others_go_on_are_completed_once(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WORK_SECONDS", 0.05)
    counters = Counters()
    desk = RecordingDesk(SlowRecordings(store), NearPress(choose_studio(RecordingFormat.WAV)), Order(None, 8, 0.1), counters)
    await desk.start()
    tapes = [desk.attend(label(f"s{number}")) for number in range(8)]
    for tape in tapes[:-1]:
        assert tape is not None
        tape.on_caller_audio(bytes([1, 0]) * 2_400, time.monotonic())
        tape.on_event(SessionEnded(EndReason.CLIENT))
    async with asyncio.timeout(20):
        while desk.live > 1:
            await desk._backlog.written()
            await asyncio.sleep(0.01)
    later = desk.attend(label("later"))  # there is room again, and the store is asked for what comes
    await desk.aclose()

    assert later is not None
    assert counters.read()["recording_completed"] == 9
    assert "recording_part_lost" not in counters.read()


async def test_what_the_store_refuses_is_forgotten_by_the_process_too(store: FolderStore) -> None:
    await store.put("voice-sessions/s1", b"in the way", "text/plain")
    near = NearPress(choose_studio(RecordingFormat.WAV))
    other = Desk(store, press=near)
    refused, whole = Call(other, (8_000, 8_000), "s1"), Call(other, (8_000, 8_000), "s2")
    await refused.run(3.0)
    await other.work()
    known = len(near._room._works)
    whole.tape.on_event(SessionEnded(EndReason.CLIENT))
    while other.desk.live:
        await other.work()
    await other.close()

    assert known == 1
    assert near._room._works == {}

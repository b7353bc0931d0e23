"""Traces reach their files whole, for their owner alone, and never at the cost of a conversation."""

import asyncio
import gzip
import json
import stat
from pathlib import Path
from uuid import uuid4

import pytest

from bench.replay import Replay, main, read_lines
from observers.trace_files import FLUSH_EVERY_SECONDS, TAPE_LIMIT, SessionTape, TraceFiles
from session.effects import Begin, Input, StreamOpened, Tick
from session.events import End, SendAudio, SendText, SessionStarted, Start
from session.registry import SessionRegistry
from tests.session.doubles import PROFILE, LoopClock, Nova, ScriptedModel, ScriptedTools
from tests.session.recorded import origin_of


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Session:
    """A machine with a tape."""

    def __init__(self, files: TraceFiles, time: Time) -> None:
        tape = files.open(origin_of())

        assert isinstance(tape, SessionTape)
        self.tape = tape
        self._machine, _ = tape.origin.make()
        self._time = time

    def give(self, *inputs: Input) -> None:
        for given in inputs:
            self.tape.record(given, self._time.now, self._machine.handle(given, self._time.now))


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new" / "traces"


@pytest.fixture
def files(folder: Path, time: Time) -> TraceFiles:
    return TraceFiles(folder, clock=time)


def replay(path: Path) -> Replay:
    again = Replay(read_lines(path))
    again.run()

    assert again.first is None
    return again


def lines(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines()


def test_a_session_has_a_file_of_its_own_for_the_owner_alone(files: TraceFiles, folder: Path, time: Time) -> None:
    session = Session(files, time)
    session.give(Begin(), StreamOpened(1), SendAudio(bytes(640)), End())
    files.write()
    files.write()
    [file] = folder.iterdir()

    assert file.name == "session-1.jsonl.gz"
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    assert (replay(file).figures.inputs, replay(file).figures.complete) == (4, 1)
    assert lines(file)[-1] == b'{"end":1}'


def test_a_session_that_was_recorded_before_gets_another_file(files: TraceFiles, folder: Path, time: Time) -> None:
    for _ in range(3):
        Session(files, time).give(Begin(), End())
    files.write()
    files.write()

    assert sorted(file.name for file in folder.iterdir()) == ["session-1.2.jsonl.gz", "session-1.3.jsonl.gz", "session-1.jsonl.gz"]


def test_a_link_in_place_of_a_file_is_not_followed(files: TraceFiles, folder: Path, time: Time, tmp_path: Path) -> None:
    (folder / "session-1.jsonl.gz").symlink_to(tmp_path / "elsewhere")
    Session(files, time).give(Begin(), End())
    files.write()
    files.write()

    assert not (tmp_path / "elsewhere").exists()
    assert (folder / "session-1.2.jsonl.gz").is_file()


def test_what_is_older_than_a_second_survives_the_death_of_the_process(files: TraceFiles, folder: Path, time: Time) -> None:
    session = Session(files, time)
    session.give(Begin(), StreamOpened(1))
    files.write()
    session.give(*(SendAudio(bytes(640)) for _ in range(20)))
    time.now += FLUSH_EVERY_SECONDS
    files.write()
    session.give(SendText("too late"))
    [file] = folder.iterdir()

    assert replay(file).figures.inputs == 22
    assert replay(file).figures.complete == 0


@pytest.mark.parametrize("bytes_lost", [1, 2, 7, 8, 9, 40])
def test_a_file_without_its_end_runs_to_where_it_was_cut(files: TraceFiles, folder: Path, time: Time, bytes_lost: int) -> None:
    Session(files, time).give(Begin(), StreamOpened(1), SendAudio(bytes(640)), SendText("hola"), End())
    files.write()
    files.write()
    [file] = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-bytes_lost])

    assert replay(file).figures.inputs > 0


def test_people_are_masked_unless_the_operator_wants_to_read_them(folder: Path, time: Time) -> None:
    for name, is_masked in (("masked", True), ("clear", False)):
        files = TraceFiles(folder / name, is_masked=is_masked, clock=time)
        Session(files, time).give(Begin(), StreamOpened(1), SendText("Soy Guadalupe"), End())
        files.write()
        files.write()
    texts = {name: b"".join(lines(folder / name / "session-1.jsonl.gz")) for name in ("masked", "clear")}

    assert {name: b"Guadalupe" in text for name, text in texts.items()} == {"masked": False, "clear": True}
    assert {name: json.loads(lines(folder / name / "session-1.jsonl.gz")[0])["masked"] for name in texts} == {
        "masked": True,
        "clear": False,
    }


def test_two_sessions_are_masked_by_different_keys(files: TraceFiles, folder: Path, time: Time) -> None:
    for _ in range(2):
        Session(files, time).give(Begin(), StreamOpened(1), SendText("Guadalupe zanahoria Fernández"), End())
    files.write()
    files.write()
    first, second = (lines(file) for file in sorted(folder.iterdir()))

    assert json.loads(first[3])["i"] != json.loads(second[3])["i"]


def test_a_tape_that_nobody_empties_is_bounded_and_says_what_it_lost(files: TraceFiles, folder: Path, time: Time) -> None:
    session = Session(files, time)
    session.give(Begin(), StreamOpened(1))
    session.give(*(SendAudio(bytes(640)) for _ in range(TAPE_LIMIT + 8)))

    assert len(session.tape.entries) == TAPE_LIMIT
    files.write()
    session.give(SendText("after a gap nothing fits"), End())
    session.tape.close()
    files.write()
    files.write()
    [file] = folder.iterdir()
    assert lines(file)[-1] == b'{"lost":12}'
    assert (replay(file).figures.inputs, replay(file).figures.complete) == (TAPE_LIMIT, 0)


def test_what_waits_is_small_however_much_audio_it_stands_for(files: TraceFiles, time: Time) -> None:
    session = Session(files, time)
    session.give(Begin(), StreamOpened(1), *(SendAudio(bytes(32_000)) for _ in range(100)))

    assert not [entry for entry in session.tape.entries if not isinstance(entry, tuple)][2:]
    assert all(isinstance(part, float | int | str | tuple) for entry in list(session.tape.entries)[2:] for part in entry)  # type: ignore[union-attr]


def test_a_file_ends_at_its_limit_and_says_so(folder: Path, time: Time) -> None:
    files = TraceFiles(folder, limit_bytes=4_000, clock=time)
    session = Session(files, time)
    session.give(Begin(), StreamOpened(1))
    for _ in range(200):
        time.now += FLUSH_EVERY_SECONDS
        session.give(SendText(uuid4().hex))
        files.write()
    [file] = folder.iterdir()

    assert b"full" in lines(file)[-1]
    assert 4_000 < file.stat().st_size < 8_000
    assert session.tape.is_over
    assert replay(file).figures.complete == 0


def test_sampling_records_one_session_of_so_many(folder: Path) -> None:
    files = TraceFiles(folder, every=3)

    assert [files.open(origin_of()) is not None for _ in range(7)] == [True, False, False, True, False, False, True]


def test_an_operator_turns_recording_off_and_on(folder: Path) -> None:
    files = TraceFiles(folder, every=1)

    assert (files.toggle(), files.open(origin_of())) == (False, None)
    assert files.toggle()
    assert files.open(origin_of()) is not None


def test_where_the_settings_record_nothing_an_operator_turns_everything_on(folder: Path) -> None:
    files = TraceFiles(folder, every=0)

    assert files.open(origin_of()) is None
    assert files.toggle()
    assert files.open(origin_of()) is not None
    assert not files.toggle()


def test_a_disk_that_fails_ends_the_trace_and_not_the_others(files: TraceFiles, folder: Path, time: Time) -> None:
    broken = Session(files, time)
    broken.give(Begin())
    folder.rmdir()
    files.write()
    folder.mkdir()
    Session(files, time).give(Begin(), End())
    files.write()
    files.write()

    assert broken.tape.is_over
    assert [file.name for file in folder.iterdir()] == ["session-1.jsonl.gz"]


def test_a_session_that_never_ran_has_no_file(files: TraceFiles, folder: Path, time: Time) -> None:
    Session(files, time)
    files.write()

    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        TraceFiles(tmp_path / "file")


async def test_a_real_session_is_recorded_to_its_last_event(folder: Path) -> None:
    files = TraceFiles(folder)
    files.start()
    model = ScriptedModel()
    registry = SessionRegistry(
        model=model, tools=ScriptedTools(), assistants={"carlos": PROFILE}, default_assistant="carlos",
        observers=(), clock=LoopClock(), max_sessions=1, recorder=files,
    )  # fmt: skip
    runner = registry.open(Start())
    task = asyncio.create_task(registry.run(runner))

    assert isinstance(await runner.next_event(), SessionStarted)
    nova = Nova()
    model.streams[0].say([*nova.start(), *nova.plans("Hola."), *nova.speaks(200)])
    await runner.submit(SendAudio(bytes(640)))
    for _ in range(8):
        await runner.next_event()
    await runner.submit(End())
    while await runner.next_event() is not None:
        pass
    await task
    await asyncio.to_thread(files.close)
    [file] = folder.iterdir()
    assert file.name == f"{runner.session_id}.jsonl.gz"
    assert replay(file).figures.complete == 1
    assert b'"d",' in b"".join(lines(file))


# The command


def test_the_command_compares_and_says_what_differs(
    files: TraceFiles, folder: Path, time: Time, capsys: pytest.CaptureFixture[str]
) -> None:
    Session(files, time).give(Begin(), StreamOpened(1), Tick(), SendText("hola"), End())
    files.write()
    files.write()
    [file] = folder.iterdir()

    assert main([str(file)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["holds"] is True
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b'"USER",true', b'"SYSTEM",true')))
    assert main([str(file)]) == 1
    told = capsys.readouterr().out
    assert "input 4" in told
    assert json.loads(told.splitlines()[-1]) | {"differences": 1, "holds": False, "inputs": 5} == json.loads(told.splitlines()[-1])


def test_what_was_changed_on_purpose_is_accepted(files: TraceFiles, folder: Path, time: Time, capsys: pytest.CaptureFixture[str]) -> None:
    Session(files, time).give(Begin(), StreamOpened(1), SendAudio(bytes(640)), SendText("hola"), End())
    files.write()
    files.write()
    [file] = folder.iterdir()
    whole = lines(file)
    file.write_bytes(
        gzip.compress(gzip.decompress(file.read_bytes()).replace(b'"USER",true', b'"SYSTEM",true').replace(b',"a",', b',"t",'))
    )

    assert main(["--accept", str(file)]) == 0
    assert "written anew" in capsys.readouterr().out
    assert lines(file) == whole
    assert main([str(file)]) == 0


def test_a_file_that_is_no_trace_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.gz").write_bytes(b"\x1f\x8bnothing")

    assert main([str(tmp_path / "x.gz"), str(tmp_path / "missing")]) == 1
    assert {str(tmp_path / "x.gz"), str(tmp_path / "missing")} == {
        line.split(": ")[0] for line in capsys.readouterr().out.splitlines()[:-1]
    }

"""A stream is recorded into a file, and a client is answered from the file."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nova_sonic_local import record
from nova_sonic_local.emission import Emitter
from nova_sonic_local.framing import MessageDecoder
from nova_sonic_local.ids import Ids
from nova_sonic_local.journal import Card, Direction, Row, StreamLog
from nova_sonic_local.manner import Manner
from nova_sonic_local.options import Options
from nova_sonic_local.record import Recorder
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.replay import Playback, RecordingError, ReplayEngine, load_recording
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.stage import VirtualClock, settle
from tests.emulator.wire import Json, RawClient, RawStream, closing, decode_chunk, inner_bytes, opening, spoken_turn, tool, tool_result

SCRIPT = """
[[turns]]
hear = "weather"
say = "Let me see."
tools = [{ name = "lookup", arguments = { city = "Oslo" } }]
then = "It is {sky}."
"""
HEAD: Json = {"format": "nova-sonic-local-recording", "version": 1}


def lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def card(number: int = 1) -> Card:
    return Card(number, "request", "amazon.nova-2-sonic-v1:0", "script", datetime(2026, 1, 2, tzinfo=UTC))


async def tool_turn(client: RawClient, prompt: str = "P") -> RawStream:
    """Ask for the weather, give the result of the tool, and close."""

    def named(events: Sequence[Json]) -> list[Json]:
        return json.loads(json.dumps(events).replace('"promptName": "P"', f'"promptName": "{prompt}"'))  # type: ignore[no-any-return]

    stream = client.open(headers=[("authorization", "secret"), ("user-agent", "a client")])
    await stream.send(*named(opening(tools=[tool()])), *named(spoken_turn()))
    use = await stream.until("toolUse")
    await stream.send(*named(tool_result(use["toolUseId"], '{"sky":"grey"}')))
    await stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
    await stream.send(*named(closing()))
    await stream.ending()
    return stream


async def recorded(folder: Path) -> tuple[RawStream, Path]:
    script = folder / "script.toml"
    script.write_text(SCRIPT)
    options = Options(scenario=script, record=folder / "recordings", manner=Manner(speech_speed=0))
    async with NovaSonicLocal(options) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = await tool_turn(client)
    (path,) = (folder / "recordings").iterdir()
    return stream, path


def shape(events: Sequence[Json]) -> list[Json]:
    """Return events without the ids that a service makes up."""
    ids = ("sessionId", "completionId", "contentId", "toolUseId", "promptName")
    return [{name: {key: value for key, value in body.items() if key not in ids} for name, body in event.items()} for event in events]


async def test_a_recording_holds_a_head_all_events_and_the_end(tmp_path: Path) -> None:
    stream, path = await recorded(tmp_path)
    head, *rows, last = lines(path)
    sent = [row["event"] for row in rows if row["dir"] == "out"]
    heard = [next(iter(row["event"])) for row in rows if row["dir"] == "in"]

    assert (head["format"], head["version"], head["model"]) == ("nova-sonic-local-recording", 1, "amazon.nova-2-sonic-v1:0")
    assert head["headers"]["user-agent"] == "a client"
    assert set(head["versions"]) == {"nova_sonic_local", "python", "h2"}
    assert sent == stream.events()
    assert heard[:3] == ["sessionStart", "promptStart", "contentStart"]
    assert heard.count("audioInput") == len(spoken_turn())
    assert [row["t"] for row in rows] == sorted(row["t"] for row in rows)
    assert (last["end"], last["dropped"]) == ({"how": "completed"}, 0)


async def test_a_recording_holds_no_credentials_and_is_for_its_owner_only(tmp_path: Path) -> None:
    _, path = await recorded(tmp_path)

    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_stream_that_is_stopped_has_a_last_line(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(record=tmp_path)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.send(*opening())
        await stream.head()
    (path,) = tmp_path.iterdir()

    assert lines(path)[-1]["end"] == {"how": "stopped"}


async def test_what_was_no_json_is_recorded_as_bytes(tmp_path: Path) -> None:
    async with NovaSonicLocal(Options(record=tmp_path)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open()
        await stream.write(inner_bytes(b"\xff{"))
        await stream.ending()
    (path,) = tmp_path.iterdir()
    _, row, last = lines(path)

    assert row["unparsable"] == "/3s="
    assert (last["end"]["how"], last["end"]["refusal"]) == ("refused", "UNPARSABLE")


def test_events_that_the_disk_cannot_take_are_dropped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "QUEUED_EVENTS", 0)
    recorder = Recorder(tmp_path)
    stream = recorder.open(card())
    stream.observe(Row(1, 0.1, Direction.IN, 2, None, b"{}"))
    stream.observe_end(0.2, {"how": "completed"})
    recorder.stop()
    (path,) = tmp_path.iterdir()

    assert [line.get("dropped") for line in lines(path)] == [None, 1]


def test_a_full_file_gets_its_last_line_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "LARGEST_FILE_BYTES", 600)
    recorder = Recorder(tmp_path)
    stream = recorder.open(card())
    for number in range(20):
        stream.observe(Row(number, 0.1, Direction.IN, 2, None, b'{"event":{"sessionEnd":{}}}'))
    stream.observe_end(0.2, {"how": "completed"})
    recorder.stop()
    (path,) = tmp_path.iterdir()
    _, *rows, last = lines(path)

    assert path.stat().st_size < 700
    assert len(rows) + last["dropped"] == 20


def test_a_disk_that_fails_ends_the_recording_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path / "recordings")
    (tmp_path / "recordings").rmdir()
    lost = recorder.open(card(1))
    lost.observe(Row(1, 0.1, Direction.IN, 2, None, b"{}"))
    lost.observe_end(0.2, {"how": "completed"})
    recorder.stop()

    assert "recording of stream 1 ends early" in caplog.text


async def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FileExistsError):
        async with NovaSonicLocal(Options(record=tmp_path / "file")):
            pass


async def test_a_replay_answers_another_client_with_the_same_events_and_its_own_ids(tmp_path: Path) -> None:
    original, path = await recorded(tmp_path)
    async with NovaSonicLocal(Options(replay=path, time_scale=0.05, seed=7)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        replayed = await tool_turn(client, prompt="another")
        again = await tool_turn(client, prompt="another")
        brain = emulator.about()["brain"]
    bodies = [body for event in replayed.events() for body in event.values()]
    ids = {name: {body[name] for body in bodies if name in body} for name in ("promptName", "completionId", "toolUseId")}
    old = {body[name] for event in original.events() for body in event.values() for name in ("completionId", "contentId") if name in body}

    assert shape(replayed.events()) == shape(again.events()) == shape(original.events())
    assert brain == "replay"
    assert ids["promptName"] == {"another"}
    assert (len(ids["completionId"]), len(ids["toolUseId"])) == (1, 1)
    assert old.isdisjoint({body.get("contentId") for body in bodies} | ids["completionId"])


async def no_wait() -> None:
    """Take everything at once."""


class Player:
    """A replay without a network."""

    def __init__(self, tasks: asyncio.TaskGroup, path: Path, scale: float = 1.0) -> None:
        self.clock = VirtualClock()
        self.log = StreamLog(card(), self.clock)
        self.pending: set[str] = set()
        self._written = bytearray()
        ids = Ids(0, 1)
        emitter = Emitter(self._written.extend, ids, "P")
        playback = Playback(emitter, "P", ids, self.log, self.clock, scale, self.pending, no_wait)
        self.engine = ReplayEngine(load_recording(path), playback, tasks)

    def texts(self) -> list[str]:
        events = [decode_chunk(message) for message in MessageDecoder().feed(bytes(self._written))]
        return [event["textOutput"]["content"] for event in events]

    async def hear(self, *, audio_bytes: int | None = None) -> None:
        self.log.heard(b"{}", audio_bytes)
        await settle()


def said(seconds: float, text: str) -> Json:
    return {"t": seconds, "dir": "out", "event": {"textOutput": {"content": text}}}


def heard(seconds: float, name: str = "contentStart") -> Json:
    return {"t": seconds, "dir": "in", "event": {name: {}}}


async def test_an_output_waits_for_as_many_inputs_as_it_had_in_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HEAD, heard(1), said(1.5, "one"), heard(2, "audioInput"), heard(3), said(3.0, "two"))
    async with asyncio.TaskGroup() as tasks:
        player = Player(tasks, path)
        await player.clock.advance(60)
        before = player.texts()
        await player.hear()
        await player.hear(audio_bytes=4)
        await player.clock.advance(60)
        after_one = player.texts()
        await player.hear()
        await player.clock.advance(0)

        assert (before, after_one, player.texts()) == ([], ["one"], ["one", "two"])


async def test_an_output_takes_as_long_as_it_took_in_the_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HEAD, heard(1), said(3, "two seconds later"), said(5, "four"))
    async with asyncio.TaskGroup() as tasks:
        player = Player(tasks, path, scale=0.5)
        await player.hear()
        seen = []
        for _ in range(4):
            await player.clock.advance(0.5)
            seen.append(len(player.texts()))

    assert seen == [0, 1, 1, 2]


async def test_a_client_that_closes_early_gets_what_it_came_up_to(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HEAD, heard(1), said(60, "due"), heard(61), said(62, "not reached"))
    async with asyncio.TaskGroup() as tasks:
        player = Player(tasks, path)
        await player.hear()
        player.engine.finish()
        await settle()

    assert player.texts() == ["due"]


async def test_a_tool_call_of_a_replay_waits_for_its_result(tmp_path: Path) -> None:
    use = {"t": 1, "dir": "out", "event": {"toolUse": {"toolUseId": "old", "content": "{}"}}}
    async with asyncio.TaskGroup() as tasks:
        player = Player(tasks, write(tmp_path / "r", HEAD, heard(1), use))
        await player.hear()
        await player.clock.advance(0)

        assert len(player.pending) == 1
        assert player.pending != {"old"}


async def test_a_refusal_is_replayed_at_its_time(tmp_path: Path) -> None:
    path = write(tmp_path / "r", HEAD, heard(1), said(1, "x"), {"t": 4, "end": {"how": "refused", "refusal": "IDLE_55"}, "dropped": 0})

    async def play() -> None:
        async with asyncio.TaskGroup() as tasks:
            player = Player(tasks, path)
            await player.hear()
            await player.clock.advance(2.9)
            texts.extend(player.texts())
            await player.clock.advance(0.2)

    texts: list[str] = []
    with pytest.raises(ExceptionGroup) as group:
        await play()
    (refused,) = group.value.exceptions

    assert texts == ["x"]
    assert isinstance(refused, Refused)
    assert refused.refusal is Refusal.IDLE_55


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ((), "empty"),
        (({"format": "har"},), "line 1: not a recording"),
        ((HEAD | {"version": 2},), "line 1: version 2 of the format is not known here, only 1"),
        ((HEAD,), "nothing was answered"),
        ((HEAD, ["x"]), "line 2: not a JSON object"),
        ((HEAD, {"dir": "out", "event": {"textOutput": {}}}), "line 2: t must be seconds"),
        ((HEAD, said(2, "a"), said(1, "b")), "line 3: t must be seconds, and never go back"),
        ((HEAD, {"t": 1, "dir": "up", "event": {"textOutput": {}}}), "line 2: dir must be in or out"),
        ((HEAD, {"t": 1, "dir": "out", "event": {}}), "line 2: dir must be in or out, and event an object"),
        ((HEAD, {"t": 1, "dir": "out", "event": {"textOutput": 1}}), "line 2: textOutput must be an object"),
        ((HEAD, said(1, "a"), {"t": 2, "end": {}, "dropped": 3}), "line 3: 3 events were dropped"),
        ((HEAD, said(1, "a"), {"t": 2, "end": {}, "dropped": 0}, said(3, "b")), "line 4: something after the end"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(tmp_path: Path, rows: tuple[object, ...], message: str) -> None:
    path = write(tmp_path / "r.jsonl", *rows)

    with pytest.raises(RecordingError, match=message) as error:
        load_recording(path)
    assert str(path) in str(error.value)


def test_a_recording_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(HEAD) + '\n{"t": 1, "dir": "ou')

    with pytest.raises(RecordingError, match="line 2: not JSON; the recording may have been cut off"):
        load_recording(path)


@pytest.mark.parametrize(("name", "message"), [("missing", "No such file"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        load_recording(tmp_path / name)

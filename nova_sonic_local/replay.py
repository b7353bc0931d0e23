"""Answers a client from a recording: the same events in the same order, when the client has come as far as the recorded one had.

An output that was recorded after the n-th input waits for the client's n-th input, audio not counted, and then for as long as it took in
the recording. Ids are the client's (promptName) or new ones of this stream, as the service would make them.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, MutableSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import orjson

from nova_sonic_local.clock import Clock
from nova_sonic_local.emission import Emitter
from nova_sonic_local.ids import Ids
from nova_sonic_local.journal import Direction, Row, StreamLog
from nova_sonic_local.record import FORMAT, FORMAT_VERSION, LARGEST_FILE_BYTES
from nova_sonic_local.refusals import Refusal, Refused

IDS: Final = ("sessionId", "completionId", "contentId", "toolUseId")
"""Members of output events that the service makes up."""


class RecordingError(ValueError):
    """The file is no recording that can be replayed; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Output:
    """An event that the client was sent."""

    after: int
    """It came after so many inputs, audio not counted."""
    delay: float
    """Seconds since the last of them."""
    name: str
    body: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Recording:
    """What is replayed."""

    outputs: tuple[Output, ...]
    refusal: Refusal | None = None
    """How the service ended the stream, when it did with an error that needs no words of its own."""
    refusal_after: int = 0
    refusal_delay: float = 0.0


def load_recording(path: Path) -> Recording:
    """Read a recording.

    Raises:
        RecordingError: it cannot be read, is no recording, or has holes.
    """
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES + 1024 * 1024:
            raise RecordingError(f"{path}: larger than any recording")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror or os.strerror(error.errno or 0)}") from error
    reader = _Reader(path)
    for number, line in enumerate(lines, 1):
        reader.take(number, line)
    return reader.finish()


class _Reader:
    """Checks the lines of one file, one by one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._inputs = 0
        self._last_input = 0.0
        self._seconds = 0.0
        self._outputs: list[Output] = []
        self._end: Mapping[str, object] | None = None

    def take(self, number: int, line: bytes) -> None:
        """Take the next line."""
        self._number = number
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError:
            self._refuse("not JSON; the recording may have been cut off")
        if not isinstance(parsed, dict):
            self._refuse("not a JSON object")
        if number == 1:
            self._take_head(parsed)
            return
        if self._end is not None:
            self._refuse("something after the end")
        seconds = parsed.get("t")
        if not isinstance(seconds, int | float) or seconds < self._seconds:
            self._refuse("t must be seconds, and never go back")
        self._seconds = float(seconds)
        if "end" in parsed:
            self._take_end(parsed)
        else:
            self._take_row(parsed)

    def _take_head(self, head: Mapping[str, object]) -> None:
        if head.get("format") != FORMAT:
            self._refuse(f"not a recording: format is not {FORMAT}")
        if head.get("version") != FORMAT_VERSION:
            self._refuse(f"version {head.get('version')} of the format is not known here, only {FORMAT_VERSION}")

    def _take_end(self, line: Mapping[str, object]) -> None:
        if line.get("dropped"):
            self._refuse(f"{line['dropped']} events were dropped while it was recorded: a replay would have holes")
        end = line["end"]
        self._end = end if isinstance(end, dict) else {}

    def _take_row(self, line: Mapping[str, object]) -> None:
        direction, event = line.get("dir"), line.get("event")
        if direction == Direction.IN.value and "unparsable" in line:
            self._count_input()
            return
        if direction not in (Direction.IN.value, Direction.OUT.value) or not isinstance(event, dict) or len(event) != 1:
            self._refuse("dir must be in or out, and event an object with one member")
        ((name, body),) = event.items()
        if not isinstance(body, dict):
            self._refuse(f"{name} must be an object")
        if direction == Direction.OUT.value:
            self._outputs.append(Output(self._inputs, self._seconds - self._last_input, name, body))
        elif name != "audioInput":
            self._count_input()

    def _count_input(self) -> None:
        self._inputs += 1
        self._last_input = self._seconds

    def finish(self) -> Recording:
        """Return the recording."""
        if self._number == 0:
            raise RecordingError(f"{self._path}: empty")
        if not self._outputs:
            raise RecordingError(f"{self._path}: nothing was answered in this recording")
        end = self._end or {}
        name = str(end.get("refusal", ""))
        refusal = Refusal[name] if name in Refusal.__members__ and "{" not in Refusal[name].value.text else None
        return Recording(tuple(self._outputs), refusal, self._inputs, self._seconds - self._last_input)

    def _refuse(self, why: str) -> NoReturn:
        raise RecordingError(f"{self._path}: line {self._number}: {why}")


@dataclass(frozen=True, slots=True)
class Playback:
    """What a replay works with."""

    emitter: Emitter
    prompt_name: str
    """The client's."""
    ids: Ids
    log: StreamLog
    """Tells how far the client is."""
    clock: Clock
    time_scale: float
    pending_tools: MutableSet[str]
    room: Callable[[], Awaitable[None]]
    """Waits until the client takes more."""


class ReplayEngine:
    """Answers one stream from a recording; an observer of the stream's log.

    Args:
        recording: what is replayed.
        playback: everything else.
        tasks: the stream's.
    """

    def __init__(self, recording: Recording, playback: Playback, tasks: asyncio.TaskGroup) -> None:
        self._recording = recording
        self._playback = playback
        self._next = 0
        self._ids: dict[object, str] = {}
        self._reached: dict[int, float] = {}
        self._awaited = {output.after for output in recording.outputs} | {recording.refusal_after}
        self._opened = playback.clock.now()
        self._moved = asyncio.Event()
        playback.log.attach(self)
        self._task = tasks.create_task(self._play())

    # What the log calls.

    def observe(self, row: Row) -> None:
        """Take note that the client is further."""
        if row.direction is Direction.IN and row.audio_bytes is None:
            inputs = self._playback.log.inputs
            if inputs in self._awaited:
                self._reached[inputs] = self._playback.clock.now()
            self._moved.set()

    def observe_end(self, seconds: float, ending: Mapping[str, object]) -> None:
        """Do nothing: the stream stops its engine itself."""

    # What the stream calls.

    async def hear(self, pcm: bytes) -> None:
        """Ignore audio: it does not pace a replay."""

    def read(self, text: str) -> None:
        """Do nothing: the log has told."""

    def take_result(self, tool_use_id: str, result: dict[str, object]) -> None:
        """Do nothing: the log has told."""

    def end_audio(self) -> None:
        """Do nothing: the log has told."""

    def finish(self) -> None:
        """Write at once what was recorded up to where the client is."""
        self._task.cancel()
        outputs = self._recording.outputs
        while self._next < len(outputs) and outputs[self._next].after <= self._playback.log.inputs:
            self._write(outputs[self._next])

    async def close(self) -> None:
        """Stop."""
        self._task.cancel()

    async def _play(self) -> None:
        while self._next < len(self._recording.outputs):
            output = self._recording.outputs[self._next]
            await self._wait(output.after, output.delay)
            await self._playback.room()
            self._write(output)
        if self._recording.refusal is not None:
            await self._wait(self._recording.refusal_after, self._recording.refusal_delay)
            raise Refused(self._recording.refusal)

    async def _wait(self, inputs: int, delay: float) -> None:
        while self._playback.log.inputs < inputs:
            self._moved.clear()
            await self._moved.wait()
        since = self._reached.get(inputs, self._opened)
        await self._playback.clock.sleep_until(since + delay * self._playback.time_scale)

    def _write(self, output: Output) -> None:
        self._next += 1
        body = {name: self._translate(name, value) for name, value in output.body.items()}
        if output.name == "toolUse":
            self._playback.pending_tools.add(str(body.get("toolUseId", "")))
        content = body.get("content", "")
        audio_bytes = _decoded_size(content) if output.name == "audioOutput" and isinstance(content, str) else None
        self._playback.emitter.event(orjson.dumps({"event": {output.name: body}}), audio_bytes)

    def _translate(self, name: str, value: object) -> object:
        if name == "promptName":
            return self._playback.prompt_name
        if name in IDS and isinstance(value, str):
            if value not in self._ids:
                self._ids[value] = self._playback.ids.new()
            return self._ids[value]
        return value


def _decoded_size(text: str) -> int:
    """Return how many bytes a base64 text stands for."""
    return len(text) // 4 * 3 - text[-2:].count("=")

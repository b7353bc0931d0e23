"""Recordings: one file of JSON lines per stream, written by a thread of its own.

    {"format": "nova-sonic-local-recording", "version": 1, "model": ..., "headers": {...}, "versions": {...}, ...}
    {"t": 0.012, "dir": "in", "event": {"sessionStart": {...}}}
    {"t": 0.431, "dir": "out", "event": {"completionStart": {...}}}
    {"t": 9.870, "end": {"how": "completed"}, "dropped": 0}

`t` is seconds since the stream was opened. An input that was no JSON stands as `"unparsable": "<base64>"` instead of `event`. The event
loop only puts rows into a queue; when the disk cannot follow, events are dropped and counted, and the stream goes on.
"""

import logging
import os
import platform
import threading
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Final

import orjson

from nova_sonic_local.journal import Card, Row
from nova_sonic_local.version import VERSION

_log = logging.getLogger(__name__)

FORMAT: Final = "nova-sonic-local-recording"
FORMAT_VERSION: Final = 1
QUEUED_EVENTS: Final = 20_000
"""Events that wait for the disk, of all streams together: half a second of 200 streams with some to spare, about 30 MB of audio."""
LARGEST_FILE_BYTES: Final = 256 * 1024 * 1024
"""An ordinary stream of eight minutes has 60 MB; what comes after this is dropped."""
STOP_SECONDS: Final = 10.0


class _File:
    """One file, as the writing thread sees it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes = 0
        self.dropped = 0

    def write(self, line: Mapping[str, object], *, is_last: bool = False) -> None:
        """Write a line, unless the file is full."""
        data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        if self._bytes + len(data) > LARGEST_FILE_BYTES and not is_last:
            self.dropped += 1
            return
        self._bytes += len(data)
        self._file.write(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StreamRecorder:
    """Records one stream; an observer of its log.

    Args:
        recorder: whose thread writes.
        card: which stream it is.
    """

    def __init__(self, recorder: "Recorder", card: Card) -> None:
        self.card = card
        self.file: _File | None = None
        """Only the writing thread touches it."""
        self._recorder = recorder
        self._dropped = 0

    def observe(self, row: Row) -> None:
        """Queue an event."""
        if not self._recorder.put(self, row):
            self._dropped += 1

    def observe_end(self, seconds: float, ending: Mapping[str, object]) -> None:
        """Queue the last line."""
        self._recorder.put_last(self, {"t": round(seconds, 6), "end": ending, "dropped": self._dropped})


type _Job = tuple[StreamRecorder, Card | Row | dict[str, object]] | None


class Recorder:
    """Writes the recordings of all streams into a folder, which is made if it is missing.

    Args:
        folder: where the files go.

    Raises:
        OSError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(13, "the folder for recordings cannot be written", str(folder))
        self._folder = folder
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_all, name="nova-sonic-local-recorder", daemon=True)
        self._thread.start()

    def open(self, card: Card) -> StreamRecorder:
        """Begin the recording of a stream."""
        stream = StreamRecorder(self, card)
        self._jobs.put((stream, card))
        return stream

    def put(self, stream: StreamRecorder, row: Row) -> bool:
        """Queue an event; False when too many wait already."""
        if self._jobs.qsize() >= QUEUED_EVENTS:
            return False
        self._jobs.put((stream, row))
        return True

    def put_last(self, stream: StreamRecorder, line: dict[str, object]) -> None:
        """Queue the last line of a stream; there is always room for it."""
        self._jobs.put((stream, line))

    def stop(self) -> None:
        """Write what is queued and end the thread; blocks, but not for longer than STOP_SECONDS."""
        self._jobs.put(None)
        self._thread.join(STOP_SECONDS)

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            stream, work = job
            try:
                self._write(stream, work)
            except OSError as error:
                _log.error("recording of stream %d ends early: %s", stream.card.number, error)
                self._give_up(stream)

    def _write(self, stream: StreamRecorder, work: Card | Row | dict[str, object]) -> None:
        if isinstance(work, Card):
            stream.file = _File(self._create(work))
            stream.file.write(head_line(work))
        elif stream.file is None:
            return
        elif isinstance(work, Row):
            stream.file.write(row_line(work))
        else:
            stream.file.write(work | {"dropped": int(str(work["dropped"])) + stream.file.dropped}, is_last=True)
            stream.file.close()
            stream.file = None

    def _create(self, card: Card) -> BinaryIO:
        name = f"{card.opened:%Y%m%dT%H%M%S.%f}-{card.number:05}-{card.request_id}.jsonl"
        # Conversations are personal: nobody else on the machine may read them.
        return os.fdopen(os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")

    def _give_up(self, stream: StreamRecorder) -> None:
        if stream.file is not None:
            with suppress(OSError):  # what is buffered is written by closing, and fails once more
                stream.file.close()
            stream.file = None


def head_line(card: Card) -> dict[str, object]:
    """Return the first line of a recording."""
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "model": card.model_id,
        "request_id": card.request_id,
        "brain": card.brain,
        "opened": card.opened.isoformat(timespec="milliseconds"),
        "headers": dict(card.headers),
        "versions": {"nova_sonic_local": VERSION, "python": platform.python_version(), "h2": version("h2")},
    }


def row_line(row: Row) -> dict[str, object]:
    """Return the line of an event."""
    line: dict[str, object] = {"t": round(row.seconds, 6), "dir": row.direction.value}
    data = row.data or b""
    try:
        return line | {"event": orjson.loads(data)["event"]}
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return line | {"unparsable": b64encode(data).decode()}

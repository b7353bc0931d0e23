"""Writes the traces of sessions into files, one compressed file each, beside the event loop.

The loop only appends to a session's tape, which is bounded; a thread empties the tapes four times a second, masks, encodes, compresses and
writes. A tape that is full, because the disk is slow, keeps what it has and counts what it does not take. After a second at most the
operating system has what happened, so a process that is killed leaves a trace that is whole up to its last second.
"""

import os
import secrets
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from session.effects import Effect, Finish, Input
from session.hearing import Ask
from session.interfaces import Tape
from session.masking import Mask
from session.origin import Origin
from session.trace import Kind, Note, Piece, Step, TraceWriter, bare_piece, own_words, piece_of
from session.trace_values import unchanged

log = structlog.get_logger()

TAPE_LIMIT: Final = 4_000
"""Inputs that may wait to be written: half a minute of a conversation, in 1 MB."""
WRITE_EVERY_SECONDS: Final = 0.25
FLUSH_EVERY_SECONDS: Final = 0.5
"""With the pause before it, all that is older than a second is in the file."""
FILE_LIMIT_BYTES: Final = 64 * 1024 * 1024
"""Longest file: more than a day of a conversation."""
END_SECONDS: Final = 5.0
"""How long the end waits for what is still to be written."""
MASK_KEY_BYTES: Final = 32
SUFFIX: Final = ".jsonl.gz"
_GZIP: Final = 31
"""For zlib: its largest window, in the format of gzip (zlib manual, deflateInit2)."""
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class SessionTape:
    """What happened in one session and is not written yet. The loop appends, the thread takes.

    Args:
        origin: of the session.
        announce: is told of the tape when it begins.
    """

    def __init__(self, origin: Origin, announce: "Callable[[SessionTape], None]") -> None:
        self.origin = origin
        self.started: float | None = None
        """Monotonic second of the first input; a session that never runs has none, and no file."""
        self.entries: deque[Piece | Step] = deque()
        self.lost = 0
        """Inputs that came when the tape was full, and all after them."""
        self.is_over = False
        """Whether nothing is taken any more."""
        self._announce = announce
        self._latest = 0.0
        """Monotonic second of the last input."""

    def record(self, given: Input, now: float, effects: Sequence[Effect] | None) -> None:
        """Take note of an input and what it did."""
        if not self._has_room():
            return
        self.entries.append(piece_of(given, now, effects) or Step(now, given, effects))
        self._latest = now
        if self.started is None:
            self.started = now
            self._announce(self)
        if effects and isinstance(effects[-1], Finish):
            self.is_over = True

    def delivered(self, now: float) -> None:
        """Take note that something left the listener's queue."""
        if self._has_room():
            self.entries.append(bare_piece(Kind.DELIVERED, now))

    def ear(self, ask: Ask) -> bool:
        """Ask whether the user's audio is quiet, and take note of the answer."""
        is_quiet = ask()
        if self._has_room():
            self.entries.append(bare_piece(Kind.QUIET if is_quiet else Kind.NOISE, self._latest))
        return is_quiet

    def close(self) -> None:
        """Take nothing any more."""
        self.is_over = True

    def _has_room(self) -> bool:
        if self.is_over:
            return False
        if self.lost or len(self.entries) >= TAPE_LIMIT:
            self.lost += 1
            return False
        return True


class TraceFile:
    """The file of one session. Belongs to the thread.

    Args:
        tape: of the session.
        folder: where the file is made.
        is_masked: whether texts are masked, by a key that nobody keeps.
        limit_bytes: longest file.

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, tape: SessionTape, folder: Path, *, is_masked: bool, limit_bytes: int) -> None:
        self.tape = tape
        origin = tape.origin
        conceal = Mask(secrets.token_bytes(MASK_KEY_BYTES), own_words(origin)) if is_masked else unchanged
        self._writer = TraceWriter(origin, tape.started or 0.0, conceal, is_masked=is_masked)
        self._compressor = zlib.compressobj(wbits=_GZIP)
        self._limit_bytes = limit_bytes
        self._written = 0
        self._flushed_at = 0.0
        self._file = _create(folder, origin.session_id)
        self._write(self._compressor.compress(self._writer.header()))

    def write(self, now: float) -> bool:
        """Write what is on the tape; return whether the file is complete.

        Raises:
            OSError: the disk is full, or gone.
        """
        entries, is_over = self.tape.entries, self.tape.is_over  # in this order: what came before the end is on the tape
        while entries:
            entry = entries.popleft()
            lines = self._writer.step(entry) if isinstance(entry, Step) else self._writer.piece(entry)
            if lines:
                self._write(self._compressor.compress(lines))
        if self._written > self._limit_bytes:
            return self._end(Note.FULL, self._written)
        if is_over:
            return self._end(Note.LOST, self.tape.lost) if self.tape.lost else self._end(Note.END)
        if now - self._flushed_at >= FLUSH_EVERY_SECONDS:
            self._flushed_at = now
            self._write(self._compressor.compress(self._writer.flush()) + self._compressor.flush(zlib.Z_SYNC_FLUSH))
            self._file.flush()
        return False

    def close(self) -> None:
        """Let go of the file, as it is."""
        self.tape.close()
        self._file.close()

    def _end(self, note: Note, value: int = 1) -> bool:
        self._write(self._compressor.compress(self._writer.note(note, value)) + self._compressor.flush())
        self.close()
        return True

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self._file.write(data)


class TraceFiles:
    """Records sessions into files.

    Args:
        folder: where the files are; it is made, for its owner alone.
        every: one session of so many is recorded; 0 records none until `toggle`.
        is_masked: whether what people said is masked.
        limit_bytes: longest file.
        clock: monotonic seconds, for the thread.

    Raises:
        OSError: the folder cannot be made or written to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int = 1,
        is_masked: bool = True,
        limit_bytes: int = FILE_LIMIT_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} cannot be written to")
        self._folder = folder
        self._configured_every = every
        self._every = every
        self._is_masked = is_masked
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._opened = 0
        self._new: deque[SessionTape] = deque()
        self._files: list[TraceFile] = []
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_on(self) -> bool:
        """Whether any session that opens now may be recorded."""
        return self._every > 0

    def toggle(self) -> bool:
        """Record no session that opens from now on, or again as many as the settings say, and all if they say none; return `is_on`."""
        self._every = 0 if self._every else self._configured_every or 1
        return self.is_on

    def open(self, origin: Origin) -> Tape | None:
        """Return a tape for a session that opens, or None when it is not recorded."""
        if not self._every:
            return None
        self._opened += 1
        return None if (self._opened - 1) % self._every else SessionTape(origin, self._new.append)

    def start(self) -> None:
        """Write from now on, in a thread."""
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end; blocks for END_SECONDS at most."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(END_SECONDS)

    def write(self) -> None:
        """Write what is on the tapes; the thread does it."""
        while self._new:
            self._attempt(self._new.popleft(), None)
        for file in tuple(self._files):
            self._attempt(file.tape, file)

    def _attempt(self, tape: SessionTape, file: TraceFile | None) -> None:
        """Make or write one file; whatever goes wrong with it ends this one alone."""
        try:
            if file is None:
                self._files.append(TraceFile(tape, self._folder, is_masked=self._is_masked, limit_bytes=self._limit_bytes))
                return
            if not file.write(self._clock()):
                return
        except Exception as error:  # noqa: BLE001 - the root of what is done for one session
            reason = getattr(error, "strerror", None) or type(error).__name__
            log.warning("trace.failed", session_id=tape.origin.session_id, reason=reason)
            tape.close()
        if file is not None:
            file.close()
            self._files.remove(file)

    def _run(self) -> None:
        while not self._ends.wait(WRITE_EVERY_SECONDS):
            self.write()
        self.write()
        for file in self._files:
            file.close()


def _create(folder: Path, session_id: str) -> BinaryIO:
    """Make a file that was not there before; a session that came from another process may have one already."""
    for number in count(1):
        name = f"{session_id}{SUFFIX}" if number == 1 else f"{session_id}.{number}{SUFFIX}"
        try:
            return os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _FILE_MODE), "wb")
        except FileExistsError:
            continue
    raise AssertionError

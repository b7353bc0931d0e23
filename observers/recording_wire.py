"""What goes between the server and the process that encodes its recordings: a length, and plain values behind it (marshal).

Both ends are one version of this program, and the one has started the other. marshal knows nothing but plain values: no code comes of what
the encoding process answers.
"""

import marshal
import struct
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Any, Final

from observers.recording_tape import Cut, Entry, Sound
from storage.recordings import Figures, Interruption, RecordingState

LENGTH: Final = struct.Struct("<I")
"""Goes before each message: how many bytes follow."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one recording goes on with."""

    number: int
    """Names the recording between the two ends."""
    rates: tuple[int, int]
    """Samples a second of caller and assistant."""
    began: float
    """Monotonic second of the first sample; all times are the server's."""
    now: float
    ended: float | None
    """When the session ended, after these entries; None while it runs."""
    stored: int
    """How many bytes of the file wait for nobody any more."""
    entries: tuple[Entry, ...]
    """What was said since the last task."""
    forgotten: tuple[int, ...] = ()
    """Other recordings that nobody asks for any more."""


@dataclass(frozen=True, slots=True)
class Made:
    """What came of a task."""

    data: bytes
    """What the file grows by."""
    state: RecordingState
    """Anything but RUNNING says that no more bytes come."""
    head: bytes
    """At the end, what has to stand in the place of the file's first bytes."""
    figures: Figures
    """Known at the end."""
    reason: str
    """Why it failed; empty if it did not."""


def pack_task(task: Task) -> bytes:
    """Return a message."""
    entries = tuple(tuple(entry) for entry in task.entries)
    return _packed((task.number, task.rates, task.began, task.now, task.ended, task.stored, entries, task.forgotten))


def read_task(message: bytes) -> Task:
    """Return what a message says.

    Args:
        message: without its length.
    """
    number, rates, began, now, ended, stored, entries, forgotten = _read(message)
    return Task(number, rates, began, now, ended, stored, tuple(map(_entry, entries)), forgotten)


def pack_made(made: Made) -> bytes:
    """Return a message."""
    return _packed((made.data, made.state.value, made.head, astuple(made.figures), made.reason))


def read_made(message: bytes) -> Made:
    """Return what a message says.

    Args:
        message: without its length.

    Raises:
        ValueError, EOFError, TypeError: it is none of `pack_made`.
    """
    data, state, head, (*figures, interruptions), reason = _read(message)
    told = replace(Figures(*figures), interruptions=tuple(Interruption(*one) for one in interruptions))
    return Made(data, RecordingState(state), head, told, reason)


def _entry(values: tuple[Any, ...]) -> Entry:
    made: Callable[..., Entry] = Cut if len(values) == len(Cut._fields) else Sound
    return made(*values)


def _packed(values: tuple[Any, ...]) -> bytes:
    message = marshal.dumps(values)
    return LENGTH.pack(len(message)) + message


def _read(message: bytes) -> tuple[Any, ...]:
    values: tuple[Any, ...] = marshal.loads(message)  # noqa: S302 - from the process at the other end of our own pipe
    return values

"""What a migration has done so far, in a file that outlives its process: each entry is on the disk before what it tells of is done.

A process that is killed while it writes leaves half a line, which counts as not written.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

import orjson

from scripts.upkeep.changes import RecordChange, from_json, to_json

NAME: Final = "journal.jsonl"
BEGUN, SCHEMA, BACKED_UP, CHANGING, PAGE, TABLE_DONE, VERIFIED, UNDOING, UNDONE, FINISHED = (
    "begun",
    "schema",
    "backed up",
    "changing",
    "page",
    "table done",
    "verified",
    "undoing",
    "undone",
    "finished",
)


class JournalUnusable(Exception):
    """A journal cannot be used; the text says why."""


class Journal:
    """The journal of one migration.

    Args:
        folder: of the migration; also holds the copies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / NAME
        self.entries: list[dict[str, Any]] = list(_read(self.path)) if self.path.exists() else []
        self._file: IO[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is something to go on with, or to take back."""
        return bool(self.entries) and self.entries[-1]["entry"] not in (FINISHED, UNDONE)

    def begin(self, **members: Any) -> None:
        """Make the folder, and write the first entry.

        Raises:
            OSError: it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.write(BEGUN, **members)

    def write(self, entry: str, **members: Any) -> None:
        """Write an entry, and have it on the disk.

        Raises:
            OSError: it cannot be written.
        """
        line = {"entry": entry, **members}
        if self._file is None:
            _drop_half_a_line(self.path)
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)
        self._file.write(orjson.dumps(line) + b"\n")
        os.fsync(self._file.fileno())
        self.entries.append(line)

    def changing(self, table: str, changes: list[RecordChange]) -> None:
        """Write what is about to be changed.

        Raises:
            OSError: it cannot be written.
        """
        self.write(CHANGING, table=table, changes=[to_json(change) for change in changes])

    def of(self, entry: str, **wanted: Any) -> Iterator[Mapping[str, Any]]:
        """Yield the entries of a kind that have these members."""
        for line in self.entries:
            if line["entry"] == entry and all(line.get(name) == value for name, value in wanted.items()):
                yield line

    def has(self, entry: str, **wanted: Any) -> bool:
        """Tell whether there is such an entry."""
        return next(self.of(entry, **wanted), None) is not None

    def changes(self, table: str) -> list[RecordChange]:
        """Return every change of a table, in order; of the last page some may never have been done."""
        return [from_json(change) for line in self.of(CHANGING, table=table) for change in line["changes"]]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def open_journals(folder: Path) -> list[Journal]:
    """Return the journals of migrations that have not come to an end, oldest first."""
    journals = (Journal(path.parent) for path in sorted(folder.glob(f"*/{NAME}")))
    return [journal for journal in journals if journal.is_open]


def _read(path: Path) -> Iterator[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last end of a line is empty, or half an entry
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise JournalUnusable(f"{path} is damaged at line {number}: restore the tables from the copies beside it") from None
        yield entry


def _drop_half_a_line(path: Path) -> None:
    if path.exists():
        text = path.read_bytes()
        os.truncate(path, text.rfind(b"\n") + 1)

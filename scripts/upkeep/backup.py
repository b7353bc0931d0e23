"""Copies of tables: one record a line, compressed, in files for their owner alone, and read back before anything is changed."""

import gzip
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scripts.upkeep.changes import digest, wire_line, wire_of
from scripts.upkeep.pace import Pace
from scripts.upkeep.progress import Bar
from scripts.upkeep.store import Store
from storage.tables import TableDefinition

PAGE = 100


class BackupDamaged(Exception):
    """A copy is not what was written; the text names the file."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of one table."""

    file: str
    """Name within the folder of its migration."""
    records: int
    sha256: str
    """Of the lines, with their ends."""


async def write_backup(store: Store, definition: TableDefinition, path: Path, bar: Bar) -> Backup:
    """Copy a table into a file, and read it back.

    Raises:
        StorageError: the store cannot be read.
        OSError: the file cannot be written.
        BackupDamaged: it cannot be read back.
    """
    draft, told, after, count = path.with_suffix(".part"), hashlib.sha256(), None, 0
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
            while True:
                page = await store.scan(definition, after, PAGE)
                for wire in page.wires:
                    line = wire_line(wire) + b"\n"
                    told.update(line)
                    file.write(line)
                count += len(page.wires)
                bar.show(count)
                after = page.after
                if after is None:
                    break
        raw.flush()
        os.fsync(raw.fileno())
    draft.replace(path)
    made = Backup(path.name, count, told.hexdigest())
    check_backup(path, made)
    return made


def check_backup(path: Path, backup: Backup) -> None:
    """See that a copy is complete.

    Raises:
        BackupDamaged: it is not.
    """
    told, count = hashlib.sha256(), 0
    for line in _lines(path):
        told.update(line)
        count += 1
    if (count, told.hexdigest()) != (backup.records, backup.sha256):
        raise BackupDamaged(f"{path} holds {count} records, or others than the {backup.records} that were written")


def read_backup(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a copy.

    Raises:
        BackupDamaged: it cannot be read.
    """
    return (wire_of(line) for line in _lines(path))


async def restore(store: Store, definition: TableDefinition, path: Path, backup: Backup, pace: Pace) -> None:
    """Write every record of a copy over what is in the table now; records that came later stay.

    Raises:
        BackupDamaged: the copy is not complete; nothing was written.
        StorageError: the store cannot be written.
    """
    check_backup(path, backup)
    for wire in read_backup(path):
        await pace.take(1)
        await pace.patiently(partial(store.put_back, definition, wire))


def digests(path: Path, definition: TableDefinition) -> dict[tuple[str, str], bytes]:
    """Return a digest for each record of a copy, by its key."""
    return {(wire[definition.partition]["S"], wire[definition.sort]["S"]): digest(wire) for wire in read_backup(path)}


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as file:
            yield from file
    except (OSError, EOFError) as error:
        raise BackupDamaged(f"{path} cannot be read back: {error}") from error

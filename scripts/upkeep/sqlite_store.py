"""The embedded store, for scripts."""

import asyncio
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from scripts.upkeep.lock import is_lock
from scripts.upkeep.shapes import ACTIVE, Difference, Drift, IndexState, TableState
from scripts.upkeep.store import NotThisStore, Scanned
from storage import sqlite_records as records
from storage.errors import StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.table import Key, Put
from storage.tables import Index, TableDefinition
from storage.values import decode_item

_PAGE = 200
_LIVING = '"table" = :table AND (expires_at IS NULL OR expires_at > :now)'
_COUNT = f"SELECT count(*), coalesce(sum(length(body)), 0) FROM records WHERE {_LIVING}"  # noqa: S608 - a constant
_SCAN = f"SELECT pk, sk, body FROM records WHERE {_LIVING} AND (pk, sk) > (:pk, :sk) ORDER BY pk, sk LIMIT :limit"  # noqa: S608 - a constant
_WITHOUT_ENTRY = """
SELECT count(*) FROM records r WHERE r."table" = :table AND (r.expires_at IS NULL OR r.expires_at > :now)
AND json_extract(r.body, :partition) IS NOT NULL AND (:sort IS NULL OR json_extract(r.body, :sort) IS NOT NULL)
AND NOT EXISTS (SELECT 1 FROM entries e WHERE e."table" = r."table" AND e.pk = r.pk AND e.sk = r.sk AND e."index" = :index
    AND e."partition" = json_extract(r.body, :partition) AND (:sort IS NULL OR e.sort = json_extract(r.body, :sort)))
"""


class SqliteStore:
    """A database file.

    Args:
        path: of the file.
        may_make: a file that is not there is made; otherwise that is an error, because looking at it would make an empty one.
    """

    def __init__(self, path: Path, *, may_make: bool = False) -> None:
        self.path = path
        if not may_make and not path.exists():
            raise StorageUnavailable(f"there is no database file {path}")
        self._database = SqliteDatabase(path)

    @property
    def database(self) -> SqliteDatabase:
        """The driver that the server uses as well."""
        return self._database

    async def state(self, definition: TableDefinition) -> TableState | None:
        """Return what a table looks like, None if there is none."""
        values = {"table": definition.name, "now": self._database.clock()}

        def look(connection: sqlite3.Connection) -> TableState | None:
            if connection.execute("SELECT 1 FROM tables WHERE name = ?", (definition.name,)).fetchone() is None:
                return None
            count, size = connection.execute(_COUNT, values).fetchone()
            indexes = tuple(IndexState(one, missing_entries=_missing(connection, values, one)) for one in definition.indexes)
            return TableState(
                name=definition.name,
                status=ACTIVE,
                partition=definition.partition,
                sort=definition.sort,
                key_types="SS",
                indexes=indexes,
                expiry=definition.ttl_attribute,
                stream=definition.stream,
                billing="a file",
                records=count,
                size=size,
            )

        return await self._database.read(look)

    async def scan(self, definition: TableDefinition, after: Key | None, limit: int) -> Scanned:
        """Return the next records of a table."""
        pk, sk = (after.partition, after.sort) if after else ("", "")
        values = {"table": definition.name, "now": self._database.clock(), "pk": pk, "sk": sk, "limit": limit}
        rows = await self._database.read(lambda connection: connection.execute(_SCAN, values).fetchall())
        last = Key(rows[-1][0], rows[-1][1]) if len(rows) == limit else None
        wires = [orjson.loads(row[2]) for row in rows]
        return Scanned(tuple(wire for wire in wires if not is_lock(definition, wire)), last)

    async def mend(self, definition: TableDefinition, difference: Difference) -> None:
        """Put one thing right."""
        if difference.drift is Drift.MISSING_TABLE:
            await self._database.table(definition).create()
        elif difference.drift is Drift.STALE_INDEX:
            await self._write_entries(definition)

    async def put_back(self, definition: TableDefinition, wire: dict[str, Any]) -> None:
        """Write a record, whatever is there."""
        put = Put(decode_item(wire))
        await self._database.write(lambda connection: records.apply(connection, definition, (put,)))

    async def back_up(self, definition: TableDefinition, name: str) -> str:
        """Refuse: a file has no service that keeps copies."""
        del definition, name
        raise NotThisStore("the embedded database keeps no copies itself: leave --service-backup out")

    async def check(self) -> str | None:
        """Return what is wrong with the file itself, None if nothing is."""
        (found,) = await self._database.read(lambda connection: connection.execute("PRAGMA quick_check(1)").fetchone())
        return None if found == "ok" else str(found)

    async def aclose(self) -> None:
        """Close the file."""
        await self._database.aclose()

    async def _write_entries(self, definition: TableDefinition) -> None:
        """Write every record over itself, which makes its index entries anew; page by page, so that a server can write in between."""
        after: Key | None = None
        while True:
            page = await self.scan(definition, after, _PAGE)
            keys = tuple(Key(wire[definition.partition]["S"], wire[definition.sort]["S"]) for wire in page.wires)
            await self._database.write(partial(_write_again, definition, keys))
            after = page.after
            if after is None:
                return
            await asyncio.sleep(0)


def _write_again(definition: TableDefinition, keys: Sequence[Key], connection: sqlite3.Connection) -> None:
    items = [item for key in keys if (item := records.read(connection, definition, key)) is not None]
    records.apply(connection, definition, tuple(map(Put, items)))


def _missing(connection: sqlite3.Connection, values: dict[str, Any], index: Index) -> int:
    """Return how many records lack their entry in an index."""
    sort = f'$."{index.sort}".S' if index.sort else None
    members = {**values, "index": index.name, "partition": f'$."{index.partition}".S', "sort": sort}
    return int(connection.execute(_WITHOUT_ENTRY, members).fetchone()[0])

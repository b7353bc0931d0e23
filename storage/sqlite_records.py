"""The records and index entries of the SQLite driver: plain functions on a connection, called in the driver's threads.

Items are kept as JSON of DynamoDB attribute values in one table of records, index entries in another. Text compares byte by byte in
SQLite as in DynamoDB, so both order sort keys alike.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import orjson

from storage.conditions import Update, holds
from storage.cursors import decode_cursor, encode_cursor
from storage.errors import ConditionFailed, InvalidRequest
from storage.table import Change, Delete, Key, Page, Put, Query, Write
from storage.tables import TableDefinition
from storage.values import Item, Value, decode_item, encode_item

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS tables (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
    "table" TEXT NOT NULL, pk TEXT NOT NULL, sk TEXT NOT NULL, body TEXT NOT NULL, expires_at INTEGER,
    PRIMARY KEY ("table", pk, sk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS entries (
    "table" TEXT NOT NULL, "index" TEXT NOT NULL, "partition" TEXT NOT NULL, sort TEXT NOT NULL, pk TEXT NOT NULL, sk TEXT NOT NULL,
    PRIMARY KEY ("table", "index", "partition", sort, pk, sk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_record ON entries ("table", pk, sk);
"""
_QUERY = """
SELECT r.body, {sort}, r.pk, r.sk FROM {source}
WHERE {scope} AND {sort} BETWEEN :low AND :high AND (r.expires_at IS NULL OR r.expires_at > :now) {after}
ORDER BY {sort} {order}, r.pk {order}, r.sk {order} LIMIT :limit
"""
_HIGHEST = "\U0010ffff"
"""Sorts after every text that a sort key can hold."""


@dataclass(frozen=True, slots=True)
class _Many:
    """A statement about many rows."""

    beginning: str
    row: str
    between: str

    def text(self, rows: int) -> str:
        """Return it for so many rows."""
        return self.beginning + self.between.join([self.row] * rows)

    def run(self, connection: sqlite3.Connection, rows: Sequence[tuple[str | int | None, ...]]) -> list[tuple[str, ...]]:
        """Run it with the values of some rows, as many of them at once as any SQLite takes; return what it finds."""
        found: list[tuple[str, ...]] = []
        for at in range(0, len(rows), ROWS):
            some = rows[at : at + ROWS]
            found += connection.execute(self.text(len(some)), [value for row in some for value in row])
        return found


_PLACE = '("table" = ? AND pk = ? AND sk = ?)'
_READ = _Many('SELECT "table", pk, sk, body FROM records WHERE ', _PLACE, " OR ")  # SQLite finds no index for IN (VALUES ...)
_UNLIST = _Many("DELETE FROM entries WHERE ", _PLACE, " OR ")
_REMOVE = _Many("DELETE FROM records WHERE ", _PLACE, " OR ")
_WRITE = _Many("INSERT OR REPLACE INTO records VALUES ", "(?, ?, ?, ?, ?)", ", ")
_LIST = _Many("INSERT INTO entries VALUES ", "(?, ?, ?, ?, ?, ?)", ", ")
ROWS = 150
"""Rows of one statement: of six values at most, and 999 could be bound before SQLite 3.32 (SQLite documentation, "Limits")."""

type Place = tuple[str, str, str]
"""Table, partition and sort key."""
type _Entry = tuple[str, str, str]
"""Index, partition and sort key in it."""


@dataclass(frozen=True, slots=True)
class Writes:
    """All writes of one transaction, each on another record of the table."""

    definition: TableDefinition
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How something that was to be done in a transaction ended."""

    result: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class _Planned:
    """Writes, and which records they are about."""

    given: Writes
    places: list[Place]


def read(connection: sqlite3.Connection, definition: TableDefinition, key: Key, now: float | None = None) -> dict[str, Value] | None:
    """Return a record, or None; with `now`, one that has expired counts as gone."""
    row = connection.execute(
        'SELECT body, expires_at FROM records WHERE "table" = ? AND pk = ? AND sk = ?', (definition.name, key.partition, key.sort)
    ).fetchone()
    if row is None or (now is not None and row[1] is not None and row[1] <= now):
        return None
    return decode_item(orjson.loads(row[0]))


def apply(connection: sqlite3.Connection, given: Sequence[Writes]) -> list[Outcome]:
    """Do one after the other inside the open transaction, each whole or not at all; the result is the records that its writes leave.

    Statements are few, whatever there is to write: each gives the interpreter away and takes it back from the event loop.
    """
    outcomes: list[Outcome] = []
    together: list[_Planned] = []
    taken: set[Place] = set()
    for one in given:
        places = [(one.definition.name, *_key(one.definition, write)) for write in one.writes]
        if not taken.isdisjoint(places):
            outcomes += _apply(connection, together)
            together, taken = [], set()
        together.append(_Planned(one, places))
        taken.update(places)
    return outcomes + _apply(connection, together)


def _apply(connection: sqlite3.Connection, planned: Sequence[_Planned]) -> list[Outcome]:
    """Do what concerns different records."""
    needed = [place for one in planned for write, place in zip(one.given.writes, one.places, strict=True) if _depends(write)]
    before = {(table, pk, sk): decode_item(orjson.loads(body)) for table, pk, sk, body in _READ.run(connection, needed)}
    rows = _Rows()
    outcomes = [rows.plan(one, before) for one in planned]
    _UNLIST.run(connection, rows.unlisted)
    _REMOVE.run(connection, rows.removed)
    _WRITE.run(connection, rows.written)
    _LIST.run(connection, rows.listed)
    return outcomes


@dataclass(slots=True)
class _Rows:
    """What is to be done to the tables."""

    unlisted: list[Place] = field(default_factory=list)
    removed: list[Place] = field(default_factory=list)
    written: list[tuple[str, str, str, str, int | None]] = field(default_factory=list)
    listed: list[tuple[str, str, str, str, str, str]] = field(default_factory=list)

    def plan(self, planned: _Planned, before: Mapping[Place, Item]) -> Outcome:
        """Take what one transaction does; nothing of it if it cannot be done."""
        definition, writes = planned.given.definition, planned.given.writes
        old = [before.get(place) for place in planned.places]
        if failed := tuple(at for at, (write, item) in enumerate(zip(writes, old, strict=True)) if not holds(write.condition, item)):
            return Outcome(error=ConditionFailed(failed))
        own = _Rows()
        try:
            new = [_result(definition, write, item) for write, item in zip(writes, old, strict=True)]
            for write, place, was, item in zip(writes, planned.places, old, new, strict=True):
                own.add(definition, place, _entries(definition, was) if _depends(write) else None, item)
        except InvalidRequest as error:
            return Outcome(error=error)
        for name in ("unlisted", "removed", "written", "listed"):
            getattr(self, name).extend(getattr(own, name))
        return Outcome(new)

    def add(self, definition: TableDefinition, place: Place, old: set[_Entry] | None, item: Item | None) -> None:
        """Take what becomes of one record; `old` is None where nobody knows which index entries it has."""
        new = _entries(definition, item)
        if old is None or not old <= new:
            self.unlisted.append(place)
            old = set()
        if item is None:
            self.removed.append(place)
            return
        expires = item.get(definition.ttl_attribute)
        self.written.append((*place, orjson.dumps(encode_item(item)).decode(), expires if isinstance(expires, int) else None))
        table, pk, sk = place
        self.listed += [(table, *entry, pk, sk) for entry in new - old]


def select(connection: sqlite3.Connection, definition: TableDefinition, query: Query, now: float) -> Page:
    """Return one page of a query."""
    cursor = decode_cursor(definition, query)
    low, high = query.between or ("", _HIGHEST)
    values: dict[str, str | float] = {"low": low, "high": high, "now": now, "limit": query.limit + 1}
    values |= {"table": definition.name, "partition": query.partition}
    sort, source, scope = "r.sk", "records r", 'r."table" = :table AND r.pk = :partition'
    sort_attribute: str | None = definition.sort
    if query.index is not None:
        index = definition.index(query.index)
        sort_attribute = index.sort
        values["index"] = index.name
        sort, source = "e.sort", 'entries e JOIN records r ON r."table" = e."table" AND r.pk = e.pk AND r.sk = e.sk'
        scope = 'e."table" = :table AND e."index" = :index AND e."partition" = :partition'
    after = ""
    if cursor is not None:
        sign = "<" if query.descending else ">"
        after = f"AND ({sort}, r.pk, r.sk) {sign} (:after, :pk, :sk)"
        values |= {
            "after": cursor[sort_attribute] if sort_attribute else "",
            "pk": cursor[definition.partition],
            "sk": cursor[definition.sort],
        }
    # Only the constants above are ever put into the statement; values are bound.
    statement = _QUERY.format(sort=sort, source=source, scope=scope, after=after, order="DESC" if query.descending else "ASC")
    rows = connection.execute(statement, values).fetchall()
    items = tuple(decode_item(orjson.loads(row[0])) for row in rows[: query.limit])
    more = len(rows) > query.limit
    return Page(items, encode_cursor(definition, query, _position(definition, query, items[-1])) if more else None)


def sweep(connection: sqlite3.Connection, now: float) -> None:
    """Remove records whose time is over, inside the open transaction."""
    gone = '(SELECT "table", pk, sk FROM records WHERE expires_at <= ?)'
    connection.execute(f'DELETE FROM entries WHERE ("table", pk, sk) IN {gone}', (now,))  # noqa: S608 - a constant
    connection.execute("DELETE FROM records WHERE expires_at <= ?", (now,))


def key_of(definition: TableDefinition, write: Write) -> Key:
    """Return which record a write is about."""
    if isinstance(write, Put):
        return Key(_text(write.item, definition.partition), _text(write.item, definition.sort))
    return write.key


def _key(definition: TableDefinition, write: Write) -> tuple[str, str]:
    key = key_of(definition, write)
    return key.partition, key.sort


def changed(definition: TableDefinition, item: Item | None, key: Key, update: Update) -> dict[str, Value]:
    """Return a record after an update."""
    record: dict[str, Value] = dict(item) if item is not None else {definition.partition: key.partition, definition.sort: key.sort}
    for name, step in update.add.items():
        current = record.get(name, 0)
        if not isinstance(current, int | Decimal) or isinstance(current, bool):
            raise InvalidRequest(f"{name} is not a number")
        record[name] = current + step
    record.update(update.set)
    for name in update.remove:
        record.pop(name, None)
    return record


def _result(definition: TableDefinition, write: Write, item: Item | None) -> Item | None:
    match write:
        case Put(new):
            return new
        case Change(key, update):
            return changed(definition, item, key, update)
        case Delete():
            return None


def _depends(write: Write) -> bool:
    """Tell whether what is there before has to be known."""
    return write.condition is not None or isinstance(write, Change)


def _entries(definition: TableDefinition, item: Item | None) -> set[_Entry]:
    """Return index, partition and sort key of each entry that a record has."""
    if item is None:
        return set()
    has = [index for index in definition.indexes if index.partition in item and (index.sort is None or index.sort in item)]
    return {(index.name, _text(item, index.partition), _text(item, index.sort) if index.sort else "") for index in has}


def _position(definition: TableDefinition, query: Query, item: Item) -> Mapping[str, str]:
    names = [definition.partition, definition.sort]
    if query.index is not None:
        index = definition.index(query.index)
        names += [index.partition] + ([index.sort] if index.sort else [])
    return {name: _text(item, name) for name in names}


def _text(item: Item, name: str) -> str:
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidRequest(f"{name} is a key and has to be a text that is not empty")
    return value

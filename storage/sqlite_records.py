"""The records and index entries of the SQLite driver: plain functions on a connection, called in the driver's threads.

Items are kept as JSON of DynamoDB attribute values in one table of records, index entries in another. Text compares byte by byte in
SQLite as in DynamoDB, so both order sort keys alike.
"""

import sqlite3
from collections.abc import Mapping
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


def read(connection: sqlite3.Connection, definition: TableDefinition, key: Key, now: float | None = None) -> dict[str, Value] | None:
    """Return a record, or None; with `now`, one that has expired counts as gone."""
    row = connection.execute(
        'SELECT body, expires_at FROM records WHERE "table" = ? AND pk = ? AND sk = ?', (definition.name, key.partition, key.sort)
    ).fetchone()
    if row is None or (now is not None and row[1] is not None and row[1] <= now):
        return None
    return decode_item(orjson.loads(row[0]))


def apply(connection: sqlite3.Connection, definition: TableDefinition, writes: tuple[Write, ...]) -> list[Item | None]:
    """Do all writes inside the open transaction and return the record that each leaves.

    Raises:
        ConditionFailed: the caller has to roll back.
    """
    before = [read(connection, definition, key_of(definition, write)) if _depends(write) else None for write in writes]
    failed = tuple(at for at, (write, item) in enumerate(zip(writes, before, strict=True)) if not holds(write.condition, item))
    if failed:
        raise ConditionFailed(failed)
    after = [_result(definition, write, item) for write, item in zip(writes, before, strict=True)]
    for write, old, new in zip(writes, before, after, strict=True):
        key = key_of(definition, write)
        place = (definition.name, key.partition, key.sort)
        _index(connection, place, _entries(definition, old) if _depends(write) else None, _entries(definition, new))
        _store(connection, definition, place, new)
    return after


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


def _entries(definition: TableDefinition, item: Item | None) -> set[tuple[str, str, str]]:
    """Return index, partition and sort key of each entry that a record has."""
    if item is None:
        return set()
    has = [index for index in definition.indexes if index.partition in item and (index.sort is None or index.sort in item)]
    return {(index.name, _text(item, index.partition), _text(item, index.sort) if index.sort else "") for index in has}


def _index(
    connection: sqlite3.Connection, place: tuple[str, str, str], old: set[tuple[str, str, str]] | None, new: set[tuple[str, str, str]]
) -> None:
    """Bring a record's index entries up to date; `old` is None where nobody knows which there are."""
    if old is None or not old <= new:
        connection.execute('DELETE FROM entries WHERE "table" = ? AND pk = ? AND sk = ?', place)
        old = set()
    table, pk, sk = place
    if missing := [value for entry in new - old for value in (table, *entry, pk, sk)]:
        rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * (len(missing) // 6))
        connection.execute(f"INSERT INTO entries VALUES {rows}", missing)  # noqa: S608 - values are bound


def _store(connection: sqlite3.Connection, definition: TableDefinition, place: tuple[str, str, str], item: Item | None) -> None:
    if item is None:
        connection.execute('DELETE FROM records WHERE "table" = ? AND pk = ? AND sk = ?', place)
        return
    expires = item.get(definition.ttl_attribute)
    body = orjson.dumps(encode_item(item)).decode()
    connection.execute(
        "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?)", (*place, body, expires if isinstance(expires, int) else None)
    )


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

"""What the repositories share: typed reading of items, numbering, request records, and identity attempts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from storage.conditions import Absent, AnyOf, LessThan, Update
from storage.errors import ConditionFailed, InvalidRequest
from storage.table import Key, Put, Query, Table
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item, Value

ANYBODY: Final = "(anybody)"
"""User of the records of those whom nobody asked who they are: a key cannot be empty, and nobody can be called so."""
REQUEST_LIFE = timedelta(days=1)
"""How long a tool call can be repeated without being done twice; a session lasts minutes."""
MAX_ATTEMPTS_PER_HOUR = 10
"""Failed identity checks on one record, over all sessions, before it is closed for the rest of the hour."""


@dataclass(frozen=True, slots=True)
class Listing[T]:
    """One page of records."""

    records: tuple[T, ...]
    cursor: str | None
    """Opaque; None on the last page."""


class Reader:
    """Reads the attributes of one item, and says which one is wrong without showing its value."""

    def __init__(self, item: Item) -> None:
        self._item = item

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text.

        Raises:
            InvalidRequest: it is missing without a default, or no text.
        """
        value = self._item.get(name, default)
        if not isinstance(value, str):
            raise InvalidRequest(f"{name} is no text")
        return value

    def maybe_text(self, name: str) -> str | None:
        """Return a text, or None when it is absent or null."""
        value = self._item.get(name)
        return value if isinstance(value, str) else None

    def number(self, name: str) -> Decimal:
        """Return a number.

        Raises:
            InvalidRequest: it is missing, or no number.
        """
        value = self._item.get(name)
        if not isinstance(value, int | Decimal) or isinstance(value, bool):
            raise InvalidRequest(f"{name} is no number")
        return Decimal(value)

    def record(self, name: str) -> Item:
        """Return a map.

        Raises:
            InvalidRequest: it is missing, or no map.
        """
        value = self._item.get(name)
        if not isinstance(value, Mapping):
            raise InvalidRequest(f"{name} is no map")
        return value

    def parts(self, name: str) -> list["Reader"]:
        """Return readers of a list of maps.

        Raises:
            InvalidRequest: it is missing, or no list of maps.
        """
        value = self._item.get(name)
        if not isinstance(value, list) or not all(isinstance(part, Mapping) for part in value):
            raise InvalidRequest(f"{name} is no list of maps")
        return [Reader(part) for part in value]


async def next_number(table: Table, kind: str) -> str:
    """Give out the next number of a kind of record. Numbers are never given out twice, and may have gaps."""
    item = await table.update(Key.twice(f"COUNTER#{kind}"), Update(add={"last": 1}))
    return str(Reader(item).number("last"))


async def raise_numbering(table: Table, kind: str, last: int) -> None:
    """Let numbering go on after `last`, if it is not past it already."""
    behind = AnyOf((Absent("last"), LessThan("last", last)))
    with suppress(ConditionFailed):
        await table.update(Key.twice(f"COUNTER#{kind}"), Update(set={"last": last}), behind)


async def request_outcome(table: Table, request_id: str) -> Item | None:
    """Return the record as this request left it, whatever has become of it since; None when the request has changed nothing."""
    item = await table.get(Key.twice(f"REQUEST#{request_id}"))
    return Reader(item).record("outcome") if item is not None else None


def request_record(request_id: str, outcome: Item, now: datetime) -> Put:
    """Return the write that takes note of what a request does, and fails if it was noted before; part of the transaction that does it."""
    key = f"REQUEST#{request_id}"
    expires = int((now + REQUEST_LIFE).timestamp())
    return Put({PARTITION: key, SORT: key, "outcome": outcome, TTL_ATTRIBUTE: expires}, Absent(PARTITION))


async def reserve_attempt(table: Table, record_id: str, now: datetime, most: int = MAX_ATTEMPTS_PER_HOUR) -> bool:
    """Count an identity check before it is made; False when too many failed within this hour."""
    full = AnyOf((Absent("attempts"), LessThan("attempts", most)))
    expires = int((now + timedelta(hours=2)).timestamp())
    try:
        await table.update(_attempts_key(record_id, now), Update(set={TTL_ATTRIBUTE: expires}, add={"attempts": 1}), full)
    except ConditionFailed:
        return False
    return True


async def release_attempt(table: Table, record_id: str, now: datetime) -> None:
    """Take back an attempt whose check succeeded: only failures count."""
    await table.update(_attempts_key(record_id, now), Update(add={"attempts": -1}))


async def pages(table: Table, query: Query) -> AsyncIterator[Item]:
    """Yield every item of a query, page after page."""
    while True:
        page = await table.query(query)
        for item in page.items:
            yield item
        if page.cursor is None:
            return
        query = replace(query, cursor=page.cursor)


def to_milliseconds(instant: datetime) -> datetime:
    """Return an instant as precisely as it is stored."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def next_instant(before: datetime, now: datetime) -> datetime:
    """Return when a record is changed: later than when it was changed before, so that two changes never carry the same time."""
    return max(to_milliseconds(now), before + timedelta(milliseconds=1))


def whole_update(item: Item, optional: Sequence[str]) -> Update:
    """Return the update that writes every attribute of a record that the program knows, and leaves those of other programs alone.

    Args:
        item: with its keys.
        optional: attributes that are removed where the item has none.
    """
    values = {name: value for name, value in item.items() if name not in (PARTITION, SORT)}
    return Update(set=values, remove=tuple(name for name in optional if name not in values))


def without_nulls(item: Mapping[str, Value]) -> dict[str, Value]:
    """Return the attributes that have a value: an index key must be absent rather than null."""
    return {name: value for name, value in item.items() if value is not None}


def _attempts_key(record_id: str, now: datetime) -> Key:
    return Key.twice(f"ATTEMPTS#{record_id}#{now:%Y-%m-%dT%H}")

"""Compares a table with its copy from before a migration, and with what the migration meant to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.upkeep.changes import RecordChange, digest
from scripts.upkeep.opening import NamedTable
from scripts.upkeep.planning import Planner
from scripts.upkeep.report import Verified
from scripts.upkeep.store import Store
from storage.errors import InvalidRequest
from storage.readers import kind_of, unreadable
from storage.table import Key
from storage.values import Item, decode_item

PAGE = 100

type Digests = Mapping[tuple[str, str], bytes]
"""Of the copy's records, by key."""


@dataclass(frozen=True, slots=True)
class Intended:
    """What a table shall be like."""

    before: Digests | None
    """None where the store itself keeps the copy."""
    changes: Sequence[RecordChange]
    planner: Planner


async def verify(store: Store, table: NamedTable, intended: Intended) -> Verified:
    """Return how a table compares with what was intended.

    Raises:
        StorageError: the store cannot be read.
    """
    await intended.planner.prepare()
    last = {(change.key.partition, change.key.sort): change for change in intended.changes}
    before = dict(intended.before or {})
    told = Verified(checksum_before=_sum([digest for key, digest in before.items() if key not in last]))
    rest, after = [], None
    definition = table.definition
    while True:
        page = await store.scan(definition, after, PAGE)
        for wire in page.wires:
            key = (str(wire[definition.partition].get("S")), str(wire[definition.sort].get("S")))
            was = before.pop(key, None)
            told.records += 1
            item = _decoded(wire)
            why = _why_unreadable(table, item)
            told.readable += not why
            if key in last:
                await _compare(told, intended.planner, last[key], item, why)
            elif was is None and intended.before is not None:
                told.by_others += 1
            else:
                told.untouched += 1
                now = digest(wire)
                rest.append(now)
                told.by_others += was is not None and was != now
        after = page.after
        if after is None:
            break
    told.by_others += sum(key not in last for key in before)
    told.checksum_after = _sum(rest)
    if intended.before is None:
        told.checksum_before = told.checksum_after
    return told


async def _compare(told: Verified, planner: Planner, change: RecordChange, item: Item | None, why: str | None) -> None:
    """See whether a record is what the migration made of it, and whether the migration would make the same of it again."""
    if item is None or not change.is_done(item):
        told.by_others += 1
        return
    if change.before is None:
        told.made += 1
    else:
        told.changed += 1
    again = await planner.plan(item) if change.before is not None and not change.key.partition.startswith("COUNTER#") else None
    if why or (again is not None and any(one.key == change.key for one in again.changes)):
        told.wrong.append(name_of(change.key))


def name_of(key: Key) -> str:
    """Return a key as it is shown: one line, and not long."""
    text = key.partition if key.partition == key.sort else f"{key.partition} / {key.sort}"
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:80]


def _decoded(wire: Mapping[str, object]) -> Item | None:
    try:
        return decode_item(wire)
    except InvalidRequest:
        return None


def _why_unreadable(table: NamedTable, item: Item | None) -> str | None:
    if item is None:
        return "an attribute is of a type that the server does not read"
    kind = kind_of(table.kind, item)
    return unreadable(kind, item) if kind is not None else None


def _sum(digests: Sequence[bytes]) -> str:
    """Return a checksum that does not depend on the order."""
    total = sum(int.from_bytes(one) for one in digests)
    return f"{total % (1 << 128):032x}"

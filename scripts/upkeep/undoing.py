"""Takes back what a migration did: each record, in reverse order, if it is still as the migration left it."""

from collections.abc import Mapping, Sequence
from functools import partial

from scripts.upkeep.changes import RecordChange, digest
from scripts.upkeep.opening import NamedTable
from scripts.upkeep.pace import Pace
from scripts.upkeep.report import TableReport
from scripts.upkeep.store import Store
from scripts.upkeep.verification import PAGE
from storage.errors import ConditionFailed
from storage.table import Change, Delete, Put, Table, Write


async def undo_table(
    store: Store,
    table: NamedTable,
    changes: Sequence[RecordChange],
    *,
    pace: Pace,
    told: TableReport,
    before: Mapping[tuple[str, str], bytes] | None,
) -> None:
    """Take back changes, and compare what was changed with the copy.

    Args:
        store: that was migrated.
        table: whose changes they are.
        changes: in the order in which they were written into the journal; some may never have been done.
        pace: how fast.
        told: takes the counts.
        before: digests of the copy's records, by key; None where there is no copy in a file.

    Raises:
        StorageError: the store cannot be used.
    """
    records = store.database.table(table.definition)
    of_others: set[tuple[str, str]] = set()
    for change in reversed(changes):
        await pace.take(1)
        back = change.inverted()
        try:
            await pace.patiently(partial(_write, records, back.write(table.definition)))
        except ConditionFailed:
            if not back.is_done(await records.get(change.key)):
                of_others.add((change.key.partition, change.key.sort))
            continue
        told.restored += 1
    if before is not None and changes:
        of_others |= await _others(store, table, {(one.key.partition, one.key.sort): None for one in changes}, before)
    told.not_restored = len(of_others)


async def _write(records: Table, write: Write) -> None:
    match write:
        case Put(item, condition):
            await records.put(item, condition)
        case Change(key, update, condition):
            await records.update(key, update, condition)
        case Delete(key, condition):
            await records.delete(key, condition)


async def _others(
    store: Store, table: NamedTable, mine: dict[tuple[str, str], None], before: Mapping[tuple[str, str], bytes]
) -> set[tuple[str, str]]:
    """Return which of these records are not what the copy has: somebody else wrote them between the copy and now."""
    definition, after = table.definition, None
    left = {key: before.get(key) for key in mine}
    others = set()
    while True:
        page = await store.scan(definition, after, PAGE)
        for wire in page.wires:
            key = (str(wire[definition.partition].get("S")), str(wire[definition.sort].get("S")))
            if key in left and left.pop(key) != digest(wire):
                others.add(key)
        after = page.after
        if after is None:
            return others | {key for key, was in left.items() if was is not None}

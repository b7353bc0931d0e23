"""Tries a migration on a copy in a file: first with a fault in the middle, after which all has to be as before, then to its end.

After that a second run has to find nothing to do.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scripts.upkeep.breaking import BreakingStore
from scripts.upkeep.changes import wire_line
from scripts.upkeep.journal import Journal
from scripts.upkeep.migration import Migration, Options
from scripts.upkeep.opening import NamedTable
from scripts.upkeep.pace import Pace
from scripts.upkeep.report import Outcome, Report
from scripts.upkeep.shapes import Difference, Drift
from scripts.upkeep.sqlite_store import SqliteStore
from scripts.upkeep.store import Store
from storage.errors import InvalidRequest

PAGE = 100


async def rehearse(store: Store, tables: Sequence[NamedTable], options: Options) -> Report:
    """Return the report of a migration of a copy; the store itself is only read.

    Raises:
        StorageError: the store cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="nova-sonic-rehearsal-") as name:
        folder = Path(name)
        copy = SqliteStore(folder / "copy.sqlite3", may_make=True)
        try:
            left_out = sum([await _copy(store, copy, table) for table in tables])
            return await _try_out(copy, tables, folder, replace(options, pace=Pace(0, ()), is_copied_by_store=False), left_out)
        finally:
            await copy.aclose()


async def _try_out(copy: SqliteStore, tables: Sequence[NamedTable], folder: Path, options: Options, left_out: int) -> Report:
    before = await _contents(copy, tables)
    planned = await Migration(copy, tables, Journal(folder / "plan"), options).plan()
    writes = sum(table.to_change for table in planned.tables)
    faults: list[str] = []
    if writes:
        broken = await Migration(BreakingStore(copy, after=writes // 2), tables, Journal(folder / "broken"), options).run()
        if broken.outcome is not Outcome.ROLLED_BACK or await _contents(copy, tables) != before:
            faults.append(f"after a fault in the middle not all was as before ({broken.outcome})")
    report = await Migration(copy, tables, Journal(folder / "whole"), options).run()
    again = await Migration(copy, tables, Journal(folder / "again"), options).plan()
    if any(table.to_change for table in again.tables):
        faults.append("a second run would change records again")
    report.run = "rehearsal"
    report.error = "; ".join(filter(None, (report.error, *faults)))
    told = f"Tried on a copy: a fault in the middle of {writes} changes was taken back, then all was done. The tables are untouched."
    done = told if writes else "Tried on a copy: no record is to be changed. The tables are untouched."
    report.advice = done if not report.error else "The tables are untouched. Do not migrate before the cause is found."
    if left_out:
        report.advice += f" {left_out} records hold types that the copy cannot, and were left out."
    for table in report.tables:
        table.copy = ""
    return report


async def _copy(store: Store, copy: SqliteStore, table: NamedTable) -> int:
    """Copy a table, and return how many records could not be."""
    if await store.state(table.definition) is None:
        return 0
    await copy.mend(table.definition, Difference(table.definition.name, Drift.MISSING_TABLE))
    after, left_out = None, 0
    while True:
        page = await store.scan(table.definition, after, PAGE)
        for wire in page.wires:
            try:
                await copy.put_back(table.definition, wire)
            except InvalidRequest:
                left_out += 1
        after = page.after
        if after is None:
            return left_out


async def _contents(store: SqliteStore, tables: Sequence[NamedTable]) -> list[bytes]:
    found = []
    for table in tables:
        after = None
        while await store.state(table.definition) is not None:
            page = await store.scan(table.definition, after, PAGE)
            found += [wire_line(wire) for wire in page.wires]
            after = page.after
            if after is None:
                break
    return found

"""Brings tables to their present definitions, and records to their present shape: copy, change, verify, and all back again after an error.

Nothing is changed before it is copied and written into the journal. Every write is done only if the record is still what it was when the
change was planned, so a server may go on writing meanwhile. A migration whose process was killed goes on where the journal ends; one that
meets an error takes back what it did.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from scripts.upkeep import journal as entries
from scripts.upkeep.backup import digests, write_backup
from scripts.upkeep.journal import Journal
from scripts.upkeep.lock import Lock, Locked, LockLost
from scripts.upkeep.opening import NamedTable
from scripts.upkeep.pace import Pace
from scripts.upkeep.planning import PLANNERS, Plan, Planner, number_of
from scripts.upkeep.progress import Bar
from scripts.upkeep.report import Outcome, Report, TableReport, Verified
from scripts.upkeep.shapes import MENDABLE, REPLACEABLE, differences
from scripts.upkeep.store import Store
from scripts.upkeep.undoing import undo_table
from scripts.upkeep.verification import Intended, name_of, verify
from storage.errors import ConditionFailed, InvalidRequest, StorageError
from storage.readers import kind_of, unreadable
from storage.table import Key
from storage.values import Item, decode_item

_TRIES = 5
"""How often to plan anew for a record that others keep changing."""
PAGE = 50
"""Records between two entries of the journal."""


class VerificationFailed(Exception):
    """Records are not as the migration meant them; the text names the first."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a migration goes about it."""

    zone: ZoneInfo
    """The clinic's."""
    may_replace_indexes: bool = False
    is_copied_by_store: bool = False
    """Have the store keep the copies, rather than files."""
    pace: Pace = field(default_factory=lambda: Pace(0))
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Migration:
    """One migration, which may have begun in another process.

    Args:
        store: that is migrated.
        tables: that are looked at.
        journal: of this migration; where it has entries already, it goes on from there.
        options: how to go about it.
    """

    def __init__(self, store: Store, tables: Sequence[NamedTable], journal: Journal, options: Options) -> None:
        self._store = store
        self._tables = tables
        self._journal = journal
        self._options = options
        self._locks: dict[str, Lock] = {}
        self._owner = journal.folder.name
        self.report = Report(self._owner)

    async def plan(self) -> Report:
        """Look at everything, and change nothing.

        Raises:
            StorageError: the store cannot be read.
        """
        self.report = Report(self._owner, Outcome.PLANNED)
        for table in self._tables:
            await self._plan(table)
        return self.report

    async def run(self) -> Report:
        """Do it, or what is left of it; after an error, take it all back.

        Raises:
            Locked: another migration has a table; nothing was changed.
        """
        try:
            await self._lock_all()
        except Locked:
            await self._unlock()
            raise
        try:
            if not self._journal.entries:
                self._journal.begin(tables=[table.kind for table in self._tables])
            await self._go()
        except LockLost as error:
            self.report.outcome, self.report.error = Outcome.STOPPED, str(error)
            self.report.advice = "Look at what the other migration does, then run this one again with --resume or --rollback."
        except Exception as error:  # noqa: BLE001 - the root of a migration: whatever is wrong, nothing stays half done
            self.report.error = _told(error)
            await self.roll_back()
        finally:
            self._journal.close()
        return self.report

    async def roll_back(self) -> Report:
        """Take back everything that the journal tells of, and see that it is."""
        try:
            await self._lock_all()
            self._journal.write(entries.UNDOING)
            self.report.tables = self.report.tables or [TableReport(table.definition.name) for table in self._tables]
            for table, told in zip(reversed(self._tables), reversed(self.report.tables), strict=False):
                changes = self._journal.changes(table.kind)
                copy = next(self._journal.of(entries.BACKED_UP, table=table.kind), {})
                before = digests(self._journal.folder / copy["file"], table.definition) if copy.get("file") else None
                await undo_table(self._store, table, changes, pace=self._options.pace, told=told, before=before)
            self._journal.write(entries.UNDONE)
            await self._unlock()
        except Exception as error:  # noqa: BLE001 - told to whoever runs it, who alone can help
            self.report.outcome = Outcome.STOPPED
            self.report.error = "; ".join(filter(None, (self.report.error, f"not all could be taken back: {_told(error)}")))
            self.report.advice = (
                f"When the cause is gone: scripts/migrate.py --rollback {self._owner}. The copies are in {self._journal.folder}."
            )
            return self.report
        finally:
            self._journal.close()
        self.report.outcome = Outcome.ROLLED_BACK
        self.report.advice = f"The records are as they were. The copies are in {self._journal.folder}."
        return self.report

    async def _go(self) -> None:
        plans = [await self._plan(table) for table in self._tables]
        has_begun = self._journal.has(entries.BACKED_UP)
        if not any(told.to_change or told.mended for told in plans) and not has_begun:
            self._journal.write(entries.FINISHED)
            await self._unlock()
            return
        for table in self._tables:
            await self._mend_table(table)
        await self._lock_all()  # those that were made now
        concerned = [
            (table, told)
            for table, told in zip(self._tables, plans, strict=True)
            if told.to_change or self._journal.has(entries.BACKED_UP, table=table.kind)
        ]
        for table, told in concerned:
            await self._copy(table, told)
        for table, told in concerned:
            await self._change(table, told)
        for table, told in concerned:
            told.verified = await self._verify(table)
        self._journal.write(entries.FINISHED)
        await self._unlock()
        self.report.outcome = Outcome.DONE
        self.report.advice = f"To go back: scripts/migrate.py --rollback {self._owner}. The copies are in {self._journal.folder}."

    async def _plan(self, table: NamedTable) -> TableReport:
        told = TableReport(table.definition.name)
        self.report.tables.append(told)
        state = await self._store.state(table.definition)
        for one in differences(table.definition, state):
            is_mended = one.drift in MENDABLE or (one.drift in REPLACEABLE and self._options.may_replace_indexes)
            (told.mended if is_mended else told.left).append(one.line if is_mended else f"{one.line}; {one.cure}")
        if state is None:
            return told
        planner, highest = self._planner(table), 0
        if planner is not None:
            await planner.prepare()
        bar = Bar(f"{table.short}: looking", state.records or 0)
        async for item, key in self._records(table, None, told):
            bar.show(told.records)
            if item is None:
                continue
            if planner is not None and _is_planned(table, item):
                plan, highest = await planner.plan(item), max(highest, number_of(key))
            else:
                plan = _seen(table, item)
            told.to_change += bool(plan.changes)
            told.unreadable += not plan.is_readable
            if plan.problem:
                told.problems.append(f"{name_of(key)}: {plan.problem}" if not plan.is_readable else plan.problem)
        bar.close()
        if planner is not None:
            told.to_change += bool((await planner.finish(highest)).changes)
        return told

    async def _records(self, table: NamedTable, after: Key | None, told: TableReport) -> AsyncIterator[tuple[Item | None, Key]]:
        """Yield every record; None for one that cannot be decoded, which is told."""
        definition = table.definition
        while True:
            page = await self._options.pace.patiently(partial(self._store.scan, definition, after, PAGE))
            for wire in page.wires:
                told.records += 1
                key = Key(wire[definition.partition]["S"], wire[definition.sort]["S"])
                try:
                    yield decode_item(wire), key
                except InvalidRequest as error:
                    told.unreadable += 1
                    told.problems.append(f"{name_of(key)}: {error}")
                    yield None, key
            after = page.after
            if after is None:
                return

    async def _mend_table(self, table: NamedTable) -> None:
        state = await self._store.state(table.definition)
        for one in differences(table.definition, state):
            if one.drift in MENDABLE or (one.drift in REPLACEABLE and self._options.may_replace_indexes):
                self._journal.write(entries.SCHEMA, table=table.kind, line=one.line)
                await self._store.mend(table.definition, one)

    async def _copy(self, table: NamedTable, told: TableReport) -> None:
        done = next(self._journal.of(entries.BACKED_UP, table=table.kind), None)
        if done is None and self._options.is_copied_by_store:
            told.copy = await self._store.back_up(table.definition, f"{self._owner}-{table.short}")
            self._journal.write(entries.BACKED_UP, table=table.kind, arn=told.copy)
        elif done is None:
            path = self._journal.folder / f"{table.short}.jsonl.gz"
            bar = Bar(f"{table.short}: copying", told.records)
            made = await write_backup(self._store, table.definition, path, bar)
            bar.close()
            self._journal.write(entries.BACKED_UP, table=table.kind, file=made.file, records=made.records, sha256=made.sha256)
            told.copy = f"{path} ({made.records} records, sha256 {made.sha256[:16]}...)"
        else:
            told.copy = str(done.get("arn") or self._journal.folder / str(done["file"]))

    async def _change(self, table: NamedTable, told: TableReport) -> None:
        planner = self._planner(table)
        if planner is None or self._journal.has(entries.TABLE_DONE, table=table.kind):
            return
        await planner.prepare()
        last = list(self._journal.of(entries.PAGE, table=table.kind))[-1:]
        after, highest = (Key(*last[0]["after"]), int(last[0]["highest"])) if last else (None, 0)
        bar, seen, definition = Bar(f"{table.short}: changing", told.records), 0, table.definition
        while True:
            page = await self._options.pace.patiently(partial(self._store.scan, definition, after, PAGE))
            plans = []
            for wire in page.wires:
                item = _decoded(wire)
                if item is None or not _is_planned(table, item):
                    continue
                key = Key(wire[definition.partition]["S"], wire[definition.sort]["S"])
                highest = max(highest, number_of(key))
                if (plan := await planner.plan(item)).changes:
                    plans.append((key, plan))
            if plans:
                self._journal.changing(table.kind, [change for _, plan in plans for change in plan.changes])
            for key, plan in plans:
                await self._carry_out(table, planner, (key, plan), told)
            seen += len(page.wires)
            bar.show(seen)
            after = page.after
            if after is None:
                break
            self._journal.write(entries.PAGE, table=table.kind, after=[after.partition, after.sort], highest=highest)
        await self._number(table, planner, highest, told)
        bar.close()
        self._journal.write(entries.TABLE_DONE, table=table.kind)

    async def _number(self, table: NamedTable, planner: Planner, highest: int, told: TableReport) -> None:
        last = await planner.finish(highest)
        if last.changes:
            self._journal.changing(table.kind, list(last.changes))
            await self._carry_out(table, planner, (last.changes[0].key, last), told)

    async def _carry_out(self, table: NamedTable, planner: Planner, planned: tuple[Key, Plan], told: TableReport) -> None:
        """Do what was planned for one record, all of it at once; where somebody was faster, plan anew."""
        key, plan = planned
        records = self._store.database.table(table.definition)
        for _ in range(_TRIES):
            await self._locks[table.kind].keep()
            await self._options.pace.take(len(plan.changes))
            writes = [change.write(table.definition) for change in plan.changes]
            try:
                await self._options.pace.patiently(partial(records.transact, writes))
            except ConditionFailed:
                await planner.prepare()
                item = await records.get(key)
                plan = await planner.plan(item) if item is not None and _is_planned(table, item) else Plan()
                if not plan.changes:
                    return  # it is gone, or it was done although the answer was lost
                self._journal.changing(table.kind, list(plan.changes))
                continue
            told.done += 1
            return
        told.contested += 1

    async def _verify(self, table: NamedTable) -> Verified:
        planner = self._planner(table)
        if planner is None:  # such tables are never changed
            return Verified()
        copy = next(self._journal.of(entries.BACKED_UP, table=table.kind))
        before = digests(self._journal.folder / copy["file"], table.definition) if "file" in copy else None
        verified = await verify(self._store, table, Intended(before, self._journal.changes(table.kind), planner))
        if verified.wrong:
            raise VerificationFailed(f"{len(verified.wrong)} records of {table.definition.name} are wrong: {verified.wrong[0]}")
        return verified

    def _planner(self, table: NamedTable) -> Planner | None:
        make = PLANNERS.get(table.kind)
        return make(self._store.database.table(table.definition), self._options.zone, self._options.now()) if make else None

    async def _lock_all(self) -> None:
        """Lock the tables that there are and whose records may change; those that are locked already stay so."""
        for table in self._tables:
            if table.kind in PLANNERS and table.kind not in self._locks and await self._store.state(table.definition) is not None:
                lock = Lock(self._store.database.table(table.definition), self._owner)
                await lock.take()
                self._locks[table.kind] = lock

    async def _unlock(self) -> None:
        for lock in self._locks.values():
            await lock.release()
        self._locks = {}


def _is_planned(table: NamedTable, item: Item) -> bool:
    """Tell whether a record is one that is planned for, and no internal one."""
    kind = kind_of(table.kind, item)
    return kind is not None and kind.read is not None


def _seen(table: NamedTable, item: Item) -> Plan:
    kind = kind_of(table.kind, item)
    why = unreadable(kind, item) if kind is not None else None
    return Plan((), why or "", is_readable=not why)


def _decoded(wire: dict[str, object]) -> Item | None:
    try:
        return decode_item(wire)
    except InvalidRequest:
        return None


def _told(error: Exception) -> str:
    """Return an error in words; errors of the store name no contents, others are told by their kind."""
    text = str(error)
    known = isinstance(error, StorageError | OSError | VerificationFailed) or type(error).__module__.startswith("scripts.")
    return text if known and text else type(error).__name__

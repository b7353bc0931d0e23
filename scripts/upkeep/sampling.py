"""Looks at some records of a table: what kinds there are, which the server could not read, and which the migration would change."""

from collections import Counter

from scripts.upkeep.findings import Finding, Weight
from scripts.upkeep.opening import NamedTable
from scripts.upkeep.planning import Planner
from scripts.upkeep.store import Store
from scripts.upkeep.verification import name_of
from storage.errors import InvalidRequest, StorageError
from storage.readers import KINDS, kind_of, unreadable
from storage.table import Key
from storage.values import decode_item

PAGE = 100
SHOWN = 5


class Sample:
    """What some records of a table are like.

    Args:
        table: whose they are.
    """

    def __init__(self, table: NamedTable) -> None:
        self._table = table
        self.kinds: Counter[str] = Counter()
        self._looked_at = 0
        self._unreadable: list[str] = []
        self._to_migrate = 0
        self._unsettled: list[str] = []

    async def take(self, store: Store, planner: Planner | None, most: int) -> None:
        """Look at so many records at most.

        Raises:
            StorageError: the table cannot be read.
        """
        if planner is not None:
            await planner.prepare()
        after, left = None, most
        while left > 0:
            page = await store.scan(self._table.definition, after, min(PAGE, left))
            for wire in page.wires:
                await self._look(wire, planner)
            left -= max(len(page.wires), 1)
            after = page.after
            if after is None:
                return

    async def _look(self, wire: dict[str, object], planner: Planner | None) -> None:
        self._looked_at += 1
        try:
            item = decode_item(wire)
        except InvalidRequest as error:
            self._unreadable.append(str(error))
            return
        definition = self._table.definition
        key = Key(str(item.get(definition.partition)), str(item.get(definition.sort)))
        kind = kind_of(self._table.kind, item)
        if kind is None:
            if self._table.kind in KINDS:
                self.kinds["of no kind that is known"] += 1
            return
        self.kinds[kind.name] += 1
        if why := unreadable(kind, item):
            self._unreadable.append(f"{name_of(key)}: {why}")
        if planner is not None and kind.read is not None:
            plan = await planner.plan(item)
            self._to_migrate += bool(plan.changes)
            if plan.problem and plan.is_readable:
                self._unsettled.append(plan.problem)

    def findings(self) -> list[Finding]:
        """Return what there is to say."""
        found, looked_at = [], self._looked_at
        if self._unreadable:
            shown = "; ".join(self._unreadable[:SHOWN])
            line = f"{len(self._unreadable)} of {looked_at} cannot be read by the server: {shown}"
            cure = "scripts/migrate.py --dry-run tells which it can mend; the others have to be corrected by whoever wrote them"
            found.append(Finding("records", Weight.PROBLEM, line, cure))
        if self._to_migrate:
            line = (
                f"{self._to_migrate} of {looked_at} are not as the server looks them up: lists by day, bookings and changes pass them over"
            )
            found.append(Finding("records", Weight.PROBLEM, line, "run scripts/migrate.py --dry-run, then scripts/migrate.py"))
        if self._unsettled:
            line = "; ".join(self._unsettled[:SHOWN])
            found.append(Finding("records", Weight.NOTICE, line, "change or cancel one of the two, by REST or by talking to the assistant"))
        if not found:
            kinds = ", ".join(f"{count} {name}" for name, count in self.kinds.most_common()) or "none"
            found.append(Finding("records", Weight.OK, f"{looked_at} looked at: {kinds}"))
        return found


async def sample(store: Store, table: NamedTable, planner: Planner | None, most: int) -> list[Finding]:
    """Look at some records and return what was found; what cannot be read is a finding too."""
    taken = Sample(table)
    try:
        await taken.take(store, planner, most)
    except StorageError as error:
        cure = "the server needs no scan; to look at records, allow dynamodb:Scan to whoever runs this"
        return [Finding("records", Weight.NOTICE, f"not looked at: {error}", cure)]
    return taken.findings()

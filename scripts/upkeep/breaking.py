"""A store that breaks once, after so many transactions: for rehearsals and tests."""

from collections.abc import Sequence
from typing import Any

from scripts.upkeep.shapes import Difference, TableState
from scripts.upkeep.store import Scanned, Store
from storage.errors import StorageUnavailable
from storage.table import Database, Key, Table, Write
from storage.tables import TableDefinition
from storage.wrapped import WrappedDatabase, WrappedTable


class BreakingStore:
    """A store of which one transaction fails.

    Args:
        store: that does everything else.
        after: so many transactions.
    """

    def __init__(self, store: Store, *, after: int) -> None:
        self._store = store
        self.left = after

    @property
    def database(self) -> Database:
        """The driver, with transactions that are counted."""
        return _Breaking(self, self._store.database)

    async def state(self, definition: TableDefinition) -> TableState | None:
        """Return what a table looks like."""
        return await self._store.state(definition)

    async def scan(self, definition: TableDefinition, after: Key | None, limit: int) -> Scanned:
        """Return the next records of a table."""
        return await self._store.scan(definition, after, limit)

    async def mend(self, definition: TableDefinition, difference: Difference) -> None:
        """Put one thing right."""
        await self._store.mend(definition, difference)

    async def put_back(self, definition: TableDefinition, wire: dict[str, Any]) -> None:
        """Write a record."""
        await self._store.put_back(definition, wire)

    async def back_up(self, definition: TableDefinition, name: str) -> str:
        """Have the store keep a copy."""
        return await self._store.back_up(definition, name)

    async def aclose(self) -> None:
        """Let everything go."""
        await self._store.aclose()

    async def count(self) -> None:
        """Count a transaction.

        Raises:
            StorageUnavailable: it is the one that fails.
        """
        self.left -= 1
        if self.left == -1:
            raise StorageUnavailable("broken on purpose")


class _Breaking(WrappedDatabase):
    def __init__(self, breaking: BreakingStore, database: Database) -> None:
        super().__init__(database)
        self._breaking = breaking

    def table(self, definition: TableDefinition) -> Table:
        return _BreakingTable(self._breaking, super().table(definition))


class _BreakingTable(WrappedTable):
    def __init__(self, breaking: BreakingStore, table: Table) -> None:
        super().__init__(table)
        self._breaking = breaking

    async def transact(self, writes: Sequence[Write]) -> None:
        await self._breaking.count()
        await super().transact(writes)

"""A table and a database that pass everything on, for whoever changes one thing of them."""

from collections.abc import Sequence

from storage.conditions import Condition, Update
from storage.table import Database, Key, Page, Query, Table, Write
from storage.tables import TableDefinition
from storage.values import Item


class WrappedTable:
    """A table that does what another does.

    Args:
        table: the other one.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    @property
    def definition(self) -> TableDefinition:
        """What the table looks like."""
        return self._table.definition

    async def get(self, key: Key) -> Item | None:
        """Return a record as it is now, or None."""
        return await self._table.get(key)

    async def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write a record if the condition holds."""
        await self._table.put(item, condition)

    async def update(self, key: Key, update: Update, condition: Condition | None = None) -> Item:
        """Change a record if the condition holds and return it as it is then."""
        return await self._table.update(key, update, condition)

    async def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove a record if the condition holds."""
        await self._table.delete(key, condition)

    async def query(self, query: Query) -> Page:
        """Return one page of a query."""
        return await self._table.query(query)

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none."""
        await self._table.transact(writes)

    async def create(self) -> bool:
        """Create the table; False if it was there already."""
        return await self._table.create()

    async def ping(self) -> None:
        """Read something that is not there."""
        await self._table.ping()


class WrappedDatabase:
    """A database that does what another does.

    Args:
        database: the other one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def table(self, definition: TableDefinition) -> Table:
        """Return a table; does no I/O."""
        return self._database.table(definition)

    async def aclose(self) -> None:
        """Finish what runs, and let everything go."""
        await self._database.aclose()

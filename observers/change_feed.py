"""Tells of writes to tables once they are committed, in the words of DynamoDB Streams, where there is no stream: for SQLite.

Only tables and records that somebody follows are looked at. Whether a record is new is told by what was there right before the write: two
writers of one record in the same moment may both be said to have made it, which a stream would not. What is told comes after the write.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from storage.conditions import Condition, Update
from storage.errors import StorageError
from storage.table import Change, Database, Delete, Key, Put, Table, Write
from storage.tables import TableDefinition
from storage.values import Item, encode_item
from storage.wrapped import WrappedDatabase, WrappedTable
from telemetry.counters import Counters

log = structlog.get_logger()

type Listener = Callable[[Mapping[str, Any]], None]
"""Takes a record of a stream; must return at once."""

SOURCE: Final = "local"
ARN: Final = "arn:aws:dynamodb:local:000000000000:table/{}/stream/local"


class ChangeFeed:
    """Where the changes of all followed tables come together.

    Args:
        followed: by a table's name the beginnings of the partition keys of the records that are followed; the empty text is all.
        counters: gets `change_told` and `change_lost`.
        clock: the time now, UTC.
    """

    def __init__(
        self, followed: Mapping[str, str], counters: Counters, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._followed = dict(followed)
        self._counters = counters
        self._clock = clock
        self.listener: Listener | None = None
        """Is told of every change from now on."""

    def watched(self, database: Database) -> Database:
        """Return a database whose tables tell of their changes."""
        return _WatchedDatabase(database, self)

    def follows(self, definition: TableDefinition, key: Key | None = None) -> bool:
        """Tell whether somebody wants to know of a table, or of a record of it."""
        beginning = self._followed.get(definition.name)
        return beginning is not None and (key is None or key.partition.startswith(beginning))

    def lost(self) -> None:
        """Take note that what a change made could not be read."""
        self._counters.add("change_lost")

    def tell(self, definition: TableDefinition, key: Key, before: Item | None, after: Item | None) -> None:
        """Tell of a change that is committed."""
        if self.listener is None or (before is None and after is None):
            return
        told: dict[str, Any] = {
            "Keys": encode_item({definition.partition: key.partition, definition.sort: key.sort}),
            "ApproximateCreationDateTime": self._clock().timestamp(),
        }
        if after is not None:
            told["NewImage"] = encode_item(after)
        name = "INSERT" if before is None else "MODIFY" if after is not None else "REMOVE"
        self._counters.add("change_told")
        self.listener({"eventName": name, "eventSource": SOURCE, "eventSourceARN": ARN.format(definition.name), "dynamodb": told})


class _WatchedDatabase(WrappedDatabase):
    """A database whose tables tell of their changes."""

    def __init__(self, database: Database, feed: ChangeFeed) -> None:
        super().__init__(database)
        self._feed = feed

    def table(self, definition: TableDefinition) -> Table:
        """Return a table; does no I/O."""
        table = super().table(definition)
        return _WatchedTable(table, self._feed) if self._feed.follows(definition) else table


class _WatchedTable(WrappedTable):
    """A table that tells of its changes."""

    def __init__(self, table: Table, feed: ChangeFeed) -> None:
        super().__init__(table)
        self._feed = feed

    async def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write a record if the condition holds."""
        before = await self._before([Put(item, condition)])
        await self._table.put(item, condition)
        await self._tell([Put(item, condition)], before)

    async def update(self, key: Key, update: Update, condition: Condition | None = None) -> Item:
        """Change a record if the condition holds and return it as it is then."""
        before = await self._before([Change(key, update)])
        after = await self._table.update(key, update, condition)
        if self._feed.follows(self.definition, key):
            self._feed.tell(self.definition, key, before.get(key), after)
        return after

    async def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove a record if the condition holds."""
        before = await self._before([Delete(key)])
        await self._table.delete(key, condition)
        await self._tell([Delete(key)], before)

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none."""
        before = await self._before(writes)
        await self._table.transact(writes)
        await self._tell(writes, before)

    def _key_of(self, write: Write) -> Key:
        if isinstance(write, Put):
            return Key(str(write.item.get(self.definition.partition, "")), str(write.item.get(self.definition.sort, "")))
        return write.key

    async def _before(self, writes: Sequence[Write]) -> dict[Key, Item]:
        """Return the followed records of some writes as they are before."""
        found: dict[Key, Item] = {}
        for write in writes:
            key = self._key_of(write)
            if self._feed.follows(self.definition, key) and (item := await self._table.get(key)) is not None:
                found[key] = item
        return found

    async def _tell(self, writes: Sequence[Write], before: Mapping[Key, Item]) -> None:
        for write in writes:
            key = self._key_of(write)
            if not self._feed.follows(self.definition, key):
                continue
            try:
                after = await self._after(write)
            except StorageError:  # the write is committed, and stays
                self._feed.lost()
                continue
            self._feed.tell(self.definition, key, before.get(key), after)

    async def _after(self, write: Write) -> Item | None:
        match write:
            case Put(item):
                return item
            case Change(key):
                return await self._table.get(key)
            case Delete():
                return None

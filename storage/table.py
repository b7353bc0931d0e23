"""The one interface that both drivers fit: a small, strict part of what DynamoDB can do.

Records past their `expiresAt` are never returned; until the store sweeps them away they still count in conditions, as in DynamoDB.
Index queries may lag behind writes by a moment; `get` and queries on the table's own key never do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.conditions import Condition, Update
from storage.tables import TableDefinition
from storage.values import Item

MAX_TRANSACTION = 100
"""Writes in one transaction (DynamoDB developer guide, "TransactWriteItems")."""


@dataclass(frozen=True, slots=True)
class Key:
    """The primary key of a record."""

    partition: str
    sort: str

    @classmethod
    def twice(cls, text: str) -> "Key":
        """Return the key that has the same text in both parts."""
        return cls(text, text)


@dataclass(frozen=True, slots=True)
class Put:
    """Write a whole record, replacing what is there."""

    item: Item
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Update some attributes of a record, making it if it is not there and no condition forbids it."""

    key: Key
    update: Update
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record; removing what is not there succeeds unless a condition forbids it."""

    key: Key
    condition: Condition | None = None


type Write = Put | Change | Delete


@dataclass(frozen=True, slots=True)
class Query:
    """All records of one partition of the table (index None) or of an index, in the order of the sort key."""

    partition: str
    index: str | None = None
    between: tuple[str, str] | None = None
    """Lowest and highest sort key, both included."""
    descending: bool = False
    limit: int = 100
    """Most records on one page; a page may be shorter although more follow."""
    cursor: str | None = None
    """`Page.cursor` of the page before."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query."""

    items: tuple[Item, ...]
    cursor: str | None
    """Opaque; None on the last page."""


class Table(Protocol):
    """One table. Every method may raise any StorageError."""

    @property
    def definition(self) -> TableDefinition:
        """What the table looks like."""

    async def get(self, key: Key) -> Item | None:
        """Return a record as it is now, or None."""

    async def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write a record if the condition holds; raises ConditionFailed otherwise."""

    async def update(self, key: Key, update: Update, condition: Condition | None = None) -> Item:
        """Change a record if the condition holds and return it as it is then; raises ConditionFailed otherwise."""

    async def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove a record if the condition holds; raises ConditionFailed otherwise."""

    async def query(self, query: Query) -> Page:
        """Return one page of a query."""

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none; at most 100, each on another record.

        Raises:
            ConditionFailed: with the positions of the writes that stand in the way.
        """

    async def create(self) -> bool:
        """Create the table with its indexes, TTL and stream, and wait until it can be used; False if it was there already."""

    async def ping(self) -> None:
        """Read something that is not there: proves that the table exists, can be reached, and may be read."""


class Database(Protocol):
    """Opens tables. Owns threads and connections until `aclose`."""

    def table(self, definition: TableDefinition) -> Table:
        """Return a table; does no I/O."""

    async def aclose(self) -> None:
        """Finish what runs, and let everything go. May be called twice."""

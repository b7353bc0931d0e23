"""What scripts do with a store beside what the server does: reading whole tables, and looking at and mending how they are made."""

from dataclasses import dataclass
from typing import Any, Protocol

from scripts.upkeep.shapes import Difference, TableState
from storage.table import Database, Key
from storage.tables import TableDefinition


class NotThisStore(Exception):
    """The store has no such thing; the text says what to do instead."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """Some records of a table, as they are on the wire."""

    wires: tuple[dict[str, Any], ...]
    after: Key | None
    """Where to go on; None at the end."""


class Store(Protocol):
    """One store. Every method may raise any StorageError."""

    @property
    def database(self) -> Database:
        """The driver that the server uses as well."""

    async def state(self, definition: TableDefinition) -> TableState | None:
        """Return what a table looks like, None if there is none."""

    async def scan(self, definition: TableDefinition, after: Key | None, limit: int) -> Scanned:
        """Return the next records of a table, in an order that does not change, without expired ones and the lock of a migration."""

    async def mend(self, definition: TableDefinition, difference: Difference) -> None:
        """Put one thing right, and wait until it is."""

    async def put_back(self, definition: TableDefinition, wire: dict[str, Any]) -> None:
        """Write a record as it is on the wire, whatever is there."""

    async def back_up(self, definition: TableDefinition, name: str) -> str:
        """Have the store itself keep a copy, and return how it calls it.

        Raises:
            NotThisStore: it cannot.
        """

    async def aclose(self) -> None:
        """Let everything go."""

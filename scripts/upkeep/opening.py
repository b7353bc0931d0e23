"""Opens the store that the settings choose, and lists its tables."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from config import Settings, SettingsError, StorageKind
from scripts.upkeep.dynamodb_store import DynamoStore
from scripts.upkeep.sqlite_store import SqliteStore
from scripts.upkeep.store import Store
from storage.dynamodb import open_dynamodb
from storage.tables import DEFINITIONS, TableDefinition, all_tables


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table of this installation."""

    kind: str
    """Name of its definition, like orders_table."""
    definition: TableDefinition
    setting: str
    """Variable that names it, like ORDERS_TABLE."""

    @property
    def short(self) -> str:
        """How a person names it."""
        return self.kind.removesuffix("_table")


def tables_of(settings: Settings, wanted: Iterable[str] = ()) -> tuple[NamedTable, ...]:
    """Return the tables of an installation, all or those that were asked for.

    Raises:
        SettingsError: there is no such table.
    """
    variables = {field.name: field.metadata["env"] for field in fields(settings) if field.metadata}
    pairs = zip(DEFINITIONS, all_tables(settings), strict=True)
    tables = tuple(NamedTable(define.__name__, one, variables[define.__name__]) for define, one in pairs)
    names = {name: table for table in tables for name in (table.short, table.definition.name)}
    if unknown := [name for name in wanted if name not in names]:
        raise SettingsError((f"there is no table {', '.join(unknown)}; there are {', '.join(table.short for table in tables)}",))
    chosen = {names[name].kind for name in wanted}
    return tuple(table for table in tables if table.kind in chosen or not chosen)


async def open_store(settings: Settings, *, may_make: bool = False) -> Store:
    """Return the store that the settings choose.

    Raises:
        StorageError: there is none, or there is nobody to ask as.
    """
    if settings.storage is StorageKind.SQLITE:
        return SqliteStore(settings.sqlite_path, may_make=may_make)
    return DynamoStore(await open_dynamodb(settings.region))

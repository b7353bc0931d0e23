"""What a table looks like in the store, and in which ways that is not what the program expects. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from storage.tables import Index, TableDefinition

ACTIVE: Final = "ACTIVE"
ALL: Final = "ALL"


class Drift(StrEnum):
    """A way in which a table is not what the program expects."""

    MISSING_TABLE = "missing table"
    NOT_ACTIVE = "not active"
    OTHER_KEYS = "other keys"
    MISSING_INDEX = "missing index"
    OTHER_INDEX = "other index"
    """An index of this name has other keys, or does not carry all attributes."""
    INDEX_BUILDING = "index building"
    STALE_INDEX = "stale index"
    """SQLite: records lack their entries in an index that was added after them."""
    UNKNOWN_INDEX = "unknown index"
    NO_EXPIRY = "no expiry"
    OTHER_EXPIRY = "other expiry"
    NO_STREAM = "no stream"
    OTHER_STREAM = "other stream"
    PROVISIONED = "provisioned"


MENDABLE: Final = frozenset({Drift.MISSING_TABLE, Drift.MISSING_INDEX, Drift.STALE_INDEX, Drift.NO_EXPIRY, Drift.NO_STREAM})
"""What can be put right without taking anything away."""
REPLACEABLE: Final = frozenset({Drift.OTHER_INDEX})
"""What has to be removed first: meanwhile queries on it fail."""
HARMLESS: Final = frozenset({Drift.UNKNOWN_INDEX, Drift.PROVISIONED, Drift.INDEX_BUILDING, Drift.NO_STREAM, Drift.OTHER_STREAM})
"""Worth knowing; conversations go on."""
_MIGRATE: Final = "run scripts/migrate.py"
CURES: Final = {
    Drift.MISSING_TABLE: "run scripts/seed_data.py --create-tables --no-examples, or correct the name in its setting",
    Drift.NOT_ACTIVE: "wait until DynamoDB has finished, and look again",
    Drift.OTHER_KEYS: "the keys of a table cannot be changed: name another table in its setting, and import the records there",
    Drift.MISSING_INDEX: _MIGRATE,
    Drift.OTHER_INDEX: f"{_MIGRATE} with --replace-indexes; until the new index is built, queries on it fail",
    Drift.INDEX_BUILDING: "wait: until then queries on it find some of the records only, or none",
    Drift.STALE_INDEX: _MIGRATE,
    Drift.UNKNOWN_INDEX: "none is needed; if nobody else uses it, removing it saves the writes to it",
    Drift.NO_EXPIRY: f"{_MIGRATE}; until then what has expired stays in the table",
    Drift.OTHER_EXPIRY: "turn the time to live off, wait an hour as DynamoDB demands, and run scripts/migrate.py",
    Drift.NO_STREAM: f"{_MIGRATE}; until then nothing is published of changes in this table",
    Drift.OTHER_STREAM: "turn the stream off and run scripts/migrate.py, when nobody else reads it",
    Drift.PROVISIONED: "none is needed while the capacity is enough; on demand nothing is throttled for want of it",
}


@dataclass(frozen=True, slots=True)
class IndexState:
    """An index in the store."""

    index: Index
    projection: str = ALL
    status: str = ACTIVE
    missing_entries: int = 0
    """Records that ought to be in it and are not; counted for SQLite alone."""


@dataclass(frozen=True, slots=True)
class TableState:
    """A table in the store."""

    name: str
    status: str
    partition: str
    sort: str | None
    key_types: str
    """Of partition and sort key: S is text, N a number, B bytes."""
    indexes: tuple[IndexState, ...]
    expiry: str | None
    """Attribute of the time to live."""
    stream: str | None
    billing: str
    records: int | None
    """DynamoDB's own count, which is up to six hours old."""
    size: int | None
    """Bytes."""
    arn: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected."""

    table: str
    drift: Drift
    detail: str = ""
    index: Index | None = field(default=None)

    @property
    def line(self) -> str:
        """What it is, in a few words."""
        return f"{self.drift.value}: {self.detail}" if self.detail else self.drift.value

    @property
    def cure(self) -> str:
        """What to do about it."""
        return CURES[self.drift]


def differences(definition: TableDefinition, state: TableState | None) -> tuple[Difference, ...]:
    """Return everything about a table that is not as its definition has it."""
    if state is None:
        return (Difference(definition.name, Drift.MISSING_TABLE),)
    return (*_of_table(definition, state), *_of_indexes(definition, state))


def _of_table(definition: TableDefinition, state: TableState) -> Iterator[Difference]:
    name = definition.name
    if state.status not in (ACTIVE, "UPDATING"):
        yield Difference(name, Drift.NOT_ACTIVE, state.status)
    if (state.partition, state.sort) != (definition.partition, definition.sort) or state.key_types != "SS":
        detail = (
            f"{state.partition}, {state.sort} of types {state.key_types} instead of {definition.partition}, {definition.sort} of types SS"
        )
        yield Difference(name, Drift.OTHER_KEYS, detail)
    if state.expiry is None:
        yield Difference(name, Drift.NO_EXPIRY, definition.ttl_attribute)
    elif state.expiry != definition.ttl_attribute:
        yield Difference(name, Drift.OTHER_EXPIRY, f"{state.expiry} instead of {definition.ttl_attribute}")
    if definition.stream is not None and state.stream is None:
        yield Difference(name, Drift.NO_STREAM, definition.stream)
    elif definition.stream is not None and state.stream not in (definition.stream, "NEW_AND_OLD_IMAGES"):
        yield Difference(name, Drift.OTHER_STREAM, f"{state.stream} instead of {definition.stream}")
    if state.billing == "PROVISIONED":
        yield Difference(name, Drift.PROVISIONED, "paid by capacity, not by request")


def _of_indexes(definition: TableDefinition, state: TableState) -> Iterator[Difference]:
    name = definition.name
    found = {one.index.name: one for one in state.indexes}
    for index in definition.indexes:
        one = found.pop(index.name, None)
        if one is None:
            yield Difference(name, Drift.MISSING_INDEX, f"{index.name} on {_keys(index)}", index)
        elif one.index != index or one.projection != ALL:
            wanted = f"{_keys(index)} with all attributes"
            yield Difference(name, Drift.OTHER_INDEX, f"{index.name} on {_keys(one.index)} with {one.projection}, not {wanted}", index)
        elif one.status != ACTIVE:
            yield Difference(name, Drift.INDEX_BUILDING, f"{index.name} is {one.status}", index)
        elif one.missing_entries:
            yield Difference(name, Drift.STALE_INDEX, f"{index.name} lacks {one.missing_entries} records", index)
    for unknown in found.values():
        yield Difference(name, Drift.UNKNOWN_INDEX, unknown.index.name, unknown.index)


def _keys(index: Index) -> str:
    return f"{index.partition}, {index.sort}" if index.sort else index.partition

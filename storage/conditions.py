"""Conditions and updates as data. Each driver translates or evaluates them; nobody writes expression strings by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import assert_never

from storage.values import Item, Value


@dataclass(frozen=True, slots=True)
class Absent:
    """The record has no such attribute; Absent("PK") means that there is no record."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Present:
    """The record has this attribute."""

    attribute: str


@dataclass(frozen=True, slots=True)
class Equals:
    """The attribute is there and equal."""

    attribute: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """The attribute is there and equal to one of the values."""

    attribute: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class LessThan:
    """The attribute is a number, and smaller."""

    attribute: str
    value: int | Decimal


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple["Condition", ...]


type Condition = Absent | Present | Equals | OneOf | LessThan | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Update:
    """A change of top-level attributes. An attribute may stand in one of the three only."""

    set: Mapping[str, Value] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    add: Mapping[str, int] = field(default_factory=dict)
    """Numbers to add; an absent attribute counts from 0."""


def holds(condition: Condition | None, item: Item | None) -> bool:
    """Tell whether a condition holds for a record (None: there is no record), by DynamoDB's rules."""
    record: Item = item or {}
    match condition:
        case None:
            return True
        case Absent(attribute):
            return attribute not in record
        case Present(attribute):
            return attribute in record
        case Equals(attribute, value):
            return attribute in record and _same(record[attribute], value)
        case OneOf(attribute, values):
            return attribute in record and any(_same(record[attribute], value) for value in values)
        case LessThan(attribute, value):
            stored = record.get(attribute)
            return isinstance(stored, int | Decimal) and not isinstance(stored, bool) and stored < value
        case AllOf(parts):
            return all(holds(part, item) for part in parts)
        case AnyOf(parts):
            return any(holds(part, item) for part in parts)
        case _:
            assert_never(condition)


def _same(stored: Value, wanted: Value) -> bool:
    # 1 == True in Python, while a number and a boolean never match in DynamoDB.
    return isinstance(stored, bool) == isinstance(wanted, bool) and stored == wanted

"""Every table is known by what its records are read as."""

from decimal import Decimal

import pytest

from storage.readers import KINDS, kind_of, unreadable
from storage.tables import DEFINITIONS
from storage.values import Item


def test_every_table_has_its_kinds() -> None:
    assert set(KINDS) == {define.__name__ for define in DEFINITIONS}


@pytest.mark.parametrize(
    ("table", "item", "name"),
    [
        ("orders_table", {"PK": "ORDER#1", "SK": "ORDER#1"}, "order"),
        ("orders_table", {"PK": "COUNTER#ORDER", "SK": "COUNTER#ORDER"}, "internal"),
        ("orders_table", {"PK": "RECIPE#1", "SK": "RECIPE#1"}, None),
        ("appointments_table", {"PK": "SLOT#dr who#2030", "SK": "SLOT#dr who#2030"}, "internal"),
        ("connections_table", {"PK": "CONNECTION#1", "SK": "METADATA"}, "connection"),
        ("connections_table", {"PK": "CONNECTION#1", "SK": "AUDIT#2030"}, "audit entry"),
        ("conversations_table", {"username": "ana", "conversation_id": "1", "startedAt": "2030"}, "conversation"),
        ("conversations_table", {"username": "ana", "conversation_id": "1#00001"}, "turn"),
        ("relatives_table", {"PK": "PATIENT#1", "SK": "RELATIVE#2"}, "relative"),
        ("recipes_table", {"PK": "RECIPE#1", "SK": "RECIPE#1"}, None),
    ],
)
def test_a_record_is_known_by_its_keys(table: str, item: Item, name: str | None) -> None:
    kind = kind_of(table, item)

    assert name == (kind.name if kind is not None else None)


def test_what_cannot_be_read_is_told_without_its_contents() -> None:
    item: Item = {"PK": "ORDER#1", "SK": "ORDER#1", "id": "1", "customerName": "Ana", "customerEmail": "ana@email.com", "items": []}
    kind = kind_of("orders_table", item)

    assert kind is not None
    assert unreadable(kind, item) == "total is no number"
    assert unreadable(kind, {**item, "total": Decimal(1), "status": "eaten"}) == "a value is none of its kind (ValueError)"
    assert unreadable(kind_of("orders_table", {"PK": "COUNTER#ORDER", "SK": "COUNTER#ORDER"}) or kind, {}) is None

"""What records of other programs become."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from scripts.upkeep.mending import instant_of, mend_appointment, mend_order
from storage import appointments, orders
from storage.values import Value, decode_item
from tests.scripts import foreign

ZONE = ZoneInfo("America/Argentina/Buenos_Aires")


def mended_appointment(**others: Value) -> dict[str, Value]:
    return dict(mend_appointment({**decode_item(foreign.appointment(1)), **others}, ZONE, ZONE.key).item)


def mended_order(**others: Value) -> dict[str, Value]:
    return dict(mend_order({**decode_item(foreign.order(1)), **others}).item)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-01-15T10:00:00.000Z", datetime(2024, 1, 15, 10, tzinfo=UTC)),
        ("2024-01-15T10:00:00+02:00", datetime(2024, 1, 15, 8, tzinfo=UTC)),
        ("2024-01-15T10:00:00", datetime(2024, 1, 15, 13, tzinfo=UTC)),
        (1705312800, datetime(2024, 1, 15, 10, tzinfo=UTC)),
        (1705312800000, datetime(2024, 1, 15, 10, tzinfo=UTC)),
        ("tomorrow at ten", None),
        (True, None),
        (10**30, None),
        (None, None),
    ],
)
def test_times_are_read_as_they_were_meant(written: Value, meant: datetime | None) -> None:
    assert meant == instant_of(written, ZONE)


def test_an_order_becomes_what_the_server_writes() -> None:
    order = orders.from_item(mended_order())

    assert (order.id, order.status.value, order.total) == ("1", "pending", Decimal("51.98"))
    assert mended_order()["updatedAt"] == "2024-01-15T00:00:00.000Z"
    assert (order.items[0].id, order.items[0].quantity, order.items[0].price) == ("1", 2, Decimal("25.99"))


def test_an_appointment_becomes_what_the_server_writes() -> None:
    item = mended_appointment()
    appointment = appointments.from_item(item)

    assert item["date"] == item["appointmentDate"] == "2030-01-17T15:30:00.000Z"
    assert (appointment.status.value, appointment.type.value, appointment.time_zone) == ("scheduled", "follow-up", ZONE.key)


def test_mending_twice_changes_nothing_more() -> None:
    assert mend_order(mended_order()).item == mended_order()
    assert mend_appointment(mended_appointment(), ZONE, ZONE.key).item == mended_appointment()


def test_the_public_time_wins_over_that_of_the_index() -> None:
    item = mended_appointment(date="2030-03-01T10:00:00Z", appointmentDate="2030-02-01T10:00:00.000Z")

    assert item["appointmentDate"] == "2030-03-01T10:00:00.000Z"


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"SK": "METADATA"}, "sort key"),
        ({"id": "2"}, "not the one in its key"),
        ({"date": "2030-01-17"}, "no time of day"),
    ],
)
def test_what_only_its_author_can_know_is_named_and_left_alone(record: dict[str, Value], problem: str) -> None:
    item = {**decode_item(foreign.appointment(1)), **record}
    mended = mend_appointment(item, ZONE, ZONE.key)

    assert problem in mended.problem
    assert mended.item == item


def test_an_order_without_a_time_of_change_was_changed_when_it_was_made() -> None:
    item = {name: value for name, value in mended_order().items() if name != "updatedAt"}

    assert mend_order(item).item["updatedAt"] == item["createdAt"]


def test_attributes_of_other_programs_stay() -> None:
    assert mended_order(loyaltyPoints=7, gift=None)["loyaltyPoints"] == 7
    assert mended_order(gift=None)["gift"] is None

"""What the repositories do with records of other programs, and when somebody else is always faster."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from storage.appointments import Appointments, NewAppointment
from storage.errors import ConditionFailed, InvalidRequest, SlotTaken, StorageUnavailable
from storage.examples import example_appointments, write_examples
from storage.models import OrderItem, format_instant, parse_instant
from storage.orders import NewOrder, Orders
from storage.records import Reader
from storage.sqlite import SqliteDatabase, SqliteTable
from storage.table import Write
from storage.values import decode_value
from tests.storage.databases import NOW, ZONE, StandingClock, repositories

NEW_ORDER = NewOrder("Eva Ruiz", "eva@email.com", (OrderItem("1", "Mate", 1, Decimal(1)),))
NEW_APPOINTMENT = NewAppointment("Eva Ruiz", "eva@email.com", "Dra. López", NOW + timedelta(days=1), 30)


class LosingTable(SqliteTable):
    """A table whose transactions always come second."""

    async def transact(self, writes: Sequence[Write]) -> None:
        raise ConditionFailed((0,))


@pytest.fixture
async def database() -> AsyncIterator[SqliteDatabase]:
    opened = SqliteDatabase(":memory:")
    yield opened
    await opened.aclose()


async def test_whoever_always_comes_second_is_told_to_try_later(database: SqliteDatabase) -> None:
    orders, appointments = await repositories(database, StandingClock())
    made = await appointments.create(NEW_APPOINTMENT, "r1")
    losing_orders = Orders(LosingTable(database, orders.table.definition))
    losing_appointments = Appointments(LosingTable(database, appointments.table.definition), ZONE)

    with pytest.raises(StorageUnavailable):
        await losing_orders.create(NEW_ORDER, "r2")
    with pytest.raises(StorageUnavailable):
        await losing_appointments.create(NEW_APPOINTMENT, "r3")
    with pytest.raises(StorageUnavailable):
        await losing_appointments.cancel(made.id, "r4")


async def test_an_appointment_of_another_program_may_lack_what_this_one_adds(database: SqliteDatabase) -> None:
    _, appointments = await repositories(database, StandingClock())
    await appointments.table.put(
        {
            "PK": "APPOINTMENT#7", "SK": "APPOINTMENT#7", "id": "7", "patientName": "Eva", "patientEmail": "e@x.y", "doctorName": "Dr. No",
            "date": "2024-01-15T10:00:00.000Z", "duration": 30, "type": "routine", "status": "scheduled",
        }
    )  # fmt: skip
    read = await appointments.get("7")

    assert read is not None
    assert read.starts_at == read.created_at == datetime(2024, 1, 15, 10, tzinfo=UTC)
    assert read.notes == ""


@pytest.mark.parametrize("item", [{"n": "5"}, {"n": True}, {"n": None}, {}])
def test_an_attribute_of_another_type_is_named_without_its_value(item: dict[str, object]) -> None:
    read = Reader(item)  # type: ignore[arg-type] # any item at all

    with pytest.raises(InvalidRequest, match=r"^n is no number$"):
        read.number("n")
    with pytest.raises(InvalidRequest, match=r"^n is no list of maps$"):
        read.parts("n")


def test_a_text_that_is_missing_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"^name is no text$"):
        Reader({"name": 5}).text("name")


@pytest.mark.parametrize("wire", [{"B": b"x"}, {"SS": ["a"]}, {}])
def test_types_that_this_program_never_writes_are_refused(wire: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        decode_value(wire)


def test_instants_are_written_as_javascript_does_and_need_a_zone() -> None:
    assert format_instant(datetime(2024, 1, 15, 7, 30, 0, 123456, tzinfo=ZONE)) == "2024-01-15T10:30:00.123Z"
    assert parse_instant("2024-01-15T10:30:00.123Z") == datetime(2024, 1, 15, 10, 30, 0, 123000, tzinfo=UTC)
    with pytest.raises(ValueError, match="zone"):
        parse_instant("2024-01-15T10:30:00")


async def test_an_example_gives_way_to_an_appointment_that_was_there_before(database: SqliteDatabase) -> None:
    clock = StandingClock()
    orders, appointments = await repositories(database, clock)
    wanted = example_appointments(clock(), ZONE)[0]
    await appointments.raise_numbering(100)
    await appointments.create(NewAppointment("Eva", "e@x.y", wanted.doctor_name, wanted.starts_at, 30), "r1")
    with pytest.raises(SlotTaken):
        await appointments.add(wanted)
    async for _ in write_examples(orders, appointments, now=clock(), salt=None):
        pass
    moved = await appointments.get("1")

    assert moved is not None
    assert moved.starts_at == wanted.starts_at + timedelta(days=1)

"""Lists over several partitions, on both drivers."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from storage import listings
from storage.appointments import Appointments, NewAppointment
from storage.cursors import encode_position
from storage.errors import BadCursor, SlotTaken
from storage.listings import all_appointments, appointments_of_day, newest_orders
from storage.models import AppointmentStatus, Order, OrderItem, OrderStatus
from storage.orders import Orders
from storage.records import Listing
from storage.table import Database, Key
from tests.storage.databases import NOW, StandingClock, repositories

ITEMS = (OrderItem("1", "Yerba", 2, Decimal("12.50")),)


@pytest.fixture
async def both(database: Database, clock: StandingClock, prefix: str) -> tuple[Orders, Appointments]:
    return await repositories(database, clock, prefix)


@pytest.fixture
def orders(both: tuple[Orders, Appointments]) -> Orders:
    return both[0]


@pytest.fixture
def appointments(both: tuple[Orders, Appointments]) -> Appointments:
    return both[1]


async def every[T](read: Callable[[str | None], Awaitable[Listing[T]]]) -> list[tuple[T, ...]]:
    """Return all pages of a list."""
    pages: list[tuple[T, ...]] = []
    cursor: str | None = None
    while True:
        page = await read(cursor)
        pages.append(page.records)
        cursor = page.cursor
        if cursor is None:
            return pages


async def write(orders: Orders, ages: list[int]) -> None:
    """Write orders of all statuses in turn, each so many minutes old."""
    for number, age in enumerate(ages, start=1):
        status = tuple(OrderStatus)[number % 5]
        created = NOW - timedelta(minutes=age)
        await orders.add(Order(str(number), "Eva", "eva@email.com", ITEMS, Decimal(25), status, created, created))


@pytest.mark.req("S4-27")
@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_the_orders_of_all_statuses_come_newest_first_page_by_page(
    orders: Orders, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listings, "READ_AT_ONCE", 2)
    ages = [50, 10, 40, 40, 40, 40, 40, 5, 30, 60, 20]
    await write(orders, ages)
    pages = await every(lambda cursor: newest_orders(orders, limit=limit, cursor=cursor))
    told = [order for page in pages for order in page]

    assert [int((NOW - order.created_at).total_seconds() / 60) for order in told] == sorted(ages)
    assert len({order.id for order in told}) == len(ages)
    assert max(len(page) for page in pages) == min(limit, len(ages))


async def test_an_order_that_is_placed_between_two_pages_moves_nothing(orders: Orders) -> None:
    await write(orders, [40, 30, 20])
    first = await newest_orders(orders, limit=2)
    await orders.add(Order("9", "Eva", "eva@email.com", ITEMS, Decimal(25), OrderStatus.PENDING, NOW, NOW))
    second = await newest_orders(orders, limit=2, cursor=first.cursor)

    assert [[order.id for order in page.records] for page in (first, second)] == [["3", "2"], ["1"]]


@pytest.mark.parametrize("cursor", ["", "%%%", "bm8", encode_position("orders", ("no time", "1")), encode_position("day", ("2030", "1"))])
async def test_a_cursor_that_was_made_up_is_refused(orders: Orders, appointments: Appointments, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await newest_orders(orders, limit=2, cursor=cursor)
    with pytest.raises(BadCursor):
        await all_appointments(appointments, limit=2, cursor=cursor)


async def make(appointments: Appointments, doctor: str, hours: int) -> str:
    wanted = NewAppointment("Ana", "ana@email.com", doctor, NOW + timedelta(hours=hours), 30)
    return (await appointments.create(wanted, f"{doctor} {hours}")).id


@pytest.mark.req("S4-32")
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_all_appointments_come_page_by_page(appointments: Appointments, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "READ_AT_ONCE", 2)
    made = {await make(appointments, doctor, hours) for doctor in ("Dra. López", "Dr. Gil") for hours in (24, 1, 48)}
    await appointments.cancel(min(made), "cancel")
    pages = await every(lambda cursor: all_appointments(appointments, limit=limit, cursor=cursor))

    assert sorted(one.id for page in pages for one in page) == sorted(made)
    assert all(list(page) == sorted(page, key=lambda one: one.starts_at) for page in pages)


@pytest.mark.req("S4-23")
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_the_appointments_of_a_day_are_those_of_the_clinics_day(appointments: Appointments, limit: int) -> None:
    hours = {"before midnight": 11, "midnight": 12, "next noon": 24, "last": 35, "midnight after": 36}  # it is noon in Buenos Aires
    made = {name: await make(appointments, "Dra. López" if at % 2 else "Dr. Gil", at) for name, at in hours.items()}
    tomorrow = date(2030, 1, 17)
    pages = await every(lambda cursor: appointments_of_day(appointments, tomorrow, limit=limit, cursor=cursor))
    of_one = await appointments_of_day(appointments, tomorrow, doctor_name="doctor gil", limit=10)

    assert [one.id for page in pages for one in page] == [made["midnight"], made["next noon"], made["last"]]
    assert [one.id for one in of_one.records] == [made["midnight"], made["next noon"]]


@pytest.mark.parametrize("day", [date.min, date.max])
async def test_no_appointment_is_at_the_ends_of_the_calendar(appointments: Appointments, day: date) -> None:
    await make(appointments, "Dr. Gil", 1)

    assert await appointments_of_day(appointments, day, limit=10) == Listing((), None)


async def test_asking_for_a_doctor_makes_none(appointments: Appointments) -> None:
    found = await appointments_of_day(appointments, date(2030, 1, 17), doctor_name="Dr. Nobody", limit=10)

    assert found == Listing((), None)
    assert await appointments.doctors() == []


async def test_an_order_is_removed_only_as_it_was_read(orders: Orders) -> None:
    await write(orders, [10])
    before = await orders.get("1")
    assert before is not None
    changed = await orders.change(replace(before, tracking_number="T1"), before)
    outcomes = [await orders.remove(before), await orders.remove(changed or before), await orders.remove(changed or before)]

    assert outcomes == [False, True, False]
    assert await orders.get("1") is None


async def test_two_changes_in_the_same_instant_never_both_win(orders: Orders) -> None:
    await write(orders, [0])
    before = await orders.get("1")
    assert before is not None
    first = await orders.change(replace(before, tracking_number="T1"), before)
    second = await orders.change(replace(before, tracking_number="T2"), before)

    assert (first is not None, second) == (True, None)


async def test_a_changed_appointment_takes_and_gives_back_time(appointments: Appointments) -> None:
    number = await make(appointments, "Dr. Gil", 24)
    before = await appointments.get(number)
    assert before is not None
    longer = await appointments.change(replace(before, duration_minutes=60, doctor_name="Dra. López"), before)
    assert longer is not None
    await make(appointments, "Dr. Gil", 24)
    with pytest.raises(SlotTaken):
        await make(appointments, "Dra. López", 24)

    assert await appointments.change(replace(before, notes="late"), before) is None
    assert await appointments.remove(longer)
    assert await make(appointments, "Dra. López", 24)


async def test_a_change_into_the_time_of_another_leaves_all_as_it_was(appointments: Appointments) -> None:
    await make(appointments, "Dr. Gil", 24)
    number = await make(appointments, "Dr. Gil", 26)
    before = await appointments.get(number)
    assert before is not None
    with pytest.raises(SlotTaken):
        await appointments.change(replace(before, starts_at=NOW + timedelta(hours=24)), before)

    assert await appointments.get(number) == before


async def test_what_another_program_wrote_across_slots_can_be_confirmed_and_cancelled(appointments: Appointments) -> None:
    number = await make(appointments, "Dr. Gil", 24)
    before = await appointments.get(number)
    assert before is not None
    item = dict(await appointments.table.get(Key.twice(f"APPOINTMENT#{number}")) or {})
    odd = "2030-01-17T15:07:00.000Z"
    await appointments.table.put({**item, "date": odd, "appointmentDate": odd})
    read = await appointments.get(number)
    assert read is not None
    confirmed = await appointments.change(replace(read, status=AppointmentStatus.CONFIRMED), read)
    cancelled = await appointments.cancel(number, "cancel")

    assert confirmed is not None
    assert (cancelled and cancelled.status) == AppointmentStatus.CANCELLED

"""A request that comes again, from this process or another, at once or after others have changed the record: one effect, one answer."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from storage.appointments import Appointments, NewAppointment
from storage.errors import SlotTaken
from storage.models import AppointmentStatus, OrderItem, OrderStatus
from storage.orders import NewOrder, Orders
from storage.table import Database, Key
from tests.storage.databases import ZONE, StandingClock, repositories

TEN = datetime(2030, 1, 17, 10, 0, tzinfo=ZONE)
ORDER = NewOrder("Eva Ruiz", "eva@email.com", (OrderItem("1", "Yerba", 2, Decimal("12.50")),), "hash")
APPOINTMENT = NewAppointment("Eva Ruiz", "eva@email.com", "Dr. Rodríguez", TEN, 30)
DUPLICATES = 100


@dataclass
class Shop:
    """The repositories of two processes on one database, and the clock of both."""

    orders: Orders
    other_orders: Orders
    appointments: Appointments
    other_appointments: Appointments
    clock: StandingClock

    async def slot(self, time: str) -> str | None:
        """Return which appointment holds a slot of the doctor on the day, given as UTC."""
        item = await self.appointments.table.get(Key.twice(f"SLOT#dr rodriguez#2030-01-17T{time}"))
        return None if item is None else str(item["holder"])


@pytest.fixture
async def shop(database: Database, clock: StandingClock, prefix: str) -> Shop:
    here, there = await repositories(database, clock, prefix), await repositories(database, clock, prefix)
    return Shop(here[0], there[0], here[1], there[1], clock)


@pytest.mark.req("S4-48")
async def test_a_hundred_duplicates_from_two_processes_place_one_order(shop: Shop) -> None:
    both = (shop.orders, shop.other_orders)
    made = await asyncio.gather(*[both[number % 2].create(ORDER, "same") for number in range(DUPLICATES)])
    stored = await shop.orders.everything()

    assert len(stored) == 1
    assert [order == stored[0] for order in made] == [True] * DUPLICATES


@pytest.mark.req("S4-47")
async def test_a_hundred_duplicates_from_two_processes_cancel_one_order_and_all_are_told_so(shop: Shop) -> None:
    order = await shop.orders.create(ORDER, "create")
    both = (shop.orders, shop.other_orders)
    cancelled = await asyncio.gather(*[both[number % 2].cancel(order.id, "same") for number in range(DUPLICATES)])
    stored = await shop.orders.get(order.id)

    assert stored is not None
    assert stored.status is OrderStatus.CANCELLED
    assert [one == stored for one in cancelled] == [True] * DUPLICATES


@pytest.mark.req("S4-48")
async def test_an_order_that_was_cancelled_or_removed_since_is_not_placed_again(shop: Shop) -> None:
    placed = await shop.orders.create(ORDER, "create")
    shop.clock.advance(seconds=1)
    await shop.orders.cancel(placed.id, "cancel")
    after_cancelling = await shop.other_orders.create(ORDER, "create")
    still = await shop.orders.get(placed.id)
    await shop.orders.delete(placed.id)
    after_removal = await shop.other_orders.create(ORDER, "create")

    assert after_cancelling == after_removal == placed
    assert still is not None
    assert still.status is OrderStatus.CANCELLED
    assert await shop.orders.everything() == []


@pytest.mark.req("S4-47")
async def test_an_order_that_was_taken_up_again_since_is_not_cancelled_again(shop: Shop) -> None:
    placed = await shop.orders.create(ORDER, "create")
    cancelled = await shop.orders.cancel(placed.id, "cancel")
    assert cancelled is not None
    shop.clock.advance(seconds=1)
    reopened = await shop.orders.change(replace(cancelled, status=OrderStatus.PENDING), cancelled)
    again = await shop.other_orders.cancel(placed.id, "cancel")

    assert again == cancelled
    assert await shop.orders.get(placed.id) == reopened


@pytest.mark.req("S4-47")
async def test_an_order_that_changes_under_a_cancellation_is_cancelled_with_the_change(shop: Shop) -> None:
    placed = await shop.orders.create(ORDER, "create")
    shop.clock.advance(seconds=1)
    changed, cancelled = await asyncio.gather(
        shop.orders.change(replace(placed, tracking_number="T1"), placed), shop.other_orders.cancel(placed.id, "cancel")
    )
    stored = await shop.orders.get(placed.id)

    assert cancelled == stored
    assert cancelled is not None
    assert cancelled.tracking_number == ("T1" if changed is not None else None)


@pytest.mark.req("S4-49")
async def test_a_hundred_duplicates_from_two_processes_make_one_appointment(shop: Shop) -> None:
    both = (shop.appointments, shop.other_appointments)
    made = await asyncio.gather(*[both[number % 2].create(APPOINTMENT, "same") for number in range(DUPLICATES)])
    stored = await shop.appointments.everything()

    assert len(stored) == 1
    assert [one == stored[0] for one in made] == [True] * DUPLICATES


@pytest.mark.req("S4-51")
async def test_a_hundred_duplicates_from_two_processes_move_one_appointment_once(shop: Shop) -> None:
    made = await shop.appointments.create(APPOINTMENT, "create")
    both = (shop.appointments, shop.other_appointments)
    later = TEN + timedelta(hours=1)
    moved = await asyncio.gather(*[both[number % 2].move(made.id, later, "same") for number in range(DUPLICATES)])
    stored = await shop.appointments.get(made.id)

    assert [one == stored for one in moved] == [True] * DUPLICATES
    assert [await shop.slot(time) for time in ("13:00", "14:00")] == [None, made.id]


@pytest.mark.req("S4-50")
async def test_a_hundred_duplicates_from_two_processes_cancel_one_appointment(shop: Shop) -> None:
    made = await shop.appointments.create(APPOINTMENT, "create")
    both = (shop.appointments, shop.other_appointments)
    cancelled = await asyncio.gather(*[both[number % 2].cancel(made.id, "same") for number in range(DUPLICATES)])
    stored = await shop.appointments.get(made.id)

    assert stored is not None
    assert stored.status is AppointmentStatus.CANCELLED
    assert [one == stored for one in cancelled] == [True] * DUPLICATES


@pytest.mark.req("S4-51")
async def test_an_appointment_that_was_moved_on_since_stays_where_it_is(shop: Shop) -> None:
    made = await shop.appointments.create(APPOINTMENT, "create")
    first = await shop.appointments.move(made.id, TEN + timedelta(hours=1), "first")
    second = await shop.appointments.move(made.id, TEN + timedelta(hours=2), "second")
    again = await shop.other_appointments.move(made.id, TEN + timedelta(hours=1), "first")

    assert again == first
    assert await shop.appointments.get(made.id) == second
    assert [await shop.slot(time) for time in ("13:00", "14:00", "15:00")] == [None, None, made.id]


@pytest.mark.req("S4-51")
async def test_an_appointment_that_was_cancelled_since_is_neither_made_nor_moved_again(shop: Shop) -> None:
    made = await shop.appointments.create(APPOINTMENT, "create")
    moved = await shop.appointments.move(made.id, TEN + timedelta(hours=1), "move")
    await shop.appointments.cancel(made.id, "cancel")
    other = await shop.appointments.create(replace(APPOINTMENT, patient_name="Ada Paz"), "other")
    made_again = await shop.other_appointments.create(APPOINTMENT, "create")
    moved_again = await shop.other_appointments.move(made.id, TEN + timedelta(hours=1), "move")
    stored = await shop.appointments.get(made.id)

    assert made_again == made
    assert moved_again == moved
    assert stored is not None
    assert stored.status is AppointmentStatus.CANCELLED
    assert [await shop.slot(time) for time in ("13:00", "14:00")] == [other.id, None]


async def test_what_was_refused_left_no_trace_and_can_be_asked_for_again(shop: Shop) -> None:
    first = await shop.appointments.create(APPOINTMENT, "first")
    with pytest.raises(SlotTaken):
        await shop.appointments.create(APPOINTMENT, "second")
    refused = await shop.appointments.outcome("second")
    await shop.appointments.cancel(first.id, "cancel")
    made = await shop.appointments.create(APPOINTMENT, "second")

    assert refused is None
    assert await shop.orders.cancel("77", "nothing") is None
    assert await shop.orders.outcome("nothing") is None
    assert await shop.appointments.outcome("second") == made


async def test_each_of_two_removals_of_one_number_frees_its_time(shop: Shop) -> None:
    made = await shop.appointments.create(APPOINTMENT, "create")
    await shop.appointments.delete(made.id)
    await shop.appointments.add(made)
    await shop.appointments.delete(made.id)

    assert await shop.slot("13:00") is None


async def test_a_note_of_a_request_is_forgotten_after_a_day(shop: Shop) -> None:
    await shop.orders.create(ORDER, "create")
    shop.clock.advance(hours=23)
    kept = await shop.orders.outcome("create")
    shop.clock.advance(hours=2)

    assert kept is not None
    assert await shop.orders.outcome("create") is None

"""Changes at the same time, from two processes: of one order, and of one doctor's time, no two ever win."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from storage.appointments import Appointments, NewAppointment
from storage.errors import SlotTaken, StorageUnavailable
from storage.models import Appointment, AppointmentStatus, Order, OrderItem, OrderStatus
from storage.orders import NewOrder, Orders
from storage.records import reserve_attempt
from storage.table import Database
from tests.storage.databases import NOW, ZONE, StandingClock, repositories

TEN = datetime(2030, 1, 17, 10, 0, tzinfo=ZONE)
RACERS = 50


@dataclass
class Shop:
    """The repositories of two processes on one database."""

    orders: tuple[Orders, Orders]
    appointments: tuple[Appointments, Appointments]

    async def order(self) -> Order:
        return await self.orders[0].create(NewOrder("Eva Ruiz", "eva@email.com", (OrderItem("1", "Yerba", 2, Decimal("12.50")),)), "first")


def wanted(number: int, starts_at: datetime = TEN) -> NewAppointment:
    return NewAppointment(f"Patient {number}", f"p{number}@email.com", "Dr. Rodríguez", starts_at, 30)


@pytest.fixture
async def shop(database: Database, clock: StandingClock, prefix: str) -> Shop:
    here, there = await repositories(database, clock, prefix), await repositories(database, clock, prefix)
    return Shop((here[0], there[0]), (here[1], there[1]))


@pytest.mark.req("S4-47")
async def test_of_fifty_changes_of_one_order_one_wins_even_within_one_millisecond(shop: Shop) -> None:
    order = await shop.order()
    changes = [shop.orders[number % 2].change(replace(order, tracking_number=f"T{number}"), order) for number in range(RACERS)]
    winners = [changed for changed in await asyncio.gather(*changes) if changed is not None]
    stored = await shop.orders[0].get(order.id)

    assert winners == [stored]


@pytest.mark.req("S4-47")
async def test_a_cancelled_order_is_not_changed_and_a_changed_one_is_cancelled_as_it_is(shop: Shop) -> None:
    order = await shop.order()
    shipped = replace(order, status=OrderStatus.SHIPPED)
    races = [
        shop.orders[number % 2].change(shipped, order) if number % 3 else shop.orders[number % 2].cancel(order.id, f"r{number}")
        for number in range(RACERS)
    ]
    winners = [changed for changed in await asyncio.gather(*races) if changed is not None]
    stored = await shop.orders[0].get(order.id)

    assert winners == [stored]


async def _placed(attempt: "asyncio.Future[Appointment] | asyncio.Task[Appointment | None]") -> Appointment | None:
    try:
        return await attempt
    except (SlotTaken, StorageUnavailable):
        return None


@pytest.mark.req("S4-49", "S4-51")
async def test_of_all_who_want_one_time_by_booking_and_by_moving_one_gets_it(shop: Shop) -> None:
    here, there = shop.appointments
    others = [await here.create(wanted(number, TEN + timedelta(days=1, minutes=30 * number)), f"o{number}") for number in range(10)]
    tasks = [asyncio.ensure_future(there.create(wanted(number), f"c{number}")) for number in range(20)]
    moves = [asyncio.ensure_future(here.move(one.id, TEN + timedelta(minutes=15), f"m{one.id}")) for one in others]
    placed = await asyncio.gather(*(_placed(task) for task in (*tasks, *moves)))
    winners = [one for one in placed if one is not None]
    day = await here.everything(TEN.date())

    assert len(winners) == 1
    assert [one.id for one in day] == [winners[0].id]
    assert len([one for one in await here.everything() if one.status is AppointmentStatus.SCHEDULED]) == len(
        {one.id for one in others} | {winners[0].id}
    )


@pytest.mark.req("S4-53")
async def test_of_fifty_guesses_at_once_as_many_are_let_through_as_are_allowed(shop: Shop) -> None:
    let = await asyncio.gather(*(reserve_attempt(shop.orders[number % 2].table, "CALLER#c", NOW, 20) for number in range(RACERS)))

    assert let.count(True) == 20

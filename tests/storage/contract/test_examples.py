from datetime import timedelta
from decimal import Decimal

import pytest

from storage.examples import LOCAL_SALT, Written, example_appointments, write_examples
from storage.models import OPEN_APPOINTMENTS, OrderStatus, order_total
from storage.orders import hash_dni
from storage.table import Database
from tests.storage.databases import NOW, ZONE, StandingClock, repositories


@pytest.mark.req("S4-66")
async def test_examples_are_written_once_and_kept_afterwards(database: Database, clock: StandingClock, prefix: str) -> None:
    orders, appointments = await repositories(database, clock, prefix)
    first = [done async for done in write_examples(orders, appointments, now=clock(), salt=LOCAL_SALT)]
    await orders.cancel("2", "r1")
    before = await orders.everything(), await appointments.everything()
    clock.advance(hours=72)
    second = [done async for done in write_examples(orders, appointments, now=clock(), salt=LOCAL_SALT)]
    after = await orders.everything(), await appointments.everything()

    assert [done.outcome for done in first] == [Written.WRITTEN] * 10
    assert [done.outcome for done in second] == [Written.KEPT] * 10
    assert after == before


@pytest.mark.req("S4-66")
async def test_a_reset_writes_the_examples_anew_twice_in_a_row(database: Database, clock: StandingClock, prefix: str) -> None:
    orders, appointments = await repositories(database, clock, prefix)
    for _ in range(3):
        outcomes = {done.outcome async for done in write_examples(orders, appointments, now=clock(), salt=None, reset=True)}

        assert outcomes == {Written.WRITTEN}
        assert len(await orders.everything()) == 5
        assert len(await appointments.everything()) == 5
        await orders.cancel("1", "r")
        await appointments.cancel("1", "r")


@pytest.mark.req("S4-59", "S4-66")
async def test_the_examples_are_what_the_sample_phrases_need(database: Database, clock: StandingClock, prefix: str) -> None:
    orders, appointments = await repositories(database, clock, prefix)
    async for _ in write_examples(orders, appointments, now=clock(), salt=LOCAL_SALT):
        pass
    all_orders, all_appointments = await orders.everything(), await appointments.everything()
    by_number = {one.id: one for one in all_appointments}

    assert [order.customer_name for order in all_orders[:2]] == ["Juan Pérez", "Juan Pérez"]
    assert all_orders[0].dni_hash == hash_dni("12345678", LOCAL_SALT)
    assert all_orders[0].total == Decimal("67.48")
    assert [order.total for order in all_orders] == [order_total(order.items) for order in all_orders]
    assert {order.status for order in all_orders} == set(OrderStatus)
    assert [by_number[number].patient_name for number in "123"] == ["Juan Pérez", "Luis Fernández", "Ana Martínez"]
    assert {by_number[number].status in OPEN_APPOINTMENTS for number in "1234"} == {True}


@pytest.mark.parametrize("days", range(14))
def test_whatever_the_day_examples_to_come_lie_ahead_and_leave_the_sample_times_free(days: int) -> None:
    now = NOW + timedelta(days=days)
    tomorrow = (now.astimezone(ZONE) + timedelta(days=1)).date()
    coming = [one for one in example_appointments(now, ZONE) if one.status in OPEN_APPOINTMENTS]
    local = [one.starts_at.astimezone(ZONE) for one in coming]

    assert all(one.starts_at > now for one in coming)
    assert all(time.isoweekday() <= 5 for time in local)
    assert all(time.date() != tomorrow for time in local)
    assert all((time.hour, time.isoweekday()) != (15, 5) for time in local)
    assert len({(one.doctor_name, one.starts_at) for one in coming}) == 4

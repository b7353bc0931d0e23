import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from storage.examples import example_orders
from storage.models import OrderItem, OrderStatus, order_json
from storage.orders import NewOrder, Orders, hash_dni
from storage.table import Database, Key
from tests.storage.databases import NOW, StandingClock, repositories

ITEMS = (OrderItem("1", "Yerba", 2, Decimal("12.50")), OrderItem("2", "Mate", 1, Decimal("9.99"), "De calabaza"))


def new(email: str = "eva@email.com") -> NewOrder:
    return NewOrder("Eva Ruiz", email, ITEMS)


@pytest.fixture
async def orders(database: Database, clock: StandingClock, prefix: str) -> Orders:
    return (await repositories(database, clock, prefix))[0]


@pytest.mark.req("S4-25")
@pytest.mark.req("S4-28")
async def test_an_order_is_stored_with_all_its_attributes_under_its_key_twice(orders: Orders) -> None:
    example = example_orders(NOW, b"salt")[0]
    await orders.add(example)
    item = await orders.table.get(Key.twice("ORDER#1"))

    assert item == {
        "PK": "ORDER#1", "SK": "ORDER#1", "id": "1", "customerName": "Juan Pérez", "customerEmail": "juan.perez@email.com",
        "items": [
            {"id": "1", "name": "Producto A", "quantity": 2, "price": Decimal("25.99"), "description": "Descripción del producto A"},
            {"id": "2", "name": "Producto B", "quantity": 1, "price": Decimal("15.5"), "description": "Descripción del producto B"},
        ],
        "total": Decimal("67.48"), "status": "pending", "createdAt": "2030-01-16T00:00:00.000Z", "updatedAt": "2030-01-16T00:00:00.000Z",
        "estimatedDelivery": "2030-01-21T00:00:00.000Z", "trackingNumber": "TRK123456789", "dniHash": hash_dni("12345678", b"salt"),
    }  # fmt: skip
    assert await orders.get("1") == example


@pytest.mark.req("S4-28")
async def test_the_public_form_of_an_order_has_json_numbers_and_no_internal_attribute(orders: Orders) -> None:
    await orders.add(example_orders(NOW, b"salt")[0])
    order = await orders.get("1")

    assert order is not None
    assert order_json(order) == {
        "id": "1", "customerName": "Juan Pérez", "customerEmail": "juan.perez@email.com",
        "items": [
            {"id": "1", "name": "Producto A", "quantity": 2, "price": 25.99, "description": "Descripción del producto A"},
            {"id": "2", "name": "Producto B", "quantity": 1, "price": 15.5, "description": "Descripción del producto B"},
        ],
        "total": 67.48, "status": "pending", "createdAt": "2030-01-16T00:00:00.000Z", "updatedAt": "2030-01-16T00:00:00.000Z",
        "estimatedDelivery": "2030-01-21T00:00:00.000Z", "trackingNumber": "TRK123456789",
    }  # fmt: skip
    assert order.dni_hash is not None
    assert order.dni_hash not in repr(order)


async def test_an_id_is_taken_once(orders: Orders) -> None:
    first = example_orders(NOW, None)[0]

    assert await orders.add(first) is True
    assert await orders.add(replace(first, customer_name="Somebody Else")) is False
    assert await orders.get("1") == first


@pytest.mark.req("S4-02")
async def test_orders_are_created_read_changed_cancelled_and_deleted(orders: Orders, clock: StandingClock) -> None:
    created = await orders.create(new(), "r1")
    clock.advance(minutes=1)
    changed = await orders.change(replace(created, tracking_number="T1"), created)
    stale = await orders.change(replace(created, tracking_number="T2"), created)
    cancelled = await orders.cancel(created.id, "r2")
    await orders.delete(created.id)

    assert created.total == Decimal("34.99")
    assert changed is not None
    assert changed.tracking_number == "T1"
    assert changed.updated_at == created.updated_at + timedelta(minutes=1)
    assert stale is None
    assert cancelled is not None
    assert cancelled.status is OrderStatus.CANCELLED
    assert await orders.get(created.id) is None


async def test_numbers_go_up_and_skip_those_that_are_taken(orders: Orders) -> None:
    for example in example_orders(NOW, None)[:2]:
        await orders.add(example)
    numbers = [(await orders.create(new(), f"r{number}")).id for number in range(3)]

    assert numbers == ["3", "4", "5"]


async def test_numbering_is_raised_and_never_lowered(orders: Orders) -> None:
    await orders.raise_numbering(41)
    first = await orders.create(new(), "r1")
    await orders.raise_numbering(7)
    second = await orders.create(new(), "r2")

    assert [first.id, second.id] == ["42", "43"]


@pytest.mark.req("S4-48")
async def test_one_request_repeated_fifty_times_at_once_makes_one_order(orders: Orders) -> None:
    made = await asyncio.gather(*[orders.create(new(), "same") for _ in range(50)])

    assert len({order.id for order in made}) == 1
    assert len(await orders.everything()) == 1


@pytest.mark.req("S4-47")
@pytest.mark.parametrize(("number", "expected"), [("1", True), ("2", True), ("3", False), ("4", False), ("5", False), ("6", False)])
async def test_an_order_can_be_cancelled_until_it_is_on_its_way(orders: Orders, number: str, *, expected: bool) -> None:
    for example in example_orders(NOW, None):
        await orders.add(example)
    before = await orders.get(number)
    cancelled = await orders.cancel(number, "r1")
    after = await orders.get(number)

    assert (cancelled is not None) is expected
    assert expected or after == before


@pytest.mark.req("S4-47")
async def test_of_fifty_cancellations_one_is_the_one_that_cancels(orders: Orders) -> None:
    await orders.add(example_orders(NOW, None)[0])
    outcomes = await asyncio.gather(*[orders.cancel("1", f"r{number}") for number in range(50)])

    assert sum(order is not None for order in outcomes) == 1


async def test_a_repeated_cancellation_answers_with_the_cancelled_order(orders: Orders) -> None:
    await orders.add(example_orders(NOW, None)[0])
    first = await orders.cancel("1", "same")
    again = await orders.cancel("1", "same")

    assert first is not None
    assert again == first


@pytest.mark.req("S4-26")
@pytest.mark.req("S4-27")
async def test_orders_are_found_by_customer_and_by_status_in_order_of_time(orders: Orders, clock: StandingClock) -> None:
    made = []
    for number in range(5):
        made.append((await orders.create(new("eva@email.com" if number % 2 else "ada@email.com"), f"r{number}")).id)
        clock.advance(minutes=1)
    first = await orders.with_status(OrderStatus.PENDING, limit=3)
    rest = await orders.with_status(OrderStatus.PENDING, limit=3, cursor=first.cursor)
    of_eva = await orders.of_customer("eva@email.com")

    assert [order.id for order in first.records + rest.records] == made[::-1]
    assert sorted(order.id for order in of_eva.records) == [made[1], made[3]]
    assert (await orders.with_status(OrderStatus.SHIPPED)).records == ()


async def test_internal_records_never_appear_among_the_orders(orders: Orders) -> None:
    await orders.create(new(), "r1")
    await orders.create(new(), "r2")

    assert [order.id for order in await orders.everything()] == ["1", "2"]

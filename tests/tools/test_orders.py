import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from storage.models import OrderStatus
from tests.tools.desk import Desk, open_desk

ITEMS = [{"name": "Yerba", "quantity": 2, "price": 12.5}, {"name": "Mate", "quantity": 1, "price": 30}]
MARIA = {"customerName": "María García", "customerEmail": "maria.garcia@email.com"}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


@pytest.mark.req("S4-46")
async def test_an_order_is_shown_to_whoever_knows_its_dni(desk: Desk) -> None:
    result = await desk.call("consultarOrder", orderId="1", dni="12345678")

    assert result["success"] is True
    assert result["order"]["customerName"] == "Juan Pérez"
    assert result["order"]["total"] == 67.48
    assert result["order"]["estimatedDelivery"] == "2030-01-21T00:00:00.000Z"
    assert set(result["order"]) == {
        "id", "customerName", "customerEmail", "items", "total", "status", "createdAt", "updatedAt", "estimatedDelivery", "trackingNumber",
    }  # fmt: skip


@pytest.mark.req("S4-53")
@pytest.mark.parametrize("name", ["Juan Pérez", "juan perez", "  JUAN   PEREZ. ", "Juan Pe\u0301rez"])
async def test_accents_case_and_spaces_of_a_name_do_not_matter(desk: Desk, name: str) -> None:
    result = await desk.call("consultarOrder", orderId=1, customerName=name)

    assert result["success"] is True


@pytest.mark.req("S4-53", "S4-54")
@pytest.mark.parametrize(
    ("stored", "said"),
    [("Ana-María O'Higgins", "ana maria ohiggins"), ("Ana María O’Higgins", "Ana-Maria O'Higgins"), ("Núñez", "nunez")],  # noqa: RUF001 - as typesetters write it
)
async def test_hyphens_and_apostrophes_of_a_name_do_not_matter(desk: Desk, stored: str, said: str) -> None:
    order = await desk.orders.get("1")
    assert order is not None
    await desk.orders.change(replace(order, customer_name=stored), order)
    right = await desk.call("consultarOrder", orderId=1, customerName=said)
    shorter = await desk.call("consultarOrder", orderId=1, customerName=said[:-1])

    assert right["success"] is True
    assert shorter["error"] == "identity_not_verified"


@pytest.mark.req("S4-53")
@pytest.mark.parametrize(
    "wrong",
    [
        {"dni": "12345679"},
        {"dni": "1234567"},
        {"customerName": "Juan"},
        {"customerName": "Juan Pérez García"},
        {"customerName": "María García"},
        {"customerName": "\u0458uan perez"},
        {"customerName": "%"},
        {"customerName": "Juan Pérez", "dni": "12345679"},
        {"customerName": "Pedro Pérez", "dni": "12345678"},
    ],
)
async def test_a_wrong_identity_is_answered_like_an_order_that_does_not_exist(desk: Desk, wrong: dict[str, str]) -> None:
    refused = await desk.call("consultarOrder", orderId="1", **wrong)
    unknown = await desk.call("consultarOrder", orderId="999", **wrong)

    assert refused["error"] in {"identity_not_verified", "invalid_name"}
    assert refused == unknown


@pytest.mark.req("S4-53")
@pytest.mark.parametrize("nothing", [{}, {"dni": None}, {"dni": ""}, {"dni": "  ", "customerName": "null"}])
async def test_without_dni_or_name_the_user_is_asked_for_one(desk: Desk, nothing: dict[str, Any]) -> None:
    result = await desk.call("consultarOrder", orderId="1", **nothing)

    assert result["error"] == "identity_required"


@pytest.mark.req("S4-53")
async def test_an_order_without_a_stored_dni_is_never_shown_for_a_dni_alone(desk: Desk) -> None:
    by_dni = await desk.call("consultarOrder", orderId="4", dni="00000000")
    by_name = await desk.call("consultarOrder", orderId="4", customerName="Ana Martinez")

    assert by_dni["error"] == "identity_not_verified"
    assert by_name["success"] is True


@pytest.mark.req("S4-55")
async def test_numbers_may_come_as_words(desk: Desk) -> None:
    result = await desk.call("consultarOrder", order_id="número uno", dni="uno dos tres cuatro cinco seis siete ocho")

    assert result["success"] is True


@pytest.mark.parametrize("order_id", ["ORDER#1#", "1\n2x", "a" * 37, "' OR 1=1 --", "", "..", "dos pedidos"])
async def test_an_order_number_that_is_none_is_asked_for_again(desk: Desk, order_id: str) -> None:
    result = await desk.call("consultarOrder", orderId=order_id, dni="12345678")

    assert result["error"] in {"invalid_number", "missing_arguments", "identity_not_verified"}
    assert result["success"] is False


@pytest.mark.req("S4-53")
async def test_after_five_wrong_tries_a_session_is_locked_even_for_the_right_answer(desk: Desk) -> None:
    errors = [(await desk.call("consultarOrder", orderId=str(number), dni="99999999"))["error"] for number in range(1, 7)]
    right = await desk.call("consultarOrder", orderId="1", dni="12345678")
    elsewhere = await desk.call("consultarOrder", session="s2", orderId="1", dni="12345678")

    assert errors == ["identity_not_verified"] * 5 + ["identity_locked"]
    assert right["error"] == "identity_locked"
    assert elsewhere["success"] is True


@pytest.mark.req("S4-53")
async def test_parallel_tries_are_counted_too(desk: Desk) -> None:
    results = await asyncio.gather(*[desk.call("consultarOrder", orderId="1", dni=f"9999999{digit}") for digit in range(9)])

    assert [result["error"] for result in results].count("identity_not_verified") == 5


@pytest.mark.req("S4-53")
async def test_after_ten_wrong_tries_from_anywhere_an_order_is_locked_for_the_rest_of_the_hour(desk: Desk) -> None:
    errors = [(await desk.call("consultarOrder", session=f"s{number}", orderId="1", dni="99999999"))["error"] for number in range(11)]
    locked = await desk.call("consultarOrder", session="owner", orderId="1", dni="12345678")
    desk.clock.advance(hours=1)
    later = await desk.call("consultarOrder", session="owner", orderId="1", dni="12345678")

    assert errors == ["identity_not_verified"] * 10 + ["identity_locked"]
    assert locked["error"] == "identity_locked"
    assert later["success"] is True


async def test_right_answers_use_up_no_tries(desk: Desk) -> None:
    results = [await desk.call("consultarOrder", orderId="1", dni="12345678") for _ in range(15)]

    assert all(result["success"] for result in results)


async def test_the_failures_of_few_sessions_are_remembered_for_long_and_of_many_for_shorter(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.identity.MAX_SESSIONS", 2)
    for _ in range(5):
        await desk.call("consultarOrder", session="first", orderId="1", dni="99999999")
    locked = await desk.call("consultarOrder", session="first", orderId="2", dni="99999999")
    for session in ("second", "third"):
        await desk.call("consultarOrder", session=session, orderId="3", dni="99999999")
    forgotten = await desk.call("consultarOrder", session="first", orderId="2", dni="99999999")

    assert locked["error"] == "identity_locked"
    assert forgotten["error"] == "identity_not_verified"


@pytest.mark.parametrize(
    ("argument", "error"),
    [({"dni": "12"}, "invalid_dni"), ({"dni": "mi abuela"}, "invalid_dni"), ({"customerName": "..."}, "invalid_name")],
)
async def test_what_was_not_understood_is_asked_for_and_costs_no_try(desk: Desk, argument: dict[str, Any], error: str) -> None:
    errors = {(await desk.call("consultarOrder", orderId="1", **argument))["error"] for _ in range(10)}
    right = await desk.call("consultarOrder", orderId="1", dni="12345678")

    assert errors == {error}
    assert right["success"] is True


@pytest.mark.req("S4-47")
async def test_an_order_is_cancelled_once(desk: Desk) -> None:
    first = await desk.call("cancelarOrder", orderId="2", customerName="Juan Pérez")
    second = await desk.call("cancelarOrder", orderId="2", customerName="Juan Pérez")

    assert first["order"]["status"] == "cancelled"
    assert second["error"] == "already_cancelled"
    assert (await desk.orders.get("2")).status is OrderStatus.CANCELLED  # type: ignore[union-attr]


@pytest.mark.req("S4-47")
@pytest.mark.parametrize(("order_id", "name"), [("3", "María García"), ("4", "Ana Martínez")])
async def test_an_order_that_has_left_the_shop_is_not_cancelled(desk: Desk, order_id: str, name: str) -> None:
    result = await desk.call("cancelarOrder", orderId=order_id, customerName=name)

    assert result["error"] == "not_cancellable"


@pytest.mark.req("S4-47", "S4-53")
async def test_a_cancelled_order_needs_an_identity(desk: Desk) -> None:
    result = await desk.call("cancelarOrder", orderId="2", customerName="María García")

    assert result["error"] == "identity_not_verified"
    assert (await desk.orders.get("2")).status is OrderStatus.PROCESSING  # type: ignore[union-attr]


@pytest.mark.req("S4-47")
async def test_a_repeated_cancellation_is_answered_like_the_first_even_by_another_process(desk: Desk) -> None:
    first = await desk.call("cancelarOrder", tool_use_id="x", orderId="2", customerName="Juan Pérez")
    desk.executor.forget("s1")
    again = await desk.call("cancelarOrder", tool_use_id="x", orderId="2", customerName="Juan Pérez")

    assert again == first


@pytest.mark.req("S4-48")
async def test_an_order_is_placed_with_a_total_computed_here(desk: Desk) -> None:
    result = await desk.call("crearOrder", **MARIA, items=ITEMS, total=55)
    stored = await desk.orders.get("6")

    assert result["order"]["id"] == "6"
    assert result["order"]["total"] == 55.0
    assert stored is not None
    assert stored.total == Decimal("55.00")
    assert stored.items[0].price == Decimal("12.5")


@pytest.mark.req("S4-48")
@pytest.mark.parametrize(
    ("total", "error"), [(55.01, None), (54.99, None), ("55,00", None), (55.02, "total_mismatch"), (0, "total_mismatch")]
)
async def test_a_total_is_refused_when_it_differs_by_more_than_a_cent(desk: Desk, total: object, error: str | None) -> None:
    result = await desk.call("crearOrder", **MARIA, items=ITEMS, total=total)

    assert result.get("error") == error


@pytest.mark.req("S4-26", "S4-27", "S4-48")
async def test_an_order_that_the_tool_made_is_found_by_its_customer_and_status(desk: Desk) -> None:
    await desk.call("crearOrder", **MARIA, items=ITEMS)
    by_email = await desk.orders.of_customer("maria.garcia@email.com")
    by_status = await desk.orders.with_status(OrderStatus.PENDING)

    assert [order.id for order in by_email.records] == ["3", "6"]
    assert [order.id for order in by_status.records] == ["6", "1"]


@pytest.mark.req("S4-48")
async def test_a_hundred_duplicates_at_once_place_one_order(desk: Desk) -> None:
    results = await asyncio.gather(*[desk.call("crearOrder", tool_use_id="same", **MARIA, items=ITEMS) for _ in range(100)])

    assert {result["order"]["id"] for result in results} == {"6"}
    assert len(await desk.orders.everything()) == 6


@pytest.mark.req("S4-48")
async def test_what_a_model_may_not_set_is_left_out(desk: Desk) -> None:
    result = await desk.call("crearOrder", **MARIA, items=ITEMS, status="delivered", id="1", dniHash="x")

    assert result["order"]["status"] == "pending"
    assert result["order"]["id"] == "6"


@pytest.mark.req("S4-48")
@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"name": "A", "quantity": 0, "price": 1}],
        [{"name": "A", "quantity": -1, "price": 1}],
        [{"name": "A", "quantity": 1, "price": -1}],
        [{"name": "A", "quantity": 1, "price": 0.001}],
        [{"name": "A" * 61, "quantity": 1, "price": 1}],
        [{"name": "A", "quantity": 1, "price": 1}] * 21,
        [{"name": "A", "quantity": 1.5, "price": 1}],
        [{"name": "A", "quantity": 1}],
        ["A"],
        "nothing",
        [{"name": "A", "quantity": 1, "price": 1e300}],
    ],
)
async def test_impossible_items_are_asked_for_again(desk: Desk, items: object) -> None:
    result = await desk.call("crearOrder", **MARIA, items=items)

    assert result["error"] in {"invalid_items", "invalid_arguments", "missing_arguments", "arguments_not_json"}
    assert len(await desk.orders.everything()) == 5


async def test_the_largest_order_fits_a_result(desk: Desk) -> None:
    items = [{"name": "ñ" * 60, "quantity": 1000, "price": 1_000_000, "description": "ñ" * 80}] * 20
    result = await desk.call("crearOrder", **MARIA, items=items)

    assert len(result["order"]["items"]) == 20


@pytest.mark.parametrize("email", ["maria punto garcia arroba email punto com", " Maria.Garcia@Email.com "])
async def test_an_e_mail_address_may_be_spelt_as_it_is_said(desk: Desk, email: str) -> None:
    result = await desk.call("crearOrder", customerName="María García", customerEmail=email, items=ITEMS)

    assert result["order"]["customerEmail"] == "maria.garcia@email.com"

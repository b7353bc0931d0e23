"""/orders."""

import asyncio
from typing import Any

import pytest

from storage.models import OrderStatus
from storage.orders import hash_dni
from tests.api.desk import JUAN, NOBODY, SALT, Desk

ORDER_1 = {
    "id": "1",
    "customerName": "Juan Pérez",
    "customerEmail": "juan.perez@email.com",
    "items": [
        {"id": "1", "name": "Producto A", "quantity": 2, "price": 25.99, "description": "Descripción del producto A"},
        {"id": "2", "name": "Producto B", "quantity": 1, "price": 15.5, "description": "Descripción del producto B"},
    ],
    "total": 67.48,
    "status": "pending",
    "createdAt": "2030-01-16T00:00:00.000Z",
    "updatedAt": "2030-01-16T00:00:00.000Z",
    "estimatedDelivery": "2030-01-21T00:00:00.000Z",
    "trackingNumber": "TRK123456789",
}
NEW = {"customerName": "Eva  Ruiz", "customerEmail": "Eva@Email.com", "items": [{"name": "Yerba", "quantity": 2, "price": 12.5}]}


@pytest.mark.req("S4-04")
@pytest.mark.req("S4-20")
async def test_all_orders_are_told_as_the_front_end_expects_them(desk: Desk) -> None:
    response = await desk.ask("GET", "/orders")
    body = await response.json()

    assert response.status == 200
    assert response.content_type == "application/json"
    assert set(body) == {"success", "data", "message"}
    assert (body["success"], body["message"]) == (True, "Retrieved 5 orders successfully")
    assert body["data"][0] == ORDER_1
    assert [order["id"] for order in body["data"]] == ["1", "2", "3", "5", "4"]
    assert all(isinstance(order["total"], float) and isinstance(order["items"], list) for order in body["data"])


@pytest.mark.req("S4-21")
async def test_one_order_is_told_with_its_version(desk: Desk) -> None:
    response = await desk.ask("GET", "/orders/1")

    assert response.status == 200
    assert await response.json() == {"success": True, "data": ORDER_1, "message": "Retrieved order 1 successfully"}
    assert response.headers["ETag"] == '"2030-01-16T00:00:00.000Z"'


@pytest.mark.req("S4-21")
async def test_an_order_that_is_not_there_is_told_so_with_a_code_and_a_reference(desk: Desk) -> None:
    response = await desk.ask("GET", "/orders/99")
    body = await response.json()
    ref = body["error"].pop("ref")

    assert response.status == 404
    assert body == {
        "success": False,
        "error": {"code": "not_found", "message": "There is no order 99.", "retryable": False},
        "message": "There is no order 99.",
    }
    assert len(ref) == 12


async def test_a_known_version_saves_the_body(desk: Desk) -> None:
    response = await desk.ask("GET", "/orders/1", headers={"If-None-Match": '"x", "2030-01-16T00:00:00.000Z"'})

    assert (response.status, await response.read()) == (304, b"")


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("customerEmail=juan.perez@email.com", {"1", "2"}),
        ("customerEmail=Juan.Perez@email.com&status=processing", {"2"}),
        ("status=shipped", {"3"}),
        ("customerEmail=nobody@email.com", set()),
    ],
)
@pytest.mark.req("S4-26")
@pytest.mark.req("S4-27")
async def test_orders_are_found_by_customer_and_status(desk: Desk, query: str, numbers: set[str]) -> None:
    response = await desk.ask("GET", f"/orders?{query}")

    assert {order["id"] for order in (await response.json())["data"]} == numbers


@pytest.mark.parametrize("query", ["", "customerEmail=juan.perez@email.com&", "status=pending&"])
async def test_pages_follow_one_another_by_their_cursor(desk: Desk, query: str) -> None:
    whole = (await (await desk.ask("GET", f"/orders?{query}")).json())["data"]
    told: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        body = await (await desk.ask("GET", f"/orders?{query}limit=1{cursor}")).json()
        assert len(body["data"]) <= 1
        told += body["data"]
        cursor = f"&cursor={body['nextCursor']}" if "nextCursor" in body else None

    assert told == whole


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid_parameter"),
        ("limit=101", "invalid_parameter"),
        ("limit=ten", "invalid_parameter"),
        ("limit=1&limit=2", "invalid_parameter"),
        ("status=lost", "invalid_parameter"),
        ("customerEmail=nobody", "invalid_parameter"),
        ("customer_email=juan.perez@email.com", "invalid_parameter"),
        ("cursor=../../etc/passwd", "invalid_parameter"),
        ("cursor=WyJvcmRlcnMiLCJ4IiwiMSJd", "unknown_cursor"),
        ("status=pending&cursor=WyJvcmRlcnMiLCIyMDMwLTAxLTE2VDAwOjAwOjAwLjAwMFoiLCIxIl0", "unknown_cursor"),
    ],
)
async def test_a_query_that_cannot_be_answered_is_refused(desk: Desk, query: str, code: str) -> None:
    assert await desk.code("GET", f"/orders?{query}") == (422 if code == "unknown_cursor" else 400, code)


@pytest.mark.req("S4-02")
async def test_an_order_is_placed_with_a_total_that_is_computed(desk: Desk) -> None:
    response = await desk.ask("POST", "/orders", json=NEW | {"total": 25, "dni": "45678901"})
    body = await response.json()
    stored = await desk.orders.get("6")

    assert (response.status, response.headers["Location"]) == (201, "/orders/6")
    assert body["message"] == "Created order 6 successfully"
    assert body["data"] == {
        "id": "6",
        "customerName": "Eva Ruiz",
        "customerEmail": "eva@email.com",
        "items": [{"id": "1", "name": "Yerba", "quantity": 2, "price": 12.5, "description": ""}],
        "total": 25.0,
        "status": "pending",
        "createdAt": "2030-01-16T15:00:00.000Z",
        "updatedAt": "2030-01-16T15:00:00.000Z",
        "estimatedDelivery": None,
        "trackingNumber": None,
    }
    assert stored is not None
    assert stored.dni_hash == hash_dni("45678901", SALT)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"total": 24.98}, 422, "rule_broken"),
        ({"customerName": " . "}, 422, "rule_broken"),
        ({"customerName": ""}, 400, "invalid_body"),
        ({"customerName": "a\u0000b"}, 400, "invalid_body"),
        ({"customerName": "a" * 101}, 400, "invalid_body"),
        ({"customerName": None}, 400, "invalid_body"),
        ({"customerEmail": "eva at email.com"}, 400, "invalid_body"),
        ({"items": []}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 1, "price": 1}] * 21}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 0, "price": 1}]}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": True, "price": 1}]}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 1.5, "price": 1}]}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 1, "price": -1}]}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 1, "price": 0.001}]}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 1, "price": "1"}]}, 400, "invalid_body"),
        ({"items": [{"name": "x", "quantity": 1, "price": 1, "discount": 1}]}, 400, "unknown_member"),
        ({"items": {"name": "x"}}, 400, "invalid_body"),
        ({"id": "1"}, 400, "unknown_member"),
        ({"PK": "ORDER#1"}, 400, "unknown_member"),
        ({"status": "delivered"}, 400, "unknown_member"),
        ({"dni": "1"}, 400, "invalid_body"),
    ],
)
async def test_an_order_that_cannot_be_is_not_placed(desk: Desk, change: dict[str, object], status: int, code: str) -> None:
    assert await desk.code("POST", "/orders", json=NEW | change) == (status, code)
    assert await desk.orders.get("6") is None


async def test_one_key_places_one_order_however_often_it_arrives(desk: Desk) -> None:
    headers = {"Idempotency-Key": "order-of-eva-1"}
    answers = await asyncio.gather(*(desk.ask("POST", "/orders", json=NEW, headers=headers) for _ in range(10)))
    told = [await response.json() for response in answers]

    assert {response.status for response in answers} == {201}
    assert {body["data"]["id"] for body in told} == {told[0]["data"]["id"]}
    assert len((await desk.orders.of_customer("eva@email.com")).records) == 1


async def test_a_key_belongs_to_one_request_of_one_user(desk: Desk) -> None:
    headers = {"Idempotency-Key": "order-of-eva-1"}
    await desk.ask("POST", "/orders", json=NEW, headers=headers)
    other = await desk.code("POST", "/orders", json=NEW | {"customerName": "Eva Gil"}, headers=headers)
    own = NEW | {"customerEmail": "juan.perez@email.com"}

    assert other == (422, "idempotency_key_reused")
    assert (await desk.ask("POST", "/orders", json=own, headers=headers, by=JUAN)).status == 201


@pytest.mark.parametrize("key", ["short", "a" * 129, "with space"])
async def test_a_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    assert await desk.code("POST", "/orders", json=NEW, headers={"Idempotency-Key": key}) == (400, "invalid_parameter")


@pytest.mark.req("S4-02")
async def test_an_order_is_changed_and_its_total_follows(desk: Desk) -> None:
    change = {"items": [{"name": "Mate", "quantity": 3, "price": 9.99}], "trackingNumber": None, "status": "processing"}
    response = await desk.ask("PATCH", "/orders/1", json=change, headers={"If-Match": '"2030-01-16T00:00:00.000Z"'})
    data = (await response.json())["data"]

    assert response.status == 200
    assert (data["total"], data["trackingNumber"], data["status"]) == (29.97, None, "processing")
    assert data["updatedAt"] == "2030-01-16T15:00:00.000Z"
    assert response.headers["ETag"] == '"2030-01-16T15:00:00.000Z"'


async def test_a_change_of_what_has_changed_is_refused(desk: Desk) -> None:
    known = (await desk.ask("GET", "/orders/1")).headers["ETag"]
    await desk.ask("PATCH", "/orders/1", json={"trackingNumber": "T1"})

    assert await desk.code("PATCH", "/orders/1", json={"trackingNumber": "T2"}, headers={"If-Match": known}) == (412, "changed_since")
    assert await desk.code("DELETE", "/orders/1", headers={"If-Match": known}) == (412, "changed_since")
    assert (await desk.ask("PATCH", "/orders/1", json={"trackingNumber": "T2"}, headers={"If-Match": "*"})).status == 200


@pytest.mark.parametrize("status", list(OrderStatus))
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
async def test_a_status_follows_only_the_ones_before_it(desk: Desk, number: int, status: OrderStatus) -> None:
    follows = {1: {"pending", "processing", "cancelled"}, 2: {"processing", "shipped", "cancelled"}, 3: {"shipped", "delivered"}}
    answer = await desk.code("PATCH", f"/orders/{number}", json={"status": status.value})

    assert answer == ((200, "") if status.value in follows.get(number, set()) else (409, "not_changeable"))


async def test_what_is_on_its_way_keeps_its_contents(desk: Desk) -> None:
    assert await desk.code("PATCH", "/orders/3", json={"customerEmail": "eva@email.com"}) == (409, "not_changeable")
    assert await desk.code("PATCH", "/orders/3", json={"trackingNumber": "TRK1"}) == (200, "")


async def test_a_change_without_a_change_is_refused(desk: Desk) -> None:
    assert await desk.code("PATCH", "/orders/1", json={}) == (400, "invalid_body")


async def test_an_order_is_removed_once(desk: Desk) -> None:
    response = await desk.ask("DELETE", "/orders/1")

    assert await response.json() == {"success": True, "data": {"id": "1"}, "message": "Deleted order 1 successfully"}
    assert await desk.code("DELETE", "/orders/1") == (404, "not_found")


async def test_a_customer_sees_the_own_orders_and_cancels_them(desk: Desk) -> None:
    listed = (await (await desk.ask("GET", "/orders", by=JUAN)).json())["data"]
    others = (await (await desk.ask("GET", "/orders?customerEmail=ana.martinez@email.com", by=JUAN)).json())["data"]
    cancelled = await (await desk.ask("PATCH", "/orders/1", json={"status": "cancelled"}, by=JUAN)).json()

    assert {order["id"] for order in listed} == {"1", "2"}
    assert others == []
    assert cancelled["data"]["status"] == "cancelled"


@pytest.mark.parametrize("by", [JUAN, NOBODY])
async def test_an_order_of_somebody_else_is_like_none(desk: Desk, by: str) -> None:
    answers = {
        (method, number): await desk.code(method, f"/orders/{number}", by=by, json={"status": "cancelled"} if method == "PATCH" else None)
        for method in ("GET", "PATCH", "DELETE")
        for number in (3, 99)
    }

    assert set(answers.values()) == {(404, "not_found")}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/orders/1", {"status": "processing"}),
        ("PATCH", "/orders/1", {"items": [{"name": "x", "quantity": 1, "price": 0}]}),
        ("PATCH", "/orders/1", {"status": "cancelled", "trackingNumber": "T1"}),
        ("DELETE", "/orders/1", None),
        ("POST", "/orders", NEW),
    ],
)
async def test_a_customer_cannot_do_what_is_an_operators(desk: Desk, method: str, path: str, body: object) -> None:
    assert await desk.code(method, path, json=body, by=JUAN) == (403, "forbidden")


async def test_who_has_no_verified_address_sees_nothing(desk: Desk) -> None:
    assert (await (await desk.ask("GET", "/orders", by=NOBODY)).json())["data"] == []

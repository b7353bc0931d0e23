"""What every operation has in common: who asks, from where, with what, and what is answered to what cannot be."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api import requests
from auth.anonymous import AnonymousAuthenticator
from session.errors import SessionError
from storage.errors import StorageThrottled, StorageUnavailable, TableMissing
from storage.sqlite import SqliteDatabase
from storage.table import Key
from tests.api.desk import JUAN, Desk, open_desk
from tests.api.raw import exchange
from tests.storage.databases import StandingClock

PAGE = "http://localhost:5173"
SEED_HEADERS = "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token"
SEED_METHODS = "GET,POST,PUT,DELETE,OPTIONS"
POST = "POST /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer operator\r\n"
JSON = "Content-Type: application/json\r\n"


@asynccontextmanager
async def open_to(allowed: str, database: SqliteDatabase, clock: StandingClock) -> AsyncIterator[Desk]:
    async with open_desk(database, clock, allowed=allowed, authenticator=AnonymousAuthenticator()) as opened:
        yield opened


@pytest.mark.parametrize(
    ("by", "status", "code"),
    [
        ("", 401, "not_authenticated"),
        ("forged", 401, "not_authenticated"),
        ("old", 401, "token_expired"),
        ("keys are away", 503, "auth_unavailable"),
    ],
)
@pytest.mark.parametrize("path", ["/orders", "/orders/1", "/appointments/1", "/demo/orders"])
async def test_nothing_is_told_to_whom_nobody_knows(desk: Desk, path: str, by: str, status: int, code: str) -> None:
    response = await desk.ask("GET", path, by=by)
    body = await response.text()

    assert (response.status, (await response.json())["error"]["code"]) == (status, code)
    assert ("WWW-Authenticate" in response.headers) == (status == 401)
    assert ("Retry-After" in response.headers) == (status == 503)
    assert "secret words" not in body
    assert "juan" not in body.lower()


async def test_a_token_in_the_address_is_no_token(desk: Desk) -> None:
    assert await desk.code("GET", "/orders?token=operator", by="") == (401, "not_authenticated")


@pytest.mark.parametrize("value", ["operator", "Basic b3BlcmF0b3I=", "Bearer", "Bearer  "])
async def test_only_a_bearer_token_counts(desk: Desk, value: str) -> None:
    assert await desk.code("GET", "/orders", by="", headers={"Authorization": value}) == (401, "not_authenticated")


async def test_two_tokens_are_none(desk: Desk) -> None:
    two = "Authorization: Bearer operator\r\nAuthorization: Bearer juan\r\n"
    answer = await exchange(desk.port, f"GET /orders HTTP/1.1\r\nHost: localhost\r\n{two}\r\n")

    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_where_nobody_is_asked_everybody_may_read_and_write(database: SqliteDatabase, clock: StandingClock) -> None:
    async with open_to("", database, clock) as desk:
        assert (await desk.ask("GET", "/orders", by="")).status == 200
        assert (await desk.ask("DELETE", "/orders/1", by="")).status == 200


@pytest.mark.req("S4-05")
@pytest.mark.req("S4-70")
async def test_the_headers_for_other_origins_are_those_of_the_front_ends(database: SqliteDatabase, clock: StandingClock) -> None:
    async with open_to("*", database, clock) as desk:
        preflight = await desk.ask(
            "OPTIONS",
            "/orders",
            by="",
            headers={"Origin": PAGE, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "content-type"},
        )
        answer = await desk.ask("GET", "/orders", by="", headers={"Origin": PAGE, "Content-Type": "application/json"})

        assert preflight.status == 204
        for response in (preflight, answer):
            assert {name: value for name, value in response.headers.items() if name.startswith("Access-Control-Allow")} == {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Allow-Headers": SEED_HEADERS,
                "Access-Control-Allow-Methods": SEED_METHODS,
            }


@pytest.mark.req("S4-05")
async def test_what_goes_beyond_them_is_named_to_whom_asks_for_it(desk: Desk) -> None:
    asking = {"Origin": PAGE, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match, x-evil"}
    preflight = await desk.ask("OPTIONS", "/orders/1", by="", headers=asking)

    assert preflight.headers["Access-Control-Allow-Methods"] == SEED_METHODS + ",PATCH"
    assert preflight.headers["Access-Control-Allow-Headers"] == SEED_HEADERS + ",If-Match"
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE


@pytest.mark.req("S4-05")
@pytest.mark.parametrize(
    ("allowed", "origin", "status"),
    [
        ("", PAGE, 200),
        ("", "https://evil.example", 403),
        ("", "null", 403),
        ("https://shop.example", "https://shop.example", 200),
        ("https://shop.example", PAGE, 403),
        ("*", "https://evil.example", 200),
    ],
)
async def test_origins_are_configurable(database: SqliteDatabase, clock: StandingClock, allowed: str, origin: str, status: int) -> None:
    async with open_to(allowed, database, clock) as desk:
        answer = await desk.ask("GET", "/orders", headers={"Origin": origin})
        change = await desk.code("PATCH", "/orders/1", headers={"Origin": origin}, json={"trackingNumber": "T1"})

        assert ("Access-Control-Allow-Origin" in answer.headers) is (status == 200)
        assert change == (status, "" if status == 200 else "origin_refused")


async def test_a_page_reads_why_it_was_refused(desk: Desk) -> None:
    response = await desk.ask("GET", "/orders/99", headers={"Origin": PAGE})

    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (404, PAGE)


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("[::1]", 200), ("127.0.0.1", 200), ("evil.example", 421), ("[", 421)])
async def test_a_name_that_was_made_to_lead_here_opens_nothing(
    database: SqliteDatabase, clock: StandingClock, monkeypatch: pytest.MonkeyPatch, host: str, status: int
) -> None:
    monkeypatch.setattr("tests.api.desk.LISTENS_ON", "127.0.0.1")
    async with open_desk(database, clock) as desk:
        answer = await exchange(desk.port, f"GET /orders HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer operator\r\n\r\n")

        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.req("S4-01")
@pytest.mark.parametrize("stage", ["", "/demo"])
async def test_every_operation_is_served_under_the_stage_as_well(desk: Desk, stage: str) -> None:
    for path in ("/orders", "/orders/1", "/appointments", "/appointments/1"):
        assert (await desk.ask("GET", stage + path)).status == 200


@pytest.mark.req("S4-01")
@pytest.mark.parametrize("path", ["/order", "/orders/", "/orders/1/items", "/demo", "/demo/demo/orders", "/Orders", "/orders%2f1"])
async def test_other_paths_lead_nowhere(desk: Desk, path: str) -> None:
    answer = await exchange(desk.port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer operator\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    "number",
    ["..%2f..%2fetc%2fpasswd", "%2e%2e", "1%00", "1'%20OR%20'1'='1", "ORDER%231", "1;drop", "a" * 37, "%F0%9F%92%A3", "{id}", "1%0d%0aX:y"],
)
async def test_a_number_is_a_number_and_no_path(desk: Desk, number: str) -> None:
    answer = await exchange(desk.port, f"GET /orders/{number} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer operator\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"X:y" not in answer


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/orders", "GET,HEAD,OPTIONS,POST"),
        ("POST", "/orders/1", "DELETE,GET,HEAD,OPTIONS,PATCH"),
        ("TRACE", "/orders", "GET,HEAD,OPTIONS,POST"),
        ("PROPFIND", "/appointments", "GET,HEAD,OPTIONS,POST"),
    ],
)
async def test_a_method_that_is_not_known_is_told_which_are(desk: Desk, method: str, path: str, allowed: str) -> None:
    response = await desk.ask(method, path)

    assert (response.status, response.headers["Allow"]) == (405, allowed)
    assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_head_tells_of_get(desk: Desk) -> None:
    head, get = await desk.ask("HEAD", "/orders/1"), await desk.ask("GET", "/orders/1")

    assert (head.status, await head.read()) == (200, b"")
    assert {name: head.headers[name] for name in ("Content-Length", "ETag")} == {
        name: get.headers[name] for name in ("Content-Length", "ETag")
    }


async def test_an_error_has_headers_that_keep_it_from_harm(desk: Desk) -> None:
    response = await desk.ask("GET", "/orders/99")

    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert "Server" not in response.headers


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"a=b", 415, "unsupported_media_type"),
        ({}, b"{}", 415, "unsupported_media_type"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, gzip.compress(b"{}"), 415, "unsupported_media_type"),
        ({"Content-Type": "application/json"}, b"", 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b"{", 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b"[]", 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b"null", 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b'{"a": NaN}', 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b'{"customerName": "\xff"}', 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b'{"customerName": "\\ud800"}', 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b"[" * 60_000, 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b'{"items":' + b"[" * 500 + b"]" * 500 + b"}", 400, "invalid_body"),
        ({"Content-Type": "application/json"}, b" " * 65_537, 413, "body_too_large"),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused(desk: Desk, headers: dict[str, str], body: bytes, status: int, code: str) -> None:
    skipped = () if "Content-Type" in headers else ("Content-Type",)

    assert await desk.code("POST", "/orders", data=body, headers=headers, skip_auto_headers=skipped) == (status, code)


async def test_a_body_that_only_says_it_is_large_is_refused_before_it_comes(desk: Desk) -> None:
    answer = await exchange(desk.port, f"{POST}{JSON}Content-Length: 999999999999\r\n\r\n", is_over=True)

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_without_a_length_is_counted_as_it_comes(desk: Desk) -> None:
    chunks = b"".join(b"2000\r\n" + b" " * 8_192 + b"\r\n" for _ in range(9))
    answer = await exchange(desk.port, f"{POST}{JSON}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("body", ["Transfer-Encoding: chunked\r\n\r\nnothing\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n{}"])
async def test_a_damaged_body_is_refused(desk: Desk, body: str) -> None:
    answer = await exchange(desk.port, f"{POST}{JSON}{body}", is_over=True)

    assert answer.split(b" ")[1:2] in ([b"400"], [])
    assert await desk.orders.get("6") is None


async def test_a_body_that_does_not_come_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "BODY_SECONDS", 0.05)
    async with asyncio.timeout(5):
        answer = await exchange(desk.port, f"{POST}{JSON}Content-Length: 10\r\n\r\n{{")

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.req("S4-06")
@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (StorageUnavailable("secret words"), 503, "storage_unavailable"),
        (StorageThrottled("secret words"), 503, "storage_unavailable"),
        (TableMissing("secret words"), 503, "storage_unavailable"),
        (ZeroDivisionError("secret words"), 500, "internal"),
    ],
)
async def test_a_failure_is_told_by_its_code_and_not_its_words(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, failure: Exception, status: int, code: str
) -> None:
    async def fail(_key: Key) -> None:
        raise failure

    monkeypatch.setattr(desk.orders.table, "get", fail)
    response = await desk.ask("GET", "/orders/1")

    assert (response.status, (await response.json())["error"]["code"]) == (status, code)
    assert "secret words" not in await response.text()


@pytest.mark.req("S4-06")
async def test_no_error_of_a_request_has_the_code_of_another() -> None:
    def family(base: type[SessionError]) -> list[type[SessionError]]:
        return [base, *(one for child in base.__subclasses__() for one in family(child))]

    own = [kind for kind in family(SessionError) if kind.__module__ == "api.errors" and "code" in vars(kind)]

    assert len({kind.code for kind in own}) == len(own)
    assert {kind.status for kind in own} <= {400, 403, 404, 405, 408, 409, 412, 413, 415, 416, 421, 422, 503}


async def test_a_customer_may_not_ask_for_everybodys_by_a_filter(desk: Desk) -> None:
    for path in ("/orders?status=delivered", "/appointments?doctorName=Dra. López", "/appointments?status=confirmed"):
        told = (await (await desk.ask("GET", path, by=JUAN)).json())["data"]
        assert {one.get("customerEmail", one.get("patientEmail")) for one in told} <= {"juan.perez@email.com"}

"""REST on a server process that asks for tokens, over both stores, while the assistant's tools work on the same records."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from aiohttp import ClientSession

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from storage.appointments import Appointments
from storage.dynamodb import open_dynamodb
from storage.examples import write_examples
from storage.orders import Orders
from storage.sqlite import open_sqlite
from storage.table import Database
from storage.tables import appointments_table, connections_table, orders_table, sessions_table
from tests import ministack, needs
from tests.api.raw import exchange
from tests.auth.issuer import Issuer, running_issuer
from tests.e2e.servers import ServerProcess, server
from tests.server.process import WITHOUT_AWS
from tools.catalogue import build_tools
from tools.executor import ToolExecutor

pytestmark = pytest.mark.asyncio(loop_scope="module")

SALT = "a-salt-that-is-only-for-tests"
ZONE = ZoneInfo("America/Argentina/Buenos_Aires")
JUAN = "juan.perez@email.com"
PAGE = "http://localhost:5173"


@dataclass(frozen=True, slots=True)
class House:
    """A server process, and tools of another process on the same records."""

    server: ServerProcess
    issuer: Issuer
    orders: Orders
    tools: ToolExecutor

    async def ask(self, method: str, path: str, *, by: str = "", json: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Ask as an operator, or as a customer with this e-mail address; return status and body."""
        token = self.issuer.token("u-1", email=by) if by else self.issuer.token("o-1", groups=["operators"])
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with ClientSession(headers={"Authorization": f"Bearer {token}", **named}) as http:
            response = await http.request(method, f"http://127.0.0.1:{self.server.port}{path}", json=json)
            return response.status, await response.json()

    async def use(self, tool: str, number: int, arguments: dict[str, object]) -> bool:
        """Call a tool as a session of its own; return whether it did what was asked."""
        answer = await self.tools.run(
            session_id=f"s-{number}", tool_use_id=f"t-{tool}-{number}", name=tool, arguments=json.dumps(arguments)
        )
        return answer.error_code is None


@asynccontextmanager
async def store(kind: str, folder: Path) -> AsyncIterator[tuple[Database, dict[str, str]]]:
    """Open a store; yield it with the settings that lead to it."""
    async with AsyncExitStack() as stack:
        if kind == "sqlite":
            path = folder / "records.sqlite3"
            database: Database = open_sqlite(path)
            settings = {"SQLITE_PATH": str(path)}
        else:
            try:
                endpoint = stack.enter_context(ministack.started())
            except ministack.Unavailable as error:
                needs.missing(str(error))
            settings = {"STORAGE": "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB": endpoint, **ministack.CREDENTIALS}
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            for name, value in settings.items():
                patch.setenv(name, value)
            database = await open_dynamodb(ministack.REGION)
        stack.push_async_callback(database.aclose)
        yield database, settings


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.dynamodb)])
async def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One server for all tests on a store."""
    folder = tmp_path_factory.mktemp("rest")
    async with store(request.param, folder) as (database, settings), running_issuer("id") as issuer:
        tables = [database.table(make()) for make in (orders_table, appointments_table, sessions_table, connections_table)]
        for table in tables:
            await table.create()
        orders, appointments = Orders(tables[0]), Appointments(tables[1], ZONE)
        async for _ in write_examples(orders, appointments, now=datetime.now(UTC), salt=SALT.encode()):
            pass
        own = {**WITHOUT_AWS, "DNI_SALT": SALT, **issuer.settings, **settings}
        async with running(folder, own) as process:
            yield House(process, issuer, orders, build_tools(orders, appointments, salt=SALT.encode(), zone=ZONE))


@asynccontextmanager
async def running(folder: Path, settings: dict[str, str]) -> AsyncIterator[ServerProcess]:
    """Run the server with a model that answers, since a server without one is never ready."""
    async with NovaSonicLocal(Options(ca_dir=folder / "ca")) as emulator:
        model = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": emulator.endpoint, "BEDROCK_CA_FILE": str(emulator.ca_file)}
        async with server(folder, {**settings, **model}) as process:
            yield process


def in_days(days: int, hour: int, minute: int = 0) -> datetime:
    """Return a time of the clinic in some days."""
    day = datetime.now(ZONE).date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE)


async def order(house: House, number: int, status: str = "pending") -> str:
    """Place an order, and bring it to a status."""
    items = [{"name": "Yerba", "quantity": number, "price": 12.5}]
    _, body = await house.ask("POST", "/orders", json={"customerName": "Eva Ruiz", "customerEmail": "eva@email.com", "items": items})
    placed = str(body["data"]["id"])
    if status != "pending":
        await house.ask("PATCH", f"/orders/{placed}", json={"status": status})
    return placed


@pytest.mark.req("S4-04", "S4-11", "S4-20", "S4-21", "S4-22", "S4-23", "S4-24")
async def test_the_four_reads_of_the_front_end_are_answered(house: House) -> None:
    day = in_days(0, 0).date()
    found = {
        path: await house.ask("GET", path)
        for path in ("/orders", "/orders/1", "/appointments", "/appointments/1", f"/appointments?date={day}")
    }

    assert {status for status, _ in found.values()} == {200}
    assert all(set(body) == {"success", "data", "message"} and body["success"] for _, body in found.values())
    assert {one["id"] for one in found["/orders"][1]["data"]} >= {"1", "2", "3", "4", "5"}
    assert found["/orders/1"][1]["data"]["total"] == 67.48
    assert {one["id"] for one in found["/appointments"][1]["data"]} >= {"1", "2", "3", "4", "5"}


@pytest.mark.req("S4-05", "S4-70")
async def test_a_front_end_of_another_origin_asks_first_and_then_reads(house: House) -> None:
    async with ClientSession(headers={"Origin": PAGE}) as http:
        asking = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,content-type"}
        preflight = await http.options(f"http://127.0.0.1:{house.server.port}/orders", headers=asking)
        token = house.issuer.token("o-1", groups=["operators"])
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = await http.get(f"http://127.0.0.1:{house.server.port}/orders", headers=headers)

    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Methods"] == "GET,POST,PUT,DELETE,OPTIONS"
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, PAGE)


async def test_records_of_others_are_like_none(house: House) -> None:
    answers = {
        (await house.ask(method, f"/{kind}/{number}", by=JUAN, json={"status": "cancelled"} if method == "PATCH" else None))[0]
        for kind, numbers in (("orders", (3, 99)), ("appointments", (2, 99)))
        for number in numbers
        for method in ("GET", "PATCH", "DELETE")
    }
    own = await house.ask("GET", "/orders", by=JUAN)

    assert answers == {404}
    assert {one["customerEmail"] for one in own[1]["data"]} == {JUAN}


@pytest.mark.req("S4-02", "S4-47")
async def test_an_order_is_never_both_sent_and_cancelled(house: House) -> None:
    for number in range(1, 6):
        placed = await order(house, number, "processing")
        cancelling = house.use("cancelarOrder", number, {"orderId": placed, "customerName": "Eva Ruiz"})
        (sent, _), is_cancelled = await asyncio.gather(house.ask("PATCH", f"/orders/{placed}", json={"status": "shipped"}), cancelling)
        _, body = await house.ask("GET", f"/orders/{placed}")

        assert (sent == 200) is not is_cancelled
        assert body["data"]["status"] == ("shipped" if sent == 200 else "cancelled")


async def test_of_many_changes_of_one_version_one_wins(house: House) -> None:
    placed = await order(house, 1)
    _, body = await house.ask("GET", f"/orders/{placed}")
    version = f'"{body["data"]["updatedAt"]}"'
    changes = (house.ask("PATCH", f"/orders/{placed}", json={"trackingNumber": f"T{n}"}, If_Match=version) for n in range(8))
    statuses = sorted(status for status, _ in await asyncio.gather(*changes))

    assert statuses == [200] + [412] * 7


async def test_changes_without_a_version_all_happen_one_after_another(house: House) -> None:
    placed = await order(house, 1)
    changes = (house.ask("PATCH", f"/orders/{placed}", json={"trackingNumber": f"T{n}"}) for n in range(4))
    outcomes = await asyncio.gather(*changes)

    assert {status for status, _ in outcomes} == {200}
    assert len({body["data"]["updatedAt"] for _, body in outcomes}) == 4


@pytest.mark.req("S4-03", "S4-49")
async def test_a_doctors_time_is_given_once(house: House) -> None:
    starts_at = in_days(30, 10)
    wanted = {"patientName": "Eva Ruiz", "patientEmail": "eva@email.com", "doctorName": "Dra. Gil"}
    by_rest = (
        house.ask("POST", "/appointments", json={**wanted, "date": (starts_at + timedelta(minutes=5 * n)).isoformat(), "duration": 60})
        for n in range(4)
    )
    by_tools = (
        house.use("agendarTurno", 100 + n, {**wanted, "date": f"{starts_at + timedelta(minutes=5 * n):%Y-%m-%dT%H:%M}", "duration": 60})
        for n in range(4)
    )
    answers, made = await asyncio.gather(asyncio.gather(*by_rest), asyncio.gather(*by_tools))
    statuses = [status for status, _ in answers]
    _, body = await house.ask("GET", f"/appointments?date={starts_at.date()}&doctorName=Dra. Gil")

    assert statuses.count(201) + made.count(True) == 1
    assert set(statuses) <= {201, 409}
    assert len(body["data"]) == 1


async def test_an_appointment_is_moved_to_one_place(house: House) -> None:
    wanted = {"patientName": "Ana Gil", "patientEmail": "ana@email.com", "doctorName": "Dr. Paz", "date": in_days(31, 9).isoformat()}
    _, body = await house.ask("POST", "/appointments", json=wanted)
    number, version = body["data"]["id"], "*"
    times = [in_days(31, hour) for hour in range(10, 14)]
    moves = (house.ask("PATCH", f"/appointments/{number}", json={"date": at.isoformat()}, If_Match=version) for at in times)
    tool = house.use(
        "modificarTurno", 200, {"appointmentId": number, "patientName": "Ana Gil", "newDate": f"{in_days(31, 15):%Y-%m-%dT%H:%M}"}
    )
    await asyncio.gather(*moves, tool)
    _, listed = await house.ask("GET", "/appointments?doctorName=Dr. Paz")
    left = [
        await house.ask("POST", "/appointments", json={**wanted, "date": at.isoformat()})
        for at in (in_days(31, 9), *times, in_days(31, 15))
    ]

    assert len(listed["data"]) == 1
    assert [status for status, _ in left].count(409) == 1, "the time that it has now, and no other, is taken"


@pytest.mark.req("S4-48")
async def test_one_key_places_one_order(house: House) -> None:
    wanted = {"customerName": "Eva Ruiz", "customerEmail": "key@email.com", "items": [{"name": "Mate", "quantity": 1, "price": 9.99}]}
    answers = await asyncio.gather(*(house.ask("POST", "/orders", json=wanted, Idempotency_Key="one-order-of-eva") for _ in range(6)))
    _, listed = await house.ask("GET", "/orders?customerEmail=key@email.com")

    assert {status for status, _ in answers} == {201}
    assert len(listed["data"]) == 1


HOSTILE = (
    b"GET /orders/..%2f..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://169.254.169.254/latest/meta-data HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
    b"GET /orders HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE /orders HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"GET /orders HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /orders HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + b"a" * 8_000 + b"\r\n\r\n",
    b"GET /orders?cursor=" + b"A" * 7_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x00\xff" * 500,
)


async def test_hostile_requests_are_refused_and_hurt_nobody(house: House) -> None:
    answers = [await exchange(house.server.port, request, is_over=True) for request in HOSTILE]
    log = house.server.log.read_text(encoding="utf-8")

    assert [answer[:40] for answer in answers if answer and answer.split(b" ")[1][:1] != b"4"] == []
    assert not any(b"passwd" in answer or b"root:" in answer or b"Traceback" in answer for answer in answers)
    assert "request.crashed" not in log
    assert (await house.ask("GET", "/orders/1"))[0] == 200


async def test_no_token_and_nothing_personal_gets_into_the_log(house: House) -> None:
    token = house.issuer.token("u-1", email=JUAN)
    await house.ask("GET", f"/orders?customerEmail={JUAN}")
    await exchange(house.server.port, f"GET /orders/1?x={JUAN} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
    log = house.server.log.read_text(encoding="utf-8")

    assert token.split(".")[2] not in log
    assert JUAN not in log
    assert "Juan" not in log


@pytest.mark.req("S0-08")
async def test_a_front_end_learns_what_it_has_to_know_and_no_secret(house: House) -> None:
    async with ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{house.server.port}/config")
        told = await response.json()

    assert response.status == 200
    assert {"assistants", "websocket_path", "rest_path", "openapi_path", "region", "clinic_time_zone", "auth"} <= set(told)
    assert told["auth"]["mode"] == "cognito"
    assert SALT not in await response.text()

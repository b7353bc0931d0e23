"""Connections and sessions over plain HTTP: what operators can do, and what others see of it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from api import connections as connections_api
from api import sessions as sessions_api
from api.app import build_app
from api.connections import SWITCHBOARD, Switchboard
from api.sessions import DESK, SessionDesk
from session.events import EndReason, SessionEnded, Start
from storage.audit import AuditAction, AuditTrail
from storage.connections import ConnectionInfo, Connections, ConnectionStatus, EndedBy
from storage.errors import StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.table import Table
from storage.tables import connections_table
from tests.api.people import NamedPeople, ask
from tests.api.raw import serving
from tests.storage.databases import NOW, StandingClock
from tests.transports.doubles import ScriptedModel, registry_of
from transports.origins import OriginPolicy


@dataclass
class Rig:
    """A server of the API, and what is behind it."""

    port: int
    connections: Connections
    trail: AuditTrail
    clock: StandingClock
    model: ScriptedModel
    closed: list[tuple[str, int, str]] = field(default_factory=list)
    here: set[str] = field(default_factory=set)
    sessions: Any = None

    def disconnect(self, connection_id: str, code: int, reason: str) -> bool:
        self.closed.append((connection_id, code, reason))
        return connection_id in self.here

    async def ask(self, method: str, path: str, who: str = "op", **more: Any) -> tuple[int, dict[str, Any]]:
        return await ask(self.port, method, path, who, **more)

    async def data(self, path: str, who: str = "op") -> Any:
        return (await self.ask("GET", path, who))[1]["data"]

    async def add(self, *infos: ConnectionInfo) -> None:
        await self.connections.write(infos)


def info(name: str, user: str = "eva", minutes: int = 0) -> ConnectionInfo:
    at = NOW + timedelta(minutes=minutes)
    return ConnectionInfo(name, user, at, at, ip_address="192.0.2.7", user_agent="Mozilla", process="p2")


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, numbers = StandingClock(), count()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    table: Table = database.table(connections_table())
    await table.create()
    model = ScriptedModel()
    made = Rig(0, Connections(table, clock), AuditTrail(table, lambda: f"{next(numbers):06}", clock), clock, model)
    made.sessions = registry_of(model)
    app = build_app(
        [connections_api.OPERATIONS, sessions_api.OPERATIONS],
        authenticator=NamedPeople(),
        origins=OriginPolicy(),
        parts={SWITCHBOARD: Switchboard(made.connections, made.trail, made), DESK: SessionDesk(made.sessions, made.trail)},
    )
    async with serving(app) as port:
        made.port = port
        yield made
    await made.sessions.close()
    await database.aclose()


@pytest.mark.req("S2-17", "S2-22")
async def test_the_connections_of_a_user_are_told_newest_first(rig: Rig) -> None:
    await rig.add(info("c1"), info("c2", minutes=1), info("c3", "ada"))
    status, told = await rig.ask("GET", "/connections?userId=eva")

    assert status == 200
    assert told["success"] is True
    assert [one["connectionId"] for one in told["data"]] == ["c2", "c1"]
    assert told["data"][1] == {
        "connectionId": "c1", "userId": "eva", "status": "CONNECTED", "createdAt": "2030-01-16T15:00:00.000Z",
        "lastActivity": "2030-01-16T15:00:00.000Z", "ipAddress": "192.0.2.7", "userAgent": "Mozilla",
    }  # fmt: skip


@pytest.mark.req("S2-18")
async def test_all_active_connections_are_told_page_by_page(rig: Rig) -> None:
    await rig.add(*(info(f"c{number}", f"u{number}", number) for number in range(5)), info("gone").ended(NOW, EndedBy.OWNER))
    _, first = await rig.ask("GET", "/connections?limit=3")
    _, rest = await rig.ask("GET", f"/connections?limit=3&cursor={first['nextCursor']}")

    assert [one["connectionId"] for one in (*first["data"], *rest["data"])] == ["c0", "c1", "c2", "c3", "c4"]
    assert "nextCursor" not in rest


@pytest.mark.req("S2-05", "S2-27")
async def test_somebody_who_is_no_operator_sees_the_own_connections_alone(rig: Rig) -> None:
    await rig.add(info("c1"), info("c2", "ada"), info("c3", ""))

    assert [one["connectionId"] for one in await rig.data("/connections", "eva")] == ["c1"]
    assert [one["connectionId"] for one in await rig.data("/connections?userId=eva", "eva")] == ["c1"]
    assert await rig.data("/connections?userId=ada", "eva") == []
    assert await rig.data("/connections", "nobody") == []
    assert (await rig.ask("GET", "/connections/c1", "eva"))[0] == 200


@pytest.mark.req("S2-05")
async def test_a_connection_of_somebody_else_is_answered_like_one_that_does_not_exist(rig: Rig) -> None:
    await rig.add(info("c2", "ada"), info("c3", ""))
    answers = [await rig.ask("GET", f"/connections/{name}", who) for name, who in (("c2", "eva"), ("c9", "eva"), ("c3", "nobody"))]

    assert [status for status, _ in answers] == [404, 404, 404]
    assert {told["error"]["code"] for _, told in answers} == {"not_found"}
    assert [told["message"] for _, told in answers] == [f"There is no connection {name}." for name in ("c2", "c9", "c3")]


@pytest.mark.req("S2-27")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/connections/c1", {"status": "DISCONNECTED"}),
        ("DELETE", "/connections/c1", None),
        ("POST", "/connections/sweep", None),
        ("GET", "/connections/c1/audit", None),
        ("GET", "/audit?day=2030-01-16", None),
        ("DELETE", "/sessions/s1", None),
    ],
)
async def test_only_operators_administer(rig: Rig, method: str, path: str, body: dict[str, str] | None) -> None:
    await rig.add(info("c1"))
    of_user = await rig.ask(method, path, "eva", json=body)
    of_nobody = await rig.ask(method, path, "", json=body)
    stored = await rig.connections.get("c1")

    assert (of_user[0], of_user[1]["error"]["code"]) == (403, "forbidden")
    assert (of_nobody[0], of_nobody[1]["error"]["code"]) == (401, "not_authenticated")
    assert stored == info("c1")
    assert rig.closed == []


@pytest.mark.req("S2-19", "S2-30")
async def test_an_operator_closes_a_connection_and_that_is_noted_with_the_name(rig: Rig) -> None:
    rig.here.add("c1")
    await rig.add(info("c1"))
    status, told = await rig.ask("DELETE", "/connections/c1")
    entries = await rig.data("/connections/c1/audit")

    assert status == 200
    assert (told["data"]["status"], told["data"]["disconnectedAt"]) == ("DISCONNECTED", "2030-01-16T15:00:00.000Z")
    assert rig.closed == [("c1", 4403, "disconnected by an operator")]
    assert entries == [{"at": "2030-01-16T15:00:00.000Z", "action": "disconnect_asked", "actor": "op", "connectionId": "c1"}]
    assert await rig.data("/audit?day=2030-01-16") == entries
    assert await rig.data("/audit?day=2030-01-17") == []


@pytest.mark.req("S2-19")
async def test_a_connection_of_another_process_is_marked_for_it(rig: Rig) -> None:
    await rig.add(info("c1"))
    status, _ = await rig.ask("PATCH", "/connections/c1", json={"status": "DISCONNECTED"})

    assert status == 200
    assert await rig.connections.take_requests("p2") == ("c1",)


@pytest.mark.req("S2-19")
async def test_a_mark_can_be_taken_back_and_a_real_end_cannot(rig: Rig) -> None:
    await rig.add(info("c1").ended(NOW, EndedBy.SWEEP), info("c2").ended(NOW, EndedBy.OWNER))
    back = await rig.ask("PATCH", "/connections/c1", json={"status": "CONNECTED"})
    refused = await rig.ask("PATCH", "/connections/c2", json={"status": "CONNECTED"})

    assert (back[0], back[1]["data"]["status"]) == (200, "CONNECTED")
    assert (refused[0], refused[1]["error"]["code"]) == (409, "not_changeable")


@pytest.mark.parametrize("body", [{}, {"status": "GONE"}, {"status": "CONNECTED", "userId": "op"}, {"status": None}])
async def test_nothing_but_a_status_can_be_set(rig: Rig, body: dict[str, Any]) -> None:
    await rig.add(info("c1"))
    status, _ = await rig.ask("PATCH", "/connections/c1", json=body)

    assert status == 400
    assert await rig.connections.get("c1") == info("c1")


@pytest.mark.req("S2-20", "S2-30")
async def test_an_operator_sweeps_what_was_idle_for_more_than_an_hour(rig: Rig) -> None:
    await rig.add(info("old"), info("new", minutes=30))
    rig.clock.advance(minutes=61)
    status, told = await rig.ask("POST", "/connections/sweep")
    stored = await rig.connections.get("old")
    (entry,) = await rig.data("/audit?day=2030-01-16")

    assert (status, told["data"]) == (200, {"swept": 1, "connectionIds": ["old"]})
    assert stored is not None
    assert stored.status is ConnectionStatus.DISCONNECTED
    assert (entry["action"], entry["actor"], entry["detail"]) == ("swept", "op", "1")


async def test_nothing_is_done_that_cannot_be_noted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.add(info("c1"))

    async def away(_entry: object) -> None:
        raise StorageUnavailable("the store is away")

    monkeypatch.setattr(rig.trail, "add", away)
    status, told = await rig.ask("DELETE", "/connections/c1")

    assert (status, told["error"]["code"]) == (503, "storage_unavailable")
    assert rig.closed == []
    assert await rig.connections.get("c1") == info("c1")


@pytest.mark.req("S2-30")
async def test_the_trail_is_told_page_by_page(rig: Rig) -> None:
    for number in range(5):
        await rig.trail.add(rig.trail.entry(AuditAction.SESSION_BEGAN, connection_id="c1", actor="eva", session_id=f"s{number}"))
    _, first = await rig.ask("GET", "/connections/c1/audit?limit=3")
    _, rest = await rig.ask("GET", f"/connections/c1/audit?limit=3&cursor={first['nextCursor']}")

    assert [one["sessionId"] for one in (*first["data"], *rest["data"])] == ["s0", "s1", "s2", "s3", "s4"]


@pytest.mark.parametrize("path", ["/connections/c1%2Faudit", "/connections/..%2Fc1", "/connections/c%0a1", f"/connections/{'c' * 100}"])
async def test_an_id_that_is_none_is_not_looked_for(rig: Rig, path: str) -> None:
    assert (await rig.ask("GET", path))[0] == 404


@pytest.mark.req("S0-53", "S2-25")
async def test_the_sessions_that_live_are_told_with_their_state(rig: Rig) -> None:
    runners = [rig.sessions.open(Start()) for _ in range(2)]
    for runner, user in zip(runners, ("eva", "ada"), strict=True):
        runner.client.principal = user
        rig.sessions.launch(runner)
    await rig.model.stream(2)
    for runner in runners:
        await runner.next_event()
    everybody, own, of_ada = [
        await rig.data(path, who) for path, who in (("/sessions", "op"), ("/sessions", "eva"), ("/sessions?userId=ada", "op"))
    ]
    foreign = await rig.ask("GET", f"/sessions/{runners[1].session_id}", "eva")
    mine = await rig.data(f"/sessions/{runners[0].session_id}", "eva")

    assert {one["sessionId"] for one in everybody} == {runner.session_id for runner in runners}
    assert [one["userId"] for one in own] == ["eva"]
    assert [one["userId"] for one in of_ada] == ["ada"]
    assert foreign[0] == 404
    assert {name: mine[name] for name in ("assistant", "phase", "streams", "turns", "toolCalls")} == {
        "assistant": "carlos", "phase": "active", "streams": 1, "turns": 0, "toolCalls": 0,
    }  # fmt: skip


async def test_an_operator_ends_a_session_politely_and_that_is_noted(rig: Rig) -> None:
    runner = rig.sessions.open(Start())
    task = rig.sessions.launch(runner)
    await rig.model.stream()
    await runner.next_event()
    status, told = await rig.ask("DELETE", f"/sessions/{runner.session_id}")
    events = []
    while (event := await runner.next_event()) is not None:
        events.append(event)
    await task
    (entry,) = await rig.data("/audit?day=2030-01-16")

    assert (status, told["data"]["sessionId"]) == (202, runner.session_id)
    assert isinstance(events[-1], SessionEnded)
    assert (events[-1].reason, events[-1].close_code) == (EndReason.OPERATOR, 1000)
    assert rig.model.streams[0].is_closed
    assert (entry["action"], entry["actor"], entry["sessionId"]) == ("session_end_asked", "op", runner.session_id)
    assert (await rig.ask("GET", f"/sessions/{runner.session_id}"))[0] == 404

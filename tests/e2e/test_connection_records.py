"""Two servers on one database, with users and an operator who sign in: what is written of connections, and what the operator can do."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bootstrap import Application, build, listen_on
from config import Settings
from observers import connection_records
from storage.connections import Connections
from storage.sqlite import SqliteDatabase, SqliteTable, open_sqlite
from storage.table import Write
from storage.tables import TableDefinition, connections_table
from tests.auth.issuer import Issuer, running_issuer
from tests.transports.doubles import ScriptedModel
from transports.dialects.binary import SUBPROTOCOL

HELLO = '{"type":"hello","protocol":1}'


@dataclass
class Server:
    """One of the servers."""

    application: Application
    port: int
    model: ScriptedModel
    issuer: Issuer

    def client(self, user: str) -> connect:
        headers = {"Authorization": f"Bearer {self.issuer.token(user)}"}
        address = f"ws://127.0.0.1:{self.port}/"
        agent = "Page/1.0 (secret-canary)"
        return connect(address, subprotocols=[Subprotocol(SUBPROTOCOL)], additional_headers=headers, user_agent_header=agent)

    async def ask(self, method: str, path: str, user: str = "op", **more: Any) -> tuple[int, Any]:
        groups = ["operators"] if user == "op" else []
        headers = {"Authorization": f"Bearer {self.issuer.token(user, groups=groups)}"}
        async with ClientSession(headers=headers) as http, http.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as answer:
            return answer.status, (await answer.json()).get("data")


def settings_of(folder: Path, issuer: Issuer) -> Settings:
    records = {"STORAGE": "sqlite", "SQLITE_PATH": str(folder / "r.sqlite3"), "HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0"}
    return Settings.from_env({**records, **issuer.settings})


async def started(settings: Settings, issuer: Issuer, stack: AsyncExitStack, database: SqliteDatabase | None = None) -> Server:
    model = ScriptedModel()
    application = await build(settings, model=model, database=database)
    stack.push_async_callback(application.stop)
    listening = listen_on(settings)
    await application.start(listening)
    return Server(application, listening.port, model, issuer)


@pytest.fixture
async def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sequence[Server]]:
    monkeypatch.setattr(connection_records, "LOOK_SECONDS", 0.1)
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        yield [await started(settings_of(tmp_path, issuer), issuer, stack) for _ in range(2)]


async def next_message(client: ClientConnection, kind: str) -> dict[str, Any]:
    while True:
        frame = await client.recv()
        if isinstance(frame, str) and (message := json.loads(frame))["type"] == kind:
            return dict(message)


async def talking(client: ClientConnection) -> str:
    """Begin a session and return its id."""
    await client.send(HELLO)
    return str((await next_message(client, "session.started"))["session_id"])


async def closed(client: ClientConnection) -> tuple[int | None, str | None]:
    try:
        while True:
            await client.recv()
    except ConnectionClosed:
        return client.close_code, client.close_reason


async def record_with(server: Server, user: str, name: str, value: str) -> dict[str, Any]:
    """Return the only connection of a user, once it has this attribute."""
    while True:
        _, (found,) = await server.ask("GET", f"/connections?userId={user}")
        if found.get(name) == value:
            return dict(found)
        await asyncio.sleep(0.02)


@pytest.mark.req("S0-36", "S2-05", "S2-06", "S2-17", "S2-18", "S2-25", "S2-27")
async def test_who_is_connected_is_known_on_both_servers_before_anything_is_answered(servers: Sequence[Server]) -> None:
    here, there = servers
    with capture_logs() as lines:
        async with here.client("eva") as eva, there.client("ada") as ada:
            await eva.send('{"type":"ping","t":1}')
            await next_message(eva, "pong")
            _, (known,) = await there.ask("GET", "/connections?userId=eva")
            session_id = await talking(eva)
            await talking(ada)
            talked = await record_with(there, "eva", "sessionId", session_id)
            _, active = await there.ask("GET", "/connections")
            _, own = await there.ask("GET", "/connections", "eva")
            foreign, _ = await here.ask("GET", f"/connections/{known['connectionId']}", "ada")
        gone = await record_with(there, "eva", "status", "DISCONNECTED")

    assert {name: known[name] for name in ("userId", "status", "ipAddress", "userAgent")} == {
        "userId": "eva", "status": "CONNECTED", "ipAddress": "127.0.0.1", "userAgent": "Page/1.0 (secret-canary)",
    }  # fmt: skip
    assert talked["connectionId"] == known["connectionId"]
    assert {one["userId"] for one in active} == {"eva", "ada"}
    assert [one["connectionId"] for one in own] == [known["connectionId"]]
    assert foreign == 404
    assert gone["disconnectedAt"] >= known["createdAt"]
    assert "secret-canary" not in str(lines)


@pytest.mark.req("S2-07", "S2-19", "S2-30")
async def test_an_operator_closes_a_connection_through_the_other_server(servers: Sequence[Server]) -> None:
    here, there = servers
    async with here.client("eva") as eva, here.client("ada") as ada:
        session_id = await talking(eva)
        await talking(ada)
        connection = await record_with(there, "eva", "sessionId", session_id)
        path = f"/connections/{connection['connectionId']}"
        refused, _ = await there.ask("DELETE", path, "ada")
        done, _ = await there.ask("DELETE", path)
        end = await asyncio.wait_for(closed(eva), 10)
        await ada.send('{"type":"ping","t":1}')
        await next_message(ada, "pong")
        while (entries := (await there.ask("GET", f"{path}/audit"))[1])[-1]["action"] != "disconnected":  # noqa: ASYNC110 - the other server tells nobody
            await asyncio.sleep(0.02)

    assert (refused, done) == (403, 200)
    assert end == (4403, "disconnected by an operator")
    assert here.model.streams[0].is_closed
    assert [(one["action"], one["actor"]) for one in entries] == [
        ("connected", "eva"), ("authenticated", "eva"), ("session_began", "eva"), ("disconnect_asked", "op"), ("session_ended", "eva"),
        ("disconnected", "eva"),
    ]  # fmt: skip
    assert entries[-1]["detail"] == "4403"


async def test_an_operator_sees_and_ends_a_session_and_the_connection_stays(servers: Sequence[Server]) -> None:
    here, _ = servers
    async with here.client("eva") as eva:
        session_id = await talking(eva)
        _, (seen,) = await here.ask("GET", "/sessions")
        _, of_ada = await here.ask("GET", "/sessions", "ada")
        status, _ = await here.ask("DELETE", f"/sessions/{session_id}")
        ended = await next_message(eva, "session.ended")
        again = await talking(eva)

    assert {name: seen[name] for name in ("sessionId", "userId", "phase", "assistant", "streams")} == {
        "sessionId": session_id, "userId": "eva", "phase": "active", "assistant": "carlos", "streams": 1,
    }  # fmt: skip
    assert of_ada == []
    assert status == 202
    assert ended["reason"] == "operator"
    assert again != session_id


class HangingDatabase(SqliteDatabase):
    """A database whose table of connections takes no writes in this lifetime."""

    def table(self, definition: TableDefinition) -> SqliteTable:
        return HangingTable(self, definition) if definition.name == connections_table().name else SqliteTable(self, definition)


class HangingTable(SqliteTable):
    async def transact(self, writes: Sequence[Write]) -> None:
        await asyncio.sleep(3600)


@pytest.mark.req("S2-16")
async def test_a_store_that_hangs_costs_a_conversation_a_quarter_of_a_second_and_nothing_else(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        database = HangingDatabase(tmp_path / "r.sqlite3")
        stack.push_async_callback(database.aclose)
        server = await started(settings_of(tmp_path, issuer), issuer, stack, database)
        loop = asyncio.get_running_loop()
        async with server.client("eva") as eva:
            before = loop.time()
            await talking(eva)
            took = loop.time() - before
            await eva.send('{"type":"text","text":"Hola"}')
            stream = await server.model.stream()
            while "Hola" not in stream.texts:  # noqa: ASYNC110 - any event may be the one
                await asyncio.sleep(0.02)

    assert took < 1.5


@pytest.mark.req("S2-07")
async def test_a_server_that_stops_writes_down_that_its_connections_are_closed(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        server = await started(settings_of(tmp_path, issuer), issuer, stack)
        client = await server.client("eva")
        await talking(client)
        _, (known,) = await server.ask("GET", "/connections?userId=eva")
        await server.application.drain(0.5)
        await stack.pop_all().aclose()
    database = open_sqlite(tmp_path / "r.sqlite3")
    stored = await Connections(database.table(connections_table())).get(known["connectionId"])
    await database.aclose()

    assert stored is not None
    assert stored.disconnected_at is not None

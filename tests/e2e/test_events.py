"""The server with its events: what front ends receive of conversations and records, each user their own, by AWS's own client as well."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from bootstrap import Application, build, listen_on
from config import Settings
from observers import backlog
from tests import needs
from tests.auth.issuer import Issuer, running_issuer
from tests.e2e.node_call import tls_front
from tests.publishing.service import running_api, status, vanish
from tests.transports.doubles import ScriptedModel
from transports.dialects.binary import SUBPROTOCOL

HELLO = '{"type":"hello","protocol":1}'
FOLLOW = Path(__file__).parent / "node" / "follow.mjs"
SECONDS = 30
ORDER = {
    "customerName": "Ana Martínez",
    "customerEmail": "ana@email.com",
    "items": [{"name": "Laptop", "quantity": 1, "price": 10.5}],
}


@dataclass
class Server:
    """A running server whose users sign in."""

    application: Application
    port: int
    issuer: Issuer

    def token(self, user: str) -> str:
        return self.issuer.token(user, groups=["operators"] if user == "op" else [])

    @property
    def events(self) -> str:
        return f"ws://127.0.0.1:{self.port}/event/realtime"

    def talker(self, user: str) -> connect:
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        return connect(f"ws://127.0.0.1:{self.port}/", subprotocols=[Subprotocol(SUBPROTOCOL)], additional_headers=headers)

    @asynccontextmanager
    async def follower(self, user: str, *channels: str) -> AsyncIterator[ClientConnection]:
        """Follow channels as a browser does."""
        header = base64.urlsafe_b64encode(json.dumps({"host": "x", "Authorization": self.token(user)}).encode()).decode().rstrip("=")
        offered = [Subprotocol("aws-appsync-event-ws"), Subprotocol(f"header-{header}")]
        async with connect(self.events, subprotocols=offered) as connection:
            await connection.send('{"type":"connection_init"}')
            for number, channel in enumerate(channels):
                await connection.send(json.dumps({"type": "subscribe", "id": str(number), "channel": channel}))
            answers = [json.loads(await connection.recv())["type"] for _ in range(len(channels) + 1)]
            assert answers == ["connection_ack", *["subscribe_success"] * len(channels)]
            yield connection

    async def ask(self, method: str, path: str, user: str, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token(user)}"}
        async with ClientSession(headers=headers) as http, http.request(method, f"http://127.0.0.1:{self.port}{path}", **more) as answer:
            return answer.status, await answer.json()


def settings_of(folder: Path, issuer: Issuer, events: dict[str, str]) -> Settings:
    records = {"STORAGE": "sqlite", "SQLITE_PATH": str(folder / "r.sqlite3")}
    places = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0"}
    return Settings.from_env({**records, **places, **events, **issuer.settings})


async def started(settings: Settings, issuer: Issuer, stack: AsyncExitStack) -> Server:
    application = await build(settings, model=ScriptedModel())
    stack.push_async_callback(application.stop)
    listening = listen_on(settings)
    await application.start(listening)
    return Server(application, listening.port, issuer)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        yield await started(settings_of(tmp_path, issuer, {"EVENTS": "local"}), issuer, stack)


async def told(connection: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(SECONDS):
        message = json.loads(await connection.recv())
    assert message["type"] == "data"
    event: dict[str, Any] = json.loads(message["event"])
    return event


async def converse(server: Server, user: str) -> str:
    """Begin a session and end it; return its id."""
    async with server.talker(user) as client:
        await client.send(HELLO)
        while (message := json.loads(await client.recv()))["type"] != "session.started":
            pass
    return str(message["session_id"])


@pytest.mark.req("S0-16", "S0-39", "S1-19")
async def test_a_user_sees_their_own_session_begin_and_end_and_an_operator_all(server: Server) -> None:
    async with (
        server.follower("ana", "/events/voice-sessions/ana/*") as ana,
        server.follower("op", "/events/voice-sessions/*") as operator,
    ):
        of_eve = await converse(server, "eve")
        of_ana = await converse(server, "ana")
        seen = [await told(ana), await told(ana)]
        all_seen = [await told(operator) for _ in range(4)]

    assert [(one["eventName"], one["sessionId"], one["status"]) for one in seen] == [
        ("created", of_ana, "ACTIVE"),
        ("ended", of_ana, "COMPLETED"),
    ]
    assert {(one["sessionId"], one["userId"]) for one in all_seen} == {(of_eve, "eve"), (of_ana, "ana")}


@pytest.mark.req("S1-14", "S1-19")
async def test_an_order_that_is_written_is_told_at_once(server: Server) -> None:
    async with server.follower("op", "/events/orders") as operator:
        status, made = await server.ask("POST", "/orders", "op", json=ORDER)
        event = await told(operator)

    assert status == 201
    assert (event["type"], event["orderId"], event["eventName"]) == ("ORDER", made["data"]["id"], "INSERT")
    assert "ana@email.com" not in str(event)


async def test_operators_publish_and_look_at_alerts_and_others_do_not(server: Server) -> None:
    body = {"channel": "/events/conversations/ana", "events": ['{"n":1}', "2"]}
    async with server.follower("ana", "/events/conversations/ana") as ana:
        refused, _ = await server.ask("POST", "/event", "ana", json=body)
        status, answer = await server.ask("POST", "/event", "op", json=body)
        first = await told(ana)
    wrong = [(await server.ask("POST", "/event", "op", json={**body, **more}))[0] for more in ({"channel": "/x"}, {"events": ["{"]})]
    alerts = await server.ask("GET", "/alerts", "op")
    hidden, _ = await server.ask("GET", "/alerts", "ana")

    assert (refused, status, hidden) == (403, 200, 403)
    assert (answer["failed"], [one["index"] for one in answer["successful"]], first) == ([], [0, 1], {"n": 1})
    assert wrong == [404, 400]
    assert (alerts[0], alerts[1]["data"]) == (200, [])


async def test_a_server_without_events_offers_none(tmp_path: Path) -> None:
    places = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", "STORAGE": "sqlite", "SQLITE_PATH": str(tmp_path / "r.sqlite3")}
    settings = Settings.from_env(places)
    application = await build(settings, model=ScriptedModel())
    listening = listen_on(settings)
    await application.start(listening)
    try:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{listening.port}/event/realtime", subprotocols=[Subprotocol("aws-appsync-event-ws")])
        async with ClientSession() as http, http.post(f"http://127.0.0.1:{listening.port}/event", json={}) as answer:
            status = answer.status
    finally:
        await application.stop()

    assert (refused.value.response.status_code, status) == (404, 404)


@pytest.mark.req("S0-39", "S1-19")
async def test_awss_own_client_follows_what_it_may_and_is_refused_the_rest(server: Server, tmp_path: Path) -> None:
    packages = needs.amplify()
    async with tls_front(server.port, tmp_path) as (port, ca_file):
        task = {
            "packages": str(packages),
            "endpoint": f"https://127.0.0.1:{port}/event",
            "token": server.token("ana"),
            "channels": ["events/voice-sessions/ana/*", "events/conversations"],
            "forbidden": "events/voice-sessions/eve/*",
            "wanted": 2,
        }
        pipe = asyncio.subprocess.PIPE
        environment = {"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(ca_file)}
        node = await asyncio.create_subprocess_exec(str(needs.node()), str(FOLLOW), stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        assert node.stdin is not None
        assert node.stdout is not None
        try:
            async with asyncio.timeout(SECONDS):
                node.stdin.write(json.dumps(task).encode())
                node.stdin.close()
                lines: list[dict[str, Any]] = []
                while not lines or "ready" not in lines[-1]:
                    lines.append(json.loads(await node.stdout.readline()))
                await converse(server, "eve")
                session_id = await converse(server, "ana")
                lines += [json.loads(await node.stdout.readline()) for _ in range(2)]
                await node.wait()
        finally:
            if node.returncode is None:
                node.kill()
                await node.wait()

    assert "Unauthorized" in lines[0]["refused"]
    assert [(one["event"]["sessionId"], one["event"]["eventName"]) for one in lines[2:]] == [(session_id, "created"), (session_id, "ended")]
    assert node.returncode == 0


@pytest.mark.req("S0-16")
async def test_a_conversation_goes_on_while_nobody_takes_its_events_and_they_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "AWAY_SECONDS", (0.0,))
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        api = await stack.enter_async_context(running_api())
        may_take = asyncio.Event()

        async def not_yet(request: web.Request, body: bytes) -> web.StreamResponse:
            await may_take.wait()
            return await status(503)(request, body)

        api.next.extend([not_yet, vanish, status(429, "TooManyRequestsException"), status(500)])
        events = {"EVENTS": "appsync", "EVENTS_ENDPOINT": api.url, "EVENTS_API_KEY": "da2-madeup"}
        server = await started(settings_of(tmp_path, issuer, events), issuer, stack)
        sessions = [await converse(server, "ana") for _ in range(5)]
        taken_meanwhile = len(api.taken)
        may_take.set()
        async with asyncio.timeout(SECONDS):
            await api.until(10)
        config = (await server.ask("GET", "/config", "ana"))[1]["events"]

    told = [json.loads(text) for _, text in api.taken]
    assert taken_meanwhile == 0
    assert {one["sessionId"] for one in told} == set(sessions)
    for session_id in sessions:
        assert [one["eventName"] for one in told if one["sessionId"] == session_id] == ["created", "ended"]
    assert config == {"mode": "appsync", "endpoint": f"{api.url}/event", "namespace": "events"}

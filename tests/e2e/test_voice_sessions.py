"""Voice sessions from conversation to record: two servers, an emulated model and people who sign in."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bench.resumable_client import ResumableClient
from bootstrap import Application, build, listen_on
from config import Settings
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from observers import voice_sessions as records
from storage.sqlite import SqliteDatabase, SqliteTable
from storage.table import Key
from storage.tables import TableDefinition, voice_sessions_table
from tests.auth.issuer import Issuer, running_issuer
from tests.e2e.servers import KEY, says

WAIT_SECONDS = 20.0


class Clerk:
    """Looks an order up where the caller speaks of one, and tells of it."""

    def __init__(self, prompt: Prompt) -> None:
        self._hertz = prompt.output_hertz

    def listen(self) -> None:
        return None

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        if "order" in (turn.text or ""):
            await reply.call_tools([("consultarOrder", {"orderId": "999", "customerName": "Nobody"})])
        await reply.play(b"\1\0" * (self._hertz // 2), f"You said {turn.text}.")

    async def close(self) -> None:
        return


@dataclass
class Server:
    """One of the servers."""

    application: Application
    port: int
    issuer: Issuer

    def client(self, user: str) -> ResumableClient:
        headers = {"Authorization": f"Bearer {self.issuer.token(user)}"}
        return ResumableClient(f"ws://127.0.0.1:{self.port}/", {"language": "en"}, headers=headers)

    async def ask(self, method: str, path: str, user: str = "op", **more: Any) -> tuple[int, Any]:
        token = self.issuer.token(user, groups=["operators"] if user == "op" else [])
        address = f"http://127.0.0.1:{self.port}/voice-sessions{path}"
        async with (
            ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
            http.request(method, address, **more) as answer,
        ):
            return answer.status, (await answer.json()).get("data")

    async def until(self, session_id: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return a session once its record is so; it is written beside the conversation."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                status, found = await self.ask("GET", f"/{session_id}")
                if status == 200 and holds(found):
                    return dict(found)
                await asyncio.sleep(0.05)


@dataclass
class Town:
    """Servers on one model and one database."""

    emulator: NovaSonicLocal
    issuer: Issuer
    folder: Path
    stack: AsyncExitStack

    async def server(self, database: SqliteDatabase | None = None) -> Server:
        settings = Settings.from_env(
            {
                "STORAGE": "sqlite",
                "SQLITE_PATH": str(self.folder / "r.sqlite3"),
                "HOST": "127.0.0.1",
                "WS_PORT": "0",
                "HEALTH_PORT": "0",
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.emulator.endpoint,
                "BEDROCK_CA_FILE": str(self.emulator.ca_file),
                "SESSIONS_KEY": KEY,
                **self.issuer.settings,
            }
        )
        application = await build(settings, database=database)
        self.stack.push_async_callback(application.stop)
        listening = listen_on(settings)
        await application.start(listening)
        return Server(application, listening.port, self.issuer)


@pytest.fixture
async def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Town]:
    for module, name in ((records, "UPDATE_SECONDS"), (records, "LOOK_SECONDS")):
        monkeypatch.setattr(module, name, 0.1)
    monkeypatch.setattr("service.session_cache.FRESH_SECONDS", 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        emulator = await stack.enter_async_context(NovaSonicLocal(Options(brain=Clerk, ca_dir=tmp_path / "ca")))
        yield Town(emulator, issuer, tmp_path, stack)


def sent_by_the_model(town: Town) -> list[dict[str, Any]]:
    """Return what the emulator sent, but for audio, in order."""
    logs = [town.emulator.control.log(str(summary["id"])) for summary in town.emulator.control.streams()]
    rows = [row for log in logs for row in log.rows() if row.direction == "out" and row.audio_bytes is None]
    return [dict(json.loads(row.data)["event"]) for row in rows if row.data is not None]


@pytest.mark.req("S0-10", "S0-22", "S0-42", "S0-47", "S0-65")
async def test_a_conversation_and_its_record_agree(town: Town) -> None:
    server = await town.server()
    async with server.client("eva") as eva:
        started = await eva.start()
        living = await server.until(started["session_id"], lambda one: True)
        await eva.send_audio(b"\0\0" * 16_000)
        for text in ("hello", "order 999 please", "good bye"):
            await says(eva, text)
        heard = len(eva.received.pcm())
        await eva.close()
    ended = await server.until(started["session_id"], lambda one: one["status"] != "ACTIVE")
    model = sent_by_the_model(town)
    calls, usage = [event for event in model if "toolUse" in event], [event["usageEvent"] for event in model if "usageEvent" in event]

    assert (living["status"], living["userId"], living["assistant"], living["language"]) == ("ACTIVE", "eva", "carlos", "en")
    assert (ended["status"], ended["endReason"], ended["messageCount"]) == ("COMPLETED", "client", 6)
    assert {name: ended["statistics"][name] for name in ("userTurns", "assistantTurns", "toolCalls", "toolErrors", "interruptions")} == {
        "userTurns": 3, "assistantTurns": 3, "toolCalls": len(calls), "toolErrors": 1, "interruptions": 0,
    }  # fmt: skip
    assert ended["statistics"]["userAudioMs"] == 1_000
    assert ended["statistics"]["assistantAudioMs"] == heard * 1000 // (2 * started["output_hertz"]) == 1_500
    assert ended["statistics"]["inputTokens"] == usage[-1]["totalInputTokens"]
    assert ended["statistics"]["outputTokens"] == usage[-1]["totalOutputTokens"]
    assert ended["novaSonicSessionId"] not in ("", started["session_id"])
    assert ended["totalDuration"] > 0
    assert len(calls) == 1


@pytest.mark.req("S0-14", "S0-41", "S0-47")
async def test_the_client_is_told_how_its_session_stands_while_the_record_follows(town: Town) -> None:
    server = await town.server()
    async with server.client("eva") as eva:
        started = await eva.start()
        await says(eva, "order 999 please")
        status, _ = await server.ask("POST", f"/{started['session_id']}/end", "eva")
        ended = await eva.until_told("session.ended")
        kinds = [message["type"] for message in eva.received.messages]

    assert status == 200
    assert ended["reason"] == "client"
    assert [kind for kind in dict.fromkeys(kinds) if kind != "usage"] == [
        "session.started",
        "transcript",
        "tool.started",
        "tool.finished",
        "speech.started",
        "speech.ended",
        "session.ended",
    ]


@pytest.mark.req("S0-47", "S0-53", "S0-54", "S2-25")
async def test_people_who_talk_at_once_have_records_of_their_own_and_see_no_others(town: Town) -> None:
    here, there = await town.server(), await town.server()

    async def talk(number: int) -> str:
        async with (here, there)[number % 2].client(f"user-{number}") as client:
            started = await client.start()
            for _ in range(number):
                await says(client, f"I am {number}")
            await client.close()
        return str(started["session_id"])

    ids = await asyncio.gather(*(talk(number) for number in range(1, 5)))
    ended = [await here.until(session_id, lambda one: one["status"] == "COMPLETED") for session_id in ids]
    _, own = await there.ask("GET", "", "user-1")
    foreign = [(await there.ask(method, f"/{ids[1]}{path}", "user-1", json=body))[0] for method, path, body in (
        ("GET", "", None), ("PATCH", "", {"metadata": {"a": "b"}}), ("POST", "/end", None),
    )]  # fmt: skip

    assert len(set(ids)) == 4
    assert [(one["userId"], one["messageCount"]) for one in ended] == [(f"user-{number}", 2 * number) for number in range(1, 5)]
    assert [one["sessionId"] for one in own] == [ids[0]]
    assert foreign == [404, 404, 404]


@pytest.mark.req("S0-11", "S0-32", "S0-47")
async def test_a_session_is_ended_through_another_server_and_its_client_is_told(town: Town) -> None:
    here, there = await town.server(), await town.server()
    async with here.client("eva") as eva:
        started = await eva.start()
        session_id = started["session_id"]
        await there.until(session_id, lambda one: True)
        status, noted = await there.ask("POST", f"/{session_id}/end", "eva")
        told = await eva.until_told("session.ended")
        _, again = await there.ask("POST", f"/{session_id}/end", "eva")

    assert (status, noted["status"], noted["endReason"]) == (200, "COMPLETED", "client")
    assert told["reason"] == "client"
    assert {name: again[name] for name in ("status", "endedAt", "totalDuration")} == {
        name: noted[name] for name in ("status", "endedAt", "totalDuration")
    }


@pytest.mark.req("S0-11", "S0-44", "S0-47", "S2-25")
async def test_a_session_that_another_server_adopts_is_one_session_to_its_end(town: Town) -> None:
    here, there = await town.server(), await town.server()
    async with here.client("eva") as eva:
        started = await eva.start()
        session_id = started["session_id"]
        await says(eva, "order 999 please")
        eva.go_to(f"ws://127.0.0.1:{there.port}/")
        await here.application.drain(5.0)
        parked = await there.until(session_id, lambda one: True)
        await eva.resume()
        await says(eva, "still there?")
        living = await there.until(session_id, lambda one: one["messageCount"] == 4)
        await eva.close()
    ended = await there.until(session_id, lambda one: one["status"] != "ACTIVE")
    _, listed = await there.ask("GET", "", "eva")

    assert (parked["status"], living["status"], ended["status"]) == ("ACTIVE", "ACTIVE", "COMPLETED")
    assert (ended["messageCount"], ended["statistics"]["toolCalls"], ended["createdAt"]) == (4, 1, parked["createdAt"])
    assert living["connectionId"] != parked["connectionId"]
    assert [one["sessionId"] for one in listed] == [session_id]


@pytest.mark.req("S0-17", "S0-45", "S0-47")
async def test_a_conversation_that_could_not_begin_is_an_error_in_the_records(town: Town) -> None:
    await town.emulator.__aexit__(None, None, None)
    server = await town.server()
    async with server.client("eva") as eva:
        await eva.connect()
        await eva.send({"type": "hello", "protocol": 1})
        await eva.until(lambda: any(message["type"] in ("session.failed", "error") for message in (*eva.received.messages, *eva.answers)))
    async with asyncio.timeout(WAIT_SECONDS):
        while not (listed := (await server.ask("GET", "", "eva"))[1]) or listed[0]["status"] == "ACTIVE":  # noqa: ASYNC110 - the record is written beside it
            await asyncio.sleep(0.05)

    assert [(one["status"], one["endReason"], one["errorCode"], one["messageCount"]) for one in listed] == [
        ("ERROR", "failed", "model_unreachable", 0)
    ]


class GatedDatabase(SqliteDatabase):
    """A database whose table of voice sessions is away until it is let back."""

    gate: asyncio.Event

    def table(self, definition: TableDefinition) -> SqliteTable:
        return GatedTable(self, definition) if definition.name == voice_sessions_table().name else SqliteTable(self, definition)


class GatedTable(SqliteTable):
    async def update(self, key: Key, *others: Any) -> Any:
        database = self._database
        assert isinstance(database, GatedDatabase)
        await database.gate.wait()
        return await super().update(key, *others)


@pytest.mark.req("S0-47")
async def test_a_store_that_hangs_disturbs_nobody_and_has_everything_afterwards(town: Town) -> None:
    database = GatedDatabase(town.folder / "r.sqlite3")
    database.gate = asyncio.Event()
    town.stack.push_async_callback(database.aclose)
    server = await town.server(database)
    async with server.client("eva") as eva:
        started = await eva.start()
        await says(eva, "hello")
        missing, _ = await server.ask("GET", f"/{started['session_id']}")
        await says(eva, "good bye")
        await eva.close()
    database.gate.set()
    ended = await server.until(started["session_id"], lambda one: one["status"] == "COMPLETED")

    assert missing == 404
    assert ended["messageCount"] == 4

"""What is stored of a conversation is what its client saw, over reconnects and other servers; and the next one knows it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from bench.resumable_client import ResumableClient
from bootstrap import Application, build, listen_on
from config import Settings
from nova_sonic_local.brains.interface import Reply, UserTurn
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from parts import assistants
from s2s.bedrock.client import NovaSonicClient
from s2s.bedrock.credentials import StaticCredentials
from s2s.models import DEFAULT_MODEL_ID
from tests.auth.issuer import Issuer, running_issuer
from tests.e2e.remembering import Remembering
from tests.e2e.servers import KEY, says

ASSISTANT = """
name = "kind"
default_language = "en"
{}
[languages.en]
voice = "matthew"
prompt = "You are kind."
"""
CANARY = "Xylophone"


class Brief(Remembering):
    """Tells what it knows of the past when it is asked."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        if (turn.text or "").startswith("Who"):
            await super().answer(turn, reply)
        else:
            await reply.say("I see. Go on.")


@dataclass
class House:
    """Two servers that share their records and their model."""

    issuer: Issuer
    here: int
    there: int
    first: Application

    def client(self, user: str, port: int | None = None, assistant: str = "kind") -> ResumableClient:
        headers = {"Authorization": f"Bearer {self.issuer.token(user)}"}
        hello = {"output_hertz": 8_000, "assistant": assistant}
        return ResumableClient(f"ws://127.0.0.1:{port or self.here}/", hello, headers=headers)

    async def ask(self, path: str, user: str) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.issuer.token(user)}"}
        async with ClientSession(headers=headers) as http, http.get(f"http://127.0.0.1:{self.there}{path}") as answer:
            return answer.status, (await answer.json()).get("data")

    async def stored(self, session_id: str, user: str, turns: int) -> list[dict[str, Any]]:
        """Return the turns of a conversation once there are so many."""
        async with asyncio.timeout(10):
            while True:
                _, data = await self.ask(f"/conversations/{session_id}", user)
                if data is not None and len(data["turns"]) >= turns:
                    return list(data["turns"])
                await asyncio.sleep(0.02)  # nobody is told when something is written


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    folder = tmp_path / "assistants"
    folder.mkdir()
    (folder / "kind.toml").write_text(ASSISTANT.format("[memory]\nturns = 12"))
    (folder / "quiet.toml").write_text(ASSISTANT.format("[records]\nconversations = false").replace('"kind"', '"quiet"'))
    monkeypatch.setattr(assistants, "ASSISTANTS", folder)
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(running_issuer())
        emulator = await stack.enter_async_context(NovaSonicLocal(Options(brain=Brief, ca_dir=tmp_path / "ca")))
        own = {"STORAGE": "sqlite", "SQLITE_PATH": str(tmp_path / "r.sqlite3"), "SESSIONS_KEY": KEY, "MAX_LOOP_LAG_MS": "0"}
        ports = {"HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0"}
        settings = replace(Settings.from_env({**own, **ports, **issuer.settings}), assistant="kind")
        found: list[tuple[Application, int]] = []
        for _ in range(2):
            ca_file = str(emulator.ca_file)
            model = NovaSonicClient("us-east-1", DEFAULT_MODEL_ID, emulator.endpoint, ca_file, StaticCredentials("a", "b"))
            stack.push_async_callback(model.aclose)
            application = await build(settings, model=model)
            stack.push_async_callback(application.stop)
            listening = listen_on(settings)
            await application.start(listening)
            found.append((application, listening.port))
        yield House(issuer, found[0][1], found[1][1], found[0][0])


def seen(client: ResumableClient) -> list[tuple[int, str, str]]:
    """Return what the client's user reads: who said what in which turn."""
    turns: dict[tuple[int, str], list[str]] = {}
    for message in client.received.named("transcript"):
        if message["stage"] == "final":
            turns.setdefault((message["turn"], message["role"].upper()), []).append(message["text"])
    return [(turn, role, " ".join(texts)) for (turn, role), texts in sorted(turns.items())]


def written(turns: list[dict[str, Any]]) -> list[tuple[int, str, str]]:
    return [(turn["turn"], turn["role"], turn["text"]) for turn in turns]


@pytest.mark.timeout(60)
@pytest.mark.req("S1-28", "S2-24", "S0-44", "S0-66", "S0-54")
async def test_what_is_stored_is_what_the_client_saw_and_the_next_conversation_knows_it(house: House) -> None:
    with capture_logs() as lines:
        async with house.client("eva") as client:
            session_id = str((await client.start())["session_id"])
            await says(client, f"I am Eva {CANARY}.")
            await client.cut()
            await client.resume()
            await says(client, "I am back.")
            leaving = asyncio.create_task(house.first.drain(10))
            await client.until(lambda: client.close_code is not None)
            await leaving
            client.go_to(f"ws://127.0.0.1:{house.there}/")
            await client.resume()
            await says(client, "And elsewhere.")
            told = seen(client)
            await client.send({"type": "end"})
            await client.until_told("session.ended")
        stored = await house.stored(session_id, "eva", 6)
        async with house.client("eva", house.there) as later:
            second_id = str((await later.start())["session_id"])
            answer = await says(later, "Who am I?")
            all_of_it = " ".join(text for _, role, text in seen(later) if role == "ASSISTANT")
        async with house.client("ada", house.there) as other:
            await other.start()
            strange = await says(other, "Who am I?")
        foreign = await house.ask(f"/conversations/{session_id}", "ada")
        _, listed = await house.ask("/conversations", "eva")

    assert [role for _, role, _ in told] == ["USER", "ASSISTANT"] * 3
    assert written(stored) == told
    assert not any(turn["interrupted"] for turn in stored)
    assert all(turn["startedAt"] <= turn["endedAt"] for turn in stored)
    assert strange == "I know 0 things:"
    assert answer != strange
    assert "I know 6 things:" in all_of_it
    assert CANARY in all_of_it
    assert foreign == (404, None)
    assert [one["conversationId"] for one in listed] == [second_id, session_id]
    assert CANARY not in str(lines)


@pytest.mark.req("S0-54")
async def test_of_an_assistant_that_keeps_nothing_nothing_is_stored(house: House) -> None:
    async with house.client("eva", assistant="quiet") as client:
        await client.start()
        await says(client, "Hello.")
    async with house.client("eva") as kept:
        session_id = str((await kept.start())["session_id"])
        await says(kept, "Hello.")
        await house.stored(session_id, "eva", 2)
    _, listed = await house.ask("/conversations", "eva")

    assert [one["conversationId"] for one in listed] == [session_id]

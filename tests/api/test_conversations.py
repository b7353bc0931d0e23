"""Conversations over plain HTTP: one's own to read, take along and remove; nobody else's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from typing import Any

import orjson
import pytest
from aiohttp import ClientError, ClientSession

from api import conversations as conversations_api
from api.app import build_app
from api.connections import SWITCHBOARD, Switchboard
from api.conversations import CONVERSATIONS
from storage.audit import AuditTrail
from storage.connections import Connections
from storage.conversation_turns import Conversation, Speaker, ToolCall, Turn
from storage.conversations import Conversations
from storage.errors import StorageUnavailable
from storage.records import Listing
from storage.sqlite import SqliteDatabase
from storage.tables import connections_table, conversations_table
from tests.api.people import NamedPeople
from tests.api.raw import serving
from tests.storage.databases import NOW, StandingClock
from transports.origins import OriginPolicy


class FragileConversations(Conversations):
    """Fails when it is told to, after so many pages."""

    pages_left = 10**6

    async def turns(self, *arguments: Any, **named: Any) -> Listing[Turn]:
        """Return a page."""
        self.pages_left -= 1
        if self.pages_left < 0:
            raise StorageUnavailable("away")
        return await super().turns(*arguments, **named)


@dataclass
class Rig:
    """A server of the API, and what is behind it."""

    port: int
    conversations: FragileConversations
    trail: AuditTrail

    def disconnect(self, connection_id: str, code: int, reason: str) -> bool:
        return False

    async def raw(self, method: str, path: str, who: str = "eva") -> tuple[int, dict[str, str], bytes]:
        headers = {"Authorization": f"Bearer {who}"}
        async with ClientSession() as client, client.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def ask(self, method: str, path: str, who: str = "eva") -> tuple[int, dict[str, Any]]:
        status, _, body = await self.raw(method, path, who)
        return status, orjson.loads(body)

    async def add(self, name: str, user: str = "eva", minutes: int = 0, turns: int = 2) -> None:
        at = NOW + timedelta(minutes=minutes)
        said = [
            Turn(number, Speaker.USER if number % 2 else Speaker.ASSISTANT, f"{name} says {number}", at) for number in range(1, turns + 1)
        ]
        for start in range(0, turns, 90):
            await self.conversations.add(Conversation(name, user, "carlos", "es", at, at, turns), said[start : start + 90])


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, numbers = StandingClock(), count()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    of_connections, of_conversations = database.table(connections_table()), database.table(conversations_table())
    await of_connections.create()
    await of_conversations.create()
    made = Rig(0, FragileConversations(of_conversations), AuditTrail(of_connections, lambda: f"{next(numbers):06}", clock))
    app = build_app(
        [conversations_api.OPERATIONS],
        authenticator=NamedPeople(),
        origins=OriginPolicy(),
        parts={SWITCHBOARD: Switchboard(Connections(of_connections, clock), made.trail, made), CONVERSATIONS: made.conversations},
    )
    async with serving(app) as port:
        made.port = port
        yield made
    await database.aclose()


@pytest.mark.req("S1-28", "S0-51")
async def test_ones_conversations_are_told_newest_first_page_by_page(rig: Rig) -> None:
    for number in range(5):
        await rig.add(f"c{number}", minutes=number)
    await rig.add("d1", "ada")
    _, first = await rig.ask("GET", "/conversations?limit=3")
    _, rest = await rig.ask("GET", f"/conversations?limit=3&cursor={first['nextCursor']}")

    assert [one["conversationId"] for one in (*first["data"], *rest["data"])] == ["c4", "c3", "c2", "c1", "c0"]
    assert "nextCursor" not in rest
    assert first["data"][0] == {
        "conversationId": "c4", "userId": "eva", "assistant": "carlos", "language": "es", "startedAt": "2030-01-16T15:04:00.000Z",
        "lastAt": "2030-01-16T15:04:00.000Z", "lastTurn": 2,
    }  # fmt: skip


@pytest.mark.req("S1-28")
async def test_a_conversation_is_told_with_its_turns_page_by_page(rig: Rig) -> None:
    await rig.add("c1", turns=5)
    call = ToolCall("t1", "consultarOrder", "{}", '{"success":false}', "not_found")
    last = Turn(6, Speaker.ASSISTANT, "Bue", NOW, NOW, 300, (call,), is_cut=True, is_refused=True)
    await rig.conversations.add(Conversation("c1", "eva", "carlos", "es", NOW, NOW, 6), [last])
    _, first = await rig.ask("GET", "/conversations/c1?limit=3")
    _, rest = await rig.ask("GET", f"/conversations/c1?limit=3&cursor={first['nextCursor']}")

    assert [turn["turn"] for turn in (*first["data"]["turns"], *rest["data"]["turns"])] == [1, 2, 3, 4, 5, 6]
    assert first["data"]["turns"][0] == {
        "turn": 1, "role": "USER", "text": "c1 says 1", "startedAt": "2030-01-16T15:00:00.000Z", "interrupted": False,
    }  # fmt: skip
    assert rest["data"]["turns"][-1] == {
        "turn": 6, "role": "ASSISTANT", "text": "Bue", "startedAt": "2030-01-16T15:00:00.000Z", "endedAt": "2030-01-16T15:00:00.000Z",
        "interrupted": True, "heardMs": 300, "cut": True, "refused": True,
        "tools": [{"name": "consultarOrder", "arguments": "{}", "result": '{"success":false}', "errorCode": "not_found"}],
    }  # fmt: skip


@pytest.mark.req("S0-54")
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/export"), ("DELETE", "")])
@pytest.mark.parametrize("who", ["ada", "nobody"])
async def test_a_conversation_of_somebody_else_is_answered_like_one_that_does_not_exist(rig: Rig, method: str, path: str, who: str) -> None:
    await rig.add("c1")
    await rig.add("c2", "")
    answers = [await rig.ask(method, f"/conversations/{name}{path}", who) for name in ("c1", "c2", "c9")]

    assert [(status, told["error"]["code"]) for status, told in answers] == [(404, "not_found")] * 3
    assert [told["message"] for _, told in answers] == [f"There is no conversation {name}." for name in ("c1", "c2", "c9")]
    assert await rig.conversations.get("eva", "c1") is not None


@pytest.mark.req("S0-54")
async def test_nobody_lists_or_erases_what_somebody_else_said(rig: Rig) -> None:
    await rig.add("c1")
    await rig.add("c2", "")
    listed = [
        (await rig.ask("GET", f"/conversations{query}", who))[1]["data"] for query in ("", "?userId=eva") for who in ("ada", "nobody")
    ]
    erased = [await rig.ask("DELETE", f"/users/{user}/conversations", "ada") for user in ("eva", "(anybody)", "unknown")]

    assert listed == [[], [], [], []]
    assert [(status, told["error"]["code"]) for status, told in erased] == [(404, "not_found")] * 3
    assert await rig.conversations.get("eva", "c1") is not None


async def test_operators_reach_every_conversation(rig: Rig) -> None:
    await rig.add("c1")
    await rig.add("c2", "")
    of_eva = await rig.ask("GET", "/conversations?userId=eva", "op")
    of_anybody = await rig.ask("GET", "/conversations?userId=(anybody)", "op")
    one = await rig.ask("GET", "/conversations/c1", "op")

    assert [[each["conversationId"] for each in told["data"]] for _, told in (of_eva, of_anybody)] == [["c1"], ["c2"]]
    assert (one[0], one[1]["data"]["userId"]) == (200, "eva")
    assert (await rig.ask("GET", "/conversations", "op"))[1]["data"] == []


@pytest.mark.req("S1-28")
async def test_a_conversation_is_exported_whole_as_json(rig: Rig) -> None:
    await rig.add("c1", turns=250)
    status, headers, body = await rig.raw("GET", "/conversations/c1/export")
    told = orjson.loads(body)

    assert status == 200
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Content-Disposition"] == 'attachment; filename="conversation-c1.json"'
    assert [turn["turn"] for turn in told.pop("turns")] == list(range(1, 251))
    assert told["conversationId"] == "c1"


@pytest.mark.req("S1-28")
async def test_a_conversation_is_exported_as_text(rig: Rig) -> None:
    call = ToolCall("t1", "consultarOrder", '{"orderId":"1"}', '{"success":true}')
    calls = (call, replace(call, tool_use_id="t2", result=None), replace(call, tool_use_id="t3", error_code="not_found"))
    turns = [
        Turn(1, Speaker.USER, "Two\nlines", NOW),
        Turn(2, Speaker.ASSISTANT, "Bue", NOW, heard_ms=3),
        Turn(4, Speaker.ASSISTANT, "", NOW, calls=calls),
    ]
    await rig.conversations.add(Conversation("c1", "eva", "carlos", "es", NOW, NOW, 4), turns)
    _, headers, body = await rig.raw("GET", "/conversations/c1/export?format=text")

    assert headers["Content-Disposition"] == 'attachment; filename="conversation-c1.txt"'
    assert body.decode().splitlines() == [
        "Conversation c1 with carlos (es), 2030-01-16T15:00:00.000Z",
        "",
        "[2030-01-16T15:00:00.000Z] USER: Two lines",
        "[2030-01-16T15:00:00.000Z] ASSISTANT (interrupted): Bue",
        "[2030-01-16T15:00:00.000Z] ASSISTANT:",
        '    consultarOrder {"orderId":"1"} -> {"success":true}',
        '    consultarOrder {"orderId":"1"} -> no result',
        '    consultarOrder {"orderId":"1"} -> error not_found',
    ]


async def test_the_head_of_an_export_is_told_without_its_body(rig: Rig) -> None:
    await rig.add("c1")
    status, headers, body = await rig.raw("HEAD", "/conversations/c1/export")

    assert (status, body) == (200, b"")
    assert headers["Content-Disposition"] == 'attachment; filename="conversation-c1.json"'


async def test_an_export_whose_store_fails_in_the_middle_does_not_look_whole(rig: Rig) -> None:
    await rig.add("c1", turns=250)
    rig.conversations.pages_left = 2

    with pytest.raises(ClientError):
        await rig.raw("GET", "/conversations/c1/export")


async def test_an_export_whose_store_is_away_says_so(rig: Rig) -> None:
    await rig.add("c1")
    rig.conversations.pages_left = 0
    status, told = await rig.ask("GET", "/conversations/c1/export")

    assert (status, told["error"]["code"]) == (503, "storage_unavailable")


@pytest.mark.req("S1-28")
async def test_a_conversation_is_deleted_and_that_is_noted(rig: Rig) -> None:
    await rig.add("c1")
    await rig.add("c2")
    status, told = await rig.ask("DELETE", "/conversations/c1")
    again, _ = await rig.ask("DELETE", "/conversations/c1")
    (entry,) = (await rig.trail.operations(NOW.date())).records

    assert (status, told["data"], again) == (200, {"removed": 3}, 404)
    assert (entry.action.value, entry.actor, entry.session_id, entry.detail) == ("conversation_deleted", "eva", "c1", None)
    assert await rig.conversations.get("eva", "c2") is not None


@pytest.mark.req("S1-28", "S0-54")
@pytest.mark.parametrize("who", ["eva", "op"])
async def test_everything_that_a_user_said_is_erased_and_that_is_noted(rig: Rig, who: str) -> None:
    for number in range(3):
        await rig.add(f"c{number}")
    await rig.add("d1", "ada")
    status, told = await rig.ask("DELETE", "/users/eva/conversations", who)
    (entry,) = (await rig.trail.operations(NOW.date())).records

    assert (status, told["data"]) == (200, {"conversations": 3, "turns": 6, "isComplete": True})
    assert (entry.action.value, entry.actor, entry.detail) == ("conversations_erased", who, "eva")
    assert (await rig.ask("GET", "/conversations"))[1]["data"] == []
    assert await rig.conversations.get("ada", "d1") is not None


async def test_what_cannot_be_noted_is_not_done(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.add("c1")

    async def away(_entry: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(rig.trail, "add", away)
    status, _ = await rig.ask("DELETE", "/conversations/c1")

    assert status == 503
    assert await rig.conversations.get("eva", "c1") is not None

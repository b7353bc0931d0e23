"""Voice sessions over plain HTTP: one's own, page by page, and nobody else's."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from api import voice_sessions as voice_api
from api.app import build_app
from api.connections import SWITCHBOARD, Switchboard
from api.voice_sessions import VOICE
from service.live_sessions import RegisteredSessions
from service.nova_sonic import RecordedNovaSonic
from service.session_cache import SessionCache
from session.events import EndReason, SessionEnded, Start
from storage.audit import AuditAction, AuditTrail
from storage.connections import ConnectionInfo, Connections
from storage.sqlite import SqliteDatabase
from storage.tables import connections_table, voice_sessions_table
from storage.voice_session_items import Counts, Leg, Tokens, VoiceSessionStatus
from storage.voice_sessions import VoiceSessions
from telemetry.counters import Counters
from tests.api.people import NamedPeople, ask
from tests.api.raw import serving
from tests.storage.databases import NOW, StandingClock
from tests.transports.doubles import ScriptedModel, registry_of
from transports.origins import OriginPolicy

type Json = dict[str, Any]


@dataclass
class Rig:
    """A server of the API, and what is behind it."""

    port: int
    sessions: VoiceSessions
    connections: Connections
    trail: AuditTrail
    clock: StandingClock
    registry: Any
    model: ScriptedModel

    def disconnect(self, connection_id: str, code: int, reason: str) -> bool:
        return False

    async def ask(self, method: str, path: str, who: str = "eva", **more: Any) -> tuple[int, Json]:
        return await ask(self.port, method, f"/voice-sessions{path}", who, **more)

    async def data(self, path: str = "", who: str = "eva") -> Any:
        return (await self.ask("GET", path, who))[1]["data"]

    async def talk(self, session_id: str = "s1", *, minutes: int = 0, **known: Any) -> None:
        at = NOW + timedelta(minutes=minutes)
        wanted = {"connection_id": "c1", "user_id": "eva", "assistant": "carlos", "audio_format": "audio/lpcm;rate=16000", **known}
        await self.sessions.write(Leg(session_id=session_id, leg_id="one", process="p1", began_at=at, **wanted))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, numbers = StandingClock(), count()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    voice, connections = database.table(voice_sessions_table()), database.table(connections_table())
    await voice.create()
    await connections.create()
    model = ScriptedModel()
    trail = AuditTrail(connections, lambda: f"{next(numbers):06}", clock)
    made = Rig(0, VoiceSessions(voice, clock), Connections(connections, clock), trail, clock, registry_of(model), model)
    live = RegisteredSessions()
    live.belong_to(made.registry)
    service = RecordedNovaSonic(made.sessions, live, SessionCache(clock.seconds, Counters()), clock=clock)
    board = Switchboard(made.connections, trail, made)
    app = build_app([voice_api.OPERATIONS], authenticator=NamedPeople(), origins=OriginPolicy(), parts={VOICE: service, SWITCHBOARD: board})
    async with serving(app) as port:
        made.port = port
        yield made
    await made.registry.close()
    await database.aclose()


@pytest.mark.req("S0-12", "S0-42")
async def test_a_session_is_told_with_everything_that_is_known_of_it(rig: Rig) -> None:
    counts = Counts(user_turns=2, assistant_turns=1, tool_calls=1, user_audio_ms=1_500)
    await rig.talk(counts=counts, tokens=Tokens(1, 2, 3, 4), nova_sonic_session_id="n1", language="es", voice_id="carlos", model_id="m")
    rig.clock.advance(seconds=90)
    await rig.sessions.end("s1", "client")
    told = await rig.data("/s1")

    assert told == {
        "sessionId": "s1", "novaSonicSessionId": "n1", "connectionId": "c1", "userId": "eva", "status": "COMPLETED",
        "createdAt": "2030-01-16T15:00:00.000Z", "updatedAt": "2030-01-16T15:01:30.000Z", "endedAt": "2030-01-16T15:01:30.000Z",
        "totalDuration": 90.0, "messageCount": 3, "endReason": "client", "audioFormat": "audio/lpcm;rate=16000", "assistant": "carlos",
        "language": "es", "voiceId": "carlos", "modelId": "m", "metadata": {},
        "statistics": {"userTurns": 2, "assistantTurns": 1, "toolCalls": 1, "toolErrors": 0, "interruptions": 0, "userAudioMs": 1500,
                       "assistantAudioMs": 0, "inputTokens": 3, "outputTokens": 7},
    }  # fmt: skip


@pytest.mark.req("S0-03", "S0-13", "S0-54")
async def test_ones_own_sessions_come_newest_first_and_page_by_page(rig: Rig) -> None:
    for number in range(5):
        await rig.talk(f"s{number}", minutes=number)
    await rig.talk("foreign", user_id="ada")
    _, first = await rig.ask("GET", "?limit=3")
    _, rest = await rig.ask("GET", f"?limit=3&cursor={first['nextCursor']}")

    assert [one["sessionId"] for one in (*first["data"], *rest["data"])] == ["s4", "s3", "s2", "s1", "s0"]
    assert "nextCursor" not in rest


@pytest.mark.req("S0-02", "S0-13")
async def test_the_session_of_a_connection_is_told_to_its_user(rig: Rig) -> None:
    await rig.talk("s1")
    await rig.talk("s2", connection_id="c2", user_id="ada")

    assert [one["sessionId"] for one in await rig.data("?connectionId=c1")] == ["s1"]
    assert await rig.data("?connectionId=c2") == []
    assert [one["sessionId"] for one in await rig.data("?connectionId=c2", "op")] == ["s2"]
    assert await rig.data("?connectionId=c2&userId=eva", "op") == []


@pytest.mark.req("S0-54", "S0-57")
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/s1", None), ("PATCH", "/s1", {"metadata": {"topic": "bills"}}), ("POST", "/s1/end", None), ("GET", "/none", None)],
)
async def test_a_session_of_somebody_else_is_answered_like_a_missing_one(rig: Rig, method: str, path: str, body: Json | None) -> None:
    await rig.talk()
    answers = [await rig.ask(method, path, who, json=body) for who in ("nobody", "ada")]
    stored = await rig.sessions.get("s1")

    assert [(status, told["error"]["code"]) for status, told in answers] == [(404, "unknown_session")] * 2
    assert stored is not None
    assert (stored.status, stored.metadata) == (VoiceSessionStatus.ACTIVE, {})


@pytest.mark.req("S0-54")
async def test_lists_of_others_are_empty_and_operators_see_them(rig: Rig) -> None:
    await rig.talk()

    assert await rig.data("?userId=eva", "nobody") == []
    assert await rig.data("", "nobody") == []
    assert [one["sessionId"] for one in await rig.data("?userId=eva", "op")] == ["s1"]


@pytest.mark.req("S0-09", "S0-28")
async def test_a_session_is_begun_for_oneself_whatever_is_asked_for(rig: Rig) -> None:
    await rig.connections.write([ConnectionInfo("c7", "eva", NOW, NOW)])
    body = {"connectionId": "c7", "userId": "ada", "audioFormat": "audio/webm", "metadata": {"topic": "bills"}}
    status, told = await rig.ask("POST", "", json=body)
    session = told["data"]
    known = await rig.data(f"/{session['sessionId']}")

    assert status == 201
    assert session == known
    assert (session["userId"], session["connectionId"], session["status"]) == ("eva", "c7", "ACTIVE")
    assert (session["audioFormat"], session["metadata"], session["messageCount"]) == ("audio/webm", {"topic": "bills"}, 0)


async def test_operators_begin_sessions_for_others_and_somebody_without_a_name_for_anybody(rig: Rig) -> None:
    _, of_ada = await rig.ask("POST", "", "op", json={"userId": "ada"})
    _, of_anybody = await rig.ask("POST", "", "nobody", json={})

    assert [of_ada["data"]["userId"], of_anybody["data"]["userId"]] == ["ada", "(anybody)"]


@pytest.mark.req("S0-57")
async def test_a_session_belongs_to_no_connection_of_somebody_else(rig: Rig) -> None:
    await rig.connections.write([ConnectionInfo("c7", "ada", NOW, NOW)])
    for connection in ("c7", "c8"):
        status, told = await rig.ask("POST", "", json={"connectionId": connection})
        assert (status, told["error"]["code"]) == (404, "not_found")

    assert await rig.data() == []


@pytest.mark.req("S0-10")
async def test_what_is_noted_of_a_session_is_changed_name_by_name(rig: Rig) -> None:
    await rig.talk()
    await rig.ask("PATCH", "/s1", json={"metadata": {"topic": "bills", "mood": "good"}})
    status, told = await rig.ask("PATCH", "/s1", json={"metadata": {"mood": None, "place": "home"}, "audioFormat": "audio/webm"})

    assert status == 200
    assert (told["data"]["metadata"], told["data"]["audioFormat"]) == ({"topic": "bills", "place": "home"}, "audio/webm")


@pytest.mark.req("S0-17")
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"status": "COMPLETED"},
        {"metadata": {"topic": 7}},
        {"metadata": {"a b": "x"}},
        {"metadata": {"topic": "x" * 257}},
        {"metadata": {f"k{number}": "v" for number in range(33)}},
        {"metadata": []},
        {"audioFormat": "webm"},
        {"audioFormat": ""},
    ],
)
async def test_changes_that_cannot_be_are_refused(rig: Rig, body: Json) -> None:
    await rig.talk()
    status, told = await rig.ask("PATCH", "/s1", json=body)

    assert status == 400
    assert told["error"]["code"] in {"invalid_body", "unknown_member"}
    assert (await rig.data("/s1"))["metadata"] == {}


@pytest.mark.req("S0-11", "S0-32")
async def test_a_session_ends_once_and_says_how_long_it_was(rig: Rig) -> None:
    await rig.talk()
    rig.clock.advance(seconds=30)
    first = await rig.ask("POST", "/s1/end")
    rig.clock.advance(seconds=30)
    second = await rig.ask("POST", "/s1/end")

    assert first == second
    assert (first[0], first[1]["data"]["status"], first[1]["data"]["totalDuration"]) == (200, "COMPLETED", 30.0)


@pytest.mark.req("S0-11")
async def test_the_talk_ends_with_its_session(rig: Rig) -> None:
    runner = rig.registry.open(Start())
    runner.client.principal = "eva"
    task = rig.registry.launch(runner)
    events = [await runner.next_event()]
    await rig.talk(runner.session_id)
    status, _ = await rig.ask("POST", f"/{runner.session_id}/end")
    while (event := await runner.next_event()) is not None:
        events.append(event)
    await task

    assert status == 200
    assert isinstance(events[-1], SessionEnded)
    assert events[-1].reason is EndReason.CLIENT


@pytest.mark.req("S2-30")
async def test_what_an_operator_ends_is_in_the_audit_trail_and_what_its_user_ends_is_not(rig: Rig) -> None:
    await rig.talk("s1")
    await rig.talk("s2")
    await rig.ask("POST", "/s1/end", "op")
    await rig.ask("POST", "/s2/end", "eva")
    entries = (await rig.trail.operations(NOW.date())).records
    stored = await rig.sessions.get("s1")

    assert [(entry.action, entry.actor, entry.session_id) for entry in entries] == [(AuditAction.SESSION_END_ASKED, "op", "s1")]
    assert stored is not None
    assert stored.end_reason == "operator"

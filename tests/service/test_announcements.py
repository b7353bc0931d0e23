"""Changes of voice sessions past those who talk in them: each is published once, and pushed to the client whose session it is."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from publishing.events import SessionChange, SessionEvent, SessionStatus
from service.announcements import Announcements
from service.nova_sonic import RecordedNovaSonic
from service.session_cache import SessionCache
from session.notices import Recipient, SessionNoted
from storage.sqlite import SqliteDatabase
from storage.tables import voice_sessions_table
from storage.voice_session_items import Counts, Leg
from storage.voice_sessions import IDLE_FOR, VoiceSessions
from telemetry.counters import Counters
from tests.service.stage import Told
from tests.service.test_nova_sonic import RECORDING, Stage, Studio
from tests.storage.databases import NOW, StandingClock


@dataclass
class Rig:
    """The service, and what is told of what it does."""

    service: RecordedNovaSonic
    sessions: VoiceSessions
    announcements: Announcements
    told: Told
    clock: StandingClock

    def published(self) -> list[tuple[SessionChange, SessionStatus, int | None]]:
        return [(event.change, event.status, event.message_count) for event in self.told.events if isinstance(event, SessionEvent)]

    def pushed(self) -> list[tuple[Recipient, str]]:
        return [(to, notice.change) for to, notices in self.told.delivered for notice in notices if isinstance(notice, SessionNoted)]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    clock, told = StandingClock(), Told()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    sessions = VoiceSessions(database.table(voice_sessions_table()), clock)
    await sessions.table.create()
    announcements = Announcements(told, told)
    cache = SessionCache(clock.seconds, Counters())
    yield Rig(
        RecordedNovaSonic(sessions, Stage(), cache, Studio(), announcements=announcements, clock=clock),
        sessions,
        announcements,
        told,
        clock,
    )
    await database.aclose()


def talked_in(session_id: str = "s1", **more: object) -> Leg:
    known = {"connection_id": "c1", "user_id": "eva", "assistant": "carlos", "language": "es", "voice_id": "carlos", "model_id": "m"}
    return Leg(
        session_id=session_id, leg_id="p1-1", process="p1", began_at=NOW, audio_format="audio/lpcm;rate=16000", **known, **more  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.mark.req("S0-14", "S0-16", "S0-22")
async def test_the_life_of_a_session_on_request_is_told_step_by_step_and_each_step_once(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva", audio_format="audio/wav")
    await rig.service.update_session(session_id, metadata={"topic": "bills"})
    await rig.service.process_audio_data(RECORDING, session_id)
    rig.clock.advance(seconds=30)
    await rig.service.end_session(session_id)
    await rig.service.end_session(session_id)
    last = rig.told.events[-1]

    active, completed = SessionStatus.ACTIVE, SessionStatus.COMPLETED
    assert rig.published() == [
        (SessionChange.CREATED, active, 0),
        (SessionChange.UPDATED, active, 0),
        (SessionChange.UPDATED, active, 2),
        (SessionChange.ENDED, completed, 2),
    ]
    assert rig.pushed() == [(Recipient("eva", "c1", session_id), change) for change in ("created", "updated", "updated", "ended")]
    assert isinstance(last, SessionEvent)
    assert (last.session_id, last.user_id, last.connection_id, last.duration_ms, last.reason) == (
        session_id,
        "eva",
        "c1",
        30_000,
        "operator",
    )


@pytest.mark.req("S0-16", "S0-53")
async def test_of_many_who_end_a_session_at_once_one_tells(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    await asyncio.gather(*(rig.service.end_session(session_id) for _ in range(6)))

    assert [change for change, _, _ in rig.published()] == [SessionChange.CREATED, SessionChange.ENDED]


@pytest.mark.req("S0-14", "S0-16")
async def test_of_a_session_that_is_talked_in_notes_are_told_and_its_end_is_left_to_its_process(rig: Rig) -> None:
    await rig.sessions.write(talked_in(counts=Counts(user_turns=1)))
    await rig.service.update_session("s1", metadata={"topic": "bills"})
    await rig.service.end_session("s1")

    assert rig.published() == [(SessionChange.UPDATED, SessionStatus.ACTIVE, 1)]
    assert rig.pushed() == [(Recipient("eva", "c1", "s1"), "updated")]


@pytest.mark.req("S0-16")
async def test_somebody_whom_nobody_asked_has_no_name_in_what_is_told(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "")

    assert [event.user_id for event in rig.told.events if isinstance(event, SessionEvent)] == [""]
    assert rig.pushed() == [(Recipient("", "c1", session_id), "created")]


@pytest.mark.req("S0-16", "S0-51")
async def test_what_is_swept_is_told_by_who_swept_it(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    rig.clock.now += IDLE_FOR
    rig.clock.advance(seconds=1)
    for swept in await asyncio.gather(*(rig.sessions.sweep() for _ in range(4))):
        await rig.announcements.ended(*swept)
    last = rig.told.events[-1]

    assert [change for change, _, _ in rig.published()] == [SessionChange.CREATED, SessionChange.ENDED]
    assert isinstance(last, SessionEvent)
    assert (last.session_id, last.reason) == (session_id, "idle")


class Stuck:
    """A client that takes nothing."""

    async def deliver(self, to: Recipient, notices: object) -> bool:
        await asyncio.Event().wait()
        return bool((to, notices))


@pytest.mark.req("S0-45")
async def test_a_client_that_takes_nothing_keeps_nobody_waiting_for_long(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.announcements.DELIVER_SECONDS", 0.01)
    service = RecordedNovaSonic(
        rig.sessions, Stage(), SessionCache(rig.clock.seconds, Counters()), announcements=Announcements(rig.told, Stuck())
    )
    async with asyncio.timeout(5):
        session_id = await service.initialize_session("c1", "eva")

    assert (await rig.sessions.get(session_id)) is not None
    assert [change for change, _, _ in rig.published()] == [SessionChange.CREATED]


class Slow:
    """Clients of which each has taken what it is told only when all have been told."""

    def __init__(self, clients: int) -> None:
        self._all = asyncio.Barrier(clients)
        self.reached = 0

    async def deliver(self, to: Recipient, notices: object) -> bool:
        await self._all.wait()
        self.reached += 1
        return True


@pytest.mark.req("S0-45")
async def test_many_ends_are_told_in_the_time_of_one(rig: Rig) -> None:
    session_id = await rig.service.initialize_session("c1", "eva")
    ended, clients = await rig.service.end_session(session_id), Slow(20)
    await Announcements(rig.told, clients).ended(*([ended] * 20))

    assert clients.reached == 20

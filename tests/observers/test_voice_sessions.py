"""What is written of voice sessions, and what happens while the store is slow or away. The loop's time is a number: minutes take none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise

import pytest

from observers import backlog
from observers import voice_sessions as module
from observers.voice_sessions import VoiceSessionRecords
from s2s.events import CompletionStart, Role, Stage, UnknownEvent
from session.events import (
    EndReason,
    Interrupted,
    ModelOutput,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SpeechChunk,
    ToolFinished,
    TranscriptUpdated,
    UsageReported,
)
from session.interfaces import AudioObserver
from session.label import SessionLabel
from storage.errors import InvalidRequest, StorageThrottled, StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.tables import voice_sessions_table
from storage.voice_session_items import Counts, Leg, Tokens, VoiceSession, VoiceSessionStatus
from storage.voice_sessions import Standing, VoiceSessions
from telemetry.counters import Counters
from tests.observers.loop_time import HANGS, START, LoopTime, Run, open_database


class SlowSessions(VoiceSessions):
    """The repository, which can be made slow, absent or picky."""

    failure: Exception | None = None
    delay = 0.0
    picky_about = "nobody"
    written: list[tuple[float, Leg]]

    async def write(self, leg: Leg) -> Standing:
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        if leg.session_id == self.picky_about:
            raise InvalidRequest("a text is not Unicode")
        self.written.append((asyncio.get_running_loop().time(), leg))
        return await super().write(leg)

    async def greet(self, process: str) -> bool:
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        return await super().greet(process)


@dataclass
class Rig:
    """One process's records, with the repository behind them."""

    records: VoiceSessionRecords
    sessions: SlowSessions
    counters: Counters
    clock: LoopTime
    ended: list[tuple[str, str]] = field(default_factory=list)

    def attend(self, session_id: str = "s1", *, user: str = "eva", is_adopted: bool = False) -> AudioObserver:
        label = SessionLabel(
            session_id, user, "c1", "carlos", "es", "carlos", "amazon.nova-2-sonic-v1:0", 16_000, 24_000, self.clock(), is_adopted
        )
        return self.records.attend(label)

    def end(self, session_id: str, reason: str) -> bool:
        self.ended.append((session_id, reason))
        return True

    async def found(self, session_id: str = "s1") -> VoiceSession:
        session = await self.sessions.get(session_id)
        assert session is not None
        return session

    def write_times(self, session_id: str = "s1") -> list[float]:
        return [at for at, leg in self.sessions.written if leg.session_id == session_id]


@asynccontextmanager
async def records_of(process: str = "p1", database: SqliteDatabase | None = None) -> AsyncIterator[Rig]:
    clock, own = LoopTime(), database or open_database()
    table = own.table(voice_sessions_table())
    await table.create()
    sessions, counters = SlowSessions(table, clock), Counters()
    sessions.written = []
    rig = Rig(VoiceSessionRecords(sessions, counters, process=process, clock=clock), sessions, counters, clock)
    rig.records.ends_with(rig.end)
    rig.records.start()
    try:
        yield rig
    finally:
        await rig.records.aclose()


def said(turn: int, role: Role = Role.USER, stage: Stage = Stage.FINAL) -> TranscriptUpdated:
    return TranscriptUpdated(turn, role, stage, "words")


def talk(observer: AudioObserver) -> None:
    """Let everything happen that is counted, and some that is not."""
    started = CompletionStart("nova-7", "p", "c")
    events: list[SessionEvent] = [ModelOutput(UnknownEvent("future", "{}")), ModelOutput(started)]
    events += [said(1), said(2, Role.ASSISTANT, Stage.SPECULATIVE), said(2, Role.ASSISTANT), said(2, Role.ASSISTANT), said(3)]
    events += [SpeechChunk(2, bytes(48_000)), Interrupted(2, 300), UsageReported(1, 2, 3, 4)]
    events += [ToolFinished(3, f"t{number}", "get_order", "{}", code, 5) for number, code in enumerate((None, "not_found"))]
    for event in events:
        observer.on_event(event)
    observer.on_caller_audio(bytes(32_000), 0.0)


COUNTED = Counts(
    user_turns=2, assistant_turns=1, tool_calls=2, tool_errors=1, interruptions=1, user_audio_ms=1_000, assistant_audio_ms=1_000
)


@pytest.mark.req("S0-06", "S0-09", "S0-10", "S0-11", "S0-22", "S2-25")
def test_the_life_of_a_session_is_written_down(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            observer = rig.attend()
            await rig.records.written()
            began = await rig.found()
            talk(observer)
            await asyncio.sleep(6)
            talking = await rig.found()
            await asyncio.sleep(24)
            observer.on_event(SessionEnded(EndReason.CLIENT))
            await rig.records.written()
            ended = await rig.found()

        assert (began.status, began.connection_id, began.user_id, began.created_at) == (VoiceSessionStatus.ACTIVE, "c1", "eva", START)
        assert (began.audio_format, began.process, began.counts) == ("audio/lpcm;rate=16000", "p1", Counts())
        assert (talking.nova_sonic_session_id, talking.counts, talking.tokens) == ("nova-7", COUNTED, Tokens(1, 2, 3, 4))
        assert (ended.status, ended.total_duration, ended.message_count, ended.end_reason) == (
            VoiceSessionStatus.COMPLETED,
            Decimal(30),
            3,
            "client",
        )

    run(test())


@pytest.mark.req("S0-11")
def test_a_session_that_failed_is_an_error_with_its_code(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            observer = rig.attend()
            observer.on_event(SessionFailed("model_lost", "The connection was lost.", retryable=True))
            observer.on_event(SessionEnded(EndReason.FAILED, 1011))
            await rig.records.written()
            stored = await rig.found()

        assert (stored.status, stored.end_reason, stored.error_code) == (VoiceSessionStatus.ERROR, "failed", "model_lost")

    run(test())


def test_an_answer_that_is_interrupted_before_its_final_text_is_a_message_and_one_that_nobody_heard_is_none(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            observer = rig.attend()
            observer.on_event(said(1))
            heard, unheard = SpeechChunk(2, bytes(480)), SpeechChunk(4, bytes(480))
            observer.on_event(heard)
            observer.on_delivered(heard, 0.0)
            observer.on_delivered(heard, 0.0)
            observer.on_event(said(3))
            observer.on_event(unheard)
            observer.on_event(SessionEnded(EndReason.CLIENT))
            await rig.records.written()
            stored = await rig.found()

        assert (stored.counts.user_turns, stored.counts.assistant_turns) == (2, 1)

    run(test())


@pytest.mark.req("S0-22")
def test_a_session_in_which_much_happens_is_written_every_few_seconds_and_a_quiet_one_not_at_all(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            busy = rig.attend("busy")
            rig.attend("quiet")
            open_microphone = rig.attend("open microphone")
            for number in range(600):
                busy.on_event(said(number + 1))
                open_microphone.on_caller_audio(bytes(3_200), 0.1 * number)
                await asyncio.sleep(0.1)
            times = rig.write_times("busy")

            assert len(times) in (12, 13)
            assert min(later - earlier for earlier, later in pairwise(times)) >= module.UPDATE_SECONDS - 0.1
            assert len(rig.write_times("quiet")) == 1
            assert len(rig.write_times("open microphone")) == 1

    run(test())


def test_what_changes_while_a_write_is_on_its_way_is_written_together(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.sessions.delay = 1.0
            observer = rig.attend()
            await asyncio.sleep(1.5)
            for number in range(100):
                observer.on_event(said(number + 1))
            observer.on_event(SessionEnded(EndReason.CLIENT))
            await rig.records.written()

            assert [leg.counts.user_turns for _, leg in rig.sessions.written] == [0, 100]

    run(test())


@pytest.mark.req("S2-25")
def test_a_parked_session_goes_on_in_the_process_that_adopts_it(run: Run) -> None:
    async def test() -> None:
        database = open_database()
        async with records_of("p1", database) as first, records_of("p2", database) as second:
            observer = first.attend()
            talk(observer)
            observer.on_event(SessionEnded(EndReason.PARKED))
            await first.records.written()
            parked = await first.found()
            await asyncio.sleep(20)
            adopter = second.attend(is_adopted=True)
            adopter.on_event(said(4))
            await second.records.written()
            await asyncio.sleep(1200)
            living = await second.found()
            adopter.on_event(SessionEnded(EndReason.CLIENT))
            await second.records.written()
            ended = await first.found()

        assert (parked.status, parked.ended_at, parked.lives_on) == (VoiceSessionStatus.ACTIVE, None, "PARKED")
        assert (living.status, living.process, living.counts) == (VoiceSessionStatus.ACTIVE, "p2", COUNTED + Counts(user_turns=1))
        assert (ended.status, ended.message_count, ended.total_duration) == (VoiceSessionStatus.COMPLETED, 4, Decimal(1220))

    run(test())


@pytest.mark.parametrize("failure", [StorageUnavailable("away"), StorageThrottled("slow down"), OSError("no network"), None])
def test_while_the_store_is_away_for_a_minute_nobody_waits_and_afterwards_all_is_written(run: Run, failure: Exception | None) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.sessions.failure, rig.sessions.delay = failure, 0.0 if failure else HANGS
            observers = []
            for number in range(300):
                observers.append(rig.attend(f"s{number}"))
                talk(observers[-1])
                await asyncio.sleep(0.2)
            for observer in observers[:100]:
                observer.on_event(SessionEnded(EndReason.CLIENT))
            rig.sessions.failure, rig.sessions.delay = None, 0.0
            await asyncio.sleep(25)
            stored = [await rig.found(f"s{number}") for number in range(300)]
            most = max(len(rig.write_times(f"s{number}")) for number in range(300))

        assert [session.status for session in stored] == [VoiceSessionStatus.COMPLETED] * 100 + [VoiceSessionStatus.ACTIVE] * 200
        assert {session.counts for session in stored} == {COUNTED}
        assert most <= 2
        assert "voice_session_lost" not in rig.counters.read()

    run(test())


def test_a_store_that_never_comes_back_costs_a_bounded_amount_of_memory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING", 20)
    monkeypatch.setattr(backlog, "CLOSE_SECONDS", 0.1)

    async def test() -> None:
        async with records_of() as rig:
            rig.sessions.failure = StorageUnavailable("away")
            for number in range(200):
                rig.attend(f"s{number}").on_event(SessionEnded(EndReason.CLIENT))
                await asyncio.sleep(0.01)
            sizes = (len(rig.records._watched), rig.records._line.waiting)

            assert sizes == (20, 20)

    run(test())


def test_what_no_store_takes_does_not_stop_the_others(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.sessions.picky_about = "s3"
            for number in range(10):
                rig.attend(f"s{number}")
            await rig.records.written()
            stored = {number for number in range(10) if await rig.sessions.get(f"s{number}") is not None}

            assert stored == set(range(10)) - {3}
            assert rig.counters.read()["voice_session_refused"] == 1

    run(test())


def test_a_session_that_somebody_ends_through_another_process_ends_within_seconds(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.attend()
            await rig.records.written()
            await rig.sessions.end("s1", "operator")
            await asyncio.sleep(module.LOOK_SECONDS + 1)

            assert rig.ended == [("s1", "operator")]
            assert rig.counters.read()["voice_session_ended_on_request"] == 1

    run(test())


def test_the_end_that_somebody_noted_stands_when_the_session_has_come_to_its_own(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            observer = rig.attend()
            await rig.records.written()
            await asyncio.sleep(4)
            await rig.sessions.end("s1", "client")
            talk(observer)
            observer.on_event(SessionEnded(EndReason.CLIENT))
            await rig.records.written()
            stored = await rig.found()

            assert (stored.status, stored.total_duration, stored.message_count) == (VoiceSessionStatus.COMPLETED, Decimal(4), 3)

    run(test())


@pytest.mark.req("S0-51")
def test_what_a_killed_process_left_is_an_error_after_minutes_and_no_sooner(run: Run) -> None:
    async def test() -> None:
        database, told = open_database(), list[VoiceSession]()

        async def tell(*sessions: VoiceSession) -> None:
            told.extend(sessions)

        async with records_of("p1", database) as dead:
            dead.attend()
            await dead.records.written()
            for task in dead.records._tasks:
                task.cancel()
            async with records_of("p2", database) as rig:
                rig.records.tells(tell)
                rig.attend("s2")
                await asyncio.sleep(100)
                early = await rig.found()
                await asyncio.sleep(100)
                late, own = await rig.found(), await rig.found("s2")

        assert early.status is VoiceSessionStatus.ACTIVE
        assert (late.status, late.error_code) == (VoiceSessionStatus.ERROR, "process_lost")
        assert own.status is VoiceSessionStatus.ACTIVE
        assert rig.counters.read()["voice_session_swept"] == 1
        assert told == [late]

    run(test())


def test_a_process_that_was_taken_for_gone_says_that_its_sessions_live(run: Run) -> None:
    async def test() -> None:
        database = open_database()
        async with records_of("p1", database) as rig, records_of("p2", database):
            rig.attend()
            await rig.records.written()
            rig.sessions.failure = StorageUnavailable("away")
            await asyncio.sleep(300)
            swept = await rig.found()
            rig.sessions.failure = None
            await asyncio.sleep(30)
            living = await rig.found()

        assert swept.status is VoiceSessionStatus.ERROR
        assert (living.status, living.ended_at, living.error_code) == (VoiceSessionStatus.ACTIVE, None, None)

    run(test())


def test_a_process_that_ends_in_order_leaves_nothing_to_sweep(run: Run) -> None:
    async def test() -> None:
        database = open_database()
        async with records_of("p1", database) as rig:
            for number in range(50):
                rig.attend(f"s{number}").on_event(SessionEnded(EndReason.SERVER_LEAVING, 1012))
        stored = [await rig.found(f"s{number}") for number in range(50)]
        is_known = await rig.sessions.greet("p1")

        assert {session.end_reason for session in stored} == {"server_leaving"}
        assert not is_known

    run(test())


def test_the_end_does_not_wait_for_a_store_that_hangs(run: Run) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with records_of() as rig:
            rig.sessions.delay = HANGS
            rig.attend()
            await asyncio.sleep(10)
            began = loop.time()
        took = loop.time() - began

        assert took <= backlog.CLOSE_SECONDS + 0.5
        assert rig.counters.read()["voice_session_lost"] == 1

    run(test())

"""What is written of connections, and what happens while the store is slow or away. The loop's time is a number: a minute takes no time."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count, pairwise

import pytest

from auth.principal import Principal
from observers import connection_records
from observers.connection_records import ConnectionRecords
from session.events import EndReason, SessionEnded
from storage.audit import AuditEntry, AuditTrail
from storage.connections import ConnectionInfo, Connections, ConnectionStatus
from storage.errors import InvalidRequest, StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.tables import connections_table
from telemetry.counters import Counters
from tests.observers.loop_time import HANGS, START, LoopTime, Run, open_database

EVA = Principal("eva", expires_at=1.0)


class SlowConnections(Connections):
    """The repository, which can be made slow, absent or picky."""

    failure: Exception | None = None
    delay = 0.0
    picky_about = "nobody"
    written: list[tuple[float, str, ConnectionInfo]]

    async def write(self, infos: Sequence[ConnectionInfo], entries: Sequence[AuditEntry] = ()) -> frozenset[str]:
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure
        if any(info.connection_id == self.picky_about for info in infos):
            raise InvalidRequest("a text is not Unicode")
        refused = await super().write(infos, entries)
        self.written += [(asyncio.get_running_loop().time(), info.connection_id, info) for info in infos]
        return refused


@dataclass
class Rig:
    """One process's records, with the repository behind them."""

    records: ConnectionRecords
    connections: SlowConnections
    trail: AuditTrail
    counters: Counters
    closed: list[tuple[str, int, str]] = field(default_factory=list)

    def open(self, connection_id: str = "c1", principal: Principal = EVA) -> asyncio.Event:
        return self.records.opened(connection_id, principal, "192.0.2.7", "Mozilla")

    def disconnect(self, connection_id: str, code: int, reason: str) -> bool:
        self.closed.append((connection_id, code, reason))
        return True

    async def actions(self, connection_id: str = "c1") -> list[str]:
        return [entry.action.value for entry in (await self.trail.of_connection(connection_id)).records]

    def write_times(self, connection_id: str = "c1") -> list[float]:
        return [at for at, one, _ in self.connections.written if one == connection_id]


@asynccontextmanager
async def records_of(process: str = "p1", database: SqliteDatabase | None = None) -> AsyncIterator[Rig]:
    clock, ids = LoopTime(), count(1)
    own = database or open_database()
    table = own.table(connections_table())
    await table.create()
    connections = SlowConnections(table, clock)
    connections.written = []
    trail = AuditTrail(table, lambda: f"{next(ids):06}-{process}", clock)
    counters = Counters()
    rig = Rig(ConnectionRecords(connections, trail, counters, process=process, clock=clock), connections, trail, counters)
    rig.records.start(rig.disconnect)
    try:
        yield rig
    finally:
        await rig.records.aclose()


@pytest.mark.req("S0-36", "S2-01", "S2-06", "S2-07", "S2-22", "S2-25", "S2-30")
def test_the_life_of_a_connection_is_written_down(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            await rig.open().wait()
            connected = await rig.connections.get("c1")
            await asyncio.sleep(1)
            rig.records.carries("c1", "s1")
            await asyncio.sleep(1)
            talking = await rig.connections.get("c1")
            rig.records.on_event("s1", SessionEnded(EndReason.CLIENT))
            rig.records.closed("c1", 1000)
            await asyncio.sleep(1)
            gone = await rig.connections.get("c1")
            entries = (await rig.trail.of_connection("c1")).records

        assert connected == ConnectionInfo("c1", "eva", START, START, ip_address="192.0.2.7", user_agent="Mozilla", process="p1")
        assert talking is not None
        assert talking.session_id == "s1"
        assert gone is not None
        assert (gone.status, gone.disconnected_at) == (ConnectionStatus.DISCONNECTED, START + timedelta(seconds=2))
        assert [(entry.action.value, entry.actor, entry.session_id, entry.detail) for entry in entries] == [
            ("connected", "eva", None, None),
            ("authenticated", "eva", None, None),
            ("session_began", "eva", "s1", None),
            ("session_ended", "eva", "s1", "client"),
            ("disconnected", "eva", None, "1000"),
        ]

    run(test())


@pytest.mark.req("S2-30")
def test_somebody_whom_nobody_asked_is_not_noted_as_authenticated(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            await rig.open(principal=Principal("")).wait()

            assert await rig.actions() == ["connected"]

    run(test())


@pytest.mark.req("S2-30")
def test_a_session_that_moves_to_another_connection_ends_there(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.open("c1")
            rig.records.carries("c1", "s1")
            rig.records.closed("c1", 1006)
            await rig.open("c2").wait()
            rig.records.carries("c2", "s1")
            rig.records.on_event("s1", SessionEnded(EndReason.CLIENT))
            rig.records.on_event("s1", SessionEnded(EndReason.CLIENT))
            await asyncio.sleep(1)

            assert await rig.actions("c1") == ["connected", "authenticated", "session_began", "disconnected"]
            assert await rig.actions("c2") == ["connected", "authenticated", "session_resumed", "session_ended"]

    run(test())


@pytest.mark.req("S2-08")
def test_what_changes_while_a_write_is_on_its_way_is_written_together(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.connections.delay = 1.0
            rig.open()
            await asyncio.sleep(0.1)
            for _ in range(100):
                rig.records.active("c1")
            rig.records.carries("c1", "s1")
            await asyncio.sleep(5)

            assert len(rig.write_times()) == 2
            assert rig.connections.written[-1][2].session_id == "s1"

    run(test())


@pytest.mark.req("S2-16")
@pytest.mark.parametrize("failure", [StorageUnavailable("away"), OSError("no network"), None])
def test_while_the_store_is_away_for_a_minute_nobody_waits_and_afterwards_all_is_written(run: Run, failure: Exception | None) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.connections.failure, rig.connections.delay = failure, 0.0 if failure else HANGS
            loop = asyncio.get_running_loop()
            first = rig.open("c1")
            await first.wait()
            noticed = loop.time()
            for number in range(2, 305):
                is_told_at_once = rig.open(f"c{number}").is_set()
                assert is_told_at_once
                rig.records.carries(f"c{number}", f"s{number}")
                await asyncio.sleep(0.2)
            rig.records.closed("c2", 1000)
            before = loop.time()
            rig.connections.failure, rig.connections.delay = None, 0.0
            await asyncio.sleep(35)
            stored = [await rig.connections.get(f"c{number}") for number in range(1, 305)]

        assert noticed <= connection_records.STORE_SECONDS
        assert before - noticed >= 60
        assert [info.status if info else None for info in stored[:3]] == ["CONNECTED", "DISCONNECTED", "CONNECTED"]
        assert None not in stored
        assert "connection_record_dropped" not in rig.counters.read()

    run(test())


@pytest.mark.req("S2-16")
def test_a_store_that_never_comes_back_costs_a_bounded_amount_of_memory(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_records, "WAITING_ENTRIES", 50)
    monkeypatch.setattr(connection_records, "WAITING_ENDED", 20)

    async def test() -> None:
        async with records_of() as rig:
            rig.connections.failure = StorageUnavailable("away")
            for number in range(200):
                rig.open(f"c{number}")
                rig.records.closed(f"c{number}", 1000)
                await asyncio.sleep(0.01)
            held = rig.records
            sizes = (held._entries, len(held._ended), held._line.waiting - held._entries, len(held._living))

            assert sizes == (50, 20, 20, 0)
            assert rig.counters.read()["audit_entry_dropped"] == 200 * 3 - 50
            assert rig.counters.read()["connection_record_dropped"] == 180

    run(test())


def test_a_record_that_no_store_takes_does_not_stop_the_others(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.connections.picky_about = "c5"
            for number in range(10):
                rig.open(f"c{number}")
            await asyncio.sleep(5)
            stored = {number for number in range(10) if await rig.connections.get(f"c{number}") is not None}

            assert stored == set(range(10)) - {5}
            assert rig.counters.read()["connection_record_dropped"] == 1
            assert await rig.actions("c5") == ["connected", "authenticated"]

    run(test())


@pytest.mark.req("S2-19")
def test_what_an_operator_ends_through_another_process_is_closed_within_seconds(run: Run) -> None:
    async def test() -> None:
        async with records_of("p1") as rig:
            await rig.open().wait()
            await rig.connections.end("c1")
            await asyncio.sleep(connection_records.LOOK_SECONDS + 1)

            assert rig.closed == [("c1", 4403, "disconnected by an operator")]

    run(test())


@pytest.mark.req("S2-19")
def test_what_an_operator_has_ended_is_closed_at_the_next_write(run: Run) -> None:
    async def test() -> None:
        async with records_of("p1") as rig:
            await rig.open().wait()
            await rig.connections.end("c1")
            rig.records.active("c1")
            await asyncio.sleep(1)

            assert rig.closed == [("c1", 4403, "disconnected by an operator")]

    run(test())


@pytest.mark.req("S2-20")
def test_a_connection_that_is_taken_for_gone_and_lives_says_so(run: Run) -> None:
    async def test() -> None:
        async with records_of("p1") as rig:
            await rig.open().wait()
            await asyncio.sleep(2 * 3600)
            swept = await rig.connections.get("c1")
            rig.records.active("c1")
            await asyncio.sleep(1)
            living = await rig.connections.get("c1")

            assert swept is not None
            assert swept.status is ConnectionStatus.DISCONNECTED
            assert living is not None
            assert (living.status, living.disconnected_at) == (ConnectionStatus.CONNECTED, None)
            assert rig.closed == []

    run(test())


@pytest.mark.req("S2-15", "S2-20")
def test_what_a_process_that_died_left_behind_is_swept_after_an_hour_and_not_before(run: Run) -> None:
    async def test() -> None:
        database = open_database()
        async with records_of("p1", database) as dead:
            await dead.open().wait()
            for task in dead.records._tasks:
                task.cancel()
            async with records_of("p2", database) as rig:
                await rig.open("c2").wait()
                await asyncio.sleep(3500)
                early = await rig.connections.get("c1")
                rig.records.active("c2")
                await asyncio.sleep(800)
                late, own = await rig.connections.get("c1"), await rig.connections.get("c2")
                operations = (await rig.trail.operations(START.date())).records

                assert early is not None
                assert early.status is ConnectionStatus.CONNECTED
                assert late is not None
                assert late.status is ConnectionStatus.DISCONNECTED
                assert own is not None
                assert own.status is ConnectionStatus.CONNECTED
                assert [(entry.action.value, entry.detail) for entry in operations] == [("swept", "1")]

    run(test())


def test_at_the_end_what_is_left_is_written(run: Run) -> None:
    async def test() -> None:
        database = open_database()
        async with records_of("p1", database) as rig:
            for number in range(100):
                rig.open(f"c{number}")
                rig.records.closed(f"c{number}", 1001)
        stored = [await rig.connections.get(f"c{number}") for number in range(100)]

        assert {info.status if info else None for info in stored} == {ConnectionStatus.DISCONNECTED}

    run(test())


def test_the_end_does_not_wait_for_a_store_that_is_away(run: Run) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with records_of() as rig:
            rig.connections.delay = HANGS
            rig.open()
            await asyncio.sleep(10)
            began = loop.time()
        took = loop.time() - began

        assert took <= connection_records.CLOSE_SECONDS + 0.5

    run(test())


@pytest.mark.req("S2-08")
def test_writes_of_one_connection_are_as_far_apart_as_its_activity_is_told(run: Run) -> None:
    async def test() -> None:
        async with records_of() as rig:
            rig.open()
            for _ in range(40):
                await asyncio.sleep(15)
                rig.records.active("c1")
            await asyncio.sleep(1)
            times = rig.write_times()

            assert len(times) == 41
            assert min(later - earlier for earlier, later in pairwise(times)) >= 14.9

    run(test())

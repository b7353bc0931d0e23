import json
from datetime import timedelta
from itertools import count

import pytest

from storage.audit import AuditAction, AuditTrail
from storage.connections import ConnectionInfo, Connections, ConnectionStatus
from storage.table import Database
from storage.tables import connections_table
from tests.storage.databases import NOW, StandingClock


@pytest.fixture
async def connections(database: Database, clock: StandingClock, prefix: str) -> Connections:
    table = database.table(connections_table(f"{prefix}-connections"))
    await table.create()
    return Connections(table, clock)


@pytest.fixture
def trail(connections: Connections, clock: StandingClock) -> AuditTrail:
    ids = count(1)
    return AuditTrail(connections.table, lambda: f"{next(ids):06}", clock)


@pytest.mark.req("S2-30")
async def test_what_happened_to_a_connection_is_told_in_order_page_by_page(
    connections: Connections, trail: AuditTrail, clock: StandingClock
) -> None:
    made = [
        trail.entry(AuditAction.CONNECTED, connection_id="c1", actor="eva"),
        trail.entry(AuditAction.AUTHENTICATED, connection_id="c1", actor="eva"),
    ]
    clock.advance(seconds=3)
    made.append(trail.entry(AuditAction.DISCONNECTED, connection_id="c1", actor="eva", detail="1000"))
    await connections.write([ConnectionInfo("c1", "eva", NOW, NOW)], [*made, trail.entry(AuditAction.CONNECTED, connection_id="c2")])
    first = await trail.of_connection("c1", limit=2)
    rest = await trail.of_connection("c1", limit=2, cursor=first.cursor)

    assert [*first.records, *rest.records] == made
    assert rest.cursor is None
    assert len((await trail.of_connection("c2")).records) == 1


@pytest.mark.req("S2-30")
async def test_an_entry_that_is_written_twice_is_one_entry(connections: Connections, trail: AuditTrail) -> None:
    entry = trail.entry(AuditAction.SESSION_BEGAN, connection_id="c1", actor="eva", session_id="s1")
    await connections.write([], [entry])
    await connections.write([], [entry])

    assert (await trail.of_connection("c1")).records == (entry,)


@pytest.mark.req("S2-30")
async def test_what_operators_did_is_found_by_day_with_who_did_it(trail: AuditTrail, clock: StandingClock) -> None:
    asked = trail.entry(AuditAction.DISCONNECT_ASKED, connection_id="c1", actor="op")
    swept = trail.entry(AuditAction.SWEPT, actor="op", detail="3")
    for entry in (asked, swept, trail.entry(AuditAction.CONNECTED, connection_id="c1", actor="eva")):
        await trail.add(entry)
    clock.advance(days=1)
    await trail.add(trail.entry(AuditAction.SWEPT, actor="op", detail="0"))

    assert (await trail.operations(NOW.date())).records == (asked, swept)
    assert len((await trail.operations(clock().date())).records) == 1


async def test_entries_are_no_connections_and_connections_no_entries(connections: Connections, trail: AuditTrail) -> None:
    await connections.write(
        [ConnectionInfo("c1", "eva", NOW, NOW)], [trail.entry(AuditAction.DISCONNECT_ASKED, connection_id="c1", actor="op")]
    )

    assert [one.connection_id for one in (await connections.of_user("eva")).records] == ["c1"]
    assert [one.connection_id for one in (await connections.with_status(ConnectionStatus.CONNECTED)).records] == ["c1"]
    assert len((await trail.of_connection("c1")).records) == 1


async def test_the_trail_of_a_connection_ends_after_ninety_days(trail: AuditTrail, clock: StandingClock) -> None:
    await trail.add(trail.entry(AuditAction.CONNECTED, connection_id="c1"))
    clock.advance(days=89)
    kept = await trail.of_connection("c1")
    clock.advance(days=2)

    assert len(kept.records) == 1
    assert (await trail.of_connection("c1")).records == ()


def test_nobody_can_change_or_remove_an_entry() -> None:
    offered = {name for name in dir(AuditTrail) if not name.startswith("_")}

    assert offered == {"entry", "add", "of_connection", "operations"}


async def test_an_entry_holds_no_address_and_no_user_agent(connections: Connections, trail: AuditTrail) -> None:
    info = ConnectionInfo("c1", "eva", NOW, NOW + timedelta(seconds=1), ip_address="192.0.2.7", user_agent="Mozilla")
    await connections.write([info], [trail.entry(AuditAction.CONNECTED, connection_id="c1", actor="eva")])
    entries = await trail.of_connection("c1")

    assert "192.0.2.7" not in json.dumps([str(entry) for entry in entries.records])
    assert "Mozilla" not in json.dumps([str(entry) for entry in entries.records])

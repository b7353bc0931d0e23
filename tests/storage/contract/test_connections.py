import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from storage.connections import ConnectionInfo, Connections, ConnectionStatus, EndedBy
from storage.dynamodb_requests import table_request
from storage.models import format_instant
from storage.table import Database, Key
from storage.tables import connections_table
from tests.storage.databases import NOW, StandingClock

HOUR = timedelta(hours=1)
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"


def info(name: str = "c1", *, user: str = "eva", **changes: object) -> ConnectionInfo:
    known = ConnectionInfo(name, user, NOW, NOW, ip_address="192.0.2.7", user_agent=AGENT, process="p1")
    return replace(known, **changes)  # type: ignore[arg-type]


@pytest.fixture
async def connections(database: Database, clock: StandingClock, prefix: str) -> Connections:
    table = database.table(connections_table(f"{prefix}-connections"))
    await table.create()
    return Connections(table, clock)


@pytest.mark.req("S2-02", "S2-22")
def test_the_table_has_its_name_and_an_index_by_user() -> None:
    definition = connections_table()

    assert definition.name == "airium-websocket-connections"
    assert (definition.index("UserIndex").partition, definition.index("UserIndex").sort) == ("userId", "createdAt")


@pytest.mark.req("S2-04")
def test_the_table_is_paid_by_request() -> None:
    assert table_request(connections_table())["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.req("S2-02", "S2-06", "S2-22")
async def test_a_connection_is_stored_with_all_its_attributes(connections: Connections) -> None:
    await connections.write([info(session_id="s1")])
    item = await connections.table.get(Key("CONNECTION#c1", "METADATA"))

    assert item == {
        "PK": "CONNECTION#c1", "SK": "METADATA", "connectionId": "c1", "userId": "eva", "sessionId": "s1", "status": "CONNECTED",
        "ipAddress": "192.0.2.7", "userAgent": AGENT, "createdAt": format_instant(NOW), "lastActivity": format_instant(NOW),
        "process": "p1", "expiresAt": int((NOW + timedelta(days=60)).timestamp()),
    }  # fmt: skip
    assert await connections.get("c1") == info(session_id="s1")
    assert await connections.get("c2") is None


@pytest.mark.req("S2-07", "S2-22")
async def test_the_record_of_a_connection_that_has_ended_says_when_and_expires(connections: Connections, clock: StandingClock) -> None:
    await connections.write([info()])
    clock.advance(minutes=1)
    ended = info().ended(clock(), EndedBy.OWNER)
    await connections.write([ended])
    stored = await connections.get("c1")
    clock.advance(days=31)

    assert stored == ended
    assert stored.status is ConnectionStatus.DISCONNECTED
    assert stored.disconnected_at == NOW + timedelta(minutes=1)
    assert await connections.get("c1") is None


@pytest.mark.req("S2-17", "S2-25")
async def test_the_connections_of_a_user_are_found_page_by_page_newest_first(connections: Connections) -> None:
    for number in range(5):
        at = NOW + timedelta(minutes=number)
        await connections.write([info(f"c{number}", created_at=at), info(f"d{number}", user="ada", created_at=at)])
    first = await connections.of_user("eva", limit=3)
    rest = await connections.of_user("eva", limit=3, cursor=first.cursor)

    assert [one.connection_id for one in (*first.records, *rest.records)] == ["c4", "c3", "c2", "c1", "c0"]
    assert rest.cursor is None
    assert (await connections.of_user("nobody")).records == ()


@pytest.mark.req("S2-18")
async def test_all_active_connections_are_found_page_by_page_longest_idle_first(connections: Connections) -> None:
    for number in range(5):
        await connections.write([info(f"c{number}", last_activity=NOW - timedelta(minutes=number))])
    await connections.write([info("c2", last_activity=NOW).ended(NOW, EndedBy.OWNER)])
    first = await connections.with_status(ConnectionStatus.CONNECTED, limit=2)
    rest = await connections.with_status(ConnectionStatus.CONNECTED, limit=2, cursor=first.cursor)

    assert [one.connection_id for one in (*first.records, *rest.records)] == ["c4", "c3", "c1", "c0"]
    assert [one.connection_id for one in (await connections.with_status(ConnectionStatus.DISCONNECTED)).records] == ["c2"]


async def test_somebody_whom_nobody_asked_has_an_empty_user_and_is_in_no_ones_list(connections: Connections) -> None:
    await connections.write([info(user="")])
    stored = await connections.get("c1")

    assert stored is not None
    assert stored.user_id == ""
    assert [one.connection_id for one in (await connections.with_status(ConnectionStatus.CONNECTED)).records] == ["c1"]


@pytest.mark.req("S2-19")
async def test_an_operator_ends_a_connection_and_its_process_is_asked_once_to_close_it(connections: Connections) -> None:
    await connections.write([info(), info("c2", process="p2")])
    ended = await connections.end("c1")
    again = await connections.end("c1")
    asked = await connections.take_requests("p1")

    assert ended is not None
    assert (ended.status, ended.ended_by, ended.disconnected_at) == (ConnectionStatus.DISCONNECTED, EndedBy.OPERATOR, NOW)
    assert again == ended == await connections.get("c1")
    assert asked == ("c1",)
    assert await connections.take_requests("p1") == ()
    assert await connections.take_requests("p2") == ()
    assert await connections.end("c9") is None


@pytest.mark.req("S2-19")
async def test_the_process_of_a_connection_does_not_write_over_what_an_operator_wants(connections: Connections) -> None:
    await connections.write([info(), info("c2")])
    await connections.end("c1")
    refused = await connections.write([info(session_id="s1"), info("c2", session_id="s2")])
    stored, other = await connections.get("c1"), await connections.get("c2")
    is_reopened = await connections.reopen(info())
    await connections.write([info(session_id="s1").ended(NOW, EndedBy.OWNER)])
    final = await connections.get("c1")

    assert refused == {"c1"}
    assert (stored and stored.status, stored and stored.session_id) == (ConnectionStatus.DISCONNECTED, None)
    assert (other and other.status, other and other.session_id) == (ConnectionStatus.CONNECTED, "s2")
    assert not is_reopened
    assert (final and final.ended_by) is EndedBy.OWNER


@pytest.mark.req("S2-19")
@pytest.mark.parametrize(("by", "expected"), [(EndedBy.OPERATOR, True), (EndedBy.SWEEP, True), (EndedBy.OWNER, False)])
async def test_an_end_can_be_taken_back_unless_the_connection_is_gone(connections: Connections, by: EndedBy, *, expected: bool) -> None:
    await connections.write([info().ended(NOW, by)])
    restored = await connections.restore("c1")

    assert (restored is not None) is expected
    assert restored is None or restored == info()
    assert await connections.restore("c9") is None


@pytest.mark.req("S2-19")
async def test_an_end_that_was_taken_back_is_no_request_any_more(connections: Connections) -> None:
    await connections.write([info()])
    await connections.end("c1")
    await connections.restore("c1")

    assert await connections.take_requests("p1") == ()
    assert await connections.write([info(session_id="s1")]) == frozenset()


@pytest.mark.req("S2-20")
async def test_connections_without_activity_for_an_hour_are_swept(connections: Connections, clock: StandingClock) -> None:
    await connections.write([info("old"), info("older", last_activity=NOW - HOUR), info("gone").ended(NOW, EndedBy.OWNER)])
    clock.advance(minutes=61)
    await connections.write([info("new", last_activity=clock())])
    swept = await connections.sweep(HOUR)
    stored = await connections.get("old")

    assert swept == ("older", "old")
    assert stored == info("old").ended(clock(), EndedBy.SWEEP)
    assert [one.connection_id for one in (await connections.with_status(ConnectionStatus.CONNECTED)).records] == ["new"]
    assert await connections.sweep(HOUR) == ()


@pytest.mark.req("S2-20")
async def test_of_ten_servers_that_sweep_at_once_one_notes_each_end(connections: Connections, clock: StandingClock) -> None:
    await connections.write([info(f"c{number}") for number in range(8)])
    clock.advance(minutes=61)
    swept = await asyncio.gather(*(connections.sweep(HOUR) for _ in range(10)))

    assert sorted(one for each in swept for one in each) == [f"c{number}" for number in range(8)]


@pytest.mark.req("S2-20")
async def test_a_connection_that_was_swept_and_lives_is_taken_up_again_by_its_process(
    connections: Connections, clock: StandingClock
) -> None:
    await connections.write([info()])
    clock.advance(hours=2)
    await connections.sweep(HOUR)
    living = info(last_activity=clock())
    refused = await connections.write([living])
    is_reopened = await connections.reopen(living)

    assert refused == {"c1"}
    assert is_reopened
    assert await connections.get("c1") == living


async def test_an_operator_ends_a_connection_while_its_process_writes_a_hundred_times(connections: Connections) -> None:
    await connections.write([info()])
    writes = [connections.write([info(last_activity=NOW + timedelta(seconds=number))]) for number in range(50)]
    ended, *_ = await asyncio.gather(connections.end("c1"), *writes)
    stored = await connections.get("c1")

    assert ended is not None
    assert stored is not None
    assert stored.status is ConnectionStatus.DISCONNECTED

"""The change feed of a database without streams: told after the commit, in order, and only of what is followed."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from observers.change_feed import ChangeFeed
from publishing.changes import FollowedTables, event_of
from publishing.events import ConversationEvent, RecordEvent
from storage.conditions import Absent, Present, Update
from storage.conversation_turns import Conversation, Speaker, ToolCall, Turn
from storage.conversations import Conversations
from storage.errors import ConditionFailed, StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.table import Change, Delete, Key, Put, Query, Table
from storage.tables import TableDefinition, conversations_table, orders_table
from storage.values import Item
from telemetry.counters import Counters
from tests.storage.databases import StandingClock, repositories

ORDER = Key.twice("ORDER#1")


class Listener:
    """Takes records of the stream."""

    def __init__(self) -> None:
        self.records: list[Mapping[str, Any]] = []

    def __call__(self, record: Mapping[str, Any]) -> None:
        self.records.append(record)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(one["eventName"], one["dynamodb"]["Keys"]["PK"]["S"]) for one in self.records]


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "feed.sqlite3", clock=StandingClock().seconds)
    yield database
    await database.aclose()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def feed(listener: Listener) -> ChangeFeed:
    feed = ChangeFeed({"nova-sonic-orders": "ORDER#"}, Counters())
    feed.listener = listener
    return feed


@pytest.fixture
async def orders(embedded: SqliteDatabase, feed: ChangeFeed) -> Table:
    table = feed.watched(embedded).table(orders_table())
    await table.create()
    return table


def item(key: Key = ORDER, **more: str) -> Item:
    return {"PK": key.partition, "SK": key.sort, **more}


@pytest.mark.req("S1-14")
async def test_every_way_of_writing_is_told(orders: Table, listener: Listener) -> None:
    await orders.put(item(status="pending"), Absent("PK"))
    await orders.put(item(status="processing"))
    await orders.update(ORDER, Update(set={"status": "shipped"}))
    await orders.transact([Change(ORDER, Update(set={"status": "delivered"})), Put(item(Key.twice("ORDER#2")))])
    await orders.delete(ORDER)

    assert listener.told == [
        ("INSERT", "ORDER#1"),
        ("MODIFY", "ORDER#1"),
        ("MODIFY", "ORDER#1"),
        ("MODIFY", "ORDER#1"),
        ("INSERT", "ORDER#2"),
        ("REMOVE", "ORDER#1"),
    ]
    images = [record["dynamodb"].get("NewImage", {}).get("status", {}).get("S") for record in listener.records]
    assert images == ["pending", "processing", "shipped", "delivered", None, None]


async def test_what_was_not_committed_is_not_told(orders: Table, listener: Listener) -> None:
    await orders.put(item())
    with pytest.raises(ConditionFailed):
        await orders.put(item(), Absent("PK"))
    with pytest.raises(ConditionFailed):
        await orders.transact([Put(item(Key.twice("ORDER#2"))), Delete(Key.twice("ORDER#3"), Present("PK"))])

    assert listener.told == [("INSERT", "ORDER#1")]


async def test_what_nobody_follows_is_neither_told_nor_read(
    orders: Table, listener: Listener, embedded: SqliteDatabase, feed: ChangeFeed
) -> None:
    await orders.put(item(Key.twice("COUNTER#ORDER")))
    await orders.delete(Key.twice("ORDER#none"))
    other = feed.watched(embedded).table(TableDefinition("another"))
    await other.create()
    await other.put(item())

    assert listener.told == []
    assert type(other) is type(embedded.table(TableDefinition("another")))


async def test_a_watched_table_is_a_table(orders: Table, embedded: SqliteDatabase) -> None:
    await orders.put(item(status="pending", createdAt="2026"))
    await orders.ping()

    assert orders.definition == orders_table()
    assert await orders.get(ORDER) == await embedded.table(orders_table()).get(ORDER)
    assert len((await orders.query(Query("pending", "StatusIndex"))).items) == 1
    assert await orders.create() is False


async def test_a_write_stays_where_what_it_made_cannot_be_read(
    orders: Table, listener: Listener, embedded: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    await orders.put(item(status="pending"))
    real, reads = orders._table.get, 0  # type: ignore[attr-defined]

    async def get(key: Key) -> Item | None:
        nonlocal reads
        reads += 1
        if reads > 1:
            raise StorageUnavailable("away")
        return await real(key)  # type: ignore[no-any-return]

    monkeypatch.setattr(orders._table, "get", get)  # type: ignore[attr-defined]
    await orders.transact([Change(ORDER, Update(set={"status": "shipped"}))])

    assert len(listener.records) == 1
    stored = await embedded.table(orders_table()).get(ORDER)
    assert stored is not None
    assert stored["status"] == "shipped"


@pytest.mark.req("S1-14")
async def test_the_repositories_write_through_it_as_through_any_database(embedded: SqliteDatabase, listener: Listener) -> None:
    feed = ChangeFeed({"nova-sonic-orders": "ORDER#", "nova-sonic-appointments": "APPOINTMENT#"}, Counters())
    feed.listener = listener
    await repositories(feed.watched(embedded), StandingClock())
    table = feed.watched(embedded).table(orders_table())
    await table.put(item(Key.twice("ORDER#ORD-7"), status="pending"))
    events = [event_of(record, FollowedTables()) for record in listener.records]

    told = [(event.record_id, event.status, event.source) for event in events if isinstance(event, RecordEvent)]
    assert told == [("ORD-7", "pending", "local")]


@pytest.mark.req("S1-14", "S1-18")
async def test_every_turn_that_is_written_down_is_told(embedded: SqliteDatabase, listener: Listener) -> None:
    feed = ChangeFeed({"NovaSonicConversations": ""}, Counters())
    feed.listener = listener
    table = feed.watched(embedded).table(conversations_table())
    await table.create()
    repository, at = Conversations(table), StandingClock()()
    conversation = Conversation("s-1", "ana", "carlos", "es", at, at)
    await repository.add(conversation, [Turn(1, Speaker.USER, "Hola.", at)])
    await repository.add(conversation, [Turn(2, Speaker.ASSISTANT, "Buenas.", at, calls=(ToolCall("t-1", "trackOrder", "{}"),))])
    events = [event for record in listener.records if isinstance(event := event_of(record, FollowedTables()), ConversationEvent)]
    told = [(event.conversation_id, event.username, event.change.value, event.conversation) for event in events]

    assert [one[:3] for one in told] == [("s-1", "ana", "INSERT")] * 3
    assert told[0][3] == {"assistant": "carlos", "language": "es", "lastTurn": 0}
    texts = [one[3]["text"] for one in told[1:] if isinstance(one[3], dict)]
    assert texts == ["Hola.", "Buenas."]

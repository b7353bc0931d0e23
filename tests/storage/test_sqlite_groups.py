"""Writes that wait for SQLite's one writer are committed together, and nobody can tell that from having been alone."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from storage import sqlite_records
from storage.conditions import Absent, Present, Update
from storage.errors import ConditionFailed, InvalidRequest, StorageUnavailable
from storage.sqlite import SqliteDatabase
from storage.table import Change, Delete, Key, Put, Write
from storage.tables import Index, TableDefinition

DEFINITION = TableDefinition("things", (Index("ByOwner", "owner"), Index("ByAge", "owner", "age")))

type Step = Write | None
"""A write; None for a job that writes something and breaks then."""

keys = st.sampled_from("abc").map(Key.twice)
conditions = st.sampled_from((None, Absent("PK"), Present("PK")))
attributes = st.fixed_dictionaries({}, optional={"owner": st.sampled_from("xy"), "age": st.sampled_from("12")})
writes = st.one_of(
    st.builds(lambda key, more, condition: Put({"PK": key.partition, "SK": key.sort, **more}, condition), keys, attributes, conditions),
    st.builds(Change, keys, st.builds(lambda more: Update(set=more), attributes), conditions),
    st.builds(
        Change, keys, st.builds(lambda gone: Update(remove=gone), st.sampled_from((("owner",), ("age",), ("owner", "age")))), conditions
    ),
    st.builds(Delete, keys, conditions),
)
steps = st.lists(st.one_of(writes, writes, writes, st.none()), max_size=12)


def job(step: Step) -> Callable[[sqlite3.Connection], object]:
    """Return what does a step."""

    def run(connection: sqlite3.Connection) -> object:
        if step is not None:
            return sqlite_records.apply(connection, DEFINITION, (step,))
        sqlite_records.apply(connection, DEFINITION, (Put({"PK": "a", "SK": "a", "owner": "nobody", "age": "0"}),))
        raise InvalidRequest("half done")

    return run


async def held_up(database: SqliteDatabase, waiting: Callable[[], Sequence[Awaitable[object]]]) -> list[object]:
    """Keep the writer busy until all of them wait; return how they ended."""
    held, release = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> None:
        held.set()
        release.wait(10)

    holder = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(held.wait, 10)
    calls = [asyncio.ensure_future(call) for call in waiting()]
    await asyncio.sleep(0)
    release.set()
    await holder
    return await asyncio.gather(*calls, return_exceptions=True)


def told(outcome: object) -> object:
    """Return an outcome so that it can be compared."""
    return (type(outcome), str(outcome)) if isinstance(outcome, Exception) else outcome


async def contents(database: SqliteDatabase) -> tuple[list[object], list[object]]:
    """Return all records and all entries of the indexes."""

    def read(connection: sqlite3.Connection) -> tuple[list[object], list[object]]:
        records = connection.execute('SELECT pk, sk, body FROM records WHERE "table" = ? ORDER BY pk, sk', ("things",))
        entries = connection.execute('SELECT "index", "partition", sort, pk FROM entries ORDER BY "index", "partition", sort, pk')
        return records.fetchall(), entries.fetchall()

    return await database.read(read)


@given(steps)
def test_what_waits_together_ends_as_if_each_had_come_alone(given_steps: list[Step]) -> None:
    async def test() -> None:
        together, one_by_one = SqliteDatabase(":memory:"), SqliteDatabase(":memory:")
        grouped = await held_up(together, lambda: [together.write(job(step)) for step in given_steps])
        single = [(await asyncio.gather(one_by_one.write(job(step)), return_exceptions=True))[0] for step in given_steps]
        records, entries = await contents(together)
        expected = await contents(one_by_one)
        await together.aclose()
        await one_by_one.aclose()

        assert [told(outcome) for outcome in grouped] == [told(outcome) for outcome in single]
        assert (records, entries) == expected

    asyncio.run(test())


@given(st.lists(writes, max_size=12))
def test_every_record_is_in_its_indexes_and_nothing_else_is(given_writes: list[Write]) -> None:
    async def test() -> None:
        database = SqliteDatabase(":memory:")
        table = database.table(DEFINITION)
        await table.create()
        for write in given_writes:
            await asyncio.gather(table.transact((write,)), return_exceptions=True)
        items = [item for key in "abc" if (item := await table.get(Key.twice(key))) is not None]
        _, entries = await contents(database)
        await database.aclose()

        owners = [("ByOwner", item["owner"], "", item["PK"]) for item in items if "owner" in item]
        ages = [("ByAge", item["owner"], item["age"], item["PK"]) for item in items if "owner" in item and "age" in item]
        assert entries == sorted(owners + ages)

    asyncio.run(test())


async def test_what_waits_together_is_one_commit(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "grouped.sqlite3")
    table = database.table(DEFINITION)
    await table.create()
    commits: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(lambda told: commits.append(told) if told == "COMMIT" else None))
    before = len(commits)
    outcomes = await held_up(database, lambda: [table.put({"PK": str(number), "SK": "x"}, Absent("PK")) for number in (*range(20), 0)])
    count = len(commits) - before
    await database.aclose()

    assert outcomes[:20] == [None] * 20
    assert isinstance(outcomes[20], ConditionFailed)
    assert count == 2  # of the one that held it up, and of all others


async def test_all_who_wait_for_a_locked_database_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    database = SqliteDatabase(path, busy_seconds=0.05)
    table = database.table(DEFINITION)
    await table.create()
    tries: list[str] = []
    await database.write(lambda connection: connection.set_trace_callback(tries.append))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tries.clear()
    outcomes = await asyncio.gather(*(table.put({"PK": str(number), "SK": "x"}) for number in range(20)), return_exceptions=True)
    other.close()
    await database.aclose()

    assert {type(outcome) for outcome in outcomes} == {StorageUnavailable}
    assert 1 <= tries.count("BEGIN IMMEDIATE") <= 2  # each waits for the lock: the first may have begun before the others came

import asyncio
import sqlite3
import sys
import threading
import time
from pathlib import Path

import pytest

from storage.conditions import Absent
from storage.errors import ConditionFailed, StorageUnavailable, TableMissing
from storage.sqlite import SWEEP_SECONDS, SqliteDatabase, open_sqlite
from storage.table import Key, Query
from storage.tables import Index, TableDefinition
from tests.needs import ROOT
from tests.storage.databases import StandingClock

DEFINITION = TableDefinition("things", (Index("ByOwner", "owner"),))
WRITER = """
import asyncio, sys
from storage.sqlite import open_sqlite
from storage.table import Put
from storage.tables import Index, TableDefinition

async def main():
    table = open_sqlite(sys.argv[1]).table(TableDefinition("things", (Index("ByOwner", "owner"),)))
    await table.create()
    number = 0
    while True:
        number += 1
        pair = [Put({"PK": f"{number}", "SK": side, "owner": "me"}) for side in ("left", "right")]
        await table.transact(pair)
        print(number, flush=True)

asyncio.run(main())
"""
"""Writes pairs of records for as long as it lives, and says which pairs are done."""


async def test_what_was_confirmed_survives_a_kill_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "killed.sqlite3"
    writer = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(path), cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert writer.stdout is not None
    confirmed = [int(await writer.stdout.readline()) for _ in range(50)]
    writer.kill()
    rest = await writer.stdout.read()
    await writer.wait()
    confirmed += [int(line) for line in rest.split(b"\n")[:-1] if line]
    database = open_sqlite(path)
    table = database.table(DEFINITION)
    lost = [number for number in confirmed if await table.get(Key(f"{number}", "left")) is None]
    page = await table.query(Query("me", "ByOwner", limit=100_000))
    await database.aclose()

    assert lost == []
    assert len(page.items) % 2 == 0
    assert len(page.items) >= 2 * len(confirmed)


async def test_a_database_locked_by_another_process_is_unavailable_and_readable_until_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    database = SqliteDatabase(path, busy_seconds=0.05)
    table = database.table(DEFINITION)
    await table.create()
    await table.put({"PK": "a", "SK": "a"})
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable):
        await table.put({"PK": "b", "SK": "b"})
    with pytest.raises(StorageUnavailable):
        await table.ping()
    readable = await table.get(Key.twice("a"))
    other.execute("ROLLBACK")
    other.close()
    await table.put({"PK": "b", "SK": "b"})
    written = await table.get(Key.twice("b"))
    await database.aclose()

    assert readable == {"PK": "a", "SK": "a"}
    assert written == {"PK": "b", "SK": "b"}


@pytest.mark.parametrize("content", [b"this is no database, whatever its name says" * 50, b"SQLite format 3\x00" + b"\xff" * 4000])
async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.sqlite3"
    path.write_bytes(content)
    database = open_sqlite(path)
    with pytest.raises(StorageUnavailable):
        await database.table(DEFINITION).ping()
    await database.aclose()

    assert path.read_bytes() == content


async def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    database = open_sqlite(tmp_path / "file" / "x.sqlite3")

    with pytest.raises(StorageUnavailable):
        await database.table(DEFINITION).ping()
    await database.aclose()


async def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.sqlite3"
    with sqlite3.connect(path) as later:
        later.execute("PRAGMA user_version = 99")
    database = open_sqlite(path)

    with pytest.raises(StorageUnavailable, match="version 99"):
        await database.table(DEFINITION).ping()
    await database.aclose()


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    first, second = open_sqlite(tmp_path / "shared.sqlite3"), open_sqlite(tmp_path / "shared.sqlite3")
    await first.table(DEFINITION).create()

    async def race(number: int) -> bool:
        database = (first, second)[number % 2]
        try:
            await database.table(DEFINITION).put({"PK": "a", "SK": "a", "by": number}, Absent("PK"))
        except ConditionFailed:
            return False
        return True

    won = await asyncio.gather(*[race(number) for number in range(20)])
    await first.aclose()
    await second.aclose()

    assert won.count(True) == 1


async def test_expired_records_are_removed_with_a_later_write(tmp_path: Path) -> None:
    clock = StandingClock()
    path = tmp_path / "swept.sqlite3"
    database = SqliteDatabase(path, clock=clock.seconds)
    table = database.table(DEFINITION)
    await table.create()
    await table.put({"PK": "a", "SK": "a", "owner": "me", "expiresAt": int(clock.seconds()) + 10})
    clock.advance(seconds=SWEEP_SECONDS + 1)
    await table.put({"PK": "b", "SK": "b", "owner": "me"})
    await database.aclose()
    with sqlite3.connect(path) as connection:
        records = connection.execute("SELECT pk FROM records").fetchall()
        entries = connection.execute("SELECT pk FROM entries").fetchall()

    assert records == [("b",)]
    assert entries == [("b",)]


async def test_calls_beyond_the_line_are_turned_away_at_once(tmp_path: Path) -> None:
    database = open_sqlite(tmp_path / "busy.sqlite3")
    table = database.table(DEFINITION)
    await table.create()
    held, release = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> None:
        held.set()
        release.wait(10)

    holder = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(held.wait, 10)
    writes = [asyncio.ensure_future(table.put({"PK": str(number), "SK": "x"})) for number in range(300)]
    await asyncio.sleep(0)  # each takes its place in the line, or is refused, as soon as it runs
    release.set()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    await holder
    await database.aclose()

    assert sum(isinstance(outcome, StorageUnavailable) for outcome in outcomes) == 300 - 256
    assert outcomes.count(None) == 256


async def test_a_cancelled_call_that_still_waits_is_never_made(tmp_path: Path) -> None:
    database = open_sqlite(tmp_path / "cancelled.sqlite3")
    table = database.table(DEFINITION)
    await table.create()
    held, release = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> None:
        held.set()
        release.wait(10)

    holder = asyncio.ensure_future(database.write(hold))
    await asyncio.to_thread(held.wait, 10)
    waiting = asyncio.ensure_future(table.put({"PK": "a", "SK": "a"}))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    await holder
    await table.put({"PK": "b", "SK": "b"})
    never = await table.get(Key.twice("a"))
    await database.aclose()

    assert never is None


async def test_the_event_loop_goes_on_while_the_database_waits_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "slow.sqlite3"
    database = SqliteDatabase(path, busy_seconds=0.3)
    table = database.table(DEFINITION)
    await table.create()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    blocked = asyncio.ensure_future(table.put({"PK": "a", "SK": "a"}))
    turns, longest, before = 0, 0.0, time.perf_counter()
    while not blocked.done():
        await asyncio.sleep(0.005)
        now = time.perf_counter()
        turns, longest, before = turns + 1, max(longest, now - before), now
    other.execute("ROLLBACK")
    other.close()
    await database.aclose()

    assert isinstance(blocked.exception(), StorageUnavailable)
    assert turns > 10
    assert longest < 0.25


async def test_closing_twice_is_harmless_and_a_closed_database_is_unavailable(tmp_path: Path) -> None:
    database = open_sqlite(tmp_path / "closed.sqlite3")
    table = database.table(DEFINITION)
    await table.create()
    await database.aclose()
    await database.aclose()

    with pytest.raises(StorageUnavailable):
        await table.ping()


async def test_a_table_made_by_another_process_is_found(tmp_path: Path) -> None:
    first, second = open_sqlite(tmp_path / "made.sqlite3"), open_sqlite(tmp_path / "made.sqlite3")
    with pytest.raises(TableMissing):
        await second.table(DEFINITION).ping()
    await first.table(DEFINITION).create()
    await second.table(DEFINITION).ping()
    await first.aclose()
    await second.aclose()

    assert await asyncio.to_thread((tmp_path / "made.sqlite3").exists)


async def test_a_file_that_was_moved_away_is_unavailable_and_never_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "moved.sqlite3"
    database = open_sqlite(path)
    table = database.table(DEFINITION)
    await table.create()
    await table.put({"PK": "a", "SK": "a"})
    path.rename(tmp_path / "away")
    with pytest.raises(StorageUnavailable, match="gone"):
        await table.put({"PK": "b", "SK": "b"})
    with pytest.raises(StorageUnavailable, match="gone"):
        await table.ping()
    was_made = path.exists()
    (tmp_path / "away").rename(path)
    back = await table.get(Key.twice("a"))
    await database.aclose()

    assert not was_made
    assert back == {"PK": "a", "SK": "a"}


async def test_a_file_that_was_damaged_and_replaced_is_read_anew(tmp_path: Path) -> None:
    path, copy = tmp_path / "damaged.sqlite3", tmp_path / "copy.sqlite3"
    database = open_sqlite(path)
    table = database.table(DEFINITION)
    await table.create()
    await table.put({"PK": "a", "SK": "a"})
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    for file in tmp_path.glob("damaged.*"):
        file.unlink()
    path.write_bytes(b"no database at all" * 500)
    with pytest.raises(StorageUnavailable):
        await table.ping()
    copy.replace(path)
    back = await table.get(Key.twice("a"))
    await database.aclose()

    assert back == {"PK": "a", "SK": "a"}

import asyncio

import pytest

from storage.cipher import Cipher
from storage.parked_sessions import ParkedSessions
from storage.table import Database, Key
from storage.tables import sessions_table
from tests.storage.databases import StandingClock

HANDLE = "ab" * 32
KEY = bytes(range(32))


@pytest.fixture
async def parked(database: Database, clock: StandingClock, prefix: str) -> ParkedSessions:
    table = database.table(sessions_table(f"{prefix}-sessions"))
    await table.create()
    return ParkedSessions(table, Cipher([KEY]), clock.seconds)


async def test_a_session_is_taken_once(parked: ParkedSessions) -> None:
    saved = await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)

    assert saved
    assert await parked.take(HANDLE) == b"Hola."
    assert await parked.take(HANDLE) is None


async def test_one_of_fifty_who_take_at_once_gets_the_session(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    taken = await asyncio.gather(*(parked.take(HANDLE) for _ in range(50)))

    assert [each for each in taken if each is not None] == [b"Hola."]


async def test_the_last_word_of_the_owner_is_what_is_taken(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    await parked.save(HANDLE, b"Chau.", owner="first", seconds=60)

    assert await parked.take(HANDLE) == b"Chau."


async def test_who_saves_while_somebody_takes_either_hands_it_over_or_is_told_that_it_is_gone(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"0", owner="first", seconds=60)
    saves = [parked.save(HANDLE, str(number).encode(), owner="first", seconds=60) for number in range(1, 10)]
    taken, *saved = await asyncio.gather(parked.take(HANDLE), *saves)
    still_there = await parked.take(HANDLE)

    assert (taken is None) != (still_there is None)
    assert taken is not None or all(saved)


async def test_a_process_that_lost_a_session_cannot_write_over_it(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    await parked.take(HANDLE)

    assert not await parked.save(HANDLE, b"Hola, hola.", owner="first", seconds=60)
    assert await parked.take(HANDLE) is None


async def test_nobody_writes_over_the_session_of_another(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)

    assert not await parked.save(HANDLE, b"Chau.", owner="second", seconds=60)
    assert await parked.take(HANDLE) == b"Hola."


async def test_what_was_taken_can_be_given_back(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    await parked.take(HANDLE)

    assert await parked.save(HANDLE, b"Hola.", owner="", seconds=60)
    assert not await parked.save(HANDLE, b"Hola, hola.", owner="first", seconds=60)
    assert await parked.take(HANDLE) == b"Hola."


async def test_a_session_is_kept_as_long_as_was_asked(parked: ParkedSessions, clock: StandingClock) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    clock.advance(seconds=59)
    await parked.save("cd" * 32, b"Chau.", owner="first", seconds=60)
    clock.advance(seconds=2)

    assert await parked.take(HANDLE) is None
    assert await parked.take("cd" * 32) == b"Chau."


async def test_what_was_dropped_is_gone(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    await parked.drop(HANDLE)
    await parked.drop(HANDLE)

    assert await parked.take(HANDLE) is None


async def test_what_the_store_holds_says_nothing(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Me llamo Eva Ruiz.", owner="first", seconds=60)
    item = await parked.table.get(Key.twice(f"SESSION#{HANDLE}"))

    assert item is not None
    assert set(item) == {"PK", "SK", "owner", "saved", "sealed", "expiresAt"}
    assert "Ruiz" not in str(item)


async def test_a_record_under_the_handle_of_another_cannot_be_read(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    item = await parked.table.get(Key.twice(f"SESSION#{HANDLE}"))
    other = f"SESSION#{'cd' * 32}"
    await parked.table.put({**(item or {}), "PK": other, "SK": other})

    assert await parked.take("cd" * 32) is None


async def test_a_new_key_reads_what_the_old_one_sealed(parked: ParkedSessions, clock: StandingClock) -> None:
    await parked.save(HANDLE, b"Hola.", owner="first", seconds=60)
    newer = ParkedSessions(parked.table, Cipher([bytes(32), KEY]), clock.seconds)
    stranger = ParkedSessions(parked.table, Cipher([bytes(32)]), clock.seconds)

    assert await stranger.take(HANDLE) is None
    assert await newer.take(HANDLE) == b"Hola."


async def test_a_session_of_the_greatest_size_can_be_kept(parked: ParkedSessions) -> None:
    await parked.save(HANDLE, bytes(256 * 1024), owner="first", seconds=60)

    assert await parked.take(HANDLE) == bytes(256 * 1024)

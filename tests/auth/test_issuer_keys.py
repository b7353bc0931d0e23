"""Keys are at hand before they are needed, found when they are new, kept while the issuer is away; nobody makes the server hammer it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from auth.interfaces import KeysUnavailable, TokenRefused
from auth.issuer_keys import KEEP_SECONDS, RETRY_SECONDS, IssuerKeys
from tests.auth.doubles import StillClock, key_set


class Shelf:
    """Where the keys are fetched from."""

    def __init__(self) -> None:
        self.body = key_set(1)
        self.asked = 0
        self.failure = ""
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._changed = asyncio.Condition()

    async def fetch(self) -> bytes:
        async with self._changed:
            self.asked += 1
            self._changed.notify_all()
        await self.may_answer.wait()
        if self.failure:
            raise KeysUnavailable(self.failure)
        return self.body

    async def until_asked(self, times: int) -> None:
        async with self._changed, asyncio.timeout(10):
            await self._changed.wait_for(lambda: self.asked >= times)


@asynccontextmanager
async def kept(shelf: Shelf, clock: Callable[[], float] | None = None, refresh_seconds: float = 900.0) -> AsyncIterator[IssuerKeys]:
    keys = IssuerKeys(shelf.fetch, clock or StillClock(), refresh_seconds=refresh_seconds)
    try:
        await keys.start()
        yield keys
    finally:
        await keys.aclose()


async def test_a_known_key_is_found_without_asking_again() -> None:
    shelf = Shelf()
    async with kept(shelf) as keys:
        for _ in range(100):
            await keys.find("key-1")

    assert shelf.asked == 1


async def test_a_new_key_is_found_when_a_token_names_it() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        shelf.body = key_set(1, 2)
        clock.seconds += RETRY_SECONDS
        await keys.find("key-2")
        await keys.find("key-1")

    assert shelf.asked == 2


async def test_a_key_that_is_no_longer_published_is_none_any_more() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        shelf.body = key_set(2)
        clock.seconds += RETRY_SECONDS
        await keys.find("key-2")

        with pytest.raises(TokenRefused):
            await keys.find("key-1")


@pytest.mark.req("S0-56", "S2-38")
async def test_made_up_names_do_not_make_the_server_hammer_the_issuer() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        for second in range(100):
            clock.seconds = 2_000.0 + second
            for number in range(50):
                with pytest.raises(TokenRefused):
                    await keys.find(f"made-up-{second}-{number}")

    assert shelf.asked == 1 + 100 / RETRY_SECONDS


async def test_all_who_wait_share_one_question() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        clock.seconds += RETRY_SECONDS
        shelf.body = key_set(1, 2)
        shelf.may_answer.clear()
        waiting = [asyncio.create_task(keys.find("key-2")) for _ in range(20)]
        await shelf.until_asked(2)
        found_meanwhile = await keys.find("key-1")
        shelf.may_answer.set()
        found = await asyncio.gather(*waiting)

    assert found_meanwhile is not None
    assert len(set(map(id, found))) == 1
    assert shelf.asked == 2


async def test_whoever_gives_up_waiting_leaves_the_others_their_answer() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        clock.seconds += RETRY_SECONDS
        shelf.body = key_set(1, 2)
        shelf.may_answer.clear()
        impatient, patient = asyncio.create_task(keys.find("key-2")), asyncio.create_task(keys.find("key-2"))
        await shelf.until_asked(2)
        impatient.cancel()
        shelf.may_answer.set()
        found = await patient

    assert found is not None
    assert impatient.cancelled()
    assert shelf.asked == 2


@pytest.mark.req("S0-56")
async def test_old_keys_are_good_while_the_issuer_is_away() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        shelf.failure = "away"
        clock.seconds += KEEP_SECONDS - 1
        key = await keys.find("key-1")
        await keys.check()

        with pytest.raises(KeysUnavailable):  # it may be one of the issuer's
            await keys.find("key-2")
    assert key is not None


async def test_keys_that_nobody_confirmed_for_a_day_are_good_no_longer() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        shelf.failure = "away"
        clock.seconds += KEEP_SECONDS

        with pytest.raises(KeysUnavailable, match="away"):
            await keys.find("key-1")
        with pytest.raises(KeysUnavailable):
            await keys.check()


async def test_a_set_without_keys_does_not_replace_those_that_are_known() -> None:
    shelf, clock = Shelf(), StillClock()
    async with kept(shelf, clock) as keys:
        shelf.body = b'{"keys":[]}'
        clock.seconds += RETRY_SECONDS
        with pytest.raises(KeysUnavailable):
            await keys.find("key-2")

        assert await keys.find("key-1") is not None


async def test_an_issuer_that_is_away_at_the_start_is_asked_again_by_who_comes() -> None:
    shelf, clock = Shelf(), StillClock()
    shelf.failure = "away"
    async with kept(shelf, clock) as keys:
        for _ in range(5):
            with pytest.raises(KeysUnavailable, match="away"):
                await keys.find("key-1")
        asked = shelf.asked
        shelf.failure = ""
        clock.seconds += 1.0

        assert await keys.find("key-1") is not None
    assert asked == 1


async def test_keys_are_fetched_anew_before_they_are_old() -> None:
    shelf = Shelf()
    async with kept(shelf, refresh_seconds=0.01) as keys:
        shelf.body = key_set(1, 2)
        await shelf.until_asked(3)

        assert await keys.find("key-2") is not None


async def test_nothing_goes_on_after_the_end() -> None:
    shelf = Shelf()
    before = asyncio.all_tasks()
    async with kept(shelf):
        pass

    assert before == asyncio.all_tasks()

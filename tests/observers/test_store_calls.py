"""What is asked of a store now and then: one that is away is told of once, and nobody is disturbed."""

import asyncio

from structlog.testing import capture_logs

from observers.store_calls import StoreCalls
from tests.observers.loop_time import Run


async def away() -> None:
    raise ConnectionError


async def hangs() -> None:
    await asyncio.Event().wait()


def test_a_store_that_stays_away_is_told_of_once_and_again_when_it_was_back(run: Run) -> None:
    async def test() -> None:
        store, asked = StoreCalls("note", 5.0), asyncio.Event()

        async def answers() -> None:
            asked.set()

        with capture_logs() as lines:
            for work in (away, hangs, away, answers, hangs):
                await store.ask(work)

        assert asked.is_set()
        assert [(line["name"], line["reason"]) for line in lines if line["event"] == "store.away"] == [
            ("note", "ConnectionError"),
            ("note", "TimeoutError"),
        ]

    run(test())

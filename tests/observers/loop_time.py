"""A loop whose time passes at once, and a database that goes by it: minutes take no time."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.sqlite import SqliteDatabase
from storage.workers import BoundedPool

START = datetime(2030, 1, 16, 15, 0, tzinfo=UTC)
HANGS = 10_000.0
"""Seconds that nobody waits."""

type Run = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine on such a loop."""


class LoopTime:
    """The loop's time, as a day in the future."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def __call__(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    def seconds(self) -> float:
        return self().timestamp()


class NoThreads(BoundedPool):
    """Runs calls at once: threads know nothing of the loop's time."""

    async def run[T](self, call: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return call()


def open_database() -> SqliteDatabase:
    database = SqliteDatabase(":memory:", clock=LoopTime().seconds)
    database._writer = database._readers = NoThreads("none", 1, 1)
    return database

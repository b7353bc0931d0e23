"""A loop whose time passes at once, and a database that goes by it: minutes take no time."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.errors import StorageError
from storage.sqlite import WAITING, SqliteDatabase
from storage.sqlite_line import WriteLine
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
    """Runs calls soon, in the loop's own thread: others know nothing of its time."""

    def submit[T](self, call: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(call())
            except StorageError as error:
                future.set_exception(error)

        asyncio.get_running_loop().call_soon(run)
        return future


def open_database() -> SqliteDatabase:
    database = SqliteDatabase(":memory:", clock=LoopTime().seconds)
    database._writer = database._readers = NoThreads("none", 1, 1)
    database._line = WriteLine(database._writer, database._write_group, WAITING)
    return database

"""The line before the one thread that writes: what waits in it is written together, with the outcome that each would have had alone.

A commit flushes the disk, and each that a caller waits for wakes the event loop; a group does both once.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from storage.errors import StorageUnavailable
from storage.workers import BoundedPool

GROUP: Final = 32
"""Jobs that are written together at most: whoever comes next waits for them."""

type Job[T] = Callable[[sqlite3.Connection], T]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    result: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    job: Job[Any]
    done: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class WriteLine:
    """A bounded line of jobs for one thread.

    A call whose awaiting task is cancelled before it started never starts; one that has started runs to its end, and its result is dropped.

    Args:
        pool: has that thread.
        write: does a group of jobs in that thread and returns as many outcomes; raises nothing.
        waiting: how many jobs may stand in line; one more raises StorageUnavailable at once.
    """

    def __init__(self, pool: BoundedPool, write: Callable[[Sequence[Job[Any]]], Sequence[Outcome]], waiting: int) -> None:
        self._pool = pool
        self._write = write
        self._limit = waiting
        self._lock = threading.Lock()
        self._line: deque[_Waiting] = deque()
        self._is_writing = False

    async def run[T](self, job: Job[T]) -> T:
        """Run a job in a transaction and return its result.

        Raises:
            StorageUnavailable: too many jobs wait, or the pool is closed.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, loop.create_future(), loop)
        with self._lock:
            if len(self._line) >= self._limit:
                raise StorageUnavailable("too many calls wait for the store")
            self._line.append(waiting)
            is_first, self._is_writing = not self._is_writing, True
        if is_first:
            loop.call_soon(self._begin)  # with those who come in the same turn of the loop
        result: T = await waiting.done
        return result

    def _begin(self) -> None:
        try:
            self._pool.submit(self._write_all)
        except StorageUnavailable as error:
            while group := self._next_group():
                _settle(group, [Outcome(error=error)] * len(group))

    def _write_all(self) -> None:
        while group := self._next_group():
            outcomes = self._write([waiting.job for waiting in group])
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                group[0].loop.call_soon_threadsafe(_settle, group, outcomes)

    def _next_group(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        with self._lock:
            while self._line and len(group) < GROUP and (not group or self._line[0].loop is group[0].loop):
                waiting = self._line.popleft()
                if not waiting.done.cancelled():
                    group.append(waiting)
            self._is_writing = bool(group)
        return group


def _settle(group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
    for waiting, outcome in zip(group, outcomes, strict=True):
        if waiting.done.cancelled():
            continue
        if outcome.error is not None:
            waiting.done.set_exception(outcome.error)
        else:
            waiting.done.set_result(outcome.result)

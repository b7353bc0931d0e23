"""Threads for blocking drivers: a fixed number, a bounded line in front of them, and a counter of those turned away."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from storage.errors import StorageUnavailable


class BoundedPool:
    """Runs blocking calls off the event loop.

    A call whose awaiting task is cancelled before it started never starts; one that has started runs to its end, and its result is dropped.

    Args:
        name: prefix of the threads' names.
        threads: how many run at once.
        waiting: how many may stand in line; one more raises StorageUnavailable at once, because a caller who hears "busy" now is better
            served than one who hears it after a time-out.
    """

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._places = threading.Semaphore(threads + waiting)
        self.refused = 0
        """Calls that found no place."""

    async def run[T](self, call: Callable[[], T]) -> T:
        """Run a call in one of the threads and return its result.

        Raises:
            StorageUnavailable: too many calls wait, or the pool is closed.
        """
        return await asyncio.wrap_future(self.submit(call))

    def submit[T](self, call: Callable[[], T]) -> Future[T]:
        """Have a call run in one of the threads, whether or not anybody waits for it; raises as `run`."""
        if not self._places.acquire(blocking=False):
            self.refused += 1
            raise StorageUnavailable("too many calls wait for the store")
        try:
            future = self._executor.submit(call)
        except RuntimeError as error:
            self._places.release()
            raise StorageUnavailable("the store is closed") from error
        future.add_done_callback(lambda _: self._places.release())
        return future

    async def aclose(self) -> None:
        """Take no more calls, let those that wait or run come to their end, and end the threads."""
        await asyncio.to_thread(self._executor.shutdown)

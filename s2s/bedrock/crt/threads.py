"""From the Common Runtime's thread to the event loop.

Its futures are concurrent.futures.Future and its callbacks come on its own thread. A future of it must never be cancelled: the runtime
completes it all the same, and then fails on its own thread. `follow` gives the loop a future of its own that may be cancelled.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future


class RuntimeFailure(OSError):
    """The Common Runtime reports an error."""


def call_on_loop[*A](loop: asyncio.AbstractEventLoop, call: Callable[[*A], object], *arguments: *A) -> None:
    """Call a function on the loop, from any thread; do nothing when the loop has ended meanwhile."""
    try:
        loop.call_soon_threadsafe(call, *arguments)
    except RuntimeError:  # the loop is closed: nobody is left who could want to know
        return


def follow[T](source: "Future[T]") -> "asyncio.Future[T]":
    """Return a future of the running loop that ends as the other one does; its failure is a RuntimeFailure."""
    loop = asyncio.get_running_loop()
    target: asyncio.Future[T] = loop.create_future()
    waiting = [target]  # emptied, for the runtime keeps its futures, and their callbacks, as long as a connection is referred to

    def land() -> None:
        following = waiting.pop()
        if following.done():
            return
        error = source.exception()
        if error is None:
            following.set_result(source.result())
        else:
            following.set_exception(RuntimeFailure(describe(error)))

    source.add_done_callback(lambda _: call_on_loop(loop, land))
    return target


def describe(error: BaseException) -> str:
    """Return one line about an error of the Common Runtime."""
    name, message = getattr(error, "name", ""), getattr(error, "message", "")
    return f"{name}: {message}" if name else f"{type(error).__name__}: {error}"

"""Clients say who they are over real sockets, in virtual time."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

from tests.session.virtual_time import VirtualLoop

PATIENCE_SECONDS = 0.002
"""A kernel that is busy delivers what was written to a socket a little later."""


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Name the loop for pytest-asyncio."""
    return {"virtual": lambda: VirtualLoop(PATIENCE_SECONDS)}

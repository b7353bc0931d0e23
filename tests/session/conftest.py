"""Every async test of the session runs in virtual time."""

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping

from tests.session.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], AbstractEventLoop]]:
    """Name the loop for pytest-asyncio."""
    return {"virtual": VirtualLoop}

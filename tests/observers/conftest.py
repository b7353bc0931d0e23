"""A loop whose time passes at once."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.observers.loop_time import Run
from tests.session.virtual_time import VirtualLoop


@pytest.fixture
def run() -> Iterator[Run]:
    """Run a coroutine on a loop whose time passes at once."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner.run

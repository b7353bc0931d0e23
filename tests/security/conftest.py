"""One server for each file of the battery."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

pytest.register_assert_rewrite("tests.security.battery")  # what must hold shall say what did not

from tests.security.battery import Ground, battleground  # noqa: E402 - after the line above, or it has no effect


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ground(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """A server in front of an echoing model, with a neighbour who talks."""
    async with battleground(tmp_path_factory.mktemp("battery")) as running:
        yield running

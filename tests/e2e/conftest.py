"""One running product for all end-to-end tests of a file."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests import needs
from tests.browser import chromium
from tests.e2e.stack import Stack, running_stack

__all__ = ["chromium"]

pytest.register_assert_rewrite("tests.e2e.conversations")  # its checks shall say what they saw


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """The server with its emulator and a fresh database."""
    needs.espeak()
    async with running_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running

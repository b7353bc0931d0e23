"""Fixtures of the page's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.browser import chromium as chromium  # noqa: PLC0414  the explicit form re-exports the fixture
from tests.web.page_server import PageServer


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    """A page server on a free port."""
    async with PageServer() as running:
        yield running

"""Fixtures of the page's tests: one event loop and one browser for all of them, since a browser's start takes longer than most tests."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests import needs
from tests.browser import Chromium
from tests.web.page_server import PageServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    """A browser that the tests share."""
    async with Chromium(needs.chromium()).sharing() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def server() -> AsyncIterator[PageServer]:
    """A page server on a free port."""
    async with PageServer() as running:
        yield running

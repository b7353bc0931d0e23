"""An open desk for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.sqlite import SqliteDatabase
from tests.api.desk import Desk, open_desk
from tests.storage.databases import StandingClock


@pytest.fixture
def clock() -> StandingClock:
    """Return the time of the records."""
    return StandingClock()


@pytest.fixture
async def database(tmp_path: Path, clock: StandingClock) -> AsyncIterator[SqliteDatabase]:
    """Open an embedded database."""
    opened = SqliteDatabase(tmp_path / "records.sqlite3", clock=clock.seconds)
    yield opened
    await opened.aclose()


@pytest.fixture
async def desk(database: SqliteDatabase, clock: StandingClock) -> AsyncIterator[Desk]:
    """Serve the examples."""
    async with open_desk(database, clock) as opened:
        yield opened

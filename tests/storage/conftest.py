"""Databases of both drivers; every test gets tables of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest

from storage.dynamodb import DynamoDatabase, open_dynamodb
from storage.sqlite import SqliteDatabase
from storage.table import Database
from tests import ministack, needs
from tests.storage.databases import StandingClock

_numbers = count(1)


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Iterator[str]:
    """Run MiniStack for the whole session."""
    try:
        with ministack.started() as endpoint:
            yield endpoint
    except ministack.Unavailable as error:
        needs.missing(f"MiniStack ({error})")


@pytest.fixture(scope="session")
def dynamodb(dynamodb_endpoint: str) -> Iterator[DynamoDatabase]:
    """Open the DynamoDB driver as the server does, by environment variables alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_endpoint)
        for name, value in ministack.CREDENTIALS.items():
            patch.setenv(name, value)
        database = asyncio.run(open_dynamodb(ministack.REGION))
        yield database
        asyncio.run(database.aclose())


@pytest.fixture
def clock() -> StandingClock:
    """Return the time that the database and the repositories live by."""
    return StandingClock()


@pytest.fixture(scope="session", params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.dynamodb)])
def remote(request: pytest.FixtureRequest) -> DynamoDatabase | None:
    """Choose each driver in turn; None stands for the embedded one."""
    return request.getfixturevalue("dynamodb") if request.param == "dynamodb" else None


@pytest.fixture
async def database(remote: DynamoDatabase | None, tmp_path: Path, clock: StandingClock) -> AsyncIterator[Database]:
    """Open each driver in turn."""
    if remote is not None:
        remote.clock = clock.seconds
        yield remote
        return
    embedded = SqliteDatabase(tmp_path / "contract.sqlite3", clock=clock.seconds)
    yield embedded
    await embedded.aclose()


@pytest.fixture
def prefix() -> str:
    """Return a beginning for table names that no other test uses."""
    return f"test-{next(_numbers)}"

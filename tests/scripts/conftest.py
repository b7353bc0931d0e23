"""Stores of both kinds with tables of their own, filled by other programs, and the settings that lead to them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from config import Settings
from scripts.upkeep.opening import NamedTable, open_store, tables_of
from scripts.upkeep.store import Store
from tests import ministack, needs
from tests.scripts.interposed import Interposed, interposed

_numbers = count(1)


@pytest.fixture(scope="session")
def ministack_endpoint() -> Iterator[str]:
    """Run MiniStack for the whole session."""
    try:
        with ministack.started() as endpoint:
            yield endpoint
    except ministack.Unavailable as error:
        needs.missing(f"MiniStack ({error})")


@pytest.fixture
def between(ministack_endpoint: str, dynamodb_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Interposed]:
    """Stand between this process and DynamoDB."""
    assert dynamodb_env  # its endpoint in the environment is replaced by this one
    with interposed(ministack_endpoint) as state:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", state.endpoint)
        yield state


def names(prefix: str) -> dict[str, str]:
    """Return variables that give every table a name of its own."""
    return {table.setting: f"{prefix}-{table.short}" for table in tables_of(Settings.from_env({}))}


@dataclass(frozen=True, slots=True)
class Installation:
    """A place for records, and how it is named."""

    env: dict[str, str]
    """Of the scripts."""
    store: Store
    folder: Path
    """For copies and journals."""

    @property
    def settings(self) -> Settings:
        return Settings.from_env(self.env)

    def tables(self, *wanted: str) -> tuple[NamedTable, ...]:
        return tables_of(self.settings, wanted or ("orders", "appointments"))


@pytest.fixture
def sqlite_env(tmp_path: Path) -> dict[str, str]:
    """Return the settings of a database file that is not there yet."""
    return {"STORAGE": "sqlite", "SQLITE_PATH": str(tmp_path / "records.sqlite3")}


@pytest.fixture
def dynamodb_env(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return the settings of tables that are not there yet."""
    for name, value in {**ministack.CREDENTIALS, "AWS_ENDPOINT_URL_DYNAMODB": ministack_endpoint}.items():
        monkeypatch.setenv(name, value)
    return {"STORAGE": "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB": ministack_endpoint, **names(f"scripts-{next(_numbers)}")}


@pytest.fixture
def watched_env(dynamodb_env: dict[str, str], between: Interposed) -> dict[str, str]:
    """Return the same, by way of who stands between."""
    return {**dynamodb_env, "AWS_ENDPOINT_URL_DYNAMODB": between.endpoint}


@pytest.fixture(scope="session")
def shared_dynamodb(ministack_endpoint: str) -> Iterator[Store]:
    """Open DynamoDB once: making a client takes longer than most tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ministack.CREDENTIALS, "AWS_ENDPOINT_URL_DYNAMODB": ministack_endpoint}.items():
            patch.setenv(name, value)
        store = asyncio.run(open_store(Settings.from_env({})))
    yield store
    asyncio.run(store.aclose())


@pytest.fixture(scope="session", params=["sqlite", pytest.param("dynamodb", marks=pytest.mark.dynamodb)])
def shared(request: pytest.FixtureRequest) -> Store | None:
    """Choose each kind of store in turn; None stands for the embedded one."""
    return request.getfixturevalue("shared_dynamodb") if request.param == "dynamodb" else None


@pytest.fixture
async def installation(shared: Store | None, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Installation]:
    """Open each kind of store in turn."""
    folder = tmp_path / "migrations"
    if shared is not None:
        yield Installation(request.getfixturevalue("dynamodb_env"), shared, folder)
        return
    env = request.getfixturevalue("sqlite_env")
    store = await open_store(Settings.from_env(env), may_make=True)
    yield Installation(env, store, folder)
    await store.aclose()

"""`--check` asks every table that the server uses, and names those that are missing together."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from config import Settings
from self_check import examine
from storage.dynamodb import open_dynamodb
from storage.tables import TableDefinition, all_tables
from tests import ministack, needs
from tests.e2e.servers import KEY
from tests.server.process import WITHOUT_AWS

SECONDS = 10.0


@pytest.fixture(scope="module")
def account() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        try:
            with ministack.started() as endpoint:
                for name, value in {"AWS_ENDPOINT_URL_DYNAMODB": endpoint, **ministack.CREDENTIALS}.items():
                    patch.setenv(name, value)
                yield
        except ministack.Unavailable as error:
            needs.missing(f"MiniStack ({error})")


def settings_of(prefix: str, **more: str) -> Settings:
    tables = {name: f"{prefix}-{name.lower()}" for name in ("CONVERSATIONS_TABLE", "REMINDERS_TABLE", "SESSIONS_TABLE")}
    return Settings.from_env({**WITHOUT_AWS, "STORAGE": "dynamodb", "AWS_DEFAULT_REGION": ministack.REGION, **tables, **more})


async def make(tables: list[TableDefinition]) -> None:
    database = await open_dynamodb(ministack.REGION)
    await asyncio.gather(*(database.table(table).create() for table in tables))
    await database.aclose()


async def storage_line(settings: Settings) -> str:
    async with AsyncExitStack() as resources:
        (line,) = [finding.line for finding in await examine(settings, resources, SECONDS) if finding.part == "storage"]
    return line


@pytest.mark.dynamodb
@pytest.mark.req("S4-61")
@pytest.mark.usefixtures("account")
async def test_every_table_that_is_missing_is_named_with_its_setting() -> None:
    settings = settings_of("some", SESSIONS_KEY=KEY)
    await make([table for table in all_tables(settings) if not table.name.startswith("some-")])
    told = await storage_line(settings)
    await make(list(all_tables(settings)))
    whole = await storage_line(settings)

    names = "SESSIONS_TABLE=some-sessions_table, CONVERSATIONS_TABLE=some-conversations_table, REMINDERS_TABLE=some-reminders_table"
    assert told == f"Tables are missing: run scripts/seed_data.py --create-tables --no-examples, or correct their names ({names})"
    assert whole == ""


@pytest.mark.dynamodb
@pytest.mark.usefixtures("account")
async def test_without_a_key_the_table_of_kept_conversations_is_not_asked_for() -> None:
    settings = settings_of("few")
    await make([table for table in all_tables(settings) if table.name != settings.sessions_table])

    assert await storage_line(settings) == ""

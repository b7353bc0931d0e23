"""scripts/diagnose_tables.py finds what is wrong with tables, permissions and records, and names a cure for each."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from scripts.diagnose_tables import main
from scripts.upkeep.asking import CURES
from scripts.upkeep.opening import open_store, tables_of
from scripts.upkeep.shapes import CURES as SHAPE_CURES
from scripts.upkeep.shapes import Drift, IndexState, TableState, differences
from storage.tables import Index, orders_table
from tests.scripts import foreign
from tests.scripts.interposed import Fault, Interposed

TABLES = ["--tables", "orders", "appointments"]
type Diagnose = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def diagnose(capsys: pytest.CaptureFixture[str]) -> Diagnose:
    """Return what runs the script on a loop of its own, and returns what it ends with and what it found."""

    async def run(env: dict[str, str], *arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*(arguments or TABLES), "--json"], env)
        return code, json.loads(capsys.readouterr().out)

    return run


def bad(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what is not in order: part, line and cure."""
    every = [*found["findings"], *(one for table in found["tables"] for one in table["findings"])]
    return [(one["part"], one["line"], one["cure"]) for one in every if one["weight"] != "ok"]


async def filled(env: dict[str, str], *, is_well: bool = True) -> None:
    settings = Settings.from_env(env)
    store = await open_store(settings, may_make=True)
    for table in tables_of(settings, ("orders", "appointments")):
        await store.database.table(table.definition).create()
    if not is_well:
        await foreign.fill(store, settings, orders=2, appointments=1)
        await store.put_back(foreign.tables(settings)[0], foreign.without(foreign.order(9), "customerEmail"))
    await store.aclose()


@pytest.mark.req("S4-61")
async def test_what_is_in_order_is_told_with_its_figures(diagnose: Diagnose, sqlite_env: dict[str, str]) -> None:
    await filled(sqlite_env)
    code, found = await diagnose(sqlite_env)

    assert (code, bad(found)) == (0, [])
    assert found["place"] == f"SQLite, {sqlite_env['SQLITE_PATH']}"
    assert [(table["name"], table["setting"], table["records"]) for table in found["tables"]] == [
        ("nova-sonic-orders", "ORDERS_TABLE", 0),
        ("nova-sonic-appointments", "APPOINTMENTS_TABLE", 0),
    ]


async def test_people_read_the_same_as_programs(sqlite_env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    await filled(sqlite_env, is_well=False)
    code = await asyncio.to_thread(main, TABLES, sqlite_env)
    lines = capsys.readouterr().out.splitlines()

    assert code == 1
    assert any(line.startswith("  PROBLEM records: 3 of 3 cannot be read by the server: ORDER#1: id is no text; ") for line in lines)
    assert sum(line.startswith("          cure: ") for line in lines) == 4
    assert lines[-1] == "problems: 4, notices: 0, in order: 3"


async def test_a_file_that_is_not_there_is_not_made(diagnose: Diagnose, sqlite_env: dict[str, str]) -> None:
    code, found = await diagnose(sqlite_env)

    assert (code, bad(found)[0][:2]) == (1, ("file", "there is none"))
    assert "make seed" in bad(found)[0][2]
    assert not Path(sqlite_env["SQLITE_PATH"]).exists()


async def test_a_damaged_file_is_named(diagnose: Diagnose, sqlite_env: dict[str, str]) -> None:
    Path(sqlite_env["SQLITE_PATH"]).write_bytes(b"this is no database, and was never meant to be one" * 100)
    code, found = await diagnose(sqlite_env)

    assert code == 1
    assert "file is not a database" in bad(found)[0][1]


async def test_entries_that_an_index_lacks_are_counted(diagnose: Diagnose, sqlite_env: dict[str, str]) -> None:
    await filled(sqlite_env, is_well=False)
    with sqlite3.connect(sqlite_env["SQLITE_PATH"]) as connection:
        connection.execute("DELETE FROM entries WHERE \"index\" = 'CustomerEmailIndex'")
    connection.close()
    _, found = await diagnose(sqlite_env)

    assert ("schema", "stale index: CustomerEmailIndex lacks 2 records", "run scripts/migrate.py") in bad(found)


async def test_wrong_settings_and_tables_end_it_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    codes = [main([], {"STORAGE": "paper"}), main(["--tables", "recipes"], {})]

    assert codes == [2, 2]
    assert "there is no table recipes" in capsys.readouterr().err


@pytest.mark.dynamodb
@pytest.mark.req("S4-61")
async def test_tables_of_dynamodb_are_looked_at_in_every_respect(diagnose: Diagnose, dynamodb_env: dict[str, str]) -> None:
    await filled(dynamodb_env)
    code, found = await diagnose(dynamodb_env)
    allowed = [one["line"] for table in found["tables"] for one in table["findings"] if one["part"] == "permissions"]

    assert (code, bad(found)) == (0, [])
    assert found["tables"][0]["billing"] == "PAY_PER_REQUEST"
    assert found["tables"][0]["indexes"] == ["CustomerEmailIndex:ACTIVE", "StatusIndex:ACTIVE"]
    assert allowed[0] == (
        "allowed: GetItem, Query, Query on index CustomerEmailIndex, Query on index StatusIndex, "
        "PutItem, UpdateItem, DeleteItem, ConditionCheckItem"
    )


@pytest.mark.dynamodb
async def test_looking_changes_nothing(diagnose: Diagnose, dynamodb_env: dict[str, str]) -> None:
    await filled(dynamodb_env, is_well=False)
    settings = Settings.from_env(dynamodb_env)
    store = await open_store(settings)
    before = [await foreign.everything(store, table) for table in foreign.tables(settings)]
    code, _ = await diagnose(dynamodb_env)
    after = [await foreign.everything(store, table) for table in foreign.tables(settings)]
    await store.aclose()

    assert code == 1
    assert after == before


@pytest.mark.dynamodb
@pytest.mark.req("S4-61")
@pytest.mark.parametrize("action", ["GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "DescribeTable"])
async def test_an_action_that_is_refused_is_named_with_its_table(
    diagnose: Diagnose, watched_env: dict[str, str], between: Interposed, action: str
) -> None:
    await filled(watched_env)
    between.faults.append(Fault(action, "AccessDeniedException"))
    code, found = await diagnose(watched_env, "--tables", "orders", "--sample", "0")
    lines = [(line, cure) for part, line, cure in bad(found) if part in ("permissions", "schema")]

    assert code == 1
    assert lines[0][0] == f"dynamodb:{action} is refused"
    assert f"allow dynamodb:{action} on arn:aws:dynamodb:us-east-1:" in lines[0][1]


@pytest.mark.dynamodb
async def test_an_index_that_may_not_be_queried_is_told_apart_from_its_table(
    diagnose: Diagnose, watched_env: dict[str, str], between: Interposed
) -> None:
    await filled(watched_env)
    between.faults += [
        Fault("Query", "AccessDeniedException", index="StatusIndex"),
        Fault("TransactWriteItems", "AccessDeniedException"),
        Fault("Scan", "AccessDeniedException"),
        Fault("DescribeTimeToLive", "AccessDeniedException"),
    ]
    _, found = await diagnose(watched_env, "--tables", "orders")
    told = bad(found)

    assert [line for part, line, _ in told if part == "permissions"] == [
        "dynamodb:Query on index StatusIndex is refused",
        "dynamodb:ConditionCheckItem is refused",
    ]
    assert "/index/*" in next(cure for _, line, cure in told if "StatusIndex" in line)
    assert any("allow dynamodb:Scan" in cure for part, _, cure in told if part == "records")
    assert any("allow dynamodb:DescribeTimeToLive" in cure for part, _, cure in told if part == "schema")


@pytest.mark.dynamodb
@pytest.mark.parametrize(
    "code", ["UnrecognizedClientException", "ExpiredTokenException", "InvalidSignatureException", "ThrottlingException"]
)
async def test_each_way_of_getting_nowhere_has_its_cure(
    diagnose: Diagnose, watched_env: dict[str, str], between: Interposed, code: str
) -> None:
    between.faults.append(Fault("", code))
    status, found = await diagnose(watched_env, "--tables", "orders")
    cause, cure = CURES[code]

    assert status == 1
    assert [(part, cure) for part, _, cure in bad(found)] == [("connection", cure)]
    assert f"{cause} ({code})" in bad(found)[0][1]


async def test_an_endpoint_that_nobody_listens_on_has_its_cure(
    diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    endpoint = f"http://127.0.0.1:{unused_tcp_port}"
    for name, value in {"AWS_ENDPOINT_URL_DYNAMODB": endpoint, "AWS_ACCESS_KEY_ID": "MADEUP", "AWS_SECRET_ACCESS_KEY": "made-up"}.items():
        monkeypatch.setenv(name, value)
    code, found = await diagnose({"AWS_ENDPOINT_URL_DYNAMODB": endpoint})

    assert code == 1
    assert "(EndpointConnectionError)" in bad(found)[0][1]
    assert "AWS_DEFAULT_REGION" in bad(found)[0][2]


async def test_without_credentials_it_says_where_they_come_from(
    diagnose: Diagnose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    none = await diagnose({})
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "MADEUP")
    half = await diagnose({})
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    unknown = await diagnose({})

    assert [code for code, _ in (none, half, unknown)] == [1, 1, 1]
    assert [bad(found)[0][1] for _, found in (none, half, unknown)] == [
        f"DynamoDB: {CURES[name][0]} ({name})" for name in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
    ]


@pytest.mark.dynamodb
async def test_tables_that_are_missing_say_how_they_are_made(diagnose: Diagnose, dynamodb_env: dict[str, str]) -> None:
    code, found = await diagnose(dynamodb_env, "--tables", "orders", "sessions")

    assert code == 1
    assert [table["findings"][0]["weight"] for table in found["tables"]] == ["problem", "notice"]
    assert "scripts/seed_data.py --create-tables" in bad(found)[0][2]


STATE = TableState(
    name="nova-sonic-orders",
    status="ACTIVE",
    partition="PK",
    sort="SK",
    key_types="SS",
    indexes=tuple(IndexState(index) for index in orders_table().indexes),
    expiry="expiresAt",
    stream="NEW_IMAGE",
    billing="PAY_PER_REQUEST",
    records=0,
    size=0,
)
FIRST, SECOND = orders_table().indexes


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"stream": "NEW_AND_OLD_IMAGES"}, []),
        ({"status": "UPDATING"}, []),
        ({"status": "CREATING"}, [Drift.NOT_ACTIVE]),
        ({"sort": None, "key_types": "S"}, [Drift.OTHER_KEYS]),
        ({"key_types": "SN"}, [Drift.OTHER_KEYS]),
        ({"expiry": None}, [Drift.NO_EXPIRY]),
        ({"expiry": "ttl"}, [Drift.OTHER_EXPIRY]),
        ({"stream": None}, [Drift.NO_STREAM]),
        ({"stream": "KEYS_ONLY"}, [Drift.OTHER_STREAM]),
        ({"billing": "PROVISIONED"}, [Drift.PROVISIONED]),
        ({"indexes": (IndexState(FIRST),)}, [Drift.MISSING_INDEX]),
        ({"indexes": (IndexState(FIRST, "KEYS_ONLY"), IndexState(SECOND))}, [Drift.OTHER_INDEX]),
        ({"indexes": (IndexState(Index(FIRST.name, "status")), IndexState(SECOND))}, [Drift.OTHER_INDEX]),
        ({"indexes": (IndexState(FIRST, status="CREATING"), IndexState(SECOND))}, [Drift.INDEX_BUILDING]),
        ({"indexes": (IndexState(FIRST, missing_entries=3), IndexState(SECOND))}, [Drift.STALE_INDEX]),
        ({"indexes": (IndexState(FIRST), IndexState(SECOND), IndexState(Index("Other", "x")))}, [Drift.UNKNOWN_INDEX]),
    ],
)
def test_every_difference_of_a_table_is_found_and_nothing_else(changes: dict[str, Any], found: list[Drift]) -> None:
    told = differences(orders_table(), replace(STATE, **changes))

    assert [one.drift for one in told] == found
    assert all(one.cure for one in told)


def test_every_difference_has_a_cure() -> None:
    assert set(SHAPE_CURES) == set(Drift)

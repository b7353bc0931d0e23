"""scripts/migrate.py as a program: killed and resumed, stopped, asked for what cannot be, and what it ends with."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from config import Settings
from scripts.migrate import main
from scripts.upkeep.opening import open_store
from scripts.upkeep.shapes import Drift, differences
from tests import needs
from tests.scripts import foreign
from tests.scripts.conftest import Installation
from tests.scripts.interposed import Fault, Interposed

TABLES = ["--tables", "orders", "appointments"]


def script(env: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(needs.ROOT / "scripts" / "migrate.py"), *arguments],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def contents(installation: Installation) -> list[dict[str, Any]]:
    return [wire for table in installation.tables() for wire in await foreign.everything(installation.store, table.definition)]


def kill_before(installation: Installation, writes: int) -> int:
    program = [sys.executable, "-m", "tests.scripts.killed", str(installation.folder / "killed"), str(writes)]
    return subprocess.run(program, cwd=needs.ROOT, env={**os.environ, **installation.env}, capture_output=True, check=False).returncode


type Tell = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Return what runs the script on a loop of its own, and returns what it ends with and its report."""

    async def run(env: dict[str, str], folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, [*arguments, "--json", "--rate", "0", "--folder", str(folder)], env)
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else {"said": err}

    return run


@pytest.mark.req("S4-64")
async def test_a_killed_migration_goes_on_where_it_was(tell: Tell, installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings)
    status = kill_before(installation, 6)
    refused, said = await tell(installation.env, installation.folder, *TABLES)
    code, report = await tell(installation.env, installation.folder, "--resume")
    again, nothing = await tell(installation.env, installation.folder, *TABLES)

    assert status == -signal.SIGKILL
    assert (refused, code, again) == (2, 0, 0)
    assert "go on with it by --resume, or take it back by --rollback killed" in said["said"]
    assert (report["run"], report["outcome"], nothing["outcome"]) == ("killed", "done", "nothing to do")
    assert [table["verified"]["changed"] for table in report["tables"]] == [4, 3]
    assert [table["verified"]["byOthers"] for table in report["tables"]] == [0, 0]


@pytest.mark.req("S4-64")
async def test_a_killed_migration_can_be_taken_back(tell: Tell, installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings)
    before = await contents(installation)
    kill_before(installation, 6)
    between = await contents(installation)
    code, report = await tell(installation.env, installation.folder, "--rollback", "killed")
    again, said = await tell(installation.env, installation.folder, "--rollback", "killed")

    assert between != before
    assert (code, report["outcome"]) == (0, "rolled back")
    assert await contents(installation) == before
    assert (again, said["said"]) == (2, "killed was taken back already\n")


async def filled(env: dict[str, str]) -> None:
    store = await open_store(Settings.from_env(env), may_make=True)
    await foreign.fill(store, Settings.from_env(env))
    await store.aclose()


async def test_a_stopped_migration_says_how_to_go_on(sqlite_env: dict[str, str], tmp_path: Path) -> None:
    await filled(sqlite_env)
    folder = ["--folder", str(tmp_path / "migrations")]
    process = script(sqlite_env, *TABLES, *folder, "--rate", "1")
    assert process.stderr is not None
    while "appointments: copying" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    resumed = script(sqlite_env, "--resume", *folder, "--rate", "0")
    out, _ = resumed.communicate(timeout=60)

    assert process.returncode == 1
    assert said.splitlines()[-1] == "stopped; go on with --resume, or take back what was done with --rollback"
    assert resumed.returncode == 0
    assert "4 changed, 1 made, 0 written by others, 5 readable" in out


def test_wrong_settings_tables_and_runs_end_it_with_2(
    sqlite_env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "records.sqlite3").touch()
    folder = ["--folder", str(tmp_path / "migrations")]
    asked = [["--tables", "recipes"], ["--resume"], ["--rollback", "none"], ["--restore", "none"]]
    codes = [main([*arguments, *folder], sqlite_env) for arguments in asked]
    said = capsys.readouterr().err
    wrong = main([], {"STORAGE": "paper"})

    assert [*codes, wrong] == [2, 2, 2, 2, 2]
    assert "there is no table recipes; there are orders, appointments," in said
    assert "there is not one migration to go on with; unfinished: none" in said
    assert "there is no migration none" in said
    assert "there is no copy of these tables" in said
    assert "STORAGE" in capsys.readouterr().err


def test_without_a_store_nothing_is_changed_and_1_is_the_end(
    sqlite_env: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([], sqlite_env)

    assert code == 1
    assert "nothing was changed: there is no database file" in capsys.readouterr().err
    assert not (tmp_path / "records.sqlite3").exists()


async def test_the_embedded_database_keeps_no_copies_itself(tell: Tell, sqlite_env: dict[str, str], tmp_path: Path) -> None:
    await filled(sqlite_env)
    code, report = await tell(sqlite_env, tmp_path / "migrations", "--service-backup")

    assert (code, report["outcome"]) == (1, "rolled back")
    assert "leave --service-backup out" in report["error"]


async def test_records_written_before_an_index_was_added_get_into_it(tell: Tell, sqlite_env: dict[str, str], tmp_path: Path) -> None:
    await filled(sqlite_env)
    with sqlite3.connect(sqlite_env["SQLITE_PATH"]) as connection:
        connection.execute("DELETE FROM entries WHERE \"index\" = 'StatusIndex' AND pk LIKE 'ORDER#%'")
    connection.close()
    _, report = await tell(sqlite_env, tmp_path / "migrations", *TABLES)
    store = await open_store(Settings.from_env(sqlite_env))
    orders, _ = foreign.tables(Settings.from_env(sqlite_env))
    left = differences(orders, await store.state(orders))
    await store.aclose()

    assert report["tables"][0]["mended"] == ["stale index: StatusIndex lacks 4 records"]
    assert left == ()


@pytest.mark.dynamodb
async def test_missing_indexes_expiry_and_stream_are_made(tell: Tell, dynamodb_env: dict[str, str], tmp_path: Path) -> None:
    settings = Settings.from_env(dynamodb_env)
    store = await open_store(settings)
    orders, appointments = foreign.tables(settings)
    client = store.database.client  # type: ignore[attr-defined]  # the driver's own
    keys = [{"AttributeName": name, "KeyType": kind} for name, kind in (("PK", "HASH"), ("SK", "RANGE"))]
    types = [{"AttributeName": name, "AttributeType": "S"} for name in ("PK", "SK", "status")]
    other = {
        "IndexName": "StatusIndex",
        "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    client.create_table(
        TableName=orders.name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=types,
        KeySchema=keys,
        GlobalSecondaryIndexes=[other],
    )
    await store.put_back(orders, foreign.order(1))
    before = {one.drift for one in differences(orders, await store.state(orders))}
    _, first = await tell(dynamodb_env, tmp_path / "one", *TABLES)
    between = {one.drift for one in differences(orders, await store.state(orders))}
    await tell(dynamodb_env, tmp_path / "two", *TABLES, "--replace-indexes")
    after = [differences(one, await store.state(one)) for one in (orders, appointments)]
    await store.aclose()

    assert before == {Drift.MISSING_INDEX, Drift.OTHER_INDEX, Drift.NO_EXPIRY, Drift.NO_STREAM}
    assert between == {Drift.OTHER_INDEX}
    assert "with --replace-indexes" in first["tables"][0]["left"][0]
    assert after == [(), ()]


@pytest.mark.dynamodb
@pytest.mark.req("S4-64")
async def test_a_refusal_in_the_middle_is_taken_back_over_http(
    tell: Tell, watched_env: dict[str, str], between: Interposed, tmp_path: Path
) -> None:
    await filled(watched_env)
    settings = Settings.from_env(watched_env)
    store = await open_store(settings)
    installation = Installation(watched_env, store, tmp_path / "migrations")
    before = await contents(installation)
    between.faults.append(Fault("TransactWriteItems", "AccessDeniedException", after=3))
    code, report = await tell(installation.env, installation.folder, *TABLES)
    after = await contents(installation)
    between.faults.clear()
    between.faults.append(Fault("TransactWriteItems", "InternalServerError", 500, after=2, times=4))
    again, done = await tell(watched_env, tmp_path / "again", *TABLES)
    await store.aclose()

    assert (code, report["outcome"], report["error"]) == (1, "rolled back", "DynamoDB: AccessDeniedException")
    assert after == before
    assert (again, done["outcome"]) == (0, "done")


@pytest.mark.dynamodb
async def test_when_not_even_going_back_is_possible_it_says_what_to_do(
    tell: Tell, watched_env: dict[str, str], between: Interposed, tmp_path: Path
) -> None:
    await filled(watched_env)
    store = await open_store(Settings.from_env(watched_env))
    installation = Installation(watched_env, store, tmp_path / "migrations")
    before = await contents(installation)
    between.faults += [Fault("TransactWriteItems", "AccessDeniedException", after=3), Fault("UpdateItem", "AccessDeniedException")]
    code, report = await tell(installation.env, installation.folder, *TABLES)
    between.faults.clear()
    again, back = await tell(installation.env, installation.folder, "--rollback", report["run"])
    after = await contents(installation)
    await store.aclose()

    assert (code, report["outcome"]) == (1, "stopped")
    assert f"--rollback {report['run']}" in report["advice"]
    assert (again, back["outcome"]) == (0, "rolled back")
    assert after == before


@pytest.mark.dynamodb
async def test_dynamodb_keeps_the_copy_when_asked(tell: Tell, dynamodb_env: dict[str, str], tmp_path: Path) -> None:
    await filled(dynamodb_env)
    store = await open_store(Settings.from_env(dynamodb_env))
    installation = Installation(dynamodb_env, store, tmp_path / "migrations")
    code, report = await tell(installation.env, installation.folder, *TABLES, "--service-backup")
    refused, said = await tell(installation.env, installation.folder, "--restore", report["run"])
    await store.aclose()

    assert (code, report["outcome"]) == (0, "done")
    assert all(table["copy"].startswith("arn:aws:dynamodb:") for table in report["tables"])
    assert refused == 2
    assert "restore arn:aws:dynamodb:" in said["said"]

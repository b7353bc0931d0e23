"""The shell scripts hand on what they are asked for, and the linter of shells finds nothing in them."""

import os
import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from config import Settings
from scripts.terraform_state import main
from scripts.upkeep.opening import open_store, tables_of
from scripts.upkeep.shapes import differences
from tests import ministack, needs
from tests.scripts import foreign

SCRIPTS = sorted((needs.ROOT / "scripts").glob("*.sh"))


def run(name: str, *arguments: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    path = str(needs.ROOT / "scripts" / name)
    inherited = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    return subprocess.run([path, *arguments], env=inherited | env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.req("S4-63")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_the_linter_finds_nothing(path: Path) -> None:
    linter = needs.find_shellcheck() or needs.missing("shellcheck")
    done = subprocess.run([str(linter), str(path)], capture_output=True, text=True, check=False)

    assert done.stdout == ""
    assert os.access(path, os.X_OK) or path.name in ("setup.sh", "lock.sh")


@pytest.mark.req("S4-62")
@pytest.mark.req("S4-64")
async def test_a_migration_is_tried_and_run(sqlite_env: dict[str, str], tmp_path: Path) -> None:
    settings = Settings.from_env(sqlite_env)
    store = await open_store(settings, may_make=True)
    await foreign.fill(store, settings)
    await store.aclose()
    tables = ("--tables", "orders", "appointments", "--rate", "0", "--folder", str(tmp_path / "migrations"))
    tried = run("test-migration.sh", *tables, env=sqlite_env)
    done = run("run-migration.sh", *tables, env=sqlite_env)

    assert (tried.returncode, done.returncode) == (0, 0)
    assert "Tried on a copy: a fault in the middle of 9 changes was taken back, then all was done." in tried.stdout
    assert "4 changed, 1 made, 0 written by others, 5 readable" in done.stdout


@pytest.mark.dynamodb
@pytest.mark.req("S4-63")
def test_the_state_of_terraform_gets_a_bucket_of_its_own(ministack_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {**ministack.CREDENTIALS, "AWS_ENDPOINT_URL_S3": ministack_endpoint, "AWS_DEFAULT_REGION": ministack.REGION}
    folder = tmp_path / "terraform"
    codes = [run("setup-backend.sh", str(folder), "--bucket", "state-of-tests", env=env) for _ in range(2)]
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name=ministack.REGION)
    versioning = client.get_bucket_versioning(Bucket="state-of-tests")
    blocked = client.get_public_access_block(Bucket="state-of-tests")["PublicAccessBlockConfiguration"]
    policy = client.get_bucket_policy(Bucket="state-of-tests")["Policy"]

    assert [done.returncode for done in codes] == [0, 0]
    assert "bucket state-of-tests made in us-east-1" in codes[0].stdout
    assert "bucket state-of-tests is there" in codes[1].stdout
    assert versioning["Status"] == "Enabled"
    assert all(blocked.values())
    assert "aws:SecureTransport" in policy
    assert (folder / "backend.hcl").read_text().splitlines() == [
        'bucket = "state-of-tests"',
        'key = "nova-sonic-server-app/terraform.tfstate"',
        'region = "us-east-1"',
        "encrypt = true",
        "use_lockfile = true",
    ]


@pytest.mark.dynamodb
@pytest.mark.req("S3-02")
async def test_every_table_is_deployed_and_looked_at(dynamodb_env: dict[str, str]) -> None:
    env = {**ministack.CREDENTIALS, **dynamodb_env}
    done = run("deploy.sh", env=env)
    settings = Settings.from_env(dynamodb_env)
    store = await open_store(settings)
    left = [differences(table.definition, await store.state(table.definition)) for table in tables_of(settings)]
    records = [await foreign.everything(store, table) for table in foreign.tables(settings)]
    await store.aclose()

    assert done.returncode == 0
    assert "problems: 0, notices: 0" in done.stdout
    assert set(left) == {()}
    assert records == [[], []]


def test_without_aws_the_state_has_no_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], unused_tcp_port: int, tmp_path: Path
) -> None:
    for name, value in {**ministack.CREDENTIALS, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{unused_tcp_port}"}.items():
        monkeypatch.setenv(name, value)
    code = main(["--bucket", "nowhere", "--out", str(tmp_path / "backend.hcl")])

    assert code == 1
    assert "the state has no place" in capsys.readouterr().err
    assert not (tmp_path / "backend.hcl").exists()

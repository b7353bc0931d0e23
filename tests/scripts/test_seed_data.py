import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from config import Settings
from scripts.seed_data import main
from scripts.upkeep.opening import open_store
from tests import ministack, needs
from tests.scripts import foreign
from tests.scripts.conftest import names


def settings(tmp_path: Path) -> dict[str, str]:
    return {"STORAGE": "sqlite", "SQLITE_PATH": str(tmp_path / "data" / "seed.sqlite3"), "DNI_SALT": "a salt for these tests"}


def contents(tmp_path: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(tmp_path / "data" / "seed.sqlite3") as connection:
        return connection.execute('SELECT "table", pk, sk, body FROM records ORDER BY 1, 2, 3').fetchall()


@pytest.mark.req("S4-66")
@pytest.mark.req("S3-17")
def test_it_shows_its_progress_and_changes_nothing_the_second_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first_code = main([], settings(tmp_path))
    first, before = capsys.readouterr().out.splitlines(), contents(tmp_path)
    second_code = main([], settings(tmp_path))
    second, after = capsys.readouterr().out.splitlines(), contents(tmp_path)

    assert first_code == second_code == 0
    assert "order 1/5 written" in first
    assert "appointment 5/5 written" in first
    assert "patient 2/2 written" in first
    assert first[-1] == "12 written, 0 kept"
    assert second[-1] == "0 written, 12 kept"
    assert after == before


def test_a_reset_writes_the_examples_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], settings(tmp_path))
    capsys.readouterr()
    code = main(["--reset"], settings(tmp_path))

    assert code == 0
    assert capsys.readouterr().out.splitlines()[-1] == "12 written, 0 kept"


def test_a_dry_run_tells_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codes = [main(["--dry-run"], settings(tmp_path))]
    is_made = (tmp_path / "data").exists()
    main([], settings(tmp_path))
    with sqlite3.connect(tmp_path / "data" / "seed.sqlite3") as connection:
        connection.execute("DELETE FROM records WHERE pk IN ('ORDER#2', 'PATIENT#pt-001')")
        connection.execute("DELETE FROM tables WHERE name = 'nova-sonic-sessions'")
    connection.close()
    before = contents(tmp_path)
    capsys.readouterr()
    codes.append(main(["--dry-run"], settings(tmp_path)))
    told = capsys.readouterr().out.splitlines()

    assert codes == [0, 0]
    assert not is_made
    assert told == [
        "table nova-sonic-sessions would be made",
        "order 2/5 would be written",
        "patient 1/2 would be written",
        "2 would be written; nothing was changed",
    ]
    assert contents(tmp_path) == before


async def _stranger(tmp_path: Path) -> None:
    settings_of = Settings.from_env(settings(tmp_path))
    store = await open_store(settings_of)
    await store.put_back(foreign.tables(settings_of)[0], foreign.order(77, status=foreign.text("pending")))
    await store.aclose()


def test_among_records_of_real_people_it_writes_only_when_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], settings(tmp_path))
    asyncio.run(_stranger(tmp_path))
    nothing_to_do = main([], settings(tmp_path))
    before = contents(tmp_path)
    capsys.readouterr()
    refused = main(["--reset"], settings(tmp_path))
    told = capsys.readouterr()
    is_untouched = contents(tmp_path) == before
    forced = main(["--reset", "--force"], settings(tmp_path))

    assert (nothing_to_do, refused, forced) == (0, 1, 0)
    assert is_untouched
    assert told.out == ""
    assert told.err == (
        "nothing was written: there are records of other people in nova-sonic-orders; --force writes the examples among them\n"
    )


def test_it_runs_as_a_file_from_anywhere(tmp_path: Path) -> None:
    script = needs.ROOT / "scripts" / "seed_data.py"
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=settings(tmp_path), capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "12 written, 0 kept"


def test_wrong_settings_end_it_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([], {"STORAGE": "paper", "CLINIC_TIME_ZONE": "Nowhere/Land"})
    told = capsys.readouterr().err

    assert code == 2
    assert "STORAGE" in told
    assert "CLINIC_TIME_ZONE" in told


def test_a_file_that_cannot_be_used_ends_it_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    code = main([], settings(tmp_path))

    assert code == 1
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.dynamodb
@pytest.mark.req("S4-66")
def test_it_makes_the_tables_of_dynamodb_when_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        with ministack.started() as endpoint:
            for name, value in {**ministack.CREDENTIALS, "AWS_ENDPOINT_URL_DYNAMODB": endpoint}.items():
                monkeypatch.setenv(name, value)
            asked = {"STORAGE": "dynamodb", **names("seeded")}
            codes = [main(flags, asked) for flags in ([], ["--create-tables"], ["--create-tables"], ["--reset"], ["--reset"])]
    except ministack.Unavailable as error:
        needs.missing(f"MiniStack ({error})")
    told = capsys.readouterr()

    assert codes == [1, 0, 0, 0, 0]
    assert "--create-tables" in told.err
    assert [line for line in told.out.splitlines() if "kept" in line and "," in line] == [
        "12 written, 0 kept",
        "0 written, 12 kept",
        "12 written, 0 kept",
        "12 written, 0 kept",
    ]
    assert [line for line in told.out.splitlines() if "made" in line] == [f"table {name} made" for name in names("seeded").values()]
    assert "DNI_SALT is not set" in told.out

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.seed_data import main
from tests import ministack, needs


def settings(tmp_path: Path) -> dict[str, str]:
    return {"STORAGE": "sqlite", "SQLITE_PATH": str(tmp_path / "data" / "seed.sqlite3"), "DNI_SALT": "a salt for these tests"}


def contents(tmp_path: Path) -> list[tuple[str, ...]]:
    with sqlite3.connect(tmp_path / "data" / "seed.sqlite3") as connection:
        return connection.execute('SELECT "table", pk, sk, body FROM records ORDER BY 1, 2, 3').fetchall()


@pytest.mark.req("S4-66")
def test_it_shows_its_progress_and_changes_nothing_the_second_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first_code = main([], settings(tmp_path))
    first, before = capsys.readouterr().out.splitlines(), contents(tmp_path)
    second_code = main([], settings(tmp_path))
    second, after = capsys.readouterr().out.splitlines(), contents(tmp_path)

    assert first_code == second_code == 0
    assert "order 1/5 written" in first
    assert "appointment 5/5 written" in first
    assert first[-1] == "10 written, 0 kept"
    assert second[-1] == "0 written, 10 kept"
    assert after == before


def test_a_reset_writes_the_examples_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([], settings(tmp_path))
    capsys.readouterr()
    code = main(["--reset"], settings(tmp_path))

    assert code == 0
    assert capsys.readouterr().out.splitlines()[-1] == "10 written, 0 kept"


def test_it_runs_as_a_file_from_anywhere(tmp_path: Path) -> None:
    script = needs.ROOT / "scripts" / "seed_data.py"
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=settings(tmp_path), capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "10 written, 0 kept"


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
            asked = {"ORDERS_TABLE": "seeded-orders", "APPOINTMENTS_TABLE": "seeded-appointments", "SESSIONS_TABLE": "seeded-sessions"}
            asked |= {"CONNECTIONS_TABLE": "seeded-connections", "STORAGE": "dynamodb"}
            codes = [main(flags, asked) for flags in ([], ["--create-tables"], ["--create-tables"], ["--reset"], ["--reset"])]
    except ministack.Unavailable as error:
        needs.missing(f"MiniStack ({error})")
    told = capsys.readouterr()

    assert codes == [1, 0, 0, 0, 0]
    assert "--create-tables" in told.err
    assert [line for line in told.out.splitlines() if "kept" in line and "," in line] == [
        "10 written, 0 kept",
        "0 written, 10 kept",
        "10 written, 0 kept",
        "10 written, 0 kept",
    ]
    assert [line for line in told.out.splitlines() if "made" in line] == [
        f"table seeded-{name} made" for name in ("orders", "appointments", "sessions", "connections")
    ]
    assert "DNI_SALT is not set" in told.out

"""Where conversations are kept for other processes, and what is told when they are not."""

import base64
import stat
import threading
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

import parts.database
from bootstrap import build
from config import Settings, SettingsError
from parts.database import local_key, open_keeper
from session.keeper import SessionKeeper
from storage.cipher import KEY_BYTES
from storage.sqlite import open_sqlite
from storage.tables import sessions_table
from telemetry.counters import Counters
from tests.transports.doubles import ScriptedModel

KEY = base64.b64encode(bytes(KEY_BYTES)).decode()
HANDLE = "ab" * 32


def settings_of(folder: Path, **more: str) -> Settings:
    return Settings.from_env({"STORAGE": "sqlite", "SQLITE_PATH": str(folder / "r.sqlite3"), **more}, local=False)


async def keeper_of(settings: Settings, database_path: Path) -> tuple[SessionKeeper | None, list[MutableMapping[str, Any]]]:
    """Return what is made of the settings, and what the log says of it."""
    async with AsyncExitStack() as resources:
        database = open_sqlite(database_path)
        resources.push_async_callback(database.aclose)
        with capture_logs() as lines:
            keeper = await open_keeper(settings, database, resources, Counters())
        if keeper is not None:
            assert await keeper.take(HANDLE) is None
    return keeper, lines


async def test_with_a_key_conversations_are_kept(tmp_path: Path) -> None:
    keeper, lines = await keeper_of(settings_of(tmp_path, SESSIONS_KEY=KEY), tmp_path / "r.sqlite3")

    assert keeper is not None
    assert lines == []


@pytest.mark.parametrize(
    ("more", "missing"), [({}, "SESSIONS_KEY"), ({"SESSIONS_KEY": KEY, "RESUME_GRACE_SECONDS": "0"}, "RESUME_GRACE_SECONDS")]
)
async def test_that_conversations_are_not_kept_is_told_at_the_start(tmp_path: Path, more: dict[str, str], missing: str) -> None:
    keeper, lines = await keeper_of(settings_of(tmp_path, **more), tmp_path / "r.sqlite3")

    assert keeper is None
    assert [(line["event"], line["reason"].split()[0]) for line in lines] == [("sessions.not_kept", missing)]


async def test_a_store_that_is_away_is_told_and_keeps_nobody_from_starting(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    broken = open_sqlite(tmp_path / "a-file" / "r.sqlite3")
    async with AsyncExitStack() as resources:
        with capture_logs() as lines:
            keeper = await open_keeper(settings_of(tmp_path, SESSIONS_KEY=KEY), broken, resources, Counters())
    await broken.aclose()

    assert keeper is not None
    assert [line["event"] for line in lines] == ["sessions.not_stored"]


async def test_local_servers_share_a_key_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.database, "LOCAL_FOLDER", tmp_path / "local")
    settings = Settings.from_env({"SQLITE_PATH": str(tmp_path / "r.sqlite3")}, local=True)
    keepers = [(await keeper_of(settings, tmp_path / "r.sqlite3"))[0] for _ in range(2)]
    (key,) = (tmp_path / "local").iterdir()

    assert None not in keepers
    assert (len(key.read_bytes()), stat.S_IMODE(key.stat().st_mode)) == (KEY_BYTES, 0o600)


def test_processes_that_start_at_once_make_one_key(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    keys: list[bytes] = []

    def start() -> None:
        together.wait()
        keys.append(local_key(tmp_path / "sessions.key"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(keys)) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["sessions.key"]


async def test_the_table_is_made_with_the_embedded_database(tmp_path: Path) -> None:
    application = await build(settings_of(tmp_path, SESSIONS_KEY=KEY, SESSIONS_TABLE="moved"), model=ScriptedModel())
    await application.stop()
    database = open_sqlite(tmp_path / "r.sqlite3")
    await database.table(sessions_table("moved")).ping()
    await database.aclose()

    assert (tmp_path / "r.sqlite3").exists()


@pytest.mark.parametrize("value", ["short", base64.b64encode(bytes(31)).decode(), f"{KEY},", "é", f"{KEY};{KEY}"])
def test_a_key_that_is_none_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({"SESSIONS_KEY": value})
    (problem,) = refusal.value.problems

    assert problem.startswith("SESSIONS_KEY must be keys of 32 bytes in base64")
    assert value not in problem


def test_several_keys_are_taken_in_their_order() -> None:
    other = bytes(range(KEY_BYTES))
    settings = Settings.from_env({"SESSIONS_KEY": f"{base64.b64encode(other).decode()}, {KEY}"})

    assert settings.sessions_keys == (other, bytes(KEY_BYTES))
    assert KEY not in repr(settings)
    assert repr(other) not in repr(settings)

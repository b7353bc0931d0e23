"""The database, and the conversations that are kept in it for other processes."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import MutableMapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import structlog

from config import LOCAL_FOLDER, Settings, StorageKind
from parts.errors import StartFailed
from parts.model import LOCAL_KEY
from session.keeper import SessionKeeper
from storage.cipher import KEY_BYTES, Cipher
from storage.dynamodb import open_dynamodb
from storage.errors import StorageError
from storage.parked_sessions import ParkedSessions
from storage.sqlite import open_sqlite
from storage.table import Database, Table
from storage.tables import sessions_table
from telemetry.counters import Counters

log = structlog.get_logger()


def lend_local_credentials(settings: Settings, env: MutableMapping[str, str] = os.environ) -> None:
    """Give boto3 made-up credentials where it talks to a local DynamoDB in --local: it sends nothing without any."""
    if settings.local and settings.dynamodb_endpoint and not env.get("AWS_PROFILE"):
        env.setdefault("AWS_ACCESS_KEY_ID", LOCAL_KEY)
        env.setdefault("AWS_SECRET_ACCESS_KEY", LOCAL_KEY)


async def open_database(settings: Settings, resources: AsyncExitStack) -> Database:
    """Return the database that the settings choose.

    Raises:
        StartFailed: it cannot be opened.
    """
    lend_local_credentials(settings)
    try:
        is_embedded = settings.storage is StorageKind.SQLITE
        database: Database = open_sqlite(settings.sqlite_path) if is_embedded else await open_dynamodb(settings.region)
    except StorageError as error:
        raise StartFailed(f"The records cannot be used: {error}") from error
    resources.push_async_callback(database.aclose)
    return database


async def make_own_table(settings: Settings, table: Table) -> bool:
    """Make a table where it is the server's to make; return whether it was made.

    Raises:
        StorageError: the store cannot be used.
    """
    return (settings.local or settings.storage is StorageKind.SQLITE) and await table.create()


async def open_keeper(settings: Settings, database: Database, resources: AsyncExitStack, counters: Counters) -> SessionKeeper | None:
    """Return what keeps conversations for other processes, None without a key. That the store is away is no reason not to start."""
    keys = settings.sessions_keys
    try:
        if not keys and settings.local:
            keys = (await asyncio.to_thread(local_key, LOCAL_FOLDER / "sessions.key"),)
        if not keys or not settings.resume_seconds:
            missing = "SESSIONS_KEY" if not keys else "RESUME_GRACE_SECONDS"
            log.warning("sessions.not_kept", reason=f"{missing} is not set: no conversation survives this process")
            return None
        await try_sessions_table(settings, database)
    except (StorageError, OSError) as error:
        log.warning("sessions.not_stored", reason=str(error))
        if not keys:
            return None
    table = database.table(sessions_table(settings.sessions_table))
    keeper = SessionKeeper(ParkedSessions(table, Cipher(keys)), counters, settings.resume_seconds)
    resources.push_async_callback(keeper.aclose)
    return keeper


async def try_sessions_table(settings: Settings, database: Database) -> None:
    """See that there is a table for conversations, making it where it is the server's to make.

    Raises:
        StorageError: there is none, or it cannot be used.
    """
    table = database.table(sessions_table(settings.sessions_table))
    await make_own_table(settings, table)
    await table.ping()


def local_key(path: Path) -> bytes:
    """Return the key of the processes that share a folder; the first makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        number, draft = tempfile.mkstemp(dir=path.parent)  # for its owner alone
        with os.fdopen(number, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with suppress(FileExistsError):  # somebody was faster
            os.link(draft, path)
        Path(draft).unlink()
    return path.read_bytes()

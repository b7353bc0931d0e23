"""The embedded driver: one SQLite file, written by one thread that owns the only writing connection, read by two others.

WAL lets readers go on while the writer writes. synchronous=FULL flushes at each commit, so that an appointment that was confirmed aloud
survives the loss of power and not only a kill (SQLite documentation, "PRAGMA synchronous").
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from storage import sqlite_records as records
from storage.conditions import Condition, Update
from storage.errors import InvalidRequest, StorageError, StorageUnavailable, TableMissing
from storage.sqlite_line import Job, Outcome, WriteLine
from storage.table import MAX_TRANSACTION, Change, Delete, Key, Page, Put, Query, Write
from storage.tables import TableDefinition
from storage.values import Item
from storage.workers import BoundedPool

BUSY_SECONDS = 2.0
"""How long to wait for another process that writes the same file; below the 5 s that a tool may take."""
SWEEP_SECONDS = 60.0
"""Expired records are removed with the first write after this time."""
_DAMAGED = frozenset(("SQLITE_CORRUPT", "SQLITE_NOTADB"))
WAITING = 256
"""Calls that may wait for the writer, and for the readers."""


class SqliteDatabase:
    """A database file, or `:memory:`.

    Args:
        path: where the file is, or shall be; missing folders are made.
        clock: seconds since 1970, for expiry.
        busy_seconds: how long to wait for another process.
    """

    def __init__(self, path: Path | str, *, clock: Callable[[], float] = time.time, busy_seconds: float = BUSY_SECONDS) -> None:
        self._path = str(path)
        self.clock = clock
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._was_opened = threading.Event()
        self._writer = BoundedPool("sqlite-writer", threads=1, waiting=WAITING)
        # A database in memory belongs to its one connection.
        self._readers = self._writer if self._path == ":memory:" else BoundedPool("sqlite-reader", threads=2, waiting=WAITING)
        self._line = WriteLine(self._writer, self._write_group, WAITING)
        self._next_sweep = clock() + SWEEP_SECONDS

    def table(self, definition: TableDefinition) -> "SqliteTable":
        """Return a table; does no I/O."""
        return SqliteTable(self, definition)

    async def read[T](self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job that only reads.

        Raises:
            StorageUnavailable: locked, damaged, full, or too many wait.
        """
        return await self._readers.run(partial(self._guarded, job))

    async def write[T](self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run a job in a transaction, alone or with others that wait: all of it is kept, or nothing.

        Raises:
            StorageUnavailable: locked, damaged, full, or too many wait.
        """
        return await self._line.run(job)

    async def aclose(self) -> None:
        """Finish what runs and close the file."""
        if self._readers is not self._writer:
            await self._readers.aclose()
        await self._writer.aclose()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        while self._connections:
            self._connections.pop().close()

    def _write_group(self, jobs: Sequence[Job[object]]) -> list[Outcome]:
        """Commit jobs together; if one fails when it has written something, each for itself."""
        try:
            return self._guarded(partial(self._transaction, jobs))
        except _TornError:
            return [outcome for job in jobs for outcome in self._write_group([job])]
        except Exception as error:  # noqa: BLE001 - whoever waits for the job gets it
            return [Outcome(error=error)] * len(jobs)

    def _transaction(self, jobs: Sequence[Job[object]], connection: sqlite3.Connection) -> list[Outcome]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            outcomes = [Outcome(jobs[0](connection))] if len(jobs) == 1 else [_attempt(job, connection) for job in jobs]
            if self.clock() >= self._next_sweep:
                records.sweep(connection, self.clock())
                self._next_sweep = self.clock() + SWEEP_SECONDS
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return outcomes

    def _guarded[T](self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return job(self._connection())
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if getattr(error, "sqlite_errorname", "") in _DAMAGED:
                self._forget_connection()  # it may have damaged pages in its cache when the file has been mended
            # The message of SQLite names files and statements, never values.
            raise StorageUnavailable(f"SQLite: {error}") from error
        except OSError as error:
            raise StorageUnavailable(f"the database file cannot be opened: {error.strerror}") from error

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._path != ":memory:" and self._file() != self._local.file:
            self._forget_connection()
            connection = None
        if connection is None:
            if self._was_opened.is_set():
                self._file()
            connection = self._local.connection = self._connect()
            self._connections.append(connection)
            if self._path != ":memory:":
                self._local.file = self._file()
                self._was_opened.set()
        return connection

    def _file(self) -> tuple[int, int] | None:
        """Return which file the path means now: what is written to a deleted file is lost, and SQLite would not notice.

        Raises:
            StorageUnavailable: the file was there and is gone; a new one would be without anybody's records.
        """
        try:
            found = Path(self._path).stat()
        except FileNotFoundError:
            if self._was_opened.is_set():
                raise StorageUnavailable("the database file is gone") from None
            return None
        return found.st_dev, found.st_ino

    def _forget_connection(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            self._connections.remove(connection)
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        if self._path != ":memory:":
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        # The thread check is off for aclose alone, which closes when the threads have ended.
        connection = sqlite3.connect(self._path, timeout=self._busy_seconds, isolation_level=None, check_same_thread=False)
        try:
            _prepare(connection)
        except (sqlite3.Error, StorageError):
            connection.close()
            raise
        return connection


class SqliteTable:
    """One table in the file."""

    def __init__(self, database: SqliteDatabase, definition: TableDefinition) -> None:
        self._database = database
        self._definition = definition
        self._known = threading.Event()

    @property
    def definition(self) -> TableDefinition:
        """What the table looks like."""
        return self._definition

    async def get(self, key: Key) -> Item | None:
        """Return a record as it is now, or None."""
        return await self._read(lambda connection: records.read(connection, self._definition, key, self._database.clock()))

    async def query(self, query: Query) -> Page:
        """Return one page of a query."""
        return await self._read(lambda connection: records.select(connection, self._definition, query, self._database.clock()))

    async def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write a record if the condition holds."""
        await self._write((Put(item, condition),))

    async def update(self, key: Key, update: Update, condition: Condition | None = None) -> Item:
        """Change a record if the condition holds and return it as it is then."""
        (item,) = await self._write((Change(key, update, condition),))
        return item or {}

    async def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove a record if the condition holds."""
        await self._write((Delete(key, condition),))

    async def transact(self, writes: Sequence[Write]) -> None:
        """Do all writes or none."""
        keys = {records.key_of(self._definition, write) for write in writes}
        if not 0 < len(writes) <= MAX_TRANSACTION or len(keys) != len(writes):
            raise InvalidRequest("a transaction takes 1 to 100 writes, each on another record")
        await self._write(tuple(writes))

    async def create(self) -> bool:
        """Create the table; False if it was there already."""

        def insert(connection: sqlite3.Connection) -> bool:
            return connection.execute("INSERT OR IGNORE INTO tables VALUES (?)", (self._definition.name,)).rowcount == 1

        return await self._database.write(insert)

    async def ping(self) -> None:
        """Read something that is not there, and see that writing is possible: while another process holds the file, no tool works."""
        await self.get(Key.twice("PING"))
        await self._database.write(lambda _: None)

    async def _read[T](self, job: Callable[[sqlite3.Connection], T]) -> T:
        def run(connection: sqlite3.Connection) -> T:
            self._require(connection)
            return job(connection)

        return await self._database.read(run)

    async def _write(self, writes: tuple[Write, ...]) -> list[Item | None]:
        def run(connection: sqlite3.Connection) -> list[Item | None]:
            self._require(connection)
            return records.apply(connection, self._definition, writes)

        return await self._database.write(run)

    def _require(self, connection: sqlite3.Connection) -> None:
        if self._known.is_set():
            return
        if connection.execute("SELECT 1 FROM tables WHERE name = ?", (self._definition.name,)).fetchone() is None:
            raise TableMissing(f"there is no table {self._definition.name}")
        self._known.set()


class _TornError(Exception):
    """A job of a group has written something and failed."""


def _attempt(job: Job[object], connection: sqlite3.Connection) -> Outcome:
    """Do one job of a group."""
    before = connection.total_changes
    try:
        return Outcome(job(connection))
    except StorageError as error:
        if connection.total_changes == before:
            return Outcome(error=error)
        raise _TornError from error
    except Exception as error:
        raise _TornError from error


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, records.SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {records.SCHEMA_VERSION}")
        connection.execute("COMMIT")
    elif version != records.SCHEMA_VERSION:
        raise StorageUnavailable(f"the database file is of version {version}, this program reads {records.SCHEMA_VERSION}")


def open_sqlite(path: Path | str) -> SqliteDatabase:
    """Return an embedded database; the file is opened, and made if need be, with the first call."""
    return SqliteDatabase(path)

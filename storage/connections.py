"""The connections of clients: one record each, kept up to date by the process that has the connection.

A record is written as a whole by that process, again and again while the connection lives. Operators, and whoever removes records of which
nobody has heard for an hour, end a record from outside; its process learns of that with its next write, which is refused, or sooner by a
request in its own partition.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from storage import records
from storage.audit import AuditEntry, to_put
from storage.conditions import Absent, AllOf, AnyOf, Condition, Equals, Present, Update
from storage.errors import ConditionFailed
from storage.models import format_instant, parse_instant
from storage.records import Listing, Reader, pages
from storage.table import Change, Key, Put, Query, Table, Write
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item, Value

METADATA: Final = "METADATA"
CLOSED_BY_OPERATOR: Final = (4403, "disconnected by an operator")
"""Code and reason with which a connection is closed that an operator has ended."""
KEPT_AFTER_END: Final = timedelta(days=30)
"""How long the record of a connection that has ended is kept."""
KEPT_LIVING: Final = timedelta(days=60)
"""After this time without a write even a record that nobody ended is gone."""
_EARLIEST: Final = "0"
"""Sorts before every time."""
REQUEST_LIFE: Final = timedelta(hours=1)
"""How long a process may take to do what another wants of it; it looks every few seconds."""


class ConnectionStatus(StrEnum):
    """Whether a client is there."""

    CONNECTED = "CONNECTED"
    DISCONNECTED = "DISCONNECTED"


class EndedBy(StrEnum):
    """Who says that a connection has ended."""

    OWNER = "owner"
    """The process that had it: this is final."""
    OPERATOR = "operator"
    """Somebody wants it ended; its process closes it."""
    SWEEP = "sweep"
    """Nobody has heard of it for long; if its process has it after all, it says so."""


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """What is known of one connection."""

    connection_id: str
    user_id: str
    """Empty for somebody whom nobody asked."""
    created_at: datetime
    last_activity: datetime
    status: ConnectionStatus = ConnectionStatus.CONNECTED
    session_id: str | None = None
    """The conversation that it has, or had last."""
    ip_address: str | None = None
    user_agent: str | None = None
    disconnected_at: datetime | None = None
    process: str = ""
    """Which process has the connection."""
    ended_by: EndedBy | None = None

    def ended(self, at: datetime, by: EndedBy) -> "ConnectionInfo":
        """Return the record of a connection that has ended."""
        return replace(self, status=ConnectionStatus.DISCONNECTED, disconnected_at=at, ended_by=by)


class Connections:
    """Repository of connections on one table.

    Args:
        table: the connections table.
        clock: the time now, with a zone.
    """

    def __init__(self, table: Table, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.table = table
        self._clock = clock

    async def get(self, connection_id: str) -> ConnectionInfo | None:
        """Return a connection, or None."""
        item = await self.table.get(_key(connection_id))
        return from_item(item) if item is not None else None

    async def write(self, infos: Sequence[ConnectionInfo], entries: Sequence[AuditEntry] = ()) -> frozenset[str]:
        """Write what a process knows of its connections, with entries of the audit trail, in one transaction; writing it twice is harmless.

        Args:
            infos: each of another connection; one that is CONNECTED is not written over an end that somebody else has noted.
            entries: of the audit trail.

        Returns:
            Ids of the connections that somebody else has ended; of those nothing was written.
        """
        refused: frozenset[str] = frozenset()
        while infos or entries:
            writes: list[Write] = [Put(_to_item(info), _may_be_written(info)) for info in infos]
            writes += [to_put(entry) for entry in entries]
            try:
                await self.table.transact(writes)
            except ConditionFailed as error:
                ended = frozenset(infos[at].connection_id for at in error.failed)
                infos = [info for info in infos if info.connection_id not in ended]
                refused |= ended
                continue
            break
        return refused

    async def reopen(self, info: ConnectionInfo) -> bool:
        """Write a living connection over the end that a sweep has noted; False if it was ended by somebody who meant it."""
        may_live = (Absent(PARTITION), Equals("status", ConnectionStatus.CONNECTED), Equals("endedBy", EndedBy.SWEEP))
        try:
            await self.table.put(_to_item(info), AnyOf(may_live))
        except ConditionFailed:
            return False
        return True

    async def end(self, connection_id: str) -> ConnectionInfo | None:
        """Note that an operator wants a connection ended, and ask its process to close it.

        Returns:
            The record as it is then; None if there is none. One that has ended stays as it is.
        """
        while (before := await self.get(connection_id)) is not None and before.status is ConnectionStatus.CONNECTED:
            now = records.to_milliseconds(self._clock())
            after = before.ended(now, EndedBy.OPERATOR)
            writes: list[Write] = [Change(_key(connection_id), _ending(after), Equals("status", ConnectionStatus.CONNECTED))]
            if before.process:
                expires = int((now + REQUEST_LIFE).timestamp())
                key = _request_key(before)
                writes.append(Put({PARTITION: key.partition, SORT: key.sort, "connectionId": connection_id, TTL_ATTRIBUTE: expires}))
            try:
                await self.table.transact(writes)
            except ConditionFailed:
                continue
            return after
        return before

    async def restore(self, connection_id: str) -> ConnectionInfo | None:
        """Take back an end that an operator or a sweep has noted; None if the connection has really ended, or there is none."""
        change = Update(set={"status": ConnectionStatus.CONNECTED.value}, remove=("disconnectedAt", "endedBy"))
        wanted = AnyOf(
            (Equals("status", ConnectionStatus.CONNECTED), Equals("endedBy", EndedBy.OPERATOR), Equals("endedBy", EndedBy.SWEEP))
        )
        try:
            info = from_item(await self.table.update(_key(connection_id), change, AllOf((Present(PARTITION), wanted))))
        except ConditionFailed:
            return None
        if info.process:
            await self.table.delete(_request_key(info))
        return info

    async def take_requests(self, process: str) -> tuple[str, ...]:
        """Return the connections that others want this process to close, each once."""
        taken = []
        async for item in pages(self.table, Query(_inbox(process))):
            read = Reader(item)
            await self.table.delete(Key(read.text(PARTITION), read.text(SORT)))
            taken.append(read.text("connectionId"))
        return tuple(taken)

    async def sweep(self, idle_for: timedelta) -> tuple[str, ...]:
        """Note the end of connections of which nobody has heard for so long; return which. Several may do it at once."""
        now = records.to_milliseconds(self._clock())
        stale = Query(ConnectionStatus.CONNECTED.value, "StatusIndex", (_EARLIEST, format_instant(now - idle_for)))
        swept = []
        async for item in pages(self.table, stale):
            info = from_item(item)
            unchanged = AllOf((Equals("status", info.status), Equals("lastActivity", format_instant(info.last_activity))))
            try:
                await self.table.update(_key(info.connection_id), _ending(info.ended(now, EndedBy.SWEEP)), unchanged)
            except ConditionFailed:
                continue  # it has been heard of since, or somebody else was faster
            swept.append(info.connection_id)
        return tuple(swept)

    async def of_user(self, user_id: str, *, limit: int = 100, cursor: str | None = None) -> Listing[ConnectionInfo]:
        """Return a page of a user's connections, newest first."""
        return await self._page(Query(user_id, "UserIndex", descending=True, limit=limit, cursor=cursor))

    async def with_status(self, status: ConnectionStatus, *, limit: int = 100, cursor: str | None = None) -> Listing[ConnectionInfo]:
        """Return a page of the connections with a status, longest idle first; one that becomes active meanwhile may come twice."""
        return await self._page(Query(status.value, "StatusIndex", limit=limit, cursor=cursor))

    async def _page(self, query: Query) -> Listing[ConnectionInfo]:
        page = await self.table.query(query)
        return Listing(tuple(from_item(item) for item in page.items), page.cursor)


def _key(connection_id: str) -> Key:
    return Key(f"CONNECTION#{connection_id}", METADATA)


def _inbox(process: str) -> str:
    return f"PROCESS#{process}"


def _request_key(info: ConnectionInfo) -> Key:
    """Return where its process finds the request to close a connection."""
    return Key(_inbox(info.process), f"CLOSE#{info.connection_id}")


def _may_be_written(info: ConnectionInfo) -> Condition | None:
    if info.status is ConnectionStatus.DISCONNECTED:
        return None
    return AnyOf((Absent(PARTITION), Equals("status", ConnectionStatus.CONNECTED)))


def _ending(info: ConnectionInfo) -> Update:
    item = _to_item(info)
    return Update(set={name: item[name] for name in ("status", "disconnectedAt", "endedBy", TTL_ATTRIBUTE)})


def _to_item(info: ConnectionInfo) -> Item:
    key = _key(info.connection_id)
    kept_until = info.last_activity + KEPT_LIVING if info.disconnected_at is None else info.disconnected_at + KEPT_AFTER_END
    item: dict[str, Value] = {
        PARTITION: key.partition,
        SORT: key.sort,
        "connectionId": info.connection_id,
        "userId": info.user_id or None,  # an index key cannot be empty
        "sessionId": info.session_id,
        "status": info.status.value,
        "ipAddress": info.ip_address,
        "userAgent": info.user_agent,
        "createdAt": format_instant(info.created_at),
        "lastActivity": format_instant(info.last_activity),
        "disconnectedAt": format_instant(info.disconnected_at) if info.disconnected_at else None,
        "process": info.process or None,
        "endedBy": info.ended_by.value if info.ended_by else None,
        TTL_ATTRIBUTE: int(kept_until.timestamp()),
    }
    return records.without_nulls(item)


def from_item(item: Item) -> ConnectionInfo:
    """Return a connection as it is stored.

    Raises:
        InvalidRequest: an attribute is missing, or of another type.
        ValueError: one has a value that is none of its kind.
    """
    read = Reader(item)
    disconnected_at, ended_by = read.maybe_text("disconnectedAt"), read.maybe_text("endedBy")
    return ConnectionInfo(
        connection_id=read.text("connectionId"),
        user_id=read.text("userId", ""),
        created_at=parse_instant(read.text("createdAt")),
        last_activity=parse_instant(read.text("lastActivity")),
        status=ConnectionStatus(read.text("status")),
        session_id=read.maybe_text("sessionId"),
        ip_address=read.maybe_text("ipAddress"),
        user_agent=read.maybe_text("userAgent"),
        disconnected_at=parse_instant(disconnected_at) if disconnected_at else None,
        process=read.text("process", ""),
        ended_by=EndedBy(ended_by) if ended_by else None,
    )

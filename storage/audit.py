"""The audit trail of connections: who came, with whom, when they went, and what operators did. Entries are added and never changed.

An entry holds no content of a conversation, no address and no token. It lies in the partition of its connection; what operators did is also
found by day.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from storage.models import format_instant, parse_instant
from storage.records import Listing, Reader, without_nulls
from storage.table import Put, Query, Table
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item

SERVER: Final = "SERVER"
"""Partition of what concerns no single connection."""
KEPT: Final = timedelta(days=90)
_PREFIX: Final = "AUDIT#"
_ALL: Final = (_PREFIX, f"{_PREFIX}~")
"""Every sort key of an entry lies between."""


class AuditAction(StrEnum):
    """What happened."""

    CONNECTED = "connected"
    AUTHENTICATED = "authenticated"
    SESSION_BEGAN = "session_began"
    SESSION_RESUMED = "session_resumed"
    """The session came from another connection of its client."""
    SESSION_ENDED = "session_ended"
    DISCONNECTED = "disconnected"
    STATUS_SET = "status_set"
    """An operator set the status of a connection."""
    DISCONNECT_ASKED = "disconnect_asked"
    """An operator wants a connection closed."""
    SESSION_END_ASKED = "session_end_asked"
    """An operator wants a conversation ended."""
    SWEPT = "swept"
    """Connections of which nobody had heard for long were noted as ended."""
    CONVERSATION_DELETED = "conversation_deleted"
    """What was said in a conversation was removed."""
    CONVERSATIONS_ERASED = "conversations_erased"
    """Everything that a user, named in the detail, ever said was removed."""


OPERATIONS: Final = frozenset(
    {
        AuditAction.STATUS_SET,
        AuditAction.DISCONNECT_ASKED,
        AuditAction.SESSION_END_ASKED,
        AuditAction.SWEPT,
        AuditAction.CONVERSATION_DELETED,
        AuditAction.CONVERSATIONS_ERASED,
    }
)
"""What operators do, or the server in their place; and what somebody removed for good."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that happened."""

    id: str
    """Unique among the entries of its millisecond, and in their order: writing the same entry twice makes one of it."""
    at: datetime
    action: AuditAction
    connection_id: str | None = None
    actor: str = ""
    """User id of who did it: the connection's user, or the operator; empty where nobody was asked, or it was the server."""
    session_id: str | None = None
    detail: str | None = None
    """A close code, a status, a number, or the user whom it is about."""


class AuditTrail:
    """Repository of the audit trail.

    Args:
        table: the connections table.
        new_id: makes ids of entries.
        clock: the time now, with a zone.
    """

    def __init__(self, table: Table, new_id: Callable[[], str], clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._table = table
        self._new_id = new_id
        self._clock = clock

    def entry(
        self,
        action: AuditAction,
        *,
        connection_id: str | None = None,
        actor: str = "",
        session_id: str | None = None,
        detail: str | None = None,
    ) -> AuditEntry:
        """Return an entry about what happens now, which somebody has to write."""
        return AuditEntry(self._new_id(), self._clock(), action, connection_id, actor, session_id, detail)

    async def add(self, entry: AuditEntry) -> None:
        """Write an entry."""
        put = to_put(entry)
        await self._table.put(put.item)

    async def of_connection(self, connection_id: str, *, limit: int = 100, cursor: str | None = None) -> Listing[AuditEntry]:
        """Return a page of what happened to a connection, in order."""
        return await self._page(Query(f"CONNECTION#{connection_id}", between=_ALL, limit=limit, cursor=cursor))

    async def operations(self, day: date, *, limit: int = 100, cursor: str | None = None) -> Listing[AuditEntry]:
        """Return a page of what operators did on a day (UTC), in order."""
        return await self._page(Query(day.isoformat(), "OperationsIndex", limit=limit, cursor=cursor))

    async def _page(self, query: Query) -> Listing[AuditEntry]:
        page = await self._table.query(query)
        return Listing(tuple(from_item(item) for item in page.items), page.cursor)


def to_put(entry: AuditEntry) -> Put:
    """Return the write of an entry."""
    at = format_instant(entry.at)
    return Put(
        without_nulls(
            {
                PARTITION: f"CONNECTION#{entry.connection_id}" if entry.connection_id else SERVER,
                SORT: f"{_PREFIX}{at}#{entry.id}",
                "entryId": entry.id,
                "at": at,
                "action": entry.action.value,
                "connectionId": entry.connection_id,
                "actor": entry.actor,
                "sessionId": entry.session_id,
                "detail": entry.detail,
                "operationsDay": entry.at.astimezone(UTC).date().isoformat() if entry.action in OPERATIONS else None,
                TTL_ATTRIBUTE: int((entry.at + KEPT).timestamp()),
            }
        )
    )


def from_item(item: Item) -> AuditEntry:
    """Return an entry as it is stored.

    Raises:
        InvalidRequest: an attribute is missing, or of another type.
        ValueError: one has a value that is none of its kind.
    """
    read = Reader(item)
    return AuditEntry(
        id=read.text("entryId"),
        at=parse_instant(read.text("at")),
        action=AuditAction(read.text("action")),
        connection_id=read.maybe_text("connectionId"),
        actor=read.text("actor", ""),
        session_id=read.maybe_text("sessionId"),
        detail=read.maybe_text("detail"),
    )

"""/connections: the connections of clients, for operators; anybody sees their own.

Whatever an operator does to a connection is noted in the audit trail before it is done: what cannot be noted is not done.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from aiohttp import web

from api.answers import answer
from api.authentication import PRINCIPAL
from api.errors import NotChangeable, NotFound
from api.kinds import CURSOR, DEFAULT_LIMIT, ID, LIMIT, MAX_USER, RECORD_ID
from api.operations import Access, Operation, Shape, Success
from api.ownership import is_own
from api.requests import GIVEN
from api.schema import Choice, Day, Instant, ListOf, Member, Record, Text, Whole
from storage.audit import AuditAction, AuditEntry, AuditTrail
from storage.connections import CLOSED_BY_OPERATOR, ConnectionInfo, Connections, ConnectionStatus
from storage.models import Json, format_instant
from storage.records import Listing

IDLE_FOR: Final = timedelta(hours=1)


class LiveConnections(Protocol):
    """The connections that are open in this process."""

    def disconnect(self, connection_id: str, code: int, reason: str) -> bool:
        """Close a connection; False if it is not open here."""


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What the operations on connections work on."""

    connections: Connections
    trail: AuditTrail
    live: LiveConnections


SWITCHBOARD: Final = web.AppKey("switchboard", Switchboard)

USER: Final = Member(
    "userId", Text(MAX_USER), "Connections of this user, newest first; without it all that are active, longest idle first."
)
STATUS: Final = Member("status", Choice(ConnectionStatus), "Whether the client is there.", is_required=True)
DAY: Final = Member("day", Day(), "Of which to tell (UTC).", is_required=True)


async def list_connections(request: web.Request) -> web.Response:
    """Tell the connections of a user, or all that are active."""
    connections, query, principal = request.app[SWITCHBOARD].connections, request[GIVEN].query, request[PRINCIPAL]
    wanted = query.get(USER)
    limit, cursor = query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR)
    if not principal.is_operator:
        wanted = principal.user_id if wanted in (None, principal.user_id) else ""
    if wanted is None:
        found = await connections.with_status(ConnectionStatus.CONNECTED, limit=limit, cursor=cursor)
    elif wanted:
        found = await connections.of_user(wanted, limit=limit, cursor=cursor)
    else:
        found = Listing((), None)
    told = [connection_json(one) for one in found.records]
    return answer(told, f"Retrieved {len(told)} connections successfully", cursor=found.cursor)


async def get_connection(request: web.Request) -> web.Response:
    """Tell one connection."""
    info = await _find(request)
    return answer(connection_json(info), f"Retrieved connection {info.connection_id} successfully")


async def set_status(request: web.Request) -> web.Response:
    """Set the status of a connection: DISCONNECTED closes it, CONNECTED takes back an end that the client has not noticed."""
    board, wanted = request.app[SWITCHBOARD], request[GIVEN].body[STATUS]
    info = await _find(request)
    await _note(request, AuditAction.STATUS_SET, info.connection_id, wanted.value)
    if wanted is ConnectionStatus.DISCONNECTED:
        return await _disconnect(board, info)
    restored = await board.connections.restore(info.connection_id)
    if restored is None:
        raise NotChangeable("The connection is closed: only its client can open another one.")
    return answer(connection_json(restored), f"Connection {info.connection_id} is CONNECTED")


async def disconnect(request: web.Request) -> web.Response:
    """Close a connection."""
    info = await _find(request)
    await _note(request, AuditAction.DISCONNECT_ASKED, info.connection_id)
    return await _disconnect(request.app[SWITCHBOARD], info)


async def sweep(request: web.Request) -> web.Response:
    """Note the end of all connections of which nobody has heard for an hour."""
    swept = await request.app[SWITCHBOARD].connections.sweep(IDLE_FOR)
    await _note(request, AuditAction.SWEPT, None, str(len(swept)))
    return answer({"swept": len(swept), "connectionIds": list(swept)}, f"Removed {len(swept)} stale connections")


async def list_audit(request: web.Request) -> web.Response:
    """Tell what happened to a connection, in order."""
    given = request[GIVEN]
    limit, cursor = given.query.get(LIMIT) or DEFAULT_LIMIT, given.query.get(CURSOR)
    return _told(await request.app[SWITCHBOARD].trail.of_connection(given.path[ID], limit=limit, cursor=cursor))


async def list_operations(request: web.Request) -> web.Response:
    """Tell what operators did on a day, in order."""
    query = request[GIVEN].query
    limit, cursor = query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR)
    return _told(await request.app[SWITCHBOARD].trail.operations(query[DAY], limit=limit, cursor=cursor))


def connection_json(info: ConnectionInfo) -> dict[str, Json]:
    """Return a connection as it is told."""
    told: dict[str, Json] = {"connectionId": info.connection_id, "userId": info.user_id, "status": info.status.value}
    told |= {"createdAt": format_instant(info.created_at), "lastActivity": format_instant(info.last_activity)}
    if info.disconnected_at is not None:
        told["disconnectedAt"] = format_instant(info.disconnected_at)
    maybe = {"sessionId": info.session_id, "ipAddress": info.ip_address, "userAgent": info.user_agent}
    return told | {name: value for name, value in maybe.items() if value is not None}


def _entry_json(entry: AuditEntry) -> dict[str, Json]:
    told: dict[str, Json] = {"at": format_instant(entry.at), "action": entry.action.value, "actor": entry.actor}
    maybe = {"connectionId": entry.connection_id, "sessionId": entry.session_id, "detail": entry.detail}
    return told | {name: value for name, value in maybe.items() if value is not None}


def _told(found: Listing[AuditEntry]) -> web.Response:
    return answer([_entry_json(one) for one in found.records], f"Retrieved {len(found.records)} entries", cursor=found.cursor)


async def _find(request: web.Request) -> ConnectionInfo:
    connection_id = request[GIVEN].path[ID]
    info = await request.app[SWITCHBOARD].connections.get(connection_id)
    if info is None or not is_own(request[PRINCIPAL], info.user_id):
        raise NotFound(f"There is no connection {connection_id}.")
    return info


async def _note(request: web.Request, action: AuditAction, connection_id: str | None, detail: str | None = None) -> None:
    trail = request.app[SWITCHBOARD].trail
    await trail.add(trail.entry(action, connection_id=connection_id, actor=request[PRINCIPAL].user_id, detail=detail))


async def _disconnect(board: Switchboard, info: ConnectionInfo) -> web.Response:
    board.live.disconnect(info.connection_id, *CLOSED_BY_OPERATOR)
    ended = await board.connections.end(info.connection_id) or info
    return answer(connection_json(ended), f"Connection {info.connection_id} is DISCONNECTED")


_CONNECTION: Final = Record(
    "Connection",
    (
        Member("connectionId", RECORD_ID, "Names it in records and logs.", is_required=True),
        Member("userId", Text(MAX_USER, shortest=0), "Who the client is; empty for somebody whom nobody asked.", is_required=True),
        Member("sessionId", RECORD_ID, "The conversation that it has, or had last."),
        STATUS,
        Member("ipAddress", Text(64), "Where the client comes from."),
        Member("userAgent", Text(256), "What the client says of itself."),
        Member("createdAt", Instant(), "When it was opened.", is_required=True),
        Member("lastActivity", Instant(), "When the client said something last, to 15 s.", is_required=True),
        Member("disconnectedAt", Instant(), "When it was closed, or noted as gone."),
    ),
)
_ENTRY: Final = Record(
    "AuditEntry",
    (
        Member("at", Instant(), "When it happened.", is_required=True),
        Member("action", Choice(AuditAction), "What happened.", is_required=True),
        Member(
            "actor", Text(MAX_USER, shortest=0), "User id of who did it; empty for the server, or where nobody is asked.", is_required=True
        ),
        Member("connectionId", RECORD_ID, "To which connection."),
        Member("sessionId", RECORD_ID, "In which session."),
        Member("detail", Text(MAX_USER), "A close code, a status, a reason or a number."),
    ),
)
_SWEPT: Final = Record(
    "Swept",
    (
        Member("swept", Whole(0, 10**9), "How many.", is_required=True),
        Member("connectionIds", ListOf(RECORD_ID), "Which.", is_required=True),
    ),
)
_CHANGE: Final = Record("ConnectionChange", (STATUS,))
_MISSING: Final = {404: "There is no such connection, or it is somebody else's"}
_ONE: Final = Success(description="The connection as it is now", data=_CONNECTION)
_ENTRIES: Final = Success(description="What happened, in order", data=ListOf(_ENTRY), shape=Shape.PAGE)

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/connections",
        handler=list_connections,
        summary="The connections of a user, or all that are active",
        query=(USER, LIMIT, CURSOR),
        success=Success(description="Connections", data=ListOf(_CONNECTION), shape=Shape.PAGE),
    ),
    Operation(
        method="POST",
        path="/connections/sweep",
        handler=sweep,
        name="sweep_connections",
        summary="Note the end of connections of which nobody has heard for an hour",
        access=Access.OPERATOR,
        success=Success(description="Which were noted", data=_SWEPT),
    ),
    Operation(
        method="GET",
        path="/connections/{id}",
        handler=get_connection,
        summary="One connection",
        parts=(ID,),
        success=_ONE,
        refusals=_MISSING,
    ),
    Operation(
        method="PATCH",
        path="/connections/{id}",
        handler=set_status,
        name="set_connection_status",
        summary="Set the status of a connection",
        access=Access.OPERATOR,
        parts=(ID,),
        body=_CHANGE,
        success=_ONE,
        refusals={**_MISSING, 409: "The connection is closed, and cannot be CONNECTED again"},
    ),
    Operation(
        method="DELETE",
        path="/connections/{id}",
        handler=disconnect,
        summary="Close a connection",
        access=Access.OPERATOR,
        parts=(ID,),
        success=_ONE,
        refusals=_MISSING,
    ),
    Operation(
        method="GET",
        path="/connections/{id}/audit",
        handler=list_audit,
        name="list_connection_audit",
        summary="What happened to a connection",
        access=Access.OPERATOR,
        parts=(ID,),
        query=(LIMIT, CURSOR),
        success=_ENTRIES,
    ),
    Operation(
        method="GET",
        path="/audit",
        handler=list_operations,
        name="list_audit",
        summary="What operators did on a day",
        access=Access.OPERATOR,
        query=(DAY, LIMIT, CURSOR),
        success=_ENTRIES,
    ),
)

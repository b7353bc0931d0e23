"""/sessions: the conversations that this process has, for operators; anybody sees their own. Nothing that was said is told."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.answers import answer
from api.authentication import PRINCIPAL
from api.errors import NotFound
from api.kinds import ID, MAX_USER, RECORD_ID
from api.operations import Access, Operation, Success
from api.ownership import is_own
from api.requests import GIVEN
from api.schema import Instant, ListOf, Member, Record, Text, Whole
from session.events import EndReason
from session.overview import SessionOverview
from session.registry import SessionRegistry
from session.runner import SessionRunner
from storage.audit import AuditAction, AuditTrail
from storage.models import Json, format_instant

END_SECONDS: Final = 15.0
"""How long a session that an operator ends may take to come to the end of a sentence."""


@dataclass(frozen=True, slots=True)
class SessionDesk:
    """What the operations on sessions work on."""

    registry: SessionRegistry
    trail: AuditTrail


DESK: Final = web.AppKey("session_desk", SessionDesk)
USER: Final = Member("userId", Text(MAX_USER), "Sessions of this user alone.")


async def list_sessions(request: web.Request) -> web.Response:
    """Tell the sessions that live, longest first."""
    wanted, principal = request[GIVEN].query.get(USER), request[PRINCIPAL]
    known = [runner.overview() for runner in request.app[DESK].registry.sessions()]
    seen = [one for one in known if is_own(principal, one.user_id) and wanted in (None, one.user_id)]
    told = [_session_json(one) for one in sorted(seen, key=lambda one: (one.since, one.session_id))]
    return answer(told, f"Retrieved {len(told)} sessions successfully")


async def get_session(request: web.Request) -> web.Response:
    """Tell one session that lives."""
    overview = _find(request).overview()
    return answer(_session_json(overview), f"Retrieved session {overview.session_id} successfully")


async def end_session(request: web.Request) -> web.Response:
    """End a session when nobody speaks, at the latest in a quarter of a minute."""
    desk, runner = request.app[DESK], _find(request)
    entry = desk.trail.entry(AuditAction.SESSION_END_ASKED, actor=request[PRINCIPAL].user_id, session_id=runner.session_id)
    await desk.trail.add(entry)
    if not runner.is_over:
        runner.drain(END_SECONDS, reason=EndReason.OPERATOR)
    return answer(_session_json(runner.overview()), f"Session {runner.session_id} ends", status=202)


def _find(request: web.Request) -> SessionRunner:
    session_id = request[GIVEN].path[ID]
    runner = request.app[DESK].registry.find(session_id)
    if runner is None or not is_own(request[PRINCIPAL], runner.client.principal):
        raise NotFound(f"There is no session {session_id}.")
    return runner


def _session_json(overview: SessionOverview) -> dict[str, Json]:
    return {
        "sessionId": overview.session_id,
        "userId": overview.user_id,
        "assistant": overview.assistant,
        "phase": overview.phase,
        "since": format_instant(overview.since),
        "streams": overview.streams,
        "turns": overview.turns,
        "toolCalls": overview.tool_calls,
    }


_COUNT: Final = Whole(0, 10**9)
_SESSION: Final = Record(
    "Session",
    (
        Member("sessionId", RECORD_ID, "Names it in records and logs.", is_required=True),
        Member("userId", Text(MAX_USER, shortest=0), "Whose it is; empty for somebody whom nobody asked.", is_required=True),
        Member("assistant", Text(64), "Who speaks in it.", is_required=True),
        Member("phase", Text(16), "connecting, active, draining or closed.", is_required=True),
        Member("since", Instant(), "When this process began it.", is_required=True),
        Member("streams", _COUNT, "How many of the model's streams have carried it here.", is_required=True),
        Member("turns", _COUNT, "Turns of both sides so far.", is_required=True),
        Member("toolCalls", _COUNT, "Tools that it called.", is_required=True),
    ),
)
_MISSING: Final = {404: "There is no such session in this process, or it is somebody else's"}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/sessions",
        handler=list_sessions,
        summary="The sessions that live in the process that answers",
        query=(USER,),
        success=Success(description="Sessions", data=ListOf(_SESSION)),
    ),
    Operation(
        method="GET",
        path="/sessions/{id}",
        handler=get_session,
        summary="One session that lives",
        parts=(ID,),
        success=Success(description="The session", data=_SESSION),
        refusals=_MISSING,
    ),
    Operation(
        method="DELETE",
        path="/sessions/{id}",
        handler=end_session,
        summary="End a session politely",
        access=Access.OPERATOR,
        parts=(ID,),
        success=Success(status=202, description="The session as it is before it ends", data=_SESSION),
        refusals=_MISSING,
    ),
)

"""/voice-sessions: the voice sessions that are and were, for those whose they are; operators reach everybody's."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.answers import answer
from api.authentication import PRINCIPAL
from api.connections import SWITCHBOARD
from api.errors import ChangedMeanwhile, NotFound
from api.kinds import CURSOR, DEFAULT_LIMIT, ID, LIMIT, MAX_USER, RECORD_ID
from api.operations import Operation, Shape, Success
from api.ownership import is_own
from api.requests import GIVEN
from api.schema import BadValue, Choice, Instant, Kind, ListOf, Member, Nullable, Record, Schema, Text, Told, Whole
from auth.principal import Principal
from service.errors import UnknownSession
from service.interfaces import NovaSonicService
from storage.audit import AuditAction
from storage.errors import ConditionFailed
from storage.models import Json, format_instant
from storage.records import ANYBODY, Listing
from storage.voice_session_items import VoiceSession, VoiceSessionStatus

MAX_NAMES: Final = 32
VOICE: Final = web.AppKey("voice_service", NovaSonicService)


@dataclass(frozen=True, slots=True)
class TextMap[T: str | None]:
    """An object whose members are texts, under names that anybody may choose."""

    kind: Kind[T]
    most: int = MAX_NAMES

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {
            "type": "object",
            "additionalProperties": self.kind.schema,
            "propertyNames": _NAME.schema,
            "maxProperties": self.most,
            "example": {"topic": "bills"},
        }

    def read(self, value: object) -> dict[str, T]:
        """Return the texts by their names."""
        if not isinstance(value, dict) or len(value) > self.most:
            raise BadValue(f"has to be an object of at most {self.most} members")
        return {_NAME.read(name): self.kind.read(one) for name, one in value.items()}


_NAME: Final = Text(64, pattern="^[A-Za-z0-9_.-]+$", example="topic")
_VALUE: Final = Text(256, shortest=0)
_ID: Final = Text(128, pattern="^[A-Za-z0-9_=.-]+$", example="7f1c2a4e-0b6d-4f57-9a3e-5d1f0c8b2e44")
_MEDIA: Final = Text(128, shortest=3, pattern="^[a-z]+/[A-Za-z0-9.+-]+( ?; ?[A-Za-z0-9_.=-]+)*$", example="audio/webm")
USER: Final = Member(
    "userId", Text(MAX_USER), f"Sessions of this user, {ANYBODY} for those whom nobody asked, newest first; without it one's own."
)
CONNECTION: Final = Member("connectionId", _ID, "The session that this connection has, alone.")
FORMAT: Final = Member("audioFormat", _MEDIA, "Media type of the caller's audio.")
NOTES: Final = Member("metadata", TextMap(_VALUE), "What is to be noted of the session.")
CHANGED_NOTES: Final = Member("metadata", TextMap(Nullable(_VALUE)), "What is to be noted: null removes a name, others stay as they are.")
OF_CONNECTION: Final = Member("connectionId", _ID, "Connection that the session belongs to, one's own.")
OF_USER: Final = Member("userId", Text(MAX_USER), "Whose the session is; without it one's own.")


async def list_voice_sessions(request: web.Request) -> web.Response:
    """Tell the sessions of a user, newest first, or the one of a connection."""
    service, query, principal = request.app[VOICE], request[GIVEN].query, request[PRINCIPAL]
    wanted, connection = query.get(USER), query.get(CONNECTION)
    if connection is not None:
        found = await _of_connection(service, connection, wanted, principal)
    elif wanted in (None, principal.user_id) or principal.is_operator:
        limit, cursor = query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR)
        found = await service.list_user_sessions(principal.user_id if wanted is None else wanted, limit=limit, cursor=cursor)
    else:
        found = Listing((), None)
    told = [voice_session_json(one) for one in found.records]
    return answer(told, f"Retrieved {len(told)} voice sessions successfully", cursor=found.cursor)


async def _of_connection(service: NovaSonicService, connection_id: str, user_id: str | None, principal: Principal) -> Listing[VoiceSession]:
    try:
        session = await service.session_of_connection(connection_id, owner=_owner(principal))
    except UnknownSession:
        return Listing((), None)
    return Listing((session,) if user_id in (None, session.user_id) else (), None)


async def create_voice_session(request: web.Request) -> web.Response:
    """Begin a session on request."""
    service, body, principal = request.app[VOICE], request[GIVEN].body, request[PRINCIPAL]
    user = body.get(OF_USER) if principal.is_operator else None
    connection = body.get(OF_CONNECTION)
    if connection is not None:
        await _check_connection(request, connection)
    session_id = await service.initialize_session(
        connection or "", principal.user_id if user is None else user, audio_format=body.get(FORMAT), metadata=body.get(NOTES)
    )
    session = await service.get_session(session_id)
    headers = {"Location": f"{request.path}/{session_id}"}
    return answer(voice_session_json(session), f"Created voice session {session_id} successfully", status=201, headers=headers)


async def get_voice_session(request: web.Request) -> web.Response:
    """Tell one session."""
    session = await request.app[VOICE].get_session(request[GIVEN].path[ID], owner=_owner(request[PRINCIPAL]))
    return answer(voice_session_json(session), f"Retrieved voice session {session.session_id} successfully")


async def change_voice_session(request: web.Request) -> web.Response:
    """Change what is noted of a session."""
    given = request[GIVEN]
    noted, audio_format, owner = given.body.get(CHANGED_NOTES), given.body.get(FORMAT), _owner(request[PRINCIPAL])
    try:
        session = await request.app[VOICE].update_session(given.path[ID], metadata=noted, audio_format=audio_format, owner=owner)
    except ConditionFailed:
        raise ChangedMeanwhile from None
    return answer(voice_session_json(session), f"Updated voice session {session.session_id} successfully")


async def end_voice_session(request: web.Request) -> web.Response:
    """End a session, also one that is talked in; an operator's wish is noted in the audit trail first."""
    service, principal, session_id = request.app[VOICE], request[PRINCIPAL], request[GIVEN].path[ID]
    before = await service.get_session(session_id, owner=_owner(principal))
    is_owners = before.user_id == principal.user_id
    if not is_owners and (board := request.app.get(SWITCHBOARD)) is not None:
        await board.trail.add(board.trail.entry(AuditAction.SESSION_END_ASKED, actor=principal.user_id, session_id=session_id))
    session = await service.end_session(session_id, owner=principal.user_id if is_owners else None)
    return answer(voice_session_json(session), f"Voice session {session_id} has ended")


def _owner(principal: Principal) -> str | None:
    """Return whose sessions somebody reaches; None for everybody's."""
    return None if principal.is_operator else principal.user_id


async def _check_connection(request: web.Request, connection_id: str) -> None:
    """See that a connection is there and the caller's own."""
    board = request.app.get(SWITCHBOARD)
    info = None if board is None else await board.connections.get(connection_id)
    if info is None or not is_own(request[PRINCIPAL], info.user_id):
        raise NotFound(f"There is no connection {connection_id}.")


def voice_session_json(session: VoiceSession) -> dict[str, Json]:
    """Return a session as it is told."""
    counts, tokens = session.counts, session.tokens
    told: dict[str, Json] = {
        "sessionId": session.session_id,
        "novaSonicSessionId": session.nova_sonic_session_id,
        "connectionId": session.connection_id,
        "userId": session.user_id,
        "status": session.status.value,
        "createdAt": format_instant(session.created_at),
        "updatedAt": format_instant(session.updated_at),
        "messageCount": session.message_count,
        "statistics": {
            "userTurns": counts.user_turns,
            "assistantTurns": counts.assistant_turns,
            "toolCalls": counts.tool_calls,
            "toolErrors": counts.tool_errors,
            "interruptions": counts.interruptions,
            "userAudioMs": counts.user_audio_ms,
            "assistantAudioMs": counts.assistant_audio_ms,
            "inputTokens": tokens.input_speech + tokens.input_text,
            "outputTokens": tokens.output_speech + tokens.output_text,
        },
        "metadata": dict(session.metadata),
    }
    duration, ended_at = session.total_duration, session.ended_at
    maybe: dict[str, Json] = {
        "audioFormat": session.audio_format,
        "totalDuration": None if duration is None else float(duration),
        "endedAt": None if ended_at is None else format_instant(ended_at),
        "endReason": session.end_reason,
        "errorCode": session.error_code,
        "assistant": session.assistant,
        "language": session.language,
        "voiceId": session.voice_id,
        "modelId": session.model_id,
    }
    return told | {name: value for name, value in maybe.items() if value is not None}


_COUNT: Final = Whole(0, 10**9)
_STATISTICS: Final = Record(
    "VoiceSessionStatistics",
    tuple(
        Member(name, _COUNT, doc, is_required=True)
        for name, doc in (
            ("userTurns", "Turns of the user."),
            ("assistantTurns", "Turns of the assistant."),
            ("toolCalls", "Tools that were called."),
            ("toolErrors", "Those of them that did not do what they were asked."),
            ("interruptions", "How often the user spoke over the assistant."),
            ("userAudioMs", "Audio that the client sent, in milliseconds."),
            ("assistantAudioMs", "Speech of the model, in milliseconds, with what nobody heard of it."),
            ("inputTokens", "Tokens that the model took."),
            ("outputTokens", "Tokens that it gave."),
        )
    ),
)


_SESSION: Final = Record(
    "VoiceSession",
    (
        Member("sessionId", RECORD_ID, "Names it in records and logs.", is_required=True),
        Member("novaSonicSessionId", Text(128, shortest=0), "As the model calls it; empty until it says something.", is_required=True),
        Member("connectionId", Text(256, shortest=0), "The connection that has it, or had it last; empty for none.", is_required=True),
        Member("userId", Text(MAX_USER), f"Whose it is; {ANYBODY} for somebody whom nobody asked.", is_required=True),
        Member("status", Choice(VoiceSessionStatus), "How it stands.", is_required=True),
        Member("createdAt", Instant(), "When it began.", is_required=True),
        Member("updatedAt", Instant(), "When it was written last.", is_required=True),
        Member("messageCount", _COUNT, "Turns of both sides.", is_required=True),
        Member("statistics", Told(_STATISTICS.schema), "What happened in it, to a few seconds while it lives.", is_required=True),
        Member("metadata", TextMap(_VALUE), "What programs have noted of it.", is_required=True),
        Member("audioFormat", Text(128), "Media type of the caller's audio."),
        Member("totalDuration", Told({"type": "number", "minimum": 0}), "Seconds from its beginning to its end, once it has ended."),
        Member("endedAt", Instant(), "When it ended."),
        Member("endReason", Text(64), "Why it ended."),
        Member("errorCode", Text(64), "Code of the error that ended it."),
        Member("assistant", Text(64), "Who speaks in it."),
        Member("language", Text(16), "Which language is spoken."),
        Member("voiceId", Text(64), "With which voice."),
        Member("modelId", Text(2048), "With which model."),
    ),
)
_NEW: Final = Record("NewVoiceSession", (OF_CONNECTION, OF_USER, FORMAT, NOTES))
_CHANGE: Final = Record("VoiceSessionChange", (CHANGED_NOTES, FORMAT), least=1)
_ONE: Final = Success(description="The session as it is now", data=_SESSION)
_MISSING: Final = {404: "There is no such voice session, or it is somebody else's"}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/voice-sessions",
        handler=list_voice_sessions,
        summary="The voice sessions of a user, newest first",
        query=(USER, CONNECTION, LIMIT, CURSOR),
        success=Success(description="Voice sessions", data=ListOf(_SESSION), shape=Shape.PAGE),
    ),
    Operation(
        method="POST",
        path="/voice-sessions",
        handler=create_voice_session,
        summary="Begin a voice session on request",
        body=_NEW,
        success=Success(status=201, description="The session", data=_SESSION),
        refusals={404: "There is no such connection, or it is somebody else's"},
    ),
    Operation(
        method="GET",
        path="/voice-sessions/{id}",
        handler=get_voice_session,
        summary="One voice session",
        parts=(ID,),
        success=_ONE,
        refusals=_MISSING,
    ),
    Operation(
        method="PATCH",
        path="/voice-sessions/{id}",
        handler=change_voice_session,
        summary="Change what is noted of a voice session",
        parts=(ID,),
        body=_CHANGE,
        success=_ONE,
        refusals={**_MISSING, 409: "Others changed it each time that this request tried to"},
    ),
    Operation(
        method="POST",
        path="/voice-sessions/{id}/end",
        handler=end_voice_session,
        summary="End a voice session, also one that is talked in",
        parts=(ID,),
        success=_ONE,
        refusals=_MISSING,
    ),
)

"""/voice-sessions/{id}/notes: the notes of a conversation, made on request."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from api.answers import answer
from api.kinds import ID
from api.operations import Operation, Success
from api.ownership import own_voice_session
from api.schema import Member, Record, Text, Told
from service.notes import NoteTaker
from storage.voice_session_items import user_of
from storage.voice_sessions import VoiceSessions


@dataclass(frozen=True, slots=True)
class NoteDesk:
    """What the operations work with."""

    notes: NoteTaker
    sessions: VoiceSessions


NOTES: Final = web.AppKey("note_desk", NoteDesk)


async def make_notes(request: web.Request) -> web.Response:
    """Make the notes of a session."""
    session = await own_voice_session(request, request.app[NOTES].sessions)
    notes = await request.app[NOTES].notes.make(session.session_id, user_of(session))
    told = {"text": notes.text, "key": notes.key, "isExtracted": notes.is_extracted}
    return answer(told, "The notes were made")


async def get_notes(request: web.Request) -> web.Response:
    """Tell the notes that were made last."""
    session = await own_voice_session(request, request.app[NOTES].sessions)
    return answer({"text": await request.app[NOTES].notes.find(session.session_id)}, "Retrieved the notes successfully")


_TEXT: Final = Member("text", Told({"type": "string"}), "The notes as Markdown.", is_required=True)
_MADE: Final = Record(
    "MadeNotes",
    (
        _TEXT,
        Member("key", Text(512, shortest=0), "Of the object that holds them; empty where nothing is kept.", is_required=True),
        Member("isExtracted", Told({"type": "boolean"}), "Whether no text model wrote the summary.", is_required=True),
    ),
)
_MISSING: Final = {404: "There is no such voice session or no notes of it, or it is somebody else's"}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/voice-sessions/{id}/notes",
        handler=make_notes,
        summary="Make the notes of a conversation, with a summary",
        parts=(ID,),
        success=Success(description="The notes", data=_MADE),
        refusals={**_MISSING, 409: "Nothing is written down of it"},
    ),
    Operation(
        method="GET",
        path="/voice-sessions/{id}/notes",
        handler=get_notes,
        name="get_notes",
        summary="The notes that were made last",
        parts=(ID,),
        success=Success(description="The notes", data=Record("KeptNotes", (_TEXT,))),
        refusals=_MISSING,
    ),
)

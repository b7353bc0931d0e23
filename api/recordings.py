"""/recordings: what was recorded of conversations, for those whose conversations they were; operators reach all.

Sound is read and sent by links that expire: of S3 itself, or of this server where the recordings are in a folder. Whoever has a link needs
no token, so nobody is given one but the owner.
"""

import uuid
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from aiohttp import web

from api.answers import answer
from api.authentication import PRINCIPAL
from api.errors import NotChangeable, NotFound
from api.kinds import ID, MAX_USER, RECORD_ID
from api.operations import Operation, Success
from api.ownership import is_own
from api.recording_content import SHELF, RecordingShelf
from api.requests import GIVEN
from api.schema import Choice, Instant, ListOf, Member, Nullable, Record, Text, Told, Whole
from storage.models import Json, format_instant
from storage.objects import Link, Method, Terms, owner_mark
from storage.recordings import Recording, RecordingState, recording_json

LINK_SECONDS: Final = 900
"""How long a link works: to begin with, not to end; a download goes on."""
MAX_UPLOAD_BYTES: Final = 64 * 1024 * 1024
UPLOADS: Final = "uploads"
NOBODY: Final = "anybody"
"""Whose the uploads of those are whom nobody asked."""


class UploadType(StrEnum):
    """What can be sent."""

    WEBM = "audio/webm"
    OGG = "audio/ogg"
    MP3 = "audio/mpeg"
    WAV = "audio/wav"
    FLAC = "audio/flac"


_ENDINGS: Final[Mapping[UploadType, str]] = {
    UploadType.WEBM: "webm",
    UploadType.OGG: "ogg",
    UploadType.MP3: "mp3",
    UploadType.WAV: "wav",
    UploadType.FLAC: "flac",
}

SESSION: Final = Member("session_id", RECORD_ID, "The conversation.", is_required=True)
TYPE: Final = Member("contentType", Choice(UploadType), "What is sent.", is_required=True)
SIZE: Final = Member("sizeBytes", Whole(1, MAX_UPLOAD_BYTES), "How much, exactly.", is_required=True)


async def list_recordings(request: web.Request) -> web.Response:
    """Tell the recordings of a conversation, without links."""
    session_id = request[GIVEN].query[SESSION]
    found = await _own(request, session_id)
    return answer([_told(one) for one in found], f"Retrieved {len(found)} recordings successfully")


async def get_recording(request: web.Request) -> web.Response:
    """Tell the recordings of a conversation, with a link to each that can be listened to."""
    session_id = request[GIVEN].path[ID]
    found = await _own(request, session_id)
    if not found:
        raise NotFound(f"There is no recording of {session_id}.")
    told = [_told(one) | {"link": await _link_to(request.app[SHELF], one)} for one in found]
    return answer({"sessionId": session_id, "recordings": told}, f"Retrieved the recording of {session_id} successfully")


async def delete_recording(request: web.Request) -> web.Response:
    """Remove all that was recorded of a conversation."""
    session_id = request[GIVEN].path[ID]
    found = await _own(request, session_id)
    if not found:
        raise NotFound(f"There is no recording of {session_id}.")
    if any(one.state is RecordingState.RUNNING for one in found):
        raise NotChangeable("The conversation is still being recorded.")
    await request.app[SHELF].recordings.delete(session_id)
    return answer({"sessionId": session_id}, f"Removed the recording of {session_id}")


async def make_upload(request: web.Request) -> web.Response:
    """Give a link by which one file of this type and size can be sent."""
    body, owner = request[GIVEN].body, owner_mark(request[PRINCIPAL].user_id)
    kind = body[TYPE]
    key = f"{UPLOADS}/{owner or NOBODY}/{uuid.uuid4().hex}.{_ENDINGS[kind]}"
    store = request.app[SHELF].recordings.store
    link = await store.presign(key, Method.PUT, LINK_SECONDS, owner=owner, terms=Terms(kind.value, body[SIZE]))
    return answer({"key": key, **_link_json(link)}, "The link takes one file")


async def _own(request: web.Request, session_id: str) -> tuple[Recording, ...]:
    """Return the recordings of a session that are the caller's to have."""
    found = await request.app[SHELF].recordings.of_session(session_id)
    return tuple(one for one in found if is_own(request[PRINCIPAL], one.user_id))


async def _link_to(shelf: RecordingShelf, recording: Recording) -> Json:
    """Return a link to the sound, None where there is none yet."""
    store = shelf.recordings.store
    if recording.state is RecordingState.RUNNING or await store.head(recording.key) is None:
        return None
    return _link_json(await store.presign(recording.key, Method.GET, LINK_SECONDS, owner=owner_mark(recording.user_id)))


def _link_json(link: Link) -> dict[str, Json]:
    headers: dict[str, Json] = dict(link.headers)
    return {"url": link.url, "method": link.method.value, "headers": headers, "expiresAt": format_instant(link.expires_at)}


def _told(recording: Recording) -> dict[str, Json]:
    told = recording_json(recording)
    del told["key"], told["version"]
    return told


_LINK_MEMBERS: Final = (
    Member("url", Text(4_096), "Address; without a host where it is this server's.", is_required=True),
    Member("method", Choice(Method), "Of the request.", is_required=True),
    Member("headers", Told({"type": "object", "additionalProperties": {"type": "string"}}), "Which it has to carry.", is_required=True),
    Member("expiresAt", Instant(), "Until when it works.", is_required=True),
)
_LINK: Final = Record("RecordingLink", _LINK_MEMBERS)
_INTERRUPTION: Final = Record(
    "RecordedInterruption",
    (
        Member("turn", Whole(0, 10**9), "Which turn of the assistant.", is_required=True),
        Member("heardMs", Whole(0, 10**9), "How much of it was heard.", is_required=True),
        Member("atMs", Whole(0, 10**9), "Of the recording: where the assistant falls silent.", is_required=True),
        Member("unheardMs", Whole(0, 10**9), "How much more of it is in the recording.", is_required=True),
    ),
)


def _text(name: str, doc: str) -> Member[object]:
    return Member(name, Text(MAX_USER, shortest=0), doc, is_required=True)


def _count(name: str, doc: str) -> Member[object]:
    return Member(name, Whole(0, 2**53), doc, is_required=True)


_MEMBERS: Final[tuple[Member[object], ...]] = (
    Member("sessionId", RECORD_ID, "The conversation.", is_required=True),
    _text("userId", "Whose it was; empty for somebody whom nobody asked."),
    _text("assistant", "With whom."),
    _text("language", "Of the conversation."),
    _text("voiceId", "Of the assistant."),
    _text("modelId", "Of the model."),
    Member("state", Choice(RecordingState), "How far the recording is.", is_required=True),
    Member("beganAt", Instant(), "The first sample.", is_required=True),
    Member("endedAt", Nullable(Instant()), "The last; null while it goes on, or where nobody knows.", is_required=True),
    Member("reason", Nullable(Text(MAX_USER)), "Why it ended.", is_required=True),
    Member("isContinued", Told({"type": "boolean"}), "Whether another process recorded what was before.", is_required=True),
    _text("format", "webm, ogg, flac or wav."),
    _text("contentType", "Of the file."),
    Member("channels", ListOf(Text(MAX_USER)), "Who is on which, from the left.", is_required=True),
    _count("sampleRate", "Samples a second of each channel."),
    _count("samples", "Of each channel."),
    _count("durationMs", "The same in milliseconds."),
    _count("callerSamples", "Of them, how many the caller sent."),
    _count("assistantSamples", "Of them, how many the assistant spoke."),
    _count("callerGaps", "How often the caller's sound was away."),
    _count("droppedMs", "What could not be recorded in time, and is silence."),
    _count("aheadMs", "What the caller sent too far ahead of its time to be recorded."),
    Member("interruptions", ListOf(_INTERRUPTION), "Where the caller spoke over the assistant.", is_required=True),
)
_RECORDING: Final = Record("Recording", _MEMBERS)
_WITH_LINK: Final = Record(
    "RecordingWithLink", (*_MEMBERS, Member("link", Nullable(_LINK), "To the sound; null until it is complete.", is_required=True))
)
_OF_SESSION: Final = Record(
    "RecordingsOfSession",
    (
        Member("sessionId", RECORD_ID, "The conversation.", is_required=True),
        Member("recordings", ListOf(_WITH_LINK), "One for each process that had it, in order.", is_required=True),
    ),
)
_GONE: Final = Record("RecordingGone", (Member("sessionId", RECORD_ID, "The conversation.", is_required=True),))
_UPLOAD: Final = Record("UploadLink", (Member("key", Text(512), "Where it will be.", is_required=True), *_LINK_MEMBERS))
_MISSING: Final = {404: "Nothing was recorded of such a conversation, or it is somebody else's"}

OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/recordings",
        handler=list_recordings,
        summary="What was recorded of a conversation",
        query=(SESSION,),
        success=Success(description="Recordings, in order", data=ListOf(_RECORDING)),
    ),
    Operation(
        method="POST",
        path="/recordings/uploads",
        handler=make_upload,
        name="make_recording_upload",
        summary="A link by which a file of sound can be sent",
        body=Record("UploadOfSound", (TYPE, SIZE)),
        success=Success(description="The link", data=_UPLOAD),
    ),
    Operation(
        method="GET",
        path="/recordings/{id}",
        handler=get_recording,
        summary="What was recorded of a conversation, with links to the sound",
        parts=(ID,),
        success=Success(description="The recordings", data=_OF_SESSION),
        refusals=_MISSING,
    ),
    Operation(
        method="DELETE",
        path="/recordings/{id}",
        handler=delete_recording,
        summary="Remove what was recorded of a conversation",
        parts=(ID,),
        success=Success(description="It is gone", data=_GONE),
        refusals={**_MISSING, 409: "The conversation is still being recorded"},
    ),
)

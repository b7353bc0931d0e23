"""Uploaded audio: answers within a voice session, transcriptions, and texts as speech.

A recording comes as it is, with its own content type, or in JSON as base64. What comes back as JSON has speech in base64 too.
"""

import asyncio
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pybase64
import structlog
from aiohttp import web

from api.answers import answer
from api.audio_shapes import (
    ANSWERED,
    CONTENT_TYPE,
    FILES,
    HEARD_REFUSALS,
    LANGUAGE,
    MAX_FILE_BYTES,
    MODEL_REFUSALS,
    RECORDING,
    TEXT,
    TRANSCRIPT,
    VOICE,
)
from api.authentication import PRINCIPAL
from api.errors import RequestError
from api.kinds import ID
from api.operations import Operation, Success
from api.ownership import own_voice_session
from api.requests import GIVEN
from api.schema import Record
from audio.formats import MEDIA_TYPE, MEDIA_TYPES, Format
from publishing.interfaces import Silent
from service.announcements import Announcements
from service.audio_work import caller_of
from service.errors import SessionOver
from service.interfaces import Speech, Transcript
from service.pipeline import Outcome, Surroundings, answer_recording
from session.errors import InvalidAudio
from storage.errors import StorageError
from storage.models import Json, format_instant
from storage.voice_session_items import Counts, VoiceSession
from storage.voice_sessions import VoiceSessions

log = structlog.get_logger()


class NotAcceptable(RequestError):
    """The header Accept names no format in which speech can be had here."""

    code, status, message = "not_acceptable", 406, "Speech cannot be had in this format here."


@dataclass(frozen=True, slots=True)
class AudioOffer:
    """What the operations work with."""

    surroundings: Surroundings
    sessions: VoiceSessions
    announcements: Announcements = field(default_factory=lambda: Announcements(Silent()))
    """Tell of what is counted."""


AUDIO: Final = web.AppKey("audio_offer", AudioOffer)


async def answer_audio(request: web.Request) -> web.Response:
    """Answer what is said in a recording, within a voice session that has not ended."""
    offer = request.app[AUDIO]
    session = await own_voice_session(request, offer.sessions)
    if not session.is_active:
        raise SessionOver
    audio, content_type = await _recording(request)
    outcome = await answer_recording(offer.surroundings, caller_of(session), audio, content_type or session.audio_format or "")
    speech = outcome.speech
    await _count(offer, session, outcome)
    told = await _outcome_json(offer, outcome)
    return answer(told, "The recording was answered" if speech is not None else "The recording was heard, and could not be answered")


async def transcribe_audio(request: web.Request) -> web.Response:
    """Tell what is said in a recording."""
    audio, content_type = await _recording(request)
    given = request[GIVEN]
    language = given.query.get(LANGUAGE) or (given.body.get(LANGUAGE) if given.file is None else None)
    desk = request.app[AUDIO].surroundings.desk
    transcript = await desk.transcribe(audio, content_type, language, request[PRINCIPAL].user_id)
    return answer(_transcript_json(transcript), "The recording was transcribed")


async def speak_text(request: web.Request) -> web.Response:
    """Say a text; in which format, the header Accept decides among those that are written here."""
    desk, body = request.app[AUDIO].surroundings.desk, request[GIVEN].body
    written = _accepted(request.headers.get("Accept", "*/*"), desk.written)
    speech = await desk.synthesize(body.get(TEXT) or "", body.get(VOICE), body.get(LANGUAGE), request[PRINCIPAL].user_id)
    data, ending, media_type = await desk.file_of(speech, written)
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'inline; filename="speech.{ending}"'}
    return web.Response(body=data, content_type=media_type, headers=headers)


async def _recording(request: web.Request) -> tuple[bytes, str]:
    """Return what was sent, and what it says that it is.

    Raises:
        InvalidAudio: it is no base64.
    """
    given = request[GIVEN]
    if given.file is not None:
        return given.file, request.headers.get("Content-Type", "")
    try:
        data = await asyncio.to_thread(pybase64.b64decode, given.body[RECORDING], validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAudio("Audio must be base64.") from None
    return data, given.body.get(CONTENT_TYPE) or ""


def _accepted(header: str, written: Sequence[Format]) -> Format:
    """Return the format that is liked best; WAV where all are liked.

    Raises:
        NotAcceptable: none is.
    """
    liked: list[tuple[float, str]] = []
    for part in header.lower().split(",")[:20]:
        media, *parameters = (piece.strip() for piece in part.split(";"))
        quality = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        try:
            liked.append((float(quality), media))
        except ValueError:
            continue
    for weight, media in sorted(liked, key=lambda one: -one[0]):
        if weight <= 0:
            continue
        found = Format.WAV if media in {"*/*", "audio/*"} else MEDIA_TYPES.get(media)
        if found is not None and found in written:
            return found
    raise NotAcceptable(f"Speech can be had as {', '.join(MEDIA_TYPE[one] for one in written)}.")


async def _count(offer: AudioOffer, session: VoiceSession, outcome: Outcome) -> None:
    """Count the recording and its answer; that this fails is no reason to keep the answer back."""
    spoken_ms = 0 if outcome.speech is None else _milliseconds(outcome.speech)
    counts = Counts(user_turns=1, assistant_turns=int(bool(outcome.reply_text)), assistant_audio_ms=spoken_ms)
    try:
        counted = await offer.sessions.count(session.session_id, counts)
    except StorageError as error:
        log.warning("voice_session.not_counted", session_id=session.session_id, reason=type(error).__name__)
        return
    if counted is not None:
        await offer.announcements.updated(counted)


def _milliseconds(speech: Speech) -> int:
    return len(speech.pcm) * 500 // speech.hertz


def _transcript_json(transcript: Transcript) -> dict[str, Json]:
    return {"text": transcript.text, "confidence": transcript.confidence, "language": transcript.language}


async def _outcome_json(offer: AudioOffer, outcome: Outcome) -> dict[str, Json]:
    stages: list[Json] = [
        {"stage": one.stage.value, "at": format_instant(one.at), "durationMs": one.duration_ms, "errorCode": one.error_code}
        for one in outcome.stages
    ]
    told: dict[str, Json] = {
        "uploadId": outcome.upload,
        "transcript": None if outcome.transcript is None else _transcript_json(outcome.transcript),
        "reply": outcome.reply_text,
        "speech": None,
        "stages": stages,
        "error": None,
    }
    if outcome.speech is not None:
        data, _, media_type = await offer.surroundings.desk.smallest(outcome.speech)
        encoded = (await asyncio.to_thread(pybase64.b64encode, data)).decode("ascii")
        told["speech"] = {"contentType": media_type, "durationMs": _milliseconds(outcome.speech), "audio": encoded}
    if (error := outcome.error) is not None:
        told["error"] = {"code": error.code, "message": error.text, "retryable": error.retryable}
    return told


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/voice-sessions/{id}/audio",
        handler=answer_audio,
        summary="Answer what is said in a recording, as text and as speech",
        parts=(ID,),
        body=Record("Recording", (RECORDING, CONTENT_TYPE)),
        files=FILES,
        max_body_bytes=MAX_FILE_BYTES,
        success=Success(description="What has come of it, also where not everything could be done", data=ANSWERED),
        refusals={404: "There is no such voice session, or it is somebody else's", 409: "It has ended", **MODEL_REFUSALS, **HEARD_REFUSALS},
    ),
    Operation(
        method="POST",
        path="/transcriptions",
        handler=transcribe_audio,
        summary="What is said in a recording",
        query=(LANGUAGE,),
        body=Record("RecordingToTranscribe", (RECORDING, CONTENT_TYPE, LANGUAGE)),
        files=FILES,
        max_body_bytes=MAX_FILE_BYTES,
        success=Success(description="The text", data=TRANSCRIPT),
        refusals={**MODEL_REFUSALS, 422: "The model will not talk about it"},
    ),
    Operation(
        method="POST",
        path="/speech",
        handler=speak_text,
        summary="A text as speech",
        body=Record("TextToSay", (TEXT, VOICE, LANGUAGE)),
        success=Success(
            description="The speech, in a format that Accept names", files=("audio/wav", "audio/mpeg", "audio/ogg", "audio/webm")
        ),
        refusals={**MODEL_REFUSALS, 406: "Speech cannot be had in this format here", 422: "The model will not say it"},
    ),
)

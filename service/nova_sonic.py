"""The service on the records of voice sessions, and on whoever works on audio."""

import asyncio
import binascii
import re
import uuid
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import structlog

from publishing.interfaces import Silent
from service.announcements import Announcements
from service.errors import AudioUnavailable, InvalidArgument, SessionOver, UnknownSession
from service.interfaces import AudioWork, LiveSessions, Speech, Transcript, VoiceResponse
from service.session_cache import SessionCache
from session.errors import InvalidAudio, TooLarge
from session.events import EndReason
from storage.errors import StorageError
from storage.records import ANYBODY, Listing, to_milliseconds
from storage.voice_session_items import Counts, VoiceSession, VoiceSessionStatus
from storage.voice_sessions import VoiceSessions

log = structlog.get_logger()

MAX_ID: Final = 256
MAX_METADATA: Final = 32
"""Names on one session."""
MAX_NAME, MAX_VALUE = 64, 256
MAX_AUDIO_BYTES: Final = 10 * 1024 * 1024
MAX_TEXT: Final = 10_000
"""Characters that are spoken at once."""
MAX_PAGE: Final = 100
IN_THREAD_FROM: Final = 256 * 1024
"""Characters of base64 from which decoding takes the event loop longer than a millisecond."""
_PLAIN: Final = re.compile(r"[^\x00-\x1f\x7f]*")


class RecordedNovaSonic:
    """NovaSonicService on one table of voice sessions.

    Args:
        sessions: repository.
        live: the sessions that are talked in here.
        cache: of what was read a moment ago.
        audio: works on audio; None where nobody does.
        announcements: tell of what is changed here; None tells nobody.
        clock: the time now, with a zone.
    """

    def __init__(
        self,
        sessions: VoiceSessions,
        live: LiveSessions,
        cache: SessionCache,
        audio: AudioWork | None = None,
        *,
        announcements: Announcements | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions = sessions
        self._live = live
        self._cache = cache
        self._audio = audio
        self._announcements = announcements or Announcements(Silent())
        self._clock = clock

    # Sessions

    async def initialize_session(
        self, connection_id: str, user_id: str, *, audio_format: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Begin a session on request; return its id, which no other session has."""
        _check_id("connection_id", connection_id, may_be_empty=True)
        _check_id("user_id", user_id, may_be_empty=True)
        _check_notes(metadata or {}, audio_format)
        now = to_milliseconds(self._clock())
        session = VoiceSession(
            session_id=str(uuid.uuid4()),
            connection_id=connection_id,
            user_id=user_id or ANYBODY,
            status=VoiceSessionStatus.ACTIVE,
            created_at=now,
            updated_at=now,
            audio_format=audio_format,
            metadata=dict(metadata or {}),
        )
        await self._announcements.created(await self._sessions.create(session))
        return session.session_id

    async def get_session(self, session_id: str, *, owner: str | None = None) -> VoiceSession:
        """Return a session, at most two seconds old."""
        _check_id("session_id", session_id)
        session = self._cache.find(session_id)
        if session is None:
            session = await self._sessions.get(session_id)
            if session is not None:
                self._cache.keep(session)
        return _owned(session, owner)

    async def session_of_connection(self, connection_id: str, *, owner: str | None = None) -> VoiceSession:
        """Return the session that a connection has."""
        _check_id("connection_id", connection_id)
        return _owned(await self._sessions.live_of_connection(connection_id), owner)

    async def list_user_sessions(self, user_id: str, *, limit: int = MAX_PAGE, cursor: str | None = None) -> Listing[VoiceSession]:
        """Return a page of a user's sessions, newest first."""
        _check_id("user_id", user_id, may_be_empty=True)
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidArgument(f"limit has to be from 1 to {MAX_PAGE}.")
        return await self._sessions.of_user(user_id or ANYBODY, limit=limit, cursor=cursor)

    async def update_session(
        self,
        session_id: str,
        *,
        metadata: Mapping[str, str | None] | None = None,
        audio_format: str | None = None,
        owner: str | None = None,
    ) -> VoiceSession:
        """Change what is noted of a session."""
        _check_notes(metadata or {}, audio_format)
        before = await self._fresh(session_id, owner)
        if len({*before.metadata, *(metadata or {})}) > MAX_METADATA:
            raise InvalidArgument(f"A session has at most {MAX_METADATA} names in its metadata.")
        changed = self._changed(await self._sessions.update(session_id, metadata=metadata, audio_format=audio_format))
        await self._announcements.updated(changed)
        return changed

    async def end_session(self, session_id: str, *, owner: str | None = None) -> VoiceSession:
        """End a session; one that has ended stays as it is."""
        before = await self._fresh(session_id, owner)
        reason = EndReason.OPERATOR if owner is None else EndReason.CLIENT
        found, is_untold = await self._sessions.close(session_id, reason.value)
        ended = self._changed(found)
        if is_untold:
            await self._announcements.ended(ended)
        if before.is_active:
            self._live.end(session_id, reason.value)
        return ended

    # Audio

    async def process_audio_data(
        self, audio: str, session_id: str, *, content_type: str | None = None, owner: str | None = None
    ) -> VoiceResponse:
        """Answer what is said in a recording, as speech and as text."""
        session = await self.get_session(session_id, owner=owner)
        if not session.is_active:
            raise SessionOver
        work, sound = self._work(), await _decoded(audio)
        done = await work.process(sound, content_type or session.audio_format or "", session_id)
        await self._count(session_id, done.speech)
        spoken = done.transcript
        return VoiceResponse(spoken.text, done.reply_text, _encoded(done.speech), done.speech.hertz, spoken.confidence, spoken.language)

    async def transcribe_audio(self, audio: str, content_type: str, *, language: str | None = None) -> Transcript:
        """Return what is said in a recording."""
        return await self._work().transcribe(await _decoded(audio), content_type, language)

    async def synthesize_voice(self, text: str, *, voice_id: str | None = None) -> Speech:
        """Return a text as speech."""
        if not text.strip():
            raise InvalidArgument("There is nothing to be said.")
        if len(text) > MAX_TEXT:
            raise TooLarge(f"A text may have {MAX_TEXT} characters.")
        return await self._work().synthesize(text, voice_id)

    # How

    def _work(self) -> AudioWork:
        if self._audio is None:
            raise AudioUnavailable
        return self._audio

    async def _fresh(self, session_id: str, owner: str | None) -> VoiceSession:
        _check_id("session_id", session_id)
        return _owned(await self._sessions.get(session_id), owner)

    def _changed(self, session: VoiceSession | None) -> VoiceSession:
        if session is None:  # it has expired since it was read
            raise UnknownSession
        self._cache.keep(session)
        return session

    async def _count(self, session_id: str, speech: Speech) -> None:
        """Count a message and its answer; that this fails is no reason to keep the answer back."""
        counts = Counts(user_turns=1, assistant_turns=1, assistant_audio_ms=len(speech.pcm) * 500 // speech.hertz)
        try:
            counted = await self._sessions.count(session_id, counts)
        except StorageError as error:
            log.warning("voice_session.not_counted", session_id=session_id, reason=type(error).__name__)
            self._cache.forget(session_id)
            return
        if counted is not None:
            self._cache.keep(counted)
            await self._announcements.updated(counted)


def _owned(session: VoiceSession | None, owner: str | None) -> VoiceSession:
    """Return a session that is this user's; None for anybody's.

    Raises:
        UnknownSession: there is none, or it is somebody else's.
    """
    if session is None or owner not in (None, session.user_id):
        raise UnknownSession
    return session


def _check_id(name: str, value: str, *, may_be_empty: bool = False) -> None:
    if len(value) > MAX_ID or not (value or may_be_empty) or _PLAIN.fullmatch(value) is None or not _is_unicode(value):
        raise InvalidArgument(f"{name} has to be a text of at most {MAX_ID} characters, none of them a control character.")


def _check_notes(metadata: Mapping[str, str | None], audio_format: str | None) -> None:
    if len(metadata) > MAX_METADATA:
        raise InvalidArgument(f"A session has at most {MAX_METADATA} names in its metadata.")
    for name, value in {**metadata, **({"audio_format": audio_format} if audio_format is not None else {})}.items():
        is_named = 0 < len(name) <= MAX_NAME and _PLAIN.fullmatch(name) is not None and _is_unicode(name)
        if not is_named or len(value or "") > MAX_VALUE or _PLAIN.fullmatch(value or "") is None or not _is_unicode(value or ""):
            raise InvalidArgument(f"Metadata are texts of at most {MAX_VALUE} characters under names of at most {MAX_NAME}.")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


async def _decoded(audio: str) -> bytes:
    """Return audio that came as base64.

    Raises:
        TooLarge: it is over its limit.
        InvalidAudio: it is none, or empty.
    """
    if len(audio) > MAX_AUDIO_BYTES * 4 // 3 + 4:
        raise TooLarge(f"A recording may have {MAX_AUDIO_BYTES} bytes.")
    try:
        sound = b64decode(audio, validate=True) if len(audio) < IN_THREAD_FROM else await asyncio.to_thread(b64decode, audio, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidAudio("Audio must be base64.") from None
    if not sound:
        raise InvalidAudio("There is no audio.")
    return sound


def _encoded(speech: Speech) -> str:
    return b64encode(speech.pcm).decode("ascii")

"""What the service offers, and what it needs of whoever works on audio.

The founding documents name the methods in camel case; here they are

initializeSession   initialize_session      endSession          end_session
processAudioData    process_audio_data      listUserSessions    list_user_sessions
transcribeAudio     transcribe_audio        getVoiceSession     get_session
synthesizeVoice     synthesize_voice        updateVoiceSession  update_session
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from storage.records import Listing
from storage.voice_session_items import VoiceSession


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said."""

    text: str
    confidence: float | None
    """0 to 1; None where the model tells none."""
    language: str | None
    """As a BCP 47 tag like es-US; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Speech that was made of a text."""

    pcm: bytes
    """Signed 16-bit little-endian mono."""
    hertz: int


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of one piece of a caller's audio."""

    transcript: Transcript
    reply_text: str
    speech: Speech


class AudioWork(Protocol):
    """Works on audio that comes as a whole. Everything that it cannot do is a SessionError."""

    async def transcribe(self, audio: bytes, content_type: str, language: str | None) -> Transcript:
        """Return what is said in a recording.

        Args:
            audio: the file as it came, neither decoded nor checked.
            content_type: its media type, as audio/webm.
            language: which is spoken; None where it is not known.
        """

    async def synthesize(self, text: str, voice_id: str | None) -> Speech:
        """Return a text as speech; None is the assistant's own voice."""

    async def process(self, audio: bytes, content_type: str, session_id: str) -> Processed:
        """Return the answer to what is said in a recording, within a session that is there and has not ended."""


@dataclass(frozen=True, slots=True)
class VoiceResponse:
    """The answer to one piece of a caller's audio."""

    text: str
    """What the caller said."""
    reply_text: str
    audio: str
    """The reply as speech: base64 of signed 16-bit little-endian mono."""
    hertz: int
    """Rate of that speech."""
    confidence: float | None = None
    """Of the text; None where the model tells none."""
    language: str | None = None


class LiveSessions(Protocol):
    """The sessions that are talked in here."""

    def end(self, session_id: str, reason: str) -> bool:
        """End a session politely; False if it is not talked in here. Returns at once."""


class NovaSonicService(Protocol):
    """Voice sessions and their audio.

    Where a method takes `owner`, the session has to be this user's; None is for those who may reach everybody's. Every method may raise a
    StorageError while the records cannot be reached.
    """

    async def initialize_session(
        self, connection_id: str, user_id: str, *, audio_format: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> str:
        """Begin a session on request; return its id, which no other session has.

        Args:
            connection_id: of the client's connection; empty where it has none.
            user_id: whose session it is; empty for somebody whom nobody asked.
            audio_format: media type of the audio that will come.
            metadata: what is to be noted of it.

        Raises:
            InvalidArgument: an argument cannot be used.
        """

    async def get_session(self, session_id: str, *, owner: str | None = None) -> VoiceSession:
        """Return a session, at most two seconds old.

        Raises:
            UnknownSession: there is none, or it is not the owner's.
        """

    async def session_of_connection(self, connection_id: str, *, owner: str | None = None) -> VoiceSession:
        """Return the session that a connection has.

        Raises:
            UnknownSession: it has none, or it is not the owner's.
        """

    async def list_user_sessions(self, user_id: str, *, limit: int = 100, cursor: str | None = None) -> Listing[VoiceSession]:
        """Return a page of a user's sessions, newest first.

        Raises:
            BadCursor: the cursor is none of this list.
            InvalidArgument: the limit is not from 1 to 100.
        """

    async def update_session(
        self,
        session_id: str,
        *,
        metadata: Mapping[str, str | None] | None = None,
        audio_format: str | None = None,
        owner: str | None = None,
    ) -> VoiceSession:
        """Change what is noted of a session, whether it lives or not; return it as it is then.

        Args:
            session_id: of the session.
            metadata: new values by name; None removes one, and what is not named stays.
            audio_format: media type of its audio; None leaves it.
            owner: whose it has to be.

        Raises:
            UnknownSession: there is none, or it is not the owner's.
            InvalidArgument: a name or a value cannot be used.
        """

    async def end_session(self, session_id: str, *, owner: str | None = None) -> VoiceSession:
        """End a session, wherever it is talked in; return it with its duration. One that has ended stays as it is.

        Raises:
            UnknownSession: there is none, or it is not the owner's.
        """

    async def process_audio_data(
        self, audio: str, session_id: str, *, content_type: str | None = None, owner: str | None = None
    ) -> VoiceResponse:
        """Answer what is said in a recording, as text and as speech, and count both in the session.

        Args:
            audio: base64 of a recording.
            session_id: of a session that has not ended.
            content_type: media type of the recording; None is the session's own.
            owner: whose the session has to be.

        Raises:
            UnknownSession: there is none, or it is not the owner's.
            SessionOver: it has ended.
            SessionError: the recording cannot be used, or the model failed; the session goes on.
        """

    async def transcribe_audio(self, audio: str, content_type: str, *, language: str | None = None) -> Transcript:
        """Return what is said in a recording.

        Raises:
            SessionError: the recording cannot be used, or the model failed.
        """

    async def synthesize_voice(self, text: str, *, voice_id: str | None = None) -> Speech:
        """Return a text as speech; None is the assistant's own voice.

        Raises:
            SessionError: the text or the voice cannot be used, or the model failed.
        """

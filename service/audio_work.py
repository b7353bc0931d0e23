"""AudioWork with the model: what NovaSonicService needs of whoever works on audio."""

from service.errors import UnknownSession
from service.interfaces import Processed, Speech, Transcript
from service.pipeline import Caller, Surroundings, answer_recording
from session.errors import InternalError
from storage.voice_session_items import VoiceSession, user_of
from storage.voice_sessions import VoiceSessions


class ModelAudioWork:
    """Works on audio with the model.

    Args:
        surroundings: what is worked with.
        sessions: tell whose a voice session is, and what was noted of it.
    """

    def __init__(self, surroundings: Surroundings, sessions: VoiceSessions) -> None:
        self._with = surroundings
        self._sessions = sessions

    async def transcribe(self, audio: bytes, content_type: str, language: str | None) -> Transcript:
        """Return what is said in a recording."""
        return await self._with.desk.transcribe(audio, content_type, language)

    async def synthesize(self, text: str, voice_id: str | None) -> Speech:
        """Return a text as speech; None is the language's own voice."""
        return await self._with.desk.synthesize(text, voice_id)

    async def process(self, audio: bytes, content_type: str, session_id: str) -> Processed:
        """Return the answer to what is said in a recording, within a session that is there and has not ended."""
        session = await self._sessions.get(session_id)
        if session is None:
            raise UnknownSession
        done = await answer_recording(self._with, caller_of(session), audio, content_type)
        if done.transcript is None or done.speech is None:
            raise done.error or InternalError
        return Processed(done.transcript, done.reply_text, done.speech)


def caller_of(session: VoiceSession) -> Caller:
    """Return who has a voice session and how they want to be answered: as it was begun, else as its metadata say."""
    noted = session.metadata
    return Caller(
        session_id=session.session_id,
        user_id=user_of(session),
        connection_id=session.connection_id,
        assistant=session.assistant or noted.get("assistant"),
        language=session.language or noted.get("language"),
        voice_id=session.voice_id or noted.get("voice"),
    )

"""What the service offers, and what it needs of whoever works on audio.

The founding documents name the methods in camel case; here they are

initializeSession   initialize_session      endSession          end_session
processAudioData    process_audio_data      listUserSessions    list_user_sessions
transcribeAudio     transcribe_audio        getVoiceSession     get_session
synthesizeVoice     synthesize_voice        updateVoiceSession  update_session
"""

from dataclasses import dataclass
from typing import Protocol


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

"""Uploaded audio: what is said in it, a text as speech, and the six stages from a recording to the answer to it (service/pipeline.py)."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from audio.decoding import AudioDecoding, FileLimits
from audio.errors import AudioError
from audio.formats import MEDIA_TYPE, Format
from s2s.models import ModelCapabilities
from service.aides import asked_to_say, language_of, language_of_voice, reader, sentences, transcriber
from service.errors import AudioUnavailable
from service.exchange import Exchange, Wanted, exchange
from service.following import USUAL, Patience
from service.interfaces import Speech, Transcript
from session.assistant import AssistantProfile
from session.errors import NotAllowed, TooLarge, TooMany
from session.events import Start
from session.refused_audio import as_session_error
from session.registry import SessionRegistry

OUTPUT_HERTZ: Final = 24_000
SAMPLE_BYTES: Final = 2
MAX_TEXT: Final = 3_000
"""Characters of a text: three and a half minutes of speech."""


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one upload, and all of them, may take."""

    bytes: int = 10 * 1024 * 1024
    """Of a file."""
    seconds: float = 120.0
    """Of its sound."""
    at_once: int = 8
    """Uploads that are worked on, each of which takes a session's place."""
    at_once_per_user: int = 2
    speed: float = 4.0
    """How many times as fast as it was spoken the model is given a recording."""
    decoding_seconds: float = 20.0
    """Longest time for each stage, from here on."""
    hearing_seconds: float = 30.0
    """Beside the time that the recording takes."""
    answering_seconds: float = 45.0
    """To the first word of an answer, tools included."""
    speaking_seconds: float = 60.0
    """From there to its end."""
    patience: Patience = USUAL


class AudioDesk:
    """Works on recordings and texts with the model; every piece of work is a session of its own.

    Args:
        model: what the model can do.
        decoding: decodes what comes.
        limits: what may be taken.
        clock: monotonic seconds, of the sessions.
    """

    def __init__(
        self, model: ModelCapabilities, decoding: AudioDecoding, limits: UploadLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry: SessionRegistry | None = None
        self.model = model
        self._decoding = decoding
        self.clock = clock
        self.limits = limits
        self._working: Counter[str] = Counter()

    def belong_to(self, registry: SessionRegistry) -> None:
        """Make the sessions in this registry; without one, there is nobody who works on audio."""
        self._registry = registry

    @asynccontextmanager
    async def place(self, user_id: str) -> AsyncIterator[None]:
        """Have a place among those who are worked for.

        Raises:
            TooMany: all are taken, or all that one user may have.
        """
        if self._working.total() >= self.limits.at_once or self._working[user_id] >= self.limits.at_once_per_user:
            raise TooMany("Too much audio is being worked on. Please wait a moment.")
        self._working[user_id] += 1
        try:
            yield
        finally:
            self._working[user_id] -= 1
            if not self._working[user_id]:
                del self._working[user_id]

    async def decoded(self, data: bytes, content_type: str) -> bytes:
        """Return a recording as 16 kHz samples.

        Raises:
            SessionError: it cannot be decoded.
        """
        if len(data) > self.limits.bytes:
            raise TooLarge(f"A recording can have {self.limits.bytes} bytes at most.")
        try:
            return await self._decoding.decode_file(data, content_type, FileLimits(self.limits.seconds, self.limits.decoding_seconds))
        except AudioError as error:
            raise as_session_error(error) from None

    async def smallest(self, speech: Speech) -> tuple[bytes, str, str]:
        """Return speech as the smallest file that can be written here, its ending and its media type."""
        return await self.file_of(speech, self._decoding.written[0])

    @property
    def written(self) -> tuple[Format, ...]:
        """The formats in which speech can be had."""
        return self._decoding.written

    async def file_of(self, speech: Speech, written: Format) -> tuple[bytes, str, str]:
        """Return speech as a file, its ending and its media type."""
        return await self._decoding.encode(speech.pcm, speech.hertz, written), written.value, MEDIA_TYPE[written]

    def exchange(self, start: Start, user_id: str, profile: AssistantProfile | None = None) -> AbstractAsyncContextManager[Exchange]:
        """Have a session for a while.

        Raises:
            AudioUnavailable: there are no sessions.
        """
        if self._registry is None:
            raise AudioUnavailable
        caller = f"user:{user_id}" if user_id else ""
        return exchange(self._registry, self.clock, Wanted(start, profile, user_id, caller, self.limits.patience))

    async def transcribe(self, audio: bytes, content_type: str, language: str | None, user_id: str = "") -> Transcript:
        """Return what is said in a recording; an empty text where nothing is.

        Raises:
            SessionError: it cannot be decoded, the language is not one of the model's, or the model failed.
        """
        spoken = language_of(language, self.model)
        async with self.place(user_id):
            pcm = await self.decoded(audio, content_type)
            async with self.exchange(Start(language=spoken), user_id, transcriber(self.model)) as session:
                following = session.speak(pcm, self.limits.speed, wants_answer=False)
                await session.until(lambda: following.transcribed_at is not None, self.hearing_seconds(pcm))
        return Transcript(following.heard.text, None, spoken)

    async def synthesize(self, text: str, voice_id: str | None, language: str | None = None, user_id: str = "") -> Speech:
        """Return a text as speech.

        Raises:
            SessionError: the voice or the language is not one of the model's, the text is too long, or the model failed.
        """
        if len(text) > MAX_TEXT:
            raise TooLarge(f"A text can have {MAX_TEXT} characters at most.")
        self.check_voice(voice_id)
        spoken = language_of(language or (language_of_voice(voice_id, self.model) if voice_id else None), self.model)
        pcm, hertz = bytearray(), OUTPUT_HERTZ
        async with (
            self.place(user_id),
            self.exchange(Start(language=spoken, voice_id=voice_id, output_hertz=OUTPUT_HERTZ), user_id, reader(self.model)) as session,
        ):
            for sentence in sentences(text):
                following = await session.type(asked_to_say(sentence))
                await session.until(lambda: False, self.limits.answering_seconds + self.limits.speaking_seconds)
                pcm += following.answered.pcm
                hertz = following.answered.hertz
        return Speech(bytes(pcm), hertz)

    def check_voice(self, voice_id: str | None) -> None:
        """See that the model may have a voice.

        Raises:
            NotAllowed: it has not.
        """
        if voice_id is not None and not self.model.may_have_voice(voice_id):
            raise NotAllowed(f"The model has no voice {voice_id[:40]!r}.")

    def hearing_seconds(self, pcm: bytes) -> float:
        """Return how long the model may take to hear a recording."""
        return self.limits.hearing_seconds + len(pcm) / SAMPLE_BYTES / 16_000 / min(1.0, self.limits.speed)

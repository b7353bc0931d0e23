"""The way of an uploaded recording within a voice session: it is received, stored, transcribed, answered, spoken and delivered.

The model hears, answers and speaks in one conversation, so three of the stages are moments of one exchange. Each stage is published and
written down with the time that it took. When one fails, what was reached before is told, with the code of what went wrong.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import structlog

from audio.formats import MEDIA_TYPE, Format, format_of
from publishing.events import PipelineEvent, PipelineStage, ResponseEvent, TranscriptionEvent
from publishing.interfaces import EventPublisher
from service.audio_errors import NothingHeard
from service.following import Following
from service.interfaces import Speech, Transcript
from service.upload_files import StoreAway, UploadFiles, new_upload
from service.uploads import OUTPUT_HERTZ, AudioDesk
from session.errors import SessionError
from session.events import Start
from session.notices import (
    Deliver,
    Notice,
    Recipient,
    RecordingAnswered,
    RecordingHeard,
    RecordingSpeech,
    RecordingSpeechEnded,
)
from storage.models import format_instant
from storage.objects import ObjectStore

log = structlog.get_logger()

DELIVER_SECONDS: Final = 5.0
EARLIER: Final = 6
"""Of so many earlier recordings of the session, what was said and answered is told to the model."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who has the voice session, and how they want to be answered."""

    session_id: str
    user_id: str = ""
    connection_id: str = ""
    assistant: str | None = None
    language: str | None = None
    voice_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage that was reached, or failed."""

    stage: PipelineStage
    at: datetime
    duration_ms: int
    error_code: str | None = None


@dataclass(slots=True)
class Outcome:
    """What has come of a recording."""

    upload: str
    transcript: Transcript | None = None
    reply_text: str = ""
    speech: Speech | None = None
    stages: list[Stage] = field(default_factory=list)
    error: SessionError | None = None
    """Why it is not all."""


async def no_voice(_user_id: str) -> str:
    """Return nothing: nobody knows what users like."""
    return ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What recordings are worked on with."""

    desk: AudioDesk
    publisher: EventPublisher
    """Of the stages, of what was said and of what was answered."""
    objects: ObjectStore | None = None
    """Keeps the audio and the results; None keeps nothing, and the model is not told of earlier recordings."""
    deliver: Deliver | None = None
    """Reaches clients on their connections; None reaches none."""
    preferred_voice: Callable[[str], Awaitable[str]] = no_voice
    """Returns the voice that a user likes best, and soon; empty for none."""
    utc: Callable[[], datetime] = lambda: datetime.now(UTC)


async def answer_recording(surroundings: Surroundings, caller: Caller, audio: bytes, content_type: str) -> Outcome:
    """Answer what is said in a recording.

    Raises:
        SessionError: nothing has come of it.
    """
    surroundings.desk.check_voice(caller.voice_id)
    async with surroundings.desk.place(caller.user_id):
        way = _Way(surroundings, caller)
        try:
            await way.go(audio, content_type)
        except SessionError as error:
            way.outcome.error = error
        await way.finish()
    if way.outcome.transcript is None and way.outcome.error is not None:
        raise way.outcome.error
    return way.outcome


class _Way:
    """The way of one recording."""

    def __init__(self, surroundings: Surroundings, caller: Caller) -> None:
        self._with = surroundings
        self._caller = caller
        self.outcome = Outcome(new_upload(surroundings.utc()))
        self._files = UploadFiles(surroundings.objects, caller.session_id, self.outcome.upload, caller.user_id)

    async def go(self, audio: bytes, content_type: str) -> None:
        """Go from stage to stage, as far as it goes.

        Raises:
            SessionError: why it goes no further.
        """
        desk = self._with.desk
        async with self._stage(PipelineStage.RECEIVED):
            pcm = await desk.decoded(audio, content_type)
        if self._files.is_kept:
            with suppress(StoreAway):  # it is answered all the same
                async with self._stage(PipelineStage.STORED):
                    kind = _kind_of(content_type, audio)
                    await self._files.audio(audio, kind, MEDIA_TYPE[kind])
        memory = await self._files.earlier(EARLIER)
        caller = self._caller
        start = Start(caller.assistant, caller.language, caller.voice_id, output_hertz=OUTPUT_HERTZ, memory=memory)
        start = replace(start, preferred_voice_id=await self._with.preferred_voice(caller.user_id))
        async with desk.exchange(start, caller.user_id) as session:
            following = session.speak(pcm, desk.limits.speed, wants_answer=True)
            async with self._stage(PipelineStage.TRANSCRIBED):
                try:
                    await session.until(lambda: following.transcribed_at is not None, desk.hearing_seconds(pcm))
                finally:
                    self._transcribed(following)
            async with self._stage(PipelineStage.ANSWERED):
                await session.until(lambda: following.began_at is not None, desk.limits.answering_seconds)
            async with self._stage(PipelineStage.SYNTHESISED):
                try:
                    await session.until(lambda: False, desk.limits.speaking_seconds)
                finally:
                    self._answered(following)

    async def finish(self) -> None:
        """Keep, publish and deliver what has come of it."""
        with suppress(StoreAway):
            await self._keep()
        if self.outcome.transcript is not None:
            async with self._stage(PipelineStage.DELIVERED):
                await self._tell()
        with suppress(StoreAway):
            await self._files.stages(self._told())

    def _transcribed(self, following: Following) -> None:
        text, now = following.heard.text, self._with.utc()
        if not text:
            if following.transcribed_at is not None:
                raise NothingHeard
            return
        language = self._caller.language
        self.outcome.transcript = Transcript(text, None, language)
        caller = self._caller
        self._with.publisher.publish(
            TranscriptionEvent(
                session_id=caller.session_id, user_id=caller.user_id, at=now, turn=0, text=text, language=language or "", confidence=None
            )
        )

    def _answered(self, following: Following) -> None:
        answered, caller = following.answered, self._caller
        self.outcome.reply_text = answered.text
        if answered.pcm:
            self.outcome.speech = Speech(answered.pcm, answered.hertz)
        if answered.text:
            self._with.publisher.publish(
                ResponseEvent(
                    session_id=caller.session_id,
                    user_id=caller.user_id,
                    at=self._with.utc(),
                    turn=0,
                    text=answered.text,
                    language=caller.language or "",
                )
            )

    async def _keep(self) -> None:
        """Keep what was said, and what was answered."""
        found = self.outcome
        if found.transcript is None or not self._files.is_kept:
            return
        spoken = {"text": found.transcript.text, "confidence": found.transcript.confidence, "language": found.transcript.language}
        await self._files.transcription(spoken)
        await self._files.response({"heard": found.transcript.text, "text": found.reply_text, **_error_told(found.error)})
        if found.speech is not None:
            desk = self._with.desk
            await self._files.speech(*await desk.smallest(found.speech))

    async def _tell(self) -> None:
        deliver, caller = self._with.deliver, self._caller
        if deliver is not None:
            to = Recipient(caller.user_id, caller.connection_id, caller.session_id)
            with suppress(TimeoutError):  # a client that does not read has the answer to its request
                async with asyncio.timeout(DELIVER_SECONDS):
                    await deliver.deliver(to, _notices(caller.session_id, self.outcome))

    def _told(self) -> dict[str, object]:
        stages = [
            {"stage": one.stage.value, "at": format_instant(one.at), "durationMs": one.duration_ms, "errorCode": one.error_code}
            for one in self.outcome.stages
        ]
        return {"uploadId": self.outcome.upload, "sessionId": self._caller.session_id, "stages": stages, **_error_told(self.outcome.error)}

    @asynccontextmanager
    async def _stage(self, stage: PipelineStage) -> AsyncIterator[None]:
        """Note and publish that a stage was reached, or why not."""
        clock = self._with.desk.clock
        began_at = clock()
        try:
            yield
        except SessionError as error:
            self._note(Stage(stage, self._with.utc(), round((clock() - began_at) * 1_000), error.code))
            raise
        self._note(Stage(stage, self._with.utc(), round((clock() - began_at) * 1_000)))

    def _note(self, one: Stage) -> None:
        self.outcome.stages.append(one)
        self._with.publisher.publish(
            PipelineEvent(
                stage=one.stage,
                session_id=self._caller.session_id,
                user_id=self._caller.user_id,
                at=one.at,
                audio_id=self.outcome.upload,
                duration_ms=one.duration_ms,
                error_code=one.error_code,
            )
        )
        log.info(
            "upload.stage",
            stage=one.stage.value,
            session_id=self._caller.session_id,
            duration_ms=one.duration_ms,
            error_code=one.error_code,
        )


def _notices(session_id: str, found: Outcome) -> Iterator[Notice]:
    """Return what a client is told on its connection, each piece of the speech made when it is its turn."""
    if found.transcript is not None:
        yield RecordingHeard(session_id, found.upload, found.transcript.text, found.transcript.confidence)
    if found.reply_text:
        yield RecordingAnswered(session_id, found.upload, found.reply_text)
    if found.speech is not None:
        pcm, hertz = found.speech.pcm, found.speech.hertz
        for start in range(0, len(pcm), hertz):  # half a second of 16-bit samples
            yield RecordingSpeech(session_id, found.upload, pcm[start : start + hertz], hertz)
        yield RecordingSpeechEnded(session_id, found.upload)


def _kind_of(content_type: str, audio: bytes) -> Format:
    return format_of(content_type, audio[:12])[0]


def _error_told(error: SessionError | None) -> dict[str, object]:
    return {} if error is None else {"error": {"code": error.code, "message": error.text, "retryable": error.retryable}}

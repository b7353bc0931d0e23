"""Recordings and texts through the model: every piece of work is a session of the registry, against the emulator."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from audio.formats import Format
from publishing.events import PipelineEvent, PipelineStage, ResponseEvent, TranscriptionEvent
from s2s.bedrock.client import NovaSonicClient
from s2s.events import InputEvent
from service.audio_errors import NothingHeard, StageTimeout
from service.pipeline import Caller, Outcome, answer_recording
from service.uploads import UploadLimits
from session.errors import InvalidAudio, NotAllowed, ServerBusy, SessionError, TooLarge, TooMany, UnsupportedFormat
from session.interfaces import ModelStream
from session.notices import Recipient, RecordingAnswered, RecordingHeard, RecordingSpeech, RecordingSpeechEnded
from storage.errors import StorageUnavailable
from storage.objects import owner_mark
from tests.audio.files import encoded
from tests.service.stage import HERTZ, IMPATIENT, LIMITS, Stage, spoken, staged, tones

pytestmark = pytest.mark.timeout(60)
ALL = list(PipelineStage)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as opened:
        yield opened


async def ask(stage: Stage, audio: bytes, caller: Caller | None = None, content_type: str = "audio/wav") -> Outcome:
    return await answer_recording(stage.surroundings, caller or Caller("s-1", "ana", "c-1"), audio, content_type)


def reached(outcome: Outcome) -> list[tuple[PipelineStage, str | None]]:
    return [(one.stage, one.error_code) for one in outcome.stages]


# Transcriptions


@pytest.mark.req("S0-19", "S0-30")
async def test_what_is_said_in_a_recording_is_told_without_an_invented_confidence(stage: Stage) -> None:
    transcript = await stage.desk.transcribe(spoken(300, 500), "audio/wav", "es-US")

    assert (transcript.text, transcript.confidence, transcript.language) == ("hello status", None, "es")
    assert "Spanish" in stage.prompts[0].system
    assert stage.registry.live == 0


@pytest.mark.req("S0-30")
async def test_what_is_said_before_and_after_a_pause_is_one_text(stage: Stage) -> None:
    assert (await stage.desk.transcribe(spoken(300, 500, pause=1.2), "audio/wav", None)).text == "hello status"


@pytest.mark.req("S0-18", "S0-30")
@pytest.mark.parametrize(
    ("container", "codec", "media_type"),
    [("webm", "libopus", "audio/webm;codecs=opus"), ("ogg", "libopus", "audio/ogg"), ("mp3", "libmp3lame", "audio/mpeg")],
)
async def test_a_recording_of_any_format_is_understood(stage: Stage, container: str, codec: str, media_type: str) -> None:
    file = encoded(np.frombuffer(tones(300, 700), "<i2"), container, codec, HERTZ)

    assert (await stage.desk.transcribe(file, media_type, None)).text == "hello weather"


async def test_of_silence_nothing_is_told(tmp_path: Path) -> None:
    async with staged(tmp_path, IMPATIENT) as stage:
        transcript = await stage.desk.transcribe(bytes(32_000), "audio/pcm", None)

    assert transcript.text == ""


# Speech


@pytest.mark.req("S0-21", "S0-31")
async def test_a_text_becomes_speech_of_the_chosen_voice(stage: Stage) -> None:
    speech = await stage.desk.synthesize("Good morning, Ana.", "tiffany")

    assert (stage.heard, stage.prompts[0].voice_id) == (['Say only this, word for word: "Good morning, Ana."'], "tiffany")
    assert speech.hertz == 24_000
    assert len(speech.pcm) / 2 / speech.hertz > 0.5


@pytest.mark.req("S0-31")
async def test_a_long_text_is_said_sentence_by_sentence_and_nothing_of_it_twice(stage: Stage) -> None:
    sentence = "This is the sentence of a text that is far too long to be said at once. "
    one = await stage.desk.synthesize(sentence, None)
    stage.heard.clear()
    six = await stage.desk.synthesize(sentence * 6, None)

    assert len(stage.heard) == 2
    assert len(six.pcm) == pytest.approx(6 * len(one.pcm), rel=0.1)


@pytest.mark.req("S0-34")
@pytest.mark.parametrize(("language", "voice"), [("en", "matthew"), ("es", "lupe"), ("fr", "ambre"), ("de", "lennart")])
async def test_each_language_has_a_voice_of_its_own(stage: Stage, language: str, voice: str) -> None:
    await stage.desk.synthesize("Hola.", None, language)

    assert stage.prompts[0].voice_id == voice


@pytest.mark.req("S0-35")
async def test_a_voice_speaks_its_own_language_where_none_is_asked_for(stage: Stage) -> None:
    await stage.desk.synthesize("Guten Tag.", "tina")

    assert "in German" in stage.prompts[0].system


@pytest.mark.req("S0-34", "S0-35")
@pytest.mark.parametrize(("voice", "language"), [("hal", None), (None, "tlh"), ("x" * 1_000, None), (None, "")])
async def test_a_voice_or_a_language_that_does_not_exist_is_refused(stage: Stage, voice: str | None, language: str | None) -> None:
    if language == "":
        assert (await stage.desk.synthesize("Hi.", voice, language)).pcm  # none is asked for
        return
    with pytest.raises(NotAllowed):
        await stage.desk.synthesize("Hi.", voice, language)

    assert stage.prompts == []


async def test_a_text_that_is_too_long_is_refused(stage: Stage) -> None:
    with pytest.raises(TooLarge):
        await stage.desk.synthesize("a" * 3_001, None)


# The six stages


@pytest.mark.req("S0-24", "S0-29", "S0-47")
async def test_a_recording_goes_through_six_stages_to_its_answer(stage: Stage) -> None:
    outcome = await ask(stage, spoken(300, 500))

    assert outcome.error is None
    assert outcome.transcript is not None
    assert outcome.speech is not None
    assert (outcome.transcript.text, outcome.transcript.confidence) == ("hello status", None)
    assert outcome.reply_text == "You said hello status"
    assert len(outcome.speech.pcm) / 2 / outcome.speech.hertz > 0.5
    assert reached(outcome) == [(one, None) for one in ALL]


@pytest.mark.req("S0-24", "S0-25", "S0-26")
async def test_every_stage_is_published_and_so_is_what_was_said_and_answered(stage: Stage) -> None:
    outcome = await ask(stage, spoken(300))
    events = stage.told.events
    stages = [event for event in events if isinstance(event, PipelineEvent)]
    (transcription,) = [event for event in events if isinstance(event, TranscriptionEvent)]
    (response,) = [event for event in events if isinstance(event, ResponseEvent)]

    assert [event.stage for event in stages] == ALL
    assert {(event.session_id, event.user_id, event.audio_id, event.error_code) for event in stages} == {
        ("s-1", "ana", outcome.upload, None)
    }
    assert (transcription.session_id, transcription.user_id, transcription.text, transcription.confidence) == ("s-1", "ana", "hello", None)
    assert (response.session_id, response.text) == ("s-1", "You said hello")
    assert events.index(transcription) < events.index(response)


@pytest.mark.req("S0-24")
async def test_the_client_is_told_on_its_connection(stage: Stage) -> None:
    outcome = await ask(stage, spoken(300))

    ((to, notices),) = stage.told.delivered
    pieces = [one for one in notices if isinstance(one, RecordingSpeech)]
    assert outcome.speech is not None
    assert to == Recipient("ana", "c-1", "s-1")
    assert notices[:2] == [RecordingHeard("s-1", outcome.upload, "hello"), RecordingAnswered("s-1", outcome.upload, "You said hello")]
    assert notices[2:] == [*pieces, RecordingSpeechEnded("s-1", outcome.upload)]
    assert b"".join(one.pcm for one in pieces) == outcome.speech.pcm


@pytest.mark.req("S0-43", "S0-24")
async def test_audio_and_results_are_kept_under_their_session_for_their_owner(stage: Stage) -> None:
    file = encoded(np.frombuffer(tones(300), "<i2"), "mp3", "libmp3lame", HERTZ)
    outcome = await ask(stage, file, content_type="audio/mpeg")
    key = f"voice-sessions/s-1/audio-{outcome.upload}.mp3"
    head = await stage.objects.head(key)

    assert await stage.kept("s-1") == [
        "processed/s-1/responses/UPLOAD.json",
        "processed/s-1/responses/UPLOAD.ogg",
        "processed/s-1/transcriptions/UPLOAD.json",
        "processed/s-1/uploads/UPLOAD.json",
        "voice-sessions/s-1/audio-UPLOAD.mp3",
    ]
    assert await stage.objects.get(key) == file
    assert head is not None
    assert head.metadata["owner"] == owner_mark("ana")


async def test_what_was_said_earlier_in_the_session_is_known_and_in_others_it_is_not(stage: Stage) -> None:
    await ask(stage, spoken(300))
    second = await ask(stage, spoken(500))
    foreign = await ask(stage, spoken(500), Caller("s-2", "eva"))

    assert second.reply_text == "You said status after You said hello"
    assert foreign.reply_text == "You said status"


@pytest.mark.req("S0-29")
async def test_an_answer_can_need_a_tool(stage: Stage) -> None:
    outcome = await ask(stage, spoken(700))

    assert outcome.reply_text.endswith("It is sunny.")
    assert stage.tools.callers == ["user:ana"]


@pytest.mark.req("S0-34", "S0-35")
async def test_language_and_voice_are_those_of_the_session(stage: Stage) -> None:
    await ask(stage, spoken(300), Caller("s-1", language="es", voice_id="tiffany"))

    assert (stage.prompts[0].system, stage.prompts[0].voice_id) == ("Sos Carlos.", "tiffany")


# What goes wrong


@pytest.mark.req("S0-45")
async def test_when_the_model_fails_what_was_heard_is_told_with_the_code(stage: Stage) -> None:
    outcome = await ask(stage, spoken(900))

    assert outcome.transcript is not None
    assert (outcome.transcript.text, outcome.reply_text, outcome.speech) == ("break", "", None)
    assert outcome.error is not None
    assert outcome.error.retryable
    assert [code for _, code in reached(outcome) if code] == [outcome.error.code]
    assert reached(outcome)[-1] == (PipelineStage.DELIVERED, None)
    assert (await stage.kept("s-1"))[-1] == "voice-sessions/s-1/audio-UPLOAD.wav"
    assert "processed/s-1/transcriptions/UPLOAD.json" in await stage.kept("s-1")


@pytest.mark.req("S0-45", "S0-49")
@pytest.mark.parametrize(
    ("limits", "stages"),
    [
        (replace(LIMITS, hearing_seconds=-1.0), ["stage_timeout"]),
        (replace(LIMITS, answering_seconds=0.0), [None, "stage_timeout", None]),
        (replace(LIMITS, speaking_seconds=0.0), [None, None, "stage_timeout", None]),
    ],
)
async def test_a_stage_that_takes_too_long_ends_there(tmp_path: Path, limits: UploadLimits, stages: list[str | None]) -> None:
    async with staged(tmp_path, limits) as stage:
        codes: list[str | None]
        try:
            outcome = await ask(stage, spoken(1_100 if limits.answering_seconds == 0.0 else 300))
            codes = [code for _, code in reached(outcome)][2:]
        except StageTimeout:
            codes = [event.error_code for event in stage.told.events if isinstance(event, PipelineEvent)][2:]

        assert codes == stages
        assert stage.registry.live == 0


@pytest.mark.req("S0-45")
async def test_audio_that_cannot_be_kept_is_answered_all_the_same(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise StorageUnavailable

    monkeypatch.setattr(stage.objects, "put", away)
    outcome = await ask(stage, spoken(300))

    assert outcome.reply_text == "You said hello"
    assert reached(outcome)[1] == (PipelineStage.STORED, "storage_unavailable")


@pytest.mark.req("S0-46")
@pytest.mark.parametrize(
    ("audio", "content_type", "error"),
    [
        (b"", "audio/wav", InvalidAudio),
        (b"nonsense", "audio/wav", InvalidAudio),
        (spoken(300)[:30], "audio/wav", InvalidAudio),
        (spoken(300), "audio/mpeg", InvalidAudio),
        (spoken(300), "video/mp4", UnsupportedFormat),
        (bytes(16_000 * 2 * 121), "audio/pcm", TooLarge),
        (bytes(10 * 1024 * 1024 + 1), "audio/pcm", TooLarge),
    ],
)
async def test_audio_that_cannot_be_used_is_refused_and_no_model_is_asked(
    stage: Stage, audio: bytes, content_type: str, error: type[SessionError]
) -> None:
    with pytest.raises(error):
        await ask(stage, audio, content_type=content_type)

    assert stage.prompts == []
    assert [(event.stage, event.error_code) for event in stage.told.events if isinstance(event, PipelineEvent)] == [
        (PipelineStage.RECEIVED, error.code)
    ]


@pytest.mark.req("S0-46")
async def test_a_recording_without_speech_has_no_answer(tmp_path: Path) -> None:
    async with staged(tmp_path, IMPATIENT) as stage:
        with pytest.raises(NothingHeard):
            await ask(stage, bytes(32_000), content_type="audio/pcm")

    assert stage.told.delivered == []


@pytest.mark.req("S0-35")
async def test_a_session_with_a_voice_that_does_not_exist_is_told_so(stage: Stage) -> None:
    with pytest.raises(NotAllowed):
        await ask(stage, spoken(300), Caller("s-1", voice_id="hal"))


async def test_a_full_server_takes_no_upload_more(tmp_path: Path) -> None:
    async with staged(tmp_path, max_sessions=0) as stage:
        with pytest.raises(ServerBusy):
            await ask(stage, spoken(300))


@pytest.mark.req("S0-47", "S0-53")
async def test_uploads_at_once_are_kept_apart_and_bounded(tmp_path: Path) -> None:
    async with staged(tmp_path, replace(LIMITS, at_once=4, at_once_per_user=1)) as stage:
        users = ["ana", "eva", "leo", "sol"]
        pitches = [300, 500, 300, 500]
        asked = [
            asyncio.create_task(ask(stage, spoken(pitch), Caller(f"s-{user}", user))) for user, pitch in zip(users, pitches, strict=True)
        ]
        await asyncio.sleep(0)
        with pytest.raises(TooMany):
            await ask(stage, spoken(300), Caller("s-ana", "ana"))
        with pytest.raises(TooMany):
            await ask(stage, spoken(300), Caller("s-mia", "mia"))
        answers = [(await each).transcript for each in asked]

        assert [each and each.text for each in answers] == ["hello", "status", "hello", "status"]
        assert (await ask(stage, spoken(300), Caller("s-ana", "ana"))).error is None


@pytest.mark.req("S0-31", "S0-45")
async def test_a_model_that_listens_late_says_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patience = IMPATIENT.patience
    open_at_once = NovaSonicClient.open

    async def open_late(self: NovaSonicClient, opening: Sequence[InputEvent]) -> ModelStream:
        await asyncio.sleep(patience.nothing_seconds + 0.5)  # the model's own time, longer than anybody waits for a word of a silent caller
        return await open_at_once(self, opening)

    monkeypatch.setattr(NovaSonicClient, "open", open_late)
    async with staged(tmp_path, IMPATIENT) as stage:
        speech = await stage.desk.synthesize("Good morning.", None)

    assert speech.pcm


async def test_whoever_goes_away_leaves_nothing_behind(stage: Stage) -> None:
    asked = asyncio.create_task(ask(stage, spoken(300)))
    async with asyncio.timeout(10):
        await stage.begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked

    assert stage.registry.live == 0


@pytest.mark.req("S0-21")
@pytest.mark.parametrize("written", Format)
async def test_speech_is_written_in_every_format_that_is_offered(stage: Stage, written: Format) -> None:
    speech = await stage.desk.synthesize("Good morning.", None)
    if written not in stage.desk.written:
        assert written is Format.PCM
        return
    data, _, media_type = await stage.desk.file_of(speech, written)
    pcm = await stage.desk.decoded(data, media_type)

    assert len(pcm) / 2 / HERTZ == pytest.approx(len(speech.pcm) / 2 / speech.hertz, abs=0.15)

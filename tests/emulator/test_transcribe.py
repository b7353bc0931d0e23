"""Transcribe's StartStreamTranscription by AWS's asynchronous SDK, and by hand."""

import asyncio
import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
from aws_sdk_transcribe_streaming.client import AsyncTranscribeStreamingClient
from aws_sdk_transcribe_streaming.config import AsyncTranscribeStreamingConfig
from aws_sdk_transcribe_streaming.models import (
    AudioEvent,
    AudioStreamAudioEvent,
    BadRequestException,
    Result,
    StartStreamTranscriptionInput,
    TranscriptResultStreamTranscriptEvent,
)

from bench.ways import TrustingTransport
from nova_sonic_local.brains.interface import Brain, Prompt
from nova_sonic_local.brains.script import ScriptBrains, parse_script
from nova_sonic_local.cascade.segments import Began, Ended, Segments, Sound
from nova_sonic_local.envelope import SignatureCheck
from nova_sonic_local.framing import encode_message, text_header
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.conversation import ACCESS_KEY, SECRET_KEY
from tests.emulator.wire import RawClient, RawStream, silence, speech

pytestmark = pytest.mark.timeout(30)
SCRIPT = {"turns": [{"hear": "where is my order", "say": "Here."}, {"hear": "thank you", "say": "Bye."}], "repeat": False}
SCRIPTED = Options(brain=ScriptBrains(parse_script(SCRIPT)))
HERTZ = 16_000
HEADERS = (
    ("x-amzn-transcribe-language-code", "en-US"),
    ("x-amzn-transcribe-sample-rate", str(HERTZ)),
    ("x-amzn-transcribe-media-encoding", "pcm"),
)
TWO_SENTENCES = silence(0.3) + speech(1.2) + silence(0.8) + speech(0.6) + silence(0.8)


def pieces(pcm: bytes) -> list[bytes]:
    return [pcm[start : start + 3_200] for start in range(0, len(pcm), 3_200)]


def audio_event(pcm: bytes, kind: str = "AudioEvent") -> bytes:
    names = ((":message-type", "event"), (":event-type", kind), (":content-type", "application/octet-stream"))
    return encode_message([text_header(name, value) for name, value in names], pcm)


def transcripts(stream: RawStream) -> list[tuple[bool, str]]:
    results = [json.loads(message.payload)["Transcript"]["Results"][0] for message in stream.messages if message.value(":event-type")]
    return [(result["IsPartial"], result["Alternatives"][0]["Transcript"]) for result in results]


async def transcribe(emulator: NovaSonicLocal, pcm: bytes, language: str = "en-US", hertz: int = HERTZ) -> list[Result]:
    """Return all results, by AWS's own client."""
    config = await AsyncTranscribeStreamingConfig.resolve(
        region="us-east-1",
        endpoint_uri=emulator.endpoint,
        transport=TrustingTransport(str(emulator.ca_file)),
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
    )
    order = StartStreamTranscriptionInput(language_code=language, media_sample_rate_hertz=hertz, media_encoding="pcm")
    stream = await AsyncTranscribeStreamingClient(config=config).start_stream_transcription(order)
    try:
        output, receiver = await stream.await_output()
    except BadRequestException:
        await stream.input_stream.close()
        raise
    for piece in (*pieces(pcm), b""):
        await stream.input_stream.send(AudioStreamAudioEvent(value=AudioEvent(audio_chunk=piece)))
    results: list[Result] = []
    while (event := await receiver.receive()) is not None:
        assert isinstance(event, TranscriptResultStreamTranscriptEvent)
        assert event.value.transcript is not None
        results += event.value.transcript.results or []
    await stream.input_stream.close()

    assert (output.language_code, output.media_sample_rate_hertz) == (language, hertz)
    return results


def said(result: Result) -> str:
    assert result.alternatives
    return result.alternatives[0].transcript or ""


async def test_what_was_said_is_written_down() -> None:
    async with NovaSonicLocal(replace(SCRIPTED, signatures=SignatureCheck.STRICT, secrets={ACCESS_KEY: SECRET_KEY})) as emulator:
        results = await transcribe(emulator, TWO_SENTENCES)
        finals = [result for result in results if not result.is_partial]
        partials = [result for result in results if result.is_partial]

        assert [said(result) for result in finals] == ["where is my order", "thank you"]
        assert [(round(result.start_time, 1), round(result.end_time, 1)) for result in finals] == [(0.3, 1.5), (2.3, 2.9)]
        assert {result.result_id for result in partials} == {result.result_id for result in finals}
        assert len(partials) > len(finals)


async def test_every_word_has_its_time() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        first = next(result for result in await transcribe(emulator, TWO_SENTENCES) if not result.is_partial)
        assert first.alternatives
        items = first.alternatives[0].items or []

        assert [item.content for item in items] == ["where", "is", "my", "order"]
        assert (items[0].start_time, items[-1].end_time) == (first.start_time, first.end_time)
        assert all(before.end_time == after.start_time for before, after in itertools.pairwise(items))


async def test_partial_results_come_while_somebody_speaks() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open("/stream-transcription", headers=HEADERS)
        await stream.write(audio_event(silence(0.3) + speech(0.7)))
        async with asyncio.timeout(5):
            while not stream.messages:
                await client.wait()
        early = transcripts(stream)
        await stream.write(audio_event(silence(0.8)) + audio_event(b""))
        await stream.ending()

        assert early[0] == (True, "...")
        assert all(is_partial for is_partial, _text in early)
        assert transcripts(stream)[-1] == (False, "where is my order")


async def test_speech_that_is_cut_off_by_the_end_is_written_down() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open("/stream-transcription", headers=HEADERS)
        await stream.write(audio_event(silence(0.3) + speech(0.7)))
        stream.end()
        ending = await stream.ending()

        assert transcripts(stream)[-1] == (False, "where is my order")
        assert ending.is_ended


async def test_silence_says_nothing() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        assert await transcribe(emulator, silence(2.0)) == []


async def test_the_head_tells_what_was_understood_of_the_request() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open("/stream-transcription", headers=(*HEADERS, ("x-amzn-transcribe-session-id", "5ca1ab1e-0000")))
        stream.end()
        ending = await stream.ending()

        assert ending.status == 200
        assert ending.headers["x-amzn-transcribe-session-id"] == "5ca1ab1e-0000"
        assert ending.headers["x-amzn-transcribe-sample-rate"] == "16000"


@pytest.mark.parametrize(
    "wrong",
    [
        {"language-code": "ja-JP"},
        {"language-code": "english"},
        {"sample-rate": "44100"},
        {"sample-rate": "many"},
        {"media-encoding": "flac"},
        {"identify-language": "true"},
        {"show-speaker-label": "true"},
        {"session-id": "x" * 65},
        {"vocabulary-name": "../secret"},
    ],
)
async def test_what_is_not_emulated_is_refused(wrong: dict[str, str]) -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers = dict(HEADERS) | {f"x-amzn-transcribe-{name}": value for name, value in wrong.items()}
        ending = await client.open("/stream-transcription", headers=tuple(headers.items())).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (400, "BadRequestException")


async def test_the_sdk_knows_the_refusal() -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator:
        with pytest.raises(BadRequestException, match="sample-rate"):
            await transcribe(emulator, silence(0.1), hertz=44_100)


async def test_a_language_that_the_scenario_does_not_speak_is_refused() -> None:
    async with NovaSonicLocal(Options(brain="demo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        headers = dict(HEADERS) | {"x-amzn-transcribe-language-code": "fr-FR"}
        ending = await client.open("/stream-transcription", headers=tuple(headers.items())).ending()

        assert ending.status == 400
        assert b"no words in the language" in ending.body


@pytest.mark.parametrize(
    "data", [audio_event(b"x" * 300_000), audio_event(b"", "chunk"), b"x" * 100, b"\0" * 16], ids=["large", "type", "text", "zeros"]
)
async def test_hostile_input_ends_the_stream_with_an_exception(data: bytes) -> None:
    async with NovaSonicLocal(SCRIPTED) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open("/stream-transcription", headers=HEADERS)
        await stream.write(data)
        ending = await stream.ending()

        assert ending.status == 200
        assert ending.exception is not None
        assert ending.exception[0] == "BadRequestException"


async def test_a_client_that_falls_silent_is_told_so() -> None:
    async with NovaSonicLocal(replace(SCRIPTED, time_scale=0.01)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open("/stream-transcription", headers=HEADERS)
        ending = await stream.ending()

        assert ending.exception == ("BadRequestException", "Your request timed out because no new audio was received for 15 seconds.")


async def test_an_echo_knows_no_words() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, RawClient(emulator.h2c_endpoint) as client:
        ending = await client.open("/stream-transcription", headers=HEADERS).ending()

        assert (ending.status, ending.headers["x-amzn-errortype"]) == (400, "BadRequestException")


def test_the_pieces_of_a_stream_need_no_borders_of_their_own() -> None:
    whole, cut = Segments(HERTZ), Segments(HERTZ)
    at_once = whole.feed(TWO_SENTENCES)
    bit_by_bit = [step for start in range(0, len(TWO_SENTENCES), 777) for step in cut.feed(TWO_SENTENCES[start : start + 777])]

    assert bit_by_bit == at_once
    assert [type(step) for step in at_once if not isinstance(step, Sound)] == [Began, Ended, Began, Ended]


def test_speech_without_a_pause_is_cut_after_two_minutes() -> None:
    segments = Segments(8_000)
    steps = segments.feed((speech(0.4, 8_000) + silence(0.2, 8_000)) * 205)

    assert [step.at_ms // 1000 for step in steps if isinstance(step, Ended)] == [119]
    assert isinstance(segments.finish()[0], Ended)


@pytest.mark.speech
async def test_a_sentence_of_the_scenario_is_recognised(tmp_path: Path) -> None:
    from nova_sonic_local.speech.say import say  # noqa: PLC0415 -- needs a synthesiser, as this test alone does

    async with NovaSonicLocal(Options(brain="demo", ca_dir=tmp_path)) as emulator:
        pcm = silence(0.5) + await say("quiero ver mi pedido", "carlos", HERTZ) + silence(1.0)
        pcm += await say("mi dni es uno dos tres cuatro cinco seis siete ocho", "carlos", HERTZ) + silence(1.0)
        finals = [said(result) for result in await transcribe(emulator, pcm, "es-US") if not result.is_partial]

        assert finals == ["quiero ver mi pedido", "mi dni es uno dos tres cuatro cinco seis siete ocho"]


async def test_a_vocabulary_chooses_the_scenario_as_a_system_prompt_does() -> None:
    prompts: list[Prompt] = []

    def make(prompt: Prompt) -> Brain:
        prompts.append(prompt)
        return ScriptBrains(parse_script(SCRIPT))(prompt)

    async with NovaSonicLocal(Options(brain=make)) as emulator, RawClient(emulator.h2c_endpoint) as client:
        stream = client.open("/stream-transcription", headers=(*HEADERS, ("x-amzn-transcribe-vocabulary-name", "buddy-companion")))
        stream.end()
        await stream.ending()

        assert [(prompt.system, prompt.voice_id, prompt.input_hertz, prompt.hears_everything) for prompt in prompts] == [
            ("Takes dictation. buddy companion", "amy", HERTZ, True)
        ]

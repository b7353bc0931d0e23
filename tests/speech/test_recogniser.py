"""The recogniser process: what happens when it dies, is missing, or serves several streams."""

import asyncio
import logging
import os
import random
import signal
from pathlib import Path

import pytest

from nova_sonic_local.brains.hearing import hearing_grammar
from nova_sonic_local.speech import recogniser as module
from nova_sonic_local.speech.dictionary import pronounce
from nova_sonic_local.speech.grammar import Grammar
from nova_sonic_local.speech.language import load_language
from nova_sonic_local.speech.recogniser import Recognised, Recogniser, RecogniserUnavailable, SpeechListener, is_understood
from nova_sonic_local.speech.resample import pcm_of
from nova_sonic_local.speech.say import say
from nova_sonic_local.speech.utterance import KEPT_PIECES, LONGEST_SECONDS, MODEL_HERTZ, PIECE_SAMPLES, Utterance
from tests.speech.stage import recognition, speech, understanding

PIECE = PIECE_SAMPLES


def sound(seconds: float, peak: int) -> bytes:
    source = random.Random(3)
    return pcm_of([source.randint(-peak, peak) for _ in range(int(seconds * MODEL_HERTZ))])


def grammar() -> Grammar:
    return hearing_grammar(understanding("es"))


def process_of(recogniser: Recogniser) -> asyncio.subprocess.Process:
    process = recogniser._process
    assert process is not None
    return process


def test_a_pause_is_noticed_only_after_speech() -> None:
    utterance = Utterance("g", MODEL_HERTZ)
    utterance.feed(sound(1.0, 10))
    before = utterance.pauses
    utterance.feed(sound(0.5, 8000))
    during = utterance.pauses
    utterance.feed(sound(0.3, 10))

    assert (before, during, utterance.pauses) == (False, False, True)


def test_silence_around_the_speech_is_cut_to_what_the_model_wants() -> None:
    utterance = Utterance("g", MODEL_HERTZ)
    for piece in (sound(2.0, 10), sound(0.5, 8000), sound(2.0, 10)):
        utterance.feed(piece)

    kept = len(utterance.speech()) // 2 - MODEL_HERTZ // 2
    assert 2 * KEPT_PIECES * PIECE <= kept <= 2 * (KEPT_PIECES + 1) * PIECE
    assert 0.48 <= utterance.sounding_seconds <= 0.55


def test_a_noisy_room_is_no_speech() -> None:
    utterance = Utterance("g", MODEL_HERTZ)
    for piece in (sound(1.0, 700), sound(0.5, 8000), sound(1.0, 700)):
        utterance.feed(piece)

    assert 0.48 <= utterance.sounding_seconds <= 0.55
    assert utterance.pauses


def test_silence_alone_is_no_speech() -> None:
    utterance = Utterance("g", MODEL_HERTZ)
    utterance.feed(bytes(2 * MODEL_HERTZ))

    assert utterance.speech() == b""


def test_an_endless_utterance_is_bounded_and_counted() -> None:
    utterance = Utterance("g", MODEL_HERTZ)
    for _ in range(LONGEST_SECONDS + 2):
        utterance.feed(bytes(2 * MODEL_HERTZ))

    assert utterance.dropped == 2 * MODEL_HERTZ


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Recognised("hola", -1.0, 1.0), True),
        (Recognised("hola", -6.0, 1.0), False),
        (Recognised("hola", -1.0, 0.4), False),
        (Recognised("", -1.0, 1.0), False),
    ],
)
def test_likelihood_and_coverage_decide_what_is_understood(found: Recognised, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_understood(found, load_language("es")) is expected


async def test_without_pocketsphinx_speech_is_not_understood_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "is_available", lambda: False)
    listener = SpeechListener(Recogniser("es"), grammar(), MODEL_HERTZ)
    with caplog.at_level(logging.WARNING):
        await listener.feed(bytes(1024))

    assert await listener.finish() is None
    assert "pocketsphinx is not installed" in caplog.text


@pytest.mark.speech
async def test_a_word_that_nobody_can_say_makes_the_recogniser_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recognition()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    recogniser = Recogniser("es")

    with pytest.raises(RecogniserUnavailable, match="zanahoria"):
        await recogniser.prepare(Grammar("es", "public <s> = zanahoria;", ("zanahoria",)))
    await recogniser.close()


@pytest.mark.speech
async def test_a_process_that_dies_costs_one_turn() -> None:
    speech()
    recogniser = Recogniser("es")
    first, second = (SpeechListener(recogniser, grammar(), MODEL_HERTZ) for _ in range(2))
    thanks = await say("muchas gracias", "es-419", MODEL_HERTZ)
    await first.feed(thanks)
    os.kill(process_of(recogniser).pid, signal.SIGKILL)
    lost = await first.finish()
    await process_of(recogniser).wait()
    await second.feed(thanks)

    assert lost is None
    assert await second.finish() == "muchas gracias"
    await recogniser.close()


@pytest.mark.speech
async def test_a_process_that_dies_again_and_again_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recognition()
    monkeypatch.setattr(module, "MOST_STARTS", 2)
    recogniser = Recogniser("es")
    for _ in range(2):
        await recogniser.prepare(grammar())
        os.kill(process_of(recogniser).pid, signal.SIGKILL)
        await process_of(recogniser).wait()

    with pytest.raises(RecogniserUnavailable, match="again and again"):
        await recogniser.prepare(grammar())
    await recogniser.close()


@pytest.mark.speech
async def test_streams_that_speak_at_once_share_a_process() -> None:
    speech()
    recogniser = Recogniser("es")
    sentences = ["muchas gracias", "quiero cancelar mi pedido", "quiero consultar mi turno"]
    listeners = [SpeechListener(recogniser, grammar(), MODEL_HERTZ) for _ in sentences]
    sounds = [await say(sentence, "es-419", MODEL_HERTZ) for sentence in sentences]
    for start in range(0, max(map(len, sounds)), 1024):
        for listener, pcm in zip(listeners, sounds, strict=True):
            await listener.feed(pcm[start : start + 1024])
    processes = {process_of(recogniser).pid}
    texts = await asyncio.gather(*(listener.finish() for listener in listeners))
    processes.add(process_of(recogniser).pid)
    await recogniser.close()

    assert texts == sentences
    assert len(processes) == 1


@pytest.mark.speech
async def test_a_turn_that_is_given_up_leaves_nothing_behind() -> None:
    recognition()
    recogniser = Recogniser("es")
    listener = SpeechListener(recogniser, grammar(), MODEL_HERTZ)
    await listener.feed(sound(2.0, 8000))
    finishing = asyncio.create_task(listener.finish())
    await asyncio.sleep(0)
    finishing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await finishing
    assert recogniser._results == {}
    await recogniser.close()
    assert not recogniser.is_running


@pytest.mark.speech
async def test_closing_ends_the_process_while_a_result_is_awaited() -> None:
    recognition()
    recogniser = Recogniser("es")
    listener = SpeechListener(recogniser, grammar(), MODEL_HERTZ)
    await listener.feed(sound(1.0, 8000))
    process = process_of(recogniser)
    finishing = asyncio.create_task(listener.finish())
    await asyncio.sleep(0)
    await recogniser.close()

    assert await finishing is None
    assert process.returncode == 0


@pytest.mark.speech
async def test_more_grammars_than_are_kept_ready_are_still_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    speech()
    decoding = pytest.importorskip("nova_sonic_local.speech.decoding", exc_type=ImportError)
    monkeypatch.setattr(decoding, "MOST_READY", 2)
    decoders = decoding.Decoders()
    sentences = ["hola", "gracias", "adiós"]
    for sentence in sentences:
        decoders.learn(sentence, f"public <s> = ( {sentence} | pedido );", pronounce([sentence, "pedido"], "es"))
    sounds = {sentence: await say(sentence, "es-419", MODEL_HERTZ) for sentence in sentences}

    assert [decoders.decode(sentence, sounds[sentence], 0.5).text for sentence in sentences] == sentences
    assert decoders.decode("none", sounds["hola"], 0.5).text == ""

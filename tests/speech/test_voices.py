import asyncio
import math
import stat
from pathlib import Path

import pytest

from nova_sonic_local.babble import BabbleVoice
from nova_sonic_local.speech.resample import samples_of
from nova_sonic_local.speech.voices import (
    LONGEST_TEXT,
    Espeak,
    Flite,
    Gender,
    Speaker,
    SynthesisedVoice,
    SynthesisFailed,
    choose_voice,
    find_speaker,
    spoken_text,
    synthesise,
)
from tests import needs

SPEAKER = Speaker("es-419", Gender.MALE)


def program(folder: Path, script: str) -> str:
    path = folder / "synthesiser"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def loudness(pcm: bytes) -> float:
    samples = samples_of(pcm)
    return math.sqrt(math.sumprod(samples, samples) / max(1, len(samples)))


@pytest.mark.req("S4-58")
@pytest.mark.parametrize(
    ("text", "expected"),
    [("Hola. [FINAL]", "Hola."), ("[FINAL]", ""), ("a\n\n b", "a b"), ("lista [uno]", "lista [uno]"), ("a " * 600, ("a " * 500)[:-1])],
)
def test_markers_are_not_spoken_and_long_texts_are_cut(text: str, expected: str) -> None:
    assert spoken_text(text) == expected
    assert len(spoken_text(text)) <= LONGEST_TEXT


async def test_a_synthesiser_that_fails_gives_way_to_the_built_in_voice(tmp_path: Path) -> None:
    for script in ("exit 3", "echo no sound", "true"):
        voice = SynthesisedVoice(Espeak(program(tmp_path, script)))
        assert loudness(await voice.speak("Hola", "carlos", 24_000)) > 500
        assert voice.failures == 1


async def test_a_synthesiser_that_is_gone_gives_way_to_the_built_in_voice(tmp_path: Path) -> None:
    voice = SynthesisedVoice(Espeak(str(tmp_path / "gone")))

    assert loudness(await voice.speak("Hola", "carlos", 24_000)) > 500


async def test_a_synthesiser_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nova_sonic_local.speech.voices.SYNTHESIS_SECONDS", 0.05)
    pid_file = tmp_path / "pid"

    with pytest.raises(SynthesisFailed, match="too long"):
        await synthesise(Espeak(program(tmp_path, f"echo $$ > {pid_file}; exec sleep 60")), SPEAKER, "Hola", 16_000)
    if pid_file.exists():
        assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


async def test_an_interrupted_sentence_leaves_no_process(tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = program(tmp_path, f"echo $$ > {started}.part; mv {started}.part {started}; exec sleep 60")
    speaking = asyncio.create_task(synthesise(Espeak(script), SPEAKER, "Hola", 16_000))
    while not started.exists():  # noqa: ASYNC110 - another process has no event to wait for
        await asyncio.sleep(0.01)
    speaking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await speaking
    assert not Path(f"/proc/{started.read_text().strip()}").exists()


def test_a_voice_that_is_not_installed_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match="espeak-ng on the PATH"):
        choose_voice("espeak")
    with pytest.raises(ValueError, match="flite on the PATH"):
        choose_voice("flite")
    with pytest.raises(ValueError, match="'loud' is not known"):
        choose_voice("loud")
    assert isinstance(choose_voice("auto"), BabbleVoice)
    assert isinstance(choose_voice("builtin"), BabbleVoice)


def test_other_names_are_voices_of_the_synthesiser() -> None:
    assert find_speaker("Carlos").espeak == "es-419"
    assert find_speaker("es-419+f3").espeak == "es-419+f3"


@pytest.mark.speech
@pytest.mark.parametrize("hertz", [8_000, 16_000, 24_000])
async def test_espeak_speaks_at_the_rate_of_the_prompt(hertz: int) -> None:
    voice = SynthesisedVoice(Espeak(str(needs.espeak())))
    sentence = "Tu pedido está en camino."
    pcm = await voice.speak(f"{sentence} [FINAL]", "carlos", hertz)

    assert 1.0 < len(pcm) / 2 / hertz < 4.0
    assert loudness(pcm) > 500
    assert await voice.speak(sentence, "carlos", hertz) is pcm  # said before: kept
    assert await voice.speak(sentence, "lupe", hertz) != pcm
    assert voice.failures == 0


@pytest.mark.speech
async def test_flite_speaks_english_and_leaves_the_rest_to_the_built_in_voice() -> None:
    voice = SynthesisedVoice(Flite(str(needs.flite())), english_only=True)
    english, spanish = await voice.speak("-o your order", "tiffany", 24_000), await voice.speak("Hola", "carlos", 24_000)

    assert loudness(english) > 500
    assert spanish == await BabbleVoice().speak("Hola", "carlos", 24_000)
    assert voice.failures == 0


@pytest.mark.speech
async def test_speaking_does_not_hold_up_the_event_loop() -> None:
    voice = SynthesisedVoice(Espeak(str(needs.espeak())))
    loop = asyncio.get_running_loop()
    speaking = asyncio.create_task(voice.speak("Tu pedido está en camino y llega el lunes. " * 3, "carlos", 24_000))
    pauses: list[float] = []
    while not speaking.done():
        before = loop.time()
        await asyncio.sleep(0)
        pauses.append(loop.time() - before)

    assert sorted(pauses)[len(pauses) * 99 // 100] < 0.01

"""The built-in voice."""

import asyncio
from array import array

import pytest

from nova_sonic_local.babble import BabbleVoice


def speak(text: str, voice_id: str = "matthew", hertz: int = 24_000) -> bytes:
    return asyncio.run(BabbleVoice().speak(text, voice_id, hertz))


@pytest.mark.parametrize("hertz", [8_000, 16_000, 24_000])
def test_its_length_follows_the_text(hertz: int) -> None:
    short, long = speak("Your order is ready.", hertz=hertz), speak("Your order is ready. " * 4, hertz=hertz)

    assert len(long) == 4 * len(short)
    assert 0.8 < len(short) / 2 / hertz < 2.0


def test_the_same_text_sounds_the_same_and_another_voice_another_way() -> None:
    assert speak("hola") == speak("hola")
    assert speak("hola") != speak("hola", "tiffany")


def test_it_is_loud_and_not_clipped() -> None:
    samples = array("h", speak("Buenos dias"))

    assert 5_000 < max(map(abs, samples)) < 20_000


@pytest.mark.parametrize("text", ["", "...", "1234", "行きます"])
def test_any_text_can_be_spoken(text: str) -> None:
    assert len(speak(text)) % 2 == 0
    assert bool(speak(text)) == bool(text)

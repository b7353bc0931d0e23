"""The test of the tests' ear: it hears the slips of a pretended microphone, and nothing else."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests import needs
from tests.e2e.microphone import HERTZ, PERIOD, SentAudio, compare
from tests.e2e.speech import Utterance, conversation, resampled

pytestmark = [pytest.mark.speech]

BEGIN = HERTZ // 5
"""Samples of the file that were played before the page listened."""
PLACES = (5 * HERTZ, 7 * HERTZ)
"""In the middle of the words."""

type Samples = NDArray[np.int16]


@pytest.fixture(scope="module")
def said() -> Samples:
    """Some ten seconds of speech."""
    needs.espeak()
    request = "Agenda una cita para mañana a las diez con el doctor Rodríguez, soy Juan Pérez, "
    return conversation([Utterance("es-419", f"{request} mi email es juan punto pérez arroba email punto com")], tail_seconds=2)


def heard(said: Samples, gain: float = 0.7) -> Samples:
    """Return what a page sends of a microphone that plays it as it is."""
    return (resampled(said, HERTZ)[BEGIN:] * gain).astype(np.int16)


def with_slips(sound: Samples, steps: tuple[int, ...]) -> Samples:
    """Leave out a piece at each place, or put in silence when the step is positive."""
    for place, step in zip(PLACES, steps, strict=True):
        rest = sound[place - min(0, step) :]
        sound = np.concatenate([sound[:place], np.zeros(max(0, step), np.int16), rest])
    return sound


def test_a_microphone_that_plays_its_file_as_it_is_does_not_slip(said: Samples) -> None:
    hearing = compare(heard(said), said)

    assert hearing.slips_ms == ()
    assert abs(hearing.missed_ms - 1000 * BEGIN / HERTZ) < 1
    assert not hearing.spoils(2500)
    assert hearing.spoils(150)


@pytest.mark.parametrize("steps", [(-PERIOD, PERIOD), (PERIOD, PERIOD), (-PERIOD, -2 * PERIOD)])
def test_holes_and_missing_pieces_are_heard(said: Samples, steps: tuple[int, ...]) -> None:
    hearing = compare(with_slips(heard(said), steps), said)

    assert hearing.spoils(2500)
    assert [round(slip) for slip in hearing.slips_ms] == [round(1000 * step / HERTZ) for step in steps]


def test_a_missing_frame_is_not_complete() -> None:
    frame = bytes(1024)

    assert SentAudio({0: frame, 512: frame}).is_complete
    assert not SentAudio({0: frame, 1024: frame}).is_complete
    assert not SentAudio({}).is_complete

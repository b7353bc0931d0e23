"""Who speaks, from when to when."""

import asyncio
import time
from array import array
from random import Random

import pytest

from nova_sonic_local.babble import BabbleVoice
from nova_sonic_local.vad import FRAME_MS, Change, VoiceChange, VoiceDetector, level
from tests.emulator.wire import silence, speech

HERTZ = 16_000
FRAME_BYTES = 2 * HERTZ * FRAME_MS // 1000


def detect(pcm: bytes, pause_ms: int = 480) -> list[VoiceChange]:
    detector = VoiceDetector(pause_ms)
    frames = (pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES))
    return [change for frame in frames if (change := detector.feed(frame)) is not None]


def noise(seconds: float, loudness: int) -> bytes:
    random = Random(1)
    return array("h", (random.randint(-loudness, loudness) for _ in range(int(seconds * HERTZ)))).tobytes()


def mix(one: bytes, other: bytes) -> bytes:
    pairs = zip(array("h", one), array("h", other), strict=False)
    return array("h", (max(-32_768, min(32_767, first + second)) for first, second in pairs)).tobytes()


def babble(text: str) -> bytes:
    return asyncio.run(BabbleVoice().speak(text, "carlos", HERTZ))


@pytest.mark.parametrize(
    "around",
    [silence(0.5), silence(0.0), noise(0.5, 100)],
    ids=["silence before", "nothing before", "noise before"],
)
def test_a_sentence_is_one_turn(around: bytes) -> None:
    spoken = babble("Quiero consultar el pedido numero uno por favor")
    changes = detect(around + spoken + silence(1.0))
    lead, length = 500 * len(around) // HERTZ, 500 * len(spoken) // HERTZ

    assert [change.change for change in changes] == [Change.STARTED, Change.ENDED]
    assert abs(changes[0].at_ms - lead) <= 60
    assert changes[0].detected_ms - lead <= 220
    assert -300 <= changes[1].at_ms - (lead + length) <= 20
    assert changes[1].detected_ms - changes[1].at_ms == 480


@pytest.mark.parametrize("ratio", [0.1, 0.25], ids=["20 dB", "12 dB"])
def test_a_sentence_in_steady_noise_is_one_turn(ratio: float) -> None:
    spoken = silence(4.0) + babble("where is my order number three please") + silence(1.5)
    changes = detect(mix(spoken, noise(len(spoken) / 2 / HERTZ, int(7_000 * ratio))))
    late = [change for change in changes if change.detected_ms > 4_000]

    assert [change.change for change in late] == [Change.STARTED, Change.ENDED]


def test_silence_and_quiet_noise_are_no_speech() -> None:
    assert detect(silence(5) + noise(5, 100)) == []


def test_noise_that_begins_is_speech_only_until_it_is_known() -> None:
    changes = detect(silence(4) + noise(10, 1_500))

    assert [change.change for change in changes] == [Change.STARTED, Change.ENDED]
    assert changes[1].detected_ms < 4_000 + 4_500


def test_clicks_are_no_speech() -> None:
    click = speech(0.02, loudness=20_000) + silence(0.2)

    assert detect(silence(1) + click * 20) == []


def test_clicks_do_not_prolong_a_turn() -> None:
    click = speech(0.02, loudness=20_000) + silence(0.18)
    changes = detect(silence(0.5) + speech(0.6) + click * 10)

    assert [change.change for change in changes] == [Change.STARTED, Change.ENDED]


def test_a_short_pause_does_not_end_a_turn() -> None:
    changes = detect(silence(0.5) + speech(0.5) + silence(0.4) + speech(0.5) + silence(1))

    assert [(change.change, change.at_ms) for change in changes] == [(Change.STARTED, 500), (Change.ENDED, 1_900)]


def test_an_offset_of_the_microphone_is_no_sound() -> None:
    assert level(array("h", [3_000] * 320).tobytes()) == 0.0
    assert level(b"") == 0.0


def test_detection_costs_little() -> None:
    pcm = noise(10, 1_000)
    began = time.process_time()
    detect(pcm)

    assert time.process_time() - began < 0.1  # 1 % of a core; measured 0.2 %

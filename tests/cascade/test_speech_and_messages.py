"""Speech at another rate, and the messages that the services send."""

from array import array
from math import pi, sin

import pytest

from cascade.messages import audio_message, read_message
from cascade.upsampling import Upsampler
from nova_sonic_local.emission import encode_event, encode_exception, encode_unmodelled
from s2s.bedrock.event_stream import FramingError, MessageSplitter, encode_message


def tone(hertz: int, seconds: float, rate: int) -> array[int]:
    return array("h", [round(12_000 * sin(2 * pi * hertz * at / rate)) for at in range(round(seconds * rate))])


def made(pcm: bytes, size: int) -> array[int]:
    upsampler = Upsampler()
    pieces = [upsampler.take(pcm[start : start + size]) for start in range(0, len(pcm), size)]
    return array("h", b"".join([*pieces, upsampler.finish()]))


@pytest.mark.parametrize("hertz", [200, 1_000, 3_000])
def test_a_tone_is_the_same_tone_at_the_higher_rate(hertz: int) -> None:
    found, expected = made(tone(hertz, 0.2, 16_000).tobytes(), 3_200), tone(hertz, 0.2, 24_000)
    errors = [abs(one - other) for one, other in zip(found[100:-100], expected[100 : len(found) - 100], strict=False)]

    assert abs(len(found) - len(expected)) <= 12
    assert max(errors) < 400  # 30 dB under the tone


@pytest.mark.parametrize("size", [1, 7, 640, 100_000])
def test_the_pieces_fit_together_wherever_they_were_cut(size: int) -> None:
    pcm = tone(440, 0.1, 16_000).tobytes()

    assert made(pcm, size) == made(pcm, 2_000)


def test_the_loudest_sound_stays_in_its_range() -> None:
    square = array("h", ([32_767] * 10 + [-32_768] * 10) * 50)

    assert max(made(square.tobytes(), 640)) == 32_767


def test_events_and_errors_are_told_apart() -> None:
    event, refused, failed = (
        read_message(data)
        for data in (encode_event("TranscriptEvent", b"{}"), encode_exception("badRequest", "no"), encode_unmodelled("Internal", "oh"))
    )

    assert (event.event, event.error, event.payload) == ("TranscriptEvent", ("", ""), b"{}")
    assert (refused.event, refused.error, refused.payload) == ("", ("badRequest", ""), b'{"message":"no"}')
    assert (failed.event, failed.error) == ("", ("Internal", "oh"))


def test_audio_is_a_message_of_its_own() -> None:
    (whole,) = MessageSplitter().feed(audio_message(b"\x01\x02"))

    assert (read_message(whole).event, read_message(whole).payload) == ("AudioEvent", b"\x01\x02")


@pytest.mark.parametrize("headers", [b"\x09abc", b"\x01a\x63", b"\x01a\x07\xff\xff", b"\x01a\x07\x00\x01\xff"])
def test_headers_that_cannot_be_read_are_refused(headers: bytes) -> None:
    with pytest.raises(FramingError):
        read_message(encode_message(headers, b""))

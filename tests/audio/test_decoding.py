"""From the recording of a browser to samples: what comes out, what does not, and where it is done."""

import asyncio
import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from audio import decoding as audio_decoding
from audio.decoding import AudioDecoding
from audio.errors import AudioError, NotDecoded, TooLong, Unreadable
from audio.ffmpeg import BAD_PACKETS_LIMIT, OpusRecording
from audio.recordings import HERTZ, PIECE_BYTES, PIECE_SECONDS
from tests.audio.recorder import OPUS_HEAD, SILENT_120_MS, beginning, block, pitch, record, tone, track

RECORDED = record(tone(2.0))


def samples(pieces: Sequence[bytes]) -> NDArray[np.int16]:
    return np.frombuffer(b"".join(pieces), "<i2")


@pytest.mark.req("S0-18")
@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("is_live", [True, False])
def test_a_recording_becomes_samples_of_the_sessions_rate(layout: str, is_live: bool) -> None:  # noqa: FBT001 - a parameter
    recording = OpusRecording()
    pieces = recording.decode(record(tone(3.0), layout=layout, is_live=is_live))
    pcm = samples(pieces)

    assert pcm.size / HERTZ == pytest.approx(3.0, abs=0.05)
    assert pitch(pcm) == pytest.approx(440.0, abs=1.0)
    assert max(map(len, pieces)) <= PIECE_BYTES


@pytest.mark.req("S0-18")
@settings(max_examples=25)
@given(st.lists(st.integers(0, len(RECORDED)), max_size=10).map(sorted))
def test_the_samples_are_the_same_wherever_the_file_is_cut(cuts: list[int]) -> None:
    borders = [0, *cuts, len(RECORDED)]
    recording = OpusRecording()
    cut = [piece for start, end in pairwise(borders) for piece in recording.decode(RECORDED[start:end])]

    assert b"".join(cut) == b"".join(OpusRecording().decode(RECORDED))


def test_a_recording_that_follows_another_has_a_decoder_of_its_own() -> None:
    recording = OpusRecording()
    first = samples(recording.decode(record(tone(2.0, 440.0))))
    second = samples(recording.decode(record(tone(2.0, 880.0), layout="stereo")))

    assert pitch(first) == pytest.approx(440.0, abs=1.0)
    assert pitch(second) == pytest.approx(880.0, abs=1.0)


@pytest.mark.req("S2-28")
@pytest.mark.parametrize(
    "head",
    [
        b"",
        OPUS_HEAD[:18],
        b"VorbHead" + OPUS_HEAD[8:],
        OPUS_HEAD[:9] + b"\0" + OPUS_HEAD[10:],
        OPUS_HEAD[:9] + b"\xff" + OPUS_HEAD[10:],
        OPUS_HEAD[:18] + b"\1" + bytes([255, 255]),
    ],
)
def test_a_decoder_is_not_made_of_whatever_a_file_asks_for(head: bytes) -> None:
    with pytest.raises(Unreadable, match="neither mono nor stereo"):
        OpusRecording().decode(beginning(track(head)) + block(SILENT_120_MS))


@pytest.mark.req("S2-28")
def test_other_formats_are_refused() -> None:
    with pytest.raises(Unreadable, match="does not begin like a WebM"):
        OpusRecording().decode(b"RIFF\x24\x00\x00\x00WAVEfmt ")


def test_damaged_packets_are_passed_over_until_they_are_too_many() -> None:
    recording = OpusRecording()
    heard = recording.decode(beginning() + block(b"\x03") * BAD_PACKETS_LIMIT + block(SILENT_120_MS))

    assert samples(heard).size > 0
    with pytest.raises(Unreadable, match="too many packets are damaged"):
        recording.decode(block(b"\x03"))


@pytest.mark.req("S2-28")
def test_a_few_bytes_cannot_become_an_hour() -> None:
    bomb = beginning() + block(SILENT_120_MS) * 5_000  # 50 KB that claim ten minutes

    with pytest.raises(TooLong, match=f"{PIECE_SECONDS:.0f} s"):
        OpusRecording().decode(bomb)


async def test_the_loop_goes_on_while_something_is_decoded(decoding: AudioDecoding) -> None:
    class Slow:
        def __init__(self) -> None:
            self.may_end = threading.Event()

        def decode(self, data: bytes) -> Sequence[bytes]:
            assert self.may_end.wait(10)
            return [data]

        def finish(self) -> Sequence[bytes]:
            return ()

    slow = Slow()
    decoded = asyncio.create_task(decoding.decode(slow, b"piece"))
    await asyncio.sleep(0)
    slow.may_end.set()

    assert await decoded == [b"piece"]


async def test_without_the_codecs_nothing_is_offered_but_wav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_decoding, "_CODECS", "audio.no_such_codecs")
    decoding = AudioDecoding()
    await decoding.start()

    assert decoding.encodings == {"wav"}
    with pytest.raises(NotDecoded):
        decoding.open("webm")
    decoding.close()


async def test_the_threads_end_with_the_server() -> None:
    decoding = AudioDecoding()
    await decoding.start()
    await decoding.decode(decoding.open("webm"), RECORDED)
    decoding.close()
    working = [thread for thread in threading.enumerate() if thread.name.startswith("audio-decoding")]
    for thread in working:
        await asyncio.to_thread(thread.join, 5)

    assert [thread.name for thread in working if thread.is_alive()] == []


@pytest.mark.req("S2-28")
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=80) | st.binary(max_size=30).map(block) | st.sampled_from([RECORDED[:2_000], beginning()]), max_size=6))
def test_whatever_comes_is_decoded_or_refused(pieces: list[bytes]) -> None:
    recording = OpusRecording()
    for piece in pieces:
        try:
            decoded = recording.decode(piece)
        except AudioError:
            return
        assert all(len(each) % 2 == 0 for each in decoded)

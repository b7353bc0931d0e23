"""Whole files of every format become 16 kHz samples; hostile ones become errors with a code, and cost little."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import numpy as np
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audio import decoding as audio_decoding
from audio.decoding import AudioDecoding, FileLimits
from audio.errors import AudioError, NotDecoded, TooLong, Unreadable
from audio.recordings import HERTZ
from audio.wav import Samples, WavRecording, wav_file
from session.errors import ClientError, InvalidAudio, TooLarge, UnsupportedFormat
from session.refused_audio import as_session_error
from tests.audio.files import FILES, MP3, OGG, PITCH, PLAIN, SECONDS, VORBIS, WEBM, at, chunk, described, wav, with_tags
from tests.audio.recorder import SILENT_120_MS, beginning, block, pitch

LIMITS = FileLimits()
STDLIB = [name for name in FILES if name.startswith(("wav", "pcm"))]


@pytest_asyncio.fixture
async def without_codecs(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AudioDecoding]:
    monkeypatch.setattr(audio_decoding, "_CODECS", "audio.no_such_codecs")
    made = AudioDecoding()
    await made.start()
    yield made
    made.close()


@pytest.mark.req("S0-18")
@pytest.mark.parametrize("name", FILES)
async def test_a_file_becomes_16_khz_samples(decoding: AudioDecoding, name: str) -> None:
    media_type, data = FILES[name]
    pcm = np.frombuffer(await decoding.decode_file(data, media_type, LIMITS), "<i2")

    assert pcm.size / HERTZ == pytest.approx(SECONDS, abs=0.1)  # MP3 has silence at both ends
    assert pitch(pcm) == pytest.approx(PITCH, abs=1.0)
    assert np.abs(pcm[HERTZ // 2 : HERTZ]).max() == pytest.approx(8_000, rel=0.1)


@pytest.mark.req("S0-18")
@pytest.mark.parametrize("name", STDLIB)
async def test_without_pyav_plain_sound_is_read_all_the_same(without_codecs: AudioDecoding, name: str) -> None:
    media_type, data = FILES[name]
    pcm = np.frombuffer(await without_codecs.decode_file(data, media_type, LIMITS), "<i2")

    assert pcm.size / HERTZ == pytest.approx(SECONDS, abs=0.01)
    assert pitch(pcm) == pytest.approx(PITCH, abs=1.0)


@pytest.mark.parametrize("name", ["webm", "ogg", "mp3"])
async def test_without_pyav_compressed_sound_is_refused(without_codecs: AudioDecoding, name: str) -> None:
    with pytest.raises(NotDecoded):
        await without_codecs.decode_file(FILES[name][1], FILES[name][0], LIMITS)


async def test_samples_of_the_right_rate_come_through_unchanged(decoding: AudioDecoding) -> None:
    assert await decoding.decode_file(wav_file(PLAIN, HERTZ), "audio/wav", LIMITS) == PLAIN
    assert await decoding.decode_file(PLAIN, "audio/pcm", LIMITS) == PLAIN


@pytest.mark.parametrize("hertz", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000, 96_000])
def test_another_rate_is_heard_as_it_was(hertz: int) -> None:
    samples = Samples(hertz)
    pcm = np.frombuffer(b"".join([*samples.decode(at(hertz).tobytes()), *samples.finish()]), "<i2").astype(np.float64)
    wanted = at(HERTZ).astype(np.float64)[: pcm.size]
    inside = slice(100, pcm.size - 100)  # the tone begins and ends in silence
    noise = np.sqrt(np.mean((pcm[inside] - wanted[inside]) ** 2)) / np.sqrt(np.mean(wanted[inside] ** 2))

    assert pcm.size == round(HERTZ * SECONDS)
    assert 20 * np.log10(noise) < -60


def test_what_16_khz_cannot_hold_is_filtered_out() -> None:
    high = (np.sin(np.arange(48_000) * 2 * np.pi * 10_000 / 48_000) * 8_000).astype(np.int16)
    samples = Samples(48_000)
    pcm = np.frombuffer(b"".join(samples.decode(high.tobytes())), "<i2")[200:]

    assert np.abs(pcm).max() < 8_000 * 10 ** (-45 / 20)


WAV_48 = wav(described(hertz=48_000), chunk(b"note", b"x" * 100), chunk(b"data", at(48_000)[:9_600].tobytes()))


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, len(WAV_48)), max_size=8).map(sorted))
def test_the_samples_are_the_same_wherever_a_file_is_cut(cuts: list[int]) -> None:
    def decoded(borders: list[int]) -> bytes:
        recording = WavRecording()
        found = [piece for start, end in pairwise(borders) for piece in recording.decode(WAV_48[start:end])]
        return b"".join([*found, *recording.finish()])

    assert decoded([0, *cuts, len(WAV_48)]) == decoded([0, len(WAV_48)])


@pytest.mark.parametrize("name", ["mp3-tagged", "ogg", "webm"])
async def test_a_file_that_is_cut_off_is_heard_as_far_as_it_goes(decoding: AudioDecoding, name: str) -> None:
    media_type, data = FILES[name]
    whole = len(await decoding.decode_file(data, media_type, LIMITS))
    part = len(await decoding.decode_file(data[: -len(data) // 20], media_type, LIMITS))

    assert 0 < part < whole


def hostile() -> Iterator[tuple[str, str, bytes, type[ClientError]]]:
    """Yield a name, a media type, a file and the error that comes of it."""
    yield "empty", "audio/wav", b"", InvalidAudio
    yield "text", "audio/mpeg", b"hello " * 100, InvalidAudio
    yield "nobody-knows", "", b"hello " * 100, UnsupportedFormat
    yield "flac", "audio/flac", b"fLaC", UnsupportedFormat
    yield "picture", "image/png", b"\x89PNG", UnsupportedFormat
    yield "mp4", "", b"\0\0\0\x20ftypM4A ", UnsupportedFormat
    yield "wav-as-mp3", "audio/mpeg", wav(described(), chunk(b"data", PLAIN)), InvalidAudio
    yield "mp3-as-webm", "audio/webm", MP3, InvalidAudio
    yield "vorbis", "audio/ogg", VORBIS, UnsupportedFormat
    yield "wav-cut-in-its-head", "audio/wav", wav(described())[:20], InvalidAudio
    yield "wav-without-sound", "audio/wav", wav(described()), InvalidAudio
    yield "wav-with-nothing", "audio/wav", wav(described(), chunk(b"data", b"")), InvalidAudio
    yield "wav-undescribed", "audio/wav", wav(chunk(b"data", PLAIN)), InvalidAudio
    yield "wav-huge-description", "audio/wav", wav(chunk(b"fmt ", b"", 0xFFFF_FFFF)), InvalidAudio
    yield "wav-endless-chunk", "audio/wav", wav(described(), chunk(b"LIST", PLAIN, 0xFFFF_FFFE)), InvalidAudio
    yield "wav-of-64-channels", "audio/wav", wav(described(channels=64), chunk(b"data", PLAIN)), UnsupportedFormat
    yield "wav-at-4-ghz", "audio/wav", wav(described(hertz=0xFFFF_FFFF), chunk(b"data", PLAIN)), UnsupportedFormat
    yield "wav-at-no-rate", "audio/wav", wav(described(hertz=0), chunk(b"data", PLAIN)), UnsupportedFormat
    yield "wav-compressed", "audio/wav", wav(described(0x55), chunk(b"data", PLAIN)), UnsupportedFormat
    yield "pcm-at-odd-rate", "audio/pcm;rate=1", PLAIN, UnsupportedFormat
    yield "pcm-at-no-rate", "audio/pcm;rate=-5", PLAIN, UnsupportedFormat
    yield "mp3-of-tags", "audio/mpeg", with_tags(b"", 0)[:6] + b"\x7f\x7f\x7f\x7f" + bytes(10_000), InvalidAudio
    yield "mp3-of-ones", "audio/mpeg", b"\xff" * 200_000, InvalidAudio
    yield "ogg-of-ends", "audio/ogg", OGG[:27], InvalidAudio
    yield "ogg-torn", "audio/ogg", OGG[:500] + b"\0" * 100 + OGG[500:], InvalidAudio
    yield "ogg-endless-packet", "audio/ogg", OGG[:47] + (b"OggS\0\1" + OGG[6:26] + b"\xff" * 256 + bytes(255 * 255)) * 4, InvalidAudio
    yield "webm-of-head", "audio/webm", WEBM[:200], InvalidAudio
    yield "webm-bomb", "audio/webm", beginning() + block(SILENT_120_MS) * 3_000, TooLarge
    yield "too-long", "audio/pcm;rate=8000", bytes(16_000 * 121), TooLarge


@pytest.mark.req("S0-46", "S0-49")
@pytest.mark.parametrize(("name", "media_type", "data", "error"), list(hostile()), ids=[row[0] for row in hostile()])
async def test_a_file_that_cannot_be_used_is_refused_with_a_code(
    decoding: AudioDecoding, name: str, media_type: str, data: bytes, error: type[ClientError]
) -> None:
    with pytest.raises(AudioError) as refused:
        await decoding.decode_file(data, media_type, LIMITS)

    assert type(as_session_error(refused.value)) is error


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.sampled_from(["ogg", "mp3", "wav", "wav-44khz", "webm"]),
    changes=st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=30),
    end=st.integers(0, 20_000),
)
def test_whatever_is_changed_in_a_file_it_is_heard_or_refused(name: str, changes: list[tuple[int, int]], end: int) -> None:
    media_type, data = FILES[name]
    damaged = bytearray(data[:end])
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value

    async def decode() -> None:
        decoding = AudioDecoding(1)
        await decoding.start()
        try:
            assert await decoding.decode_file(bytes(damaged), media_type, LIMITS)
        except AudioError:
            pass
        finally:
            decoding.close()

    asyncio.run(decode())


async def test_a_file_that_takes_too_long_is_given_up(decoding: AudioDecoding) -> None:
    with pytest.raises(TooLong, match="too long to decode"):
        await decoding.decode_file(MP3 * 100, "audio/mpeg", FileLimits(seconds=1_000, decoding_seconds=0.0))


async def test_the_loop_goes_on_while_a_file_is_resampled_without_pyav(without_codecs: AudioDecoding) -> None:
    sound = wav(described(hertz=48_000), chunk(b"data", np.tile(at(48_000), 2).tobytes()))
    decoded = asyncio.create_task(without_codecs.decode_file(sound, "audio/wav", LIMITS))
    turns = 0
    while not decoded.done():
        await asyncio.sleep(0.001)
        turns += 1

    assert len(await decoded) == round(2 * SECONDS * HERTZ) * 2
    assert turns > 10  # else the thread would have kept everybody else from running


def test_huge_tags_cost_no_memory_and_no_time() -> None:
    from audio.ffmpeg import Mp3Recording  # noqa: PLC0415 - the module that is not always there

    recording = Mp3Recording()
    recording.decode(with_tags(b"", 0)[:6] + b"\x7f\x7f\x7f\x7f")
    began = time.process_time()
    for _ in range(1_000):
        assert recording.decode(bytes(4_096)) == []

    assert time.process_time() - began < 0.5
    assert recording.finish() == []


def test_a_decoded_file_is_never_empty() -> None:
    with pytest.raises(Unreadable):
        WavRecording().finish()

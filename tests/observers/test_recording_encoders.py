"""Files of recordings: they grow, can be played wherever they break off, and keep every sample in its place."""

import io
import math
import wave
from array import array
from itertools import pairwise

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from observers.recording_av import AvRiser, av_studio
from observers.recording_encoders import Encoder, PlainRiser, Riser, WavEncoder, choose_studio, stereo_of
from storage.recordings import RecordingFormat

type Samples = NDArray[np.float64]

PIECE = 480
"""20 ms at 24 kHz."""
COMPRESSED = (RecordingFormat.WEBM, RecordingFormat.OGG, RecordingFormat.FLAC)


def noise(seconds: float, seed: int, hertz: int = 24_000) -> bytes:
    """Return noise in the band of speech, whose place is found by correlation."""
    raw = np.random.default_rng(seed).normal(size=round(seconds * hertz))
    spectrum = np.fft.rfft(raw)
    spectrum[np.fft.rfftfreq(len(raw), 1 / hertz) > 3_400] = 0
    shaped = np.fft.irfft(spectrum, len(raw))
    return np.asarray(shaped / np.abs(shaped).max() * 12_000, dtype="<i2").tobytes()


def encoded(encoder: Encoder, stereo: bytes, piece: int = 4 * PIECE) -> tuple[bytes, bytes]:
    """Return the file as it is at its end, and how it was before its beginning was put right."""
    grown = b"".join(encoder.encode(stereo[at : at + piece]) for at in range(0, len(stereo), piece))
    tail, head = encoder.finish()
    return head + (grown + tail)[len(head) :], grown


def decoded(file: bytes, hertz: int = 24_000) -> Samples:
    """Return both channels as a player has them."""
    resampler = av.AudioResampler(format="s16p", layout="stereo", rate=hertz)
    with av.open(io.BytesIO(file), "r") as container:
        frames = [made.to_ndarray() for frame in container.decode(audio=0) for made in resampler.resample(frame)]
    return np.concatenate([*frames, *(made.to_ndarray() for made in resampler.resample(None))], axis=1).astype(np.float64)


def offset(said: Samples, heard: Samples) -> tuple[float, float]:
    """Return by how many samples what is heard is late, and how alike the two are, from 0 to 1."""
    size = len(said) + len(heard)
    correlation = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size)), size)
    at = int(correlation.argmax())
    likeness = float(correlation[at] / math.sqrt(float(said @ said) * float(heard @ heard)))
    return float(at if at < size // 2 else at - size), likeness


def test_a_wav_file_has_the_samples_as_they_were() -> None:
    left, right = noise(0.5, 1), noise(0.5, 2)
    file, grown = encoded(WavEncoder(24_000), stereo_of(left, right))
    with wave.open(io.BytesIO(file)) as sound:
        form = (sound.getnchannels(), sound.getsampwidth(), sound.getframerate(), sound.getnframes())
        stereo = array("h", sound.readframes(sound.getnframes()))

    assert form == (2, 2, 24_000, 12_000)
    assert (stereo[0::2].tobytes(), stereo[1::2].tobytes()) == (left, right)
    assert len(file) == len(grown)


def test_a_wav_file_that_breaks_off_is_played_to_there() -> None:
    stereo = stereo_of(noise(0.5, 1), noise(0.5, 2))
    _, grown = encoded(WavEncoder(24_000), stereo)

    assert decoded(grown[:-4_000]).shape == (2, 12_000 - 1_000)


def test_a_wav_file_of_nothing_is_a_file() -> None:
    file, _ = encoded(WavEncoder(8_000), b"")
    with wave.open(io.BytesIO(file)) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8_000, 0)


def test_flac_has_the_samples_as_they_were() -> None:
    left, right = noise(1, 1), noise(1, 2)
    file, _ = encoded(av_studio(RecordingFormat.FLAC).encoder(24_000), stereo_of(left, right))
    sound = decoded(file)

    assert sound[0].astype("<i2").tobytes() == left
    assert sound[1].astype("<i2").tobytes() == right


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_file_knows_its_length_at_its_end(kind: RecordingFormat) -> None:
    file, grown = encoded(av_studio(kind).encoder(24_000), stereo_of(noise(3, 1), noise(3, 2)))
    with av.open(io.BytesIO(file), "r") as container:
        assert container.duration == pytest.approx(3_000_000, abs=30_000)
    assert len(file) >= len(grown)


@pytest.mark.req("S0-52")
@pytest.mark.parametrize("kind", [RecordingFormat.WEBM, RecordingFormat.OGG])
def test_opus_takes_a_tenth_of_what_samples_take(kind: RecordingFormat) -> None:
    stereo = stereo_of(noise(5, 1), noise(5, 2))
    file, _ = encoded(av_studio(kind).encoder(24_000), stereo)

    assert len(file) < len(stereo) / 10


@pytest.mark.parametrize("kind", COMPRESSED)
def test_what_was_encoded_leaves_the_encoder_within_two_seconds(kind: RecordingFormat) -> None:
    encoder, stereo = av_studio(kind).encoder(24_000), stereo_of(noise(10, 1), noise(10, 2))
    lengths = [at for at in range(0, len(stereo), 4 * PIECE) if encoder.encode(stereo[at : at + 4 * PIECE])]

    assert lengths[0] <= 2 * 24_000 * 4
    assert max(after - before for before, after in pairwise(lengths)) <= 2 * 24_000 * 4


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_file_that_breaks_off_is_played_to_there(kind: RecordingFormat) -> None:
    encoder, stereo = av_studio(kind).encoder(24_000), stereo_of(noise(10, 1), noise(10, 2))
    grown = b"".join(encoder.encode(stereo[at : at + 4 * PIECE]) for at in range(0, len(stereo), 4 * PIECE))
    sound = decoded(grown)

    assert sound.shape[1] >= 8 * 24_000


@pytest.mark.parametrize("kind", [RecordingFormat.WEBM, RecordingFormat.OGG])
def test_opus_keeps_both_voices_in_their_places_for_two_minutes(kind: RecordingFormat) -> None:
    left, right = noise(120, 1), noise(120, 2)
    file, _ = encoded(av_studio(kind).encoder(24_000), stereo_of(left, right), 4 * 6_000)
    sound = decoded(file)

    assert abs(sound.shape[1] - 120 * 24_000) <= 24_000 * 0.03
    for channel, said in enumerate((left, right)):
        samples = np.frombuffer(said, dtype="<i2").astype(np.float64)
        for second in (0, 59, 118):
            part = slice(second * 24_000, (second + 1) * 24_000)
            late, likeness = offset(samples[part], sound[channel][part])
            assert abs(late) < 24
            assert likeness > 0.8


def rising(kind: str, hertz: int, wanted: int) -> Riser:
    return AvRiser(hertz, wanted) if kind == "av" else PlainRiser(hertz, wanted)


@pytest.mark.parametrize("kind", ["av", "plain"])
@pytest.mark.parametrize(("hertz", "wanted"), [(16_000, 24_000), (8_000, 16_000), (8_000, 24_000)])
def test_a_higher_rate_keeps_every_moment_in_its_place(kind: str, hertz: int, wanted: int) -> None:
    low, riser = noise(2, 3, hertz), rising(kind, hertz, wanted)
    made = b"".join(riser.rise(low[at : at + hertz // 25]) for at in range(0, len(low), hertz // 25)) + riser.finish()
    heard = np.frombuffer(made, dtype="<i2").astype(np.float64)
    spread = np.zeros(2 * wanted)
    np.put(spread, np.arange(2 * hertz) * wanted // hertz, np.frombuffer(low, dtype="<i2"))
    spectrum = np.fft.rfft(spread)
    spectrum[np.fft.rfftfreq(len(spread), 1 / wanted) > 3_400] = 0
    late, likeness = offset(np.fft.irfft(spectrum, len(spread)), heard)

    assert len(heard) == pytest.approx(2 * wanted, abs=2)
    assert abs(late) <= 1
    assert likeness > 0.97


@pytest.mark.parametrize("piece", [2, 14, 640, 10_000])
def test_the_plain_way_gives_the_same_for_pieces_of_any_size(piece: int) -> None:
    low, whole, pieces = noise(0.5, 4, 16_000), PlainRiser(16_000, 24_000), PlainRiser(16_000, 24_000)
    at_once = whole.rise(low) + whole.finish()
    in_pieces = b"".join(pieces.rise(low[at : at + piece]) for at in range(0, len(low), piece)) + pieces.finish()

    assert in_pieces == at_once
    assert len(at_once) == len(low) * 3 // 2


def test_samples_that_were_there_stay_as_they_are() -> None:
    low, riser = noise(0.1, 5, 16_000), PlainRiser(16_000, 24_000)
    made = array("h", riser.rise(low) + riser.finish())

    assert made[0::3].tobytes() == array("h", low)[0::2].tobytes()


def test_without_an_encoder_recordings_are_wav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observers.recording_encoders.has_av", lambda: False)
    studio = choose_studio(RecordingFormat.WEBM)

    assert studio.format is RecordingFormat.WAV
    assert isinstance(studio.encoder(16_000), WavEncoder)
    assert isinstance(studio.riser(8_000, 16_000), PlainRiser)


@pytest.mark.parametrize("kind", RecordingFormat)
def test_with_one_they_are_what_was_asked_for(kind: RecordingFormat) -> None:
    assert choose_studio(kind).format is kind

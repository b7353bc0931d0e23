"""Resampling, messages to the speech processes, and pronunciations: all that needs no synthesiser."""

import asyncio
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nova_sonic_local.speech import dictionary
from nova_sonic_local.speech.dictionary import UnknownWordsError, format_dictionary, parse_dictionary, pronounce
from nova_sonic_local.speech.frames import BrokenPipeFrameError, Frame, Kind, encode_frame, read_frame, receive_frame
from nova_sonic_local.speech.language import load_language
from nova_sonic_local.speech.phonemes import pronunciations
from nova_sonic_local.speech.resample import Resampler, pcm_of, resample, samples_of

RATES = [(22050, 24000), (22050, 16000), (22050, 8000), (16000, 24000), (24000, 16000), (8000, 16000), (48000, 16000), (16000, 16000)]
LOUD = 16_000


def tone(hertz: float, rate: int, seconds: float = 0.5) -> bytes:
    return pcm_of([round(LOUD * math.sin(2 * math.pi * hertz * place / rate)) for place in range(int(rate * seconds))])


def decibels(samples: list[int]) -> float:
    inner = samples[400:-400]
    return 20 * math.log10(max(1e-9, math.sqrt(math.sumprod(inner, inner) / len(inner))) / (LOUD / math.sqrt(2)))


@pytest.mark.parametrize(("from_hertz", "to_hertz"), RATES)
def test_a_tone_keeps_its_place_and_shape(from_hertz: int, to_hertz: int) -> None:
    converted = list(samples_of(resample(tone(1000, from_hertz), from_hertz, to_hertz)))
    wanted = list(samples_of(tone(1000, to_hertz)))
    difference = [one - other for one, other in zip(converted, wanted, strict=False)]

    assert abs(len(converted) - len(wanted)) <= 1
    assert decibels(difference) < -75


@pytest.mark.parametrize(("from_hertz", "to_hertz"), [rates for rates in RATES if rates[0] > rates[1]])
def test_what_the_lower_rate_cannot_hold_is_taken_out(from_hertz: int, to_hertz: int) -> None:
    too_high = tone(to_hertz / 2 * 1.15, from_hertz)

    assert decibels(list(samples_of(resample(too_high, from_hertz, to_hertz)))) < -55


@given(st.sampled_from(RATES), st.lists(st.integers(1, 700), min_size=1, max_size=12))
def test_pieces_give_the_same_as_the_whole(rates: tuple[int, int], lengths: list[int]) -> None:
    sound = tone(440, rates[0], 0.1)
    resampler = Resampler(*rates)
    pieces, place = [], 0
    for length in lengths:
        pieces.append(resampler.feed(sound[place : place + 2 * length]))
        place += 2 * length
    pieces += [resampler.feed(sound[place:]), resampler.finish()]

    assert b"".join(pieces) == resample(sound, *rates)


def test_the_loudest_sound_does_not_wrap_around() -> None:
    square = pcm_of([32767 if place // 20 % 2 else -32768 for place in range(4000)])

    assert max(abs(sample) for sample in samples_of(resample(square, 16000, 24000))) >= 32767


@given(st.sampled_from(Kind), st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_messages_come_out_as_they_went_in(kind: Kind, utterance: int, payload: bytes) -> None:
    frame = Frame(kind, utterance, payload)
    stream = io.BytesIO(encode_frame(frame) * 2)

    assert [read_frame(stream), read_frame(stream), read_frame(stream)] == [frame, frame, None]


@pytest.mark.parametrize(
    "data", [b"\x05", b"\xff\xff\xff\xff\x01\x00\x00\x00\x00", b"\x07\x00\x00\x00\x01\x00\x00\x00\x00a", b"\x05\0\0\0\x63\0\0\0\0"]
)
def test_broken_messages_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"stream|message|Kind"):
        read_frame(io.BytesIO(data))


async def test_a_stream_that_ends_inside_a_message_has_ended() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(encode_frame(Frame(Kind.RESULT, 1, b"abc"))[:-1])
    reader.feed_eof()

    assert await receive_frame(reader) is None


async def test_a_message_of_impossible_length_is_refused_before_it_is_read() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"\xff\xff\xff\xff\x01\x00\x00\x00\x00")

    with pytest.raises(BrokenPipeFrameError):
        await receive_frame(reader)


@pytest.mark.parametrize(
    ("language", "ipa", "expected"),
    [
        ("es", "\u02c8uno", ("UW N OW", "UH N AO")),
        ("es", "sj\u02c8ete", ("S Y EH T EH", "S IY EH T EH", "S Y EY T EY")),
        ("es", "otʃo", ("OW CH OW", "AO CH AO")),
        ("es", "maɲ\u02c8ana", ("M AA N Y AA N AA", "M AH N Y AH N AH")),
        ("es", "xw\u02c8an", ("HH W AA N", "HH UW AA N", "HH W AH N")),
        ("en", "tʃ\u02c8ɛk", ("CH EH K",)),
        ("en", "θɹ\u02c8i\u02d0", ("TH R IY",)),
        ("en", "dʒ\u02c8u\u02d0n", ("JH UW N",)),
    ],
)
def test_sounds_are_written_in_the_phones_of_the_model(language: str, ipa: str, expected: tuple[str, ...]) -> None:
    section = load_language(language).sections["phonemes"]

    assert pronunciations(ipa, {sound: section.texts(sound) for sound in section.values}) == expected


@pytest.mark.parametrize("ipa", ["", "\u02c8", "ʘ"])
def test_what_the_model_has_no_phone_for_is_refused(ipa: str) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        pronunciations(ipa, {"a": ("AA",)})


@pytest.mark.parametrize("language", ["es", "en"])
def test_the_shipped_dictionaries_use_the_phones_of_the_model(language: str) -> None:
    phones = {phone for variants in dictionary.shipped(language).values() for variant in variants for phone in variant.split()}
    model = {"AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K"}
    model |= {"L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"}

    assert phones <= model


def test_a_dictionary_is_written_as_it_is_read() -> None:
    text = "uno UW N OW\nuno(2) UH N AO\ny IY\n"

    assert parse_dictionary(text) == {"uno": ("UW N OW", "UH N AO"), "y": ("IY",)}
    assert format_dictionary(parse_dictionary(text)) == text


def test_shipped_words_need_neither_cache_nor_synthesiser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert pronounce(["pedido", "uno"], "es", tmp_path / "none").keys() == {"pedido", "uno"}


def test_a_cached_word_is_not_looked_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "es.dict").write_text("zanahoria S AA N AA OW R Y AA\n")

    assert pronounce(["zanahoria"], "es", tmp_path) == {"zanahoria": ("S AA N AA OW R Y AA",)}


def test_a_word_that_nobody_can_say_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnknownWordsError, match="zanahoria"):
        pronounce(["zanahoria", "uno"], "es", tmp_path)

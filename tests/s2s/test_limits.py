"""Texts cut to size, durations of speech, and the table of models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.audio import AudioFormat, is_whole
from s2s.limits import RATES_HERTZ, TEXT_INPUT_BYTES, clean_text, split_text
from s2s.models import DEFAULT_MODEL_ID, MODELS, capabilities


@given(st.text(max_size=400), st.integers(4, 40))
def test_pieces_fit_and_join_to_the_cleaned_text(text: str, limit_bytes: int) -> None:
    pieces = split_text(text, limit_bytes)

    assert clean_text(text) == "".join(pieces)
    assert all(0 < len(piece.encode()) <= limit_bytes for piece in pieces)


def test_a_piece_ends_on_a_character_border() -> None:
    assert split_text("aññ🎧b", 4) == ("añ", "ñ", "🎧", "b")


def test_a_short_text_is_one_piece_and_an_empty_one_is_none() -> None:
    assert (split_text("x" * TEXT_INPUT_BYTES), split_text("\x00")) == (("x" * TEXT_INPUT_BYTES,), ())


def test_control_characters_and_lone_surrogates_are_taken_out() -> None:
    assert clean_text("\x00a\tb\x1b\nc\ud800\x7f") == "a\tb\nc"


@given(st.sampled_from(RATES_HERTZ), st.integers(0, 100_000))
def test_a_duration_survives_the_way_to_bytes_and_back(hertz: int, duration_ms: int) -> None:
    speech = AudioFormat(hertz)

    assert duration_ms == speech.duration_ms(speech.bytes_of(duration_ms))


def test_silence_is_whole_samples_of_zeros() -> None:
    assert bytes(3200) == AudioFormat(16_000).silence(100)
    assert bytes(16) == AudioFormat(8_000).silence(1.05)
    assert AudioFormat(24_000).bytes_per_second == 48_000
    assert (is_whole(b"\0\0"), is_whole(b"\0")) == (True, False)


@pytest.mark.parametrize(
    ("model_id", "voices", "features"), [("amazon.nova-sonic-v1:0", 11, 0), (DEFAULT_MODEL_ID, 16, 5), ("amazon.nova-2-5-sonic", 16, 5)]
)
def test_the_table_of_models_has_what_aws_documents(model_id: str, voices: int, features: int) -> None:
    row = capabilities(model_id)

    assert (voices, features) == (len(row.voices), len(row.features))
    assert row.guessed_from is None
    has_all = (row.turn_detection, row.text_turns, row.async_tools, row.system_speech, row.speaks_first)
    assert has_all == (features > 0,) * 5


def test_an_arn_is_known_by_the_id_that_it_ends_in() -> None:
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{DEFAULT_MODEL_ID}"

    assert (arn, MODELS[DEFAULT_MODEL_ID].voices) == (capabilities(arn).model_id, capabilities(arn).voices)


def test_an_unknown_model_is_taken_for_nova_2_and_may_have_any_voice() -> None:
    row = capabilities("amazon.nova-9-sonic")

    assert (row.guessed_from, row.turn_detection, row.may_have_voice("pavarotti")) == (DEFAULT_MODEL_ID, True, True)
    assert not capabilities(DEFAULT_MODEL_ID).may_have_voice("pavarotti")


def test_the_model_that_ends_says_when() -> None:
    assert (capabilities(DEFAULT_MODEL_ID).end_of_life, capabilities("amazon.nova-sonic-v1:0").end_of_life) == (None, "2026-09-14")

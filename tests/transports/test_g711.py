"""G.711 samples, held to the recommendation's own values."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.dialects.g711 import Law, decode_g711, encode_g711


@pytest.mark.parametrize(
    ("law", "code", "sample"),
    [
        (Law.MU, 0xFF, 0),
        (Law.MU, 0x7F, 0),
        (Law.MU, 0x80, 32_124),
        (Law.MU, 0x00, -32_124),
        (Law.MU, 0xFE, 8),
        (Law.A, 0xD5, 8),
        (Law.A, 0x55, -8),
        (Law.A, 0xAA, 32_256),
        (Law.A, 0x2A, -32_256),
    ],
)
def test_codes_stand_for_the_samples_of_the_recommendation(law: Law, code: int, sample: int) -> None:
    assert decode_g711(bytes([code]), law) == struct.pack("<h", sample)


@pytest.mark.parametrize("law", Law)
def test_every_code_but_one_of_the_two_zeros_comes_back(law: Law) -> None:
    codes = bytes(code for code in range(256) if (law, code) != (Law.MU, 0x7F))

    assert encode_g711(decode_g711(codes, law), law).replace(b"\x7f", b"\xff") == codes.replace(b"\x7f", b"\xff")


@given(st.binary(max_size=400).map(lambda data: data[: len(data) // 2 * 2]), st.sampled_from(Law))
def test_a_sample_is_off_by_a_thirtysecond_at_most(pcm: bytes, law: Law) -> None:
    again = decode_g711(encode_g711(pcm, law), law)
    pairs = zip(struct.iter_unpack("<h", pcm), struct.iter_unpack("<h", again), strict=True)

    assert all(abs(before - after) <= max(16, abs(before) / 31) for (before,), (after,) in pairs)

"""Frames: their bytes agree with an independent implementation, and however received bytes are split, the same frames come out."""

from itertools import chain, pairwise

import hyperframe.frame as reference
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.bedrock.http2 import frames
from s2s.bedrock.http2.frames import MAX_FRAME_BYTES, ErrorCode, Frame, FrameSplitter, PeerViolation

FRAMES = st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, frames.MAX_STREAM_ID), st.binary(max_size=300))


def split_at(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def fed(pieces: list[bytes]) -> list[Frame]:
    splitter = FrameSplitter()
    return [found for piece in pieces for found in splitter.feed(piece)]


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_yields_the_same_frames(sequence: list[Frame], cuts: list[int]) -> None:
    data = b"".join(frames.frame(*one) for one in sequence)

    assert sequence == fed(split_at(data, cuts))


def test_bytes_may_come_one_by_one() -> None:
    sequence = [(frames.DATA, 0, 1, bytes(500)), (frames.PING, 0, 0, bytes(8)), (frames.DATA, 1, 3, b"")]
    data = b"".join(frames.frame(*one) for one in sequence)

    assert sequence == fed([data[place : place + 1] for place in range(len(data))])


def test_a_payload_is_bytes_and_outlives_what_it_came_in() -> None:
    splitter = FrameSplitter()
    data = frames.frame(frames.DATA, 0, 1, b"one") + frames.frame(frames.DATA, 0, 1, b"two")
    payloads = [payload for piece in (data[:14], data[14:]) for *_, payload in splitter.feed(piece)]

    assert payloads == [b"one", b"two"]
    assert {type(payload) for payload in payloads} == {bytes}


def test_the_reserved_bit_is_ignored() -> None:
    assert fed([frames.frame(frames.PING, 0, 0x8000_0005, bytes(8))]) == [(frames.PING, 0, 5, bytes(8))]


@pytest.mark.parametrize("cut", [3, 9, 100])
def test_a_frame_that_is_too_large_is_refused_by_its_header(cut: int) -> None:
    whole = frames.frame(frames.DATA, 0, 1, bytes(MAX_FRAME_BYTES))
    large = frames.frame(frames.DATA, 0, 1, bytes(MAX_FRAME_BYTES + 1))[:100]
    splitter = FrameSplitter()
    frames_before = splitter.feed(whole + large[:cut])
    found = next(frames_before)

    with pytest.raises(PeerViolation) as raised:
        list(chain(frames_before, splitter.feed(large[cut:])))

    assert raised.value.code is ErrorCode.FRAME_SIZE_ERROR
    assert len(found[3]) == MAX_FRAME_BYTES


def test_frames_are_those_of_an_independent_implementation() -> None:
    goaway = reference.GoAwayFrame(0, 5, 11, b"calm")
    settings = reference.SettingsFrame(0, {4: 1000, 2: 0})
    window = reference.WindowUpdateFrame(7, 4096)
    reset = reference.RstStreamFrame(9, 8)
    data = reference.DataFrame(3, b"abc", flags=["END_STREAM"])

    assert frames.goaway_frame(5, 11, b"calm") == goaway.serialize()
    assert frames.settings_frame({4: 1000, 2: 0}) == settings.serialize()
    assert frames.window_frame(7, 4096) == window.serialize()
    assert frames.reset_frame(9, 8) == reset.serialize()
    assert frames.frame(frames.DATA, frames.END_STREAM, 3, b"abc") == data.serialize()
    assert frames.data_header(3, 70_000) == frames.frame_header(frames.DATA, 0, 3, 70_000)


@pytest.mark.parametrize("size", [0, 1, MAX_FRAME_BYTES, MAX_FRAME_BYTES + 1, 3 * MAX_FRAME_BYTES])
@pytest.mark.parametrize("ends_stream", [True, False])
def test_a_large_header_block_goes_on_in_continuations(size: int, *, ends_stream: bool) -> None:
    block = bytes(index % 251 for index in range(size))
    found = fed([frames.headers_frames(5, block, ends_stream=ends_stream)])

    assert b"".join(payload for *_, payload in found) == block
    assert [kind for kind, *_ in found] == [frames.HEADERS] + [frames.CONTINUATION] * (len(found) - 1)
    assert [bool(flags & frames.END_HEADERS) for _, flags, *_ in found] == [False] * (len(found) - 1) + [True]
    assert bool(found[0][1] & frames.END_STREAM) is ends_stream
    assert {number for _, _, number, _ in found} == {5}


@pytest.mark.parametrize("flags", [0, frames.PADDED, frames.PRIORITY_FLAG, frames.PADDED | frames.PRIORITY_FLAG])
def test_padding_and_priority_are_taken_off_headers(flags: int) -> None:
    payload = b"\x02" * bool(flags & frames.PADDED) + b"wwwww" * bool(flags & frames.PRIORITY_FLAG) + b"block"

    assert frames.strip(frames.HEADERS, flags, payload + b"\0\0" * bool(flags & frames.PADDED)) == b"block"


@pytest.mark.parametrize(
    ("kind", "flags", "payload", "code"),
    [
        (frames.DATA, frames.PADDED, b"", ErrorCode.FRAME_SIZE_ERROR),
        (frames.DATA, frames.PADDED, b"\x01", ErrorCode.PROTOCOL_ERROR),
        (frames.DATA, frames.PADDED, b"\x05abcd", ErrorCode.PROTOCOL_ERROR),
        (frames.HEADERS, frames.PRIORITY_FLAG, b"abcd", ErrorCode.FRAME_SIZE_ERROR),
        (frames.HEADERS, frames.PADDED | frames.PRIORITY_FLAG, b"\x01wwwww", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_padding_longer_than_its_frame_is_refused(kind: int, flags: int, payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(PeerViolation) as raised:
        frames.strip(kind, flags, payload)

    assert raised.value.code is code


def test_padding_may_be_all_there_is() -> None:
    assert frames.strip(frames.DATA, frames.PADDED, b"\x03\0\0\0") == b""


@pytest.mark.parametrize("payload", [b"", b"abc", b"abcde"])
def test_a_number_has_four_bytes(payload: bytes) -> None:
    with pytest.raises(PeerViolation) as raised:
        frames.read_word(payload)

    assert raised.value.code is ErrorCode.FRAME_SIZE_ERROR


def test_goaway_says_what_it_says() -> None:
    assert frames.read_goaway(frames.goaway_frame(7, 2, b"why")[frames.HEADER_BYTES :]) == (7, 2, b"why")
    with pytest.raises(PeerViolation):
        frames.read_goaway(bytes(7))


def test_error_codes_have_names() -> None:
    assert frames.code_name(8) == "CANCEL"
    assert frames.code_name(0x1F) == "0x1f"

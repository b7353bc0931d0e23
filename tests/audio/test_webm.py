"""The reader of WebM files that grow: what it finds however they are cut, and what it does not let itself in for."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.errors import Unreadable
from audio.webm import ELEMENTS_LIMIT, PENDING_LIMIT_BYTES, WebmReader
from tests.audio.recorder import EBML_HEADER, OPUS_HEAD, UNKNOWN_SIZE, beginning, block, element, record, tone, track

PACKETS = [bytes([number]) * (number + 3) for number in range(40)]
FILE = beginning() + b"".join(block(packet) for packet in PACKETS)


def read(*pieces: bytes) -> list[bytes]:
    reader = WebmReader()
    found = []
    for piece in pieces:
        reader.feed(piece)
        found += list(reader.packets())
    return found


@pytest.mark.req("S0-18")
@given(st.lists(st.integers(0, len(FILE)), max_size=12).map(sorted))
def test_the_packets_are_the_same_wherever_the_file_is_cut(cuts: list[int]) -> None:
    borders = [0, *cuts, len(FILE)]

    assert read(*(FILE[start:end] for start, end in pairwise(borders))) == PACKETS


def test_a_file_can_come_byte_by_byte() -> None:
    assert read(*(bytes([byte]) for byte in FILE)) == PACKETS


@pytest.mark.req("S0-18")
@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_files_of_another_writer_are_read(layout: str, is_live: bool) -> None:  # noqa: FBT001 - a parameter
    reader = WebmReader()
    reader.feed(record(tone(2.0), layout=layout, is_live=is_live))
    packets = list(reader.packets())

    assert len(packets) == pytest.approx(100, abs=2)  # of 20 ms
    assert reader.opus_head[9] == {"mono": 1, "stereo": 2}[layout]


def test_blocks_in_groups_and_of_other_tracks_are_told_apart() -> None:
    video = track(b"", b"V_VP8", number=2)
    head = beginning(video, track())
    group = element("a0", block(b"grouped", name="a1"), size=UNKNOWN_SIZE)
    foreign = block(b"picture", number=2)

    assert read(head, foreign, block(b"first"), group, foreign, block(b"last")) == [b"first", b"grouped", b"last"]


def test_what_is_not_sound_is_passed_over_without_being_kept() -> None:
    reader = WebmReader()
    reader.feed(beginning() + element("ec", size=b"\x08\xff\xff\xff\xff"))
    for _ in range(100):
        reader.feed(bytes(100_000))
        assert list(reader.packets()) == []

    assert len(reader._left) == 0


def test_another_recording_can_follow_on_the_same_way() -> None:
    stereo = OPUS_HEAD.replace(b"\x01\x01", b"\x01\x02")
    reader = WebmReader()
    reader.feed(beginning() + block(b"one") + beginning(track(stereo)) + block(b"two"))

    assert list(reader.packets()) == [b"one", b"two"]
    assert reader.opus_head == stereo


@pytest.mark.req("S2-28")
@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"OggS\0\2", "begin like a WebM"),
        (b"RIFF....WAVE", "begin like a WebM"),
        (b"\0\0\0\x20ftypmp4", "no id"),
        (bytes(100), "no id"),
        (block(b"early"), "begin like a WebM"),
        (EBML_HEADER + block(b"early"), "before its track"),
        (EBML_HEADER + element("1a45dfa3", size=b"\xff"), "no size"),
        (EBML_HEADER + b"\xae\0", "size is too long"),
        (beginning() + element("a3", size=(0x1000_0000 | PENDING_LIMIT_BYTES + 1).to_bytes(4)), "too large"),
        (beginning() + element("a3", b"\x81\0"), "too short"),
        (beginning() + element("a3", b""), "cut off"),
        (beginning() + element("a3", b"\0\0\0\0\0"), "cut off"),
        (beginning() + block(b"several", flags=0x82), "share a block"),
        (beginning(element("ae", b"\xd7")), "cut off"),
        (beginning(element("ae", element("d7", size=b"\xff"))), "cut off"),
        (beginning(track(codec=b"A_VORBIS")) + block(b"vorbis"), "before its track"),
        (beginning() + b"\xec\x80" * (ELEMENTS_LIMIT + 1), "too many elements"),
    ],
)
def test_what_is_no_recording_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(match=complaint):
        read(data)


def test_what_is_kept_of_an_element_is_bounded() -> None:
    reader = WebmReader()
    reader.feed(beginning() + element("a3", size=(0x1000_0000 | PENDING_LIMIT_BYTES).to_bytes(4)))
    assert list(reader.packets()) == []
    reader.feed(bytes(PENDING_LIMIT_BYTES - 1))

    assert list(reader.packets()) == []
    assert len(reader._left) < PENDING_LIMIT_BYTES + 16


@pytest.mark.req("S2-28")
@given(st.lists(st.binary(max_size=60) | st.sampled_from([FILE[:80], block(b"x"), EBML_HEADER, beginning(), UNKNOWN_SIZE]), max_size=8))
def test_whatever_comes_is_read_or_refused(pieces: list[bytes]) -> None:
    with suppress(Unreadable):
        assert all(read(*pieces))

"""Whatever a peer sends, the connection raises nothing, answers with frames that can be read, and tells all streams."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.bedrock.http2 import frames
from s2s.bedrock.http2.connection import Connection
from s2s.bedrock.http2.settings import CONNECTION_WINDOW_BYTES
from s2s.bedrock.http2.streams import Ending, Stream
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES
from tests.s2s.http2.peer import parse

HEADS = (b"\x88", b"\x8d", b"\x08\x03103", b"\x88\x40\x01a\x01b", b"\x88\x5c\x015", b"\x3f\xe1\x1f\x88", b"\xbe", b"\x00\x01A\x01b")
NUMBERS = st.sampled_from([0, 1, 1, 1, 3, 5, 5, 7, 2, 2**31 - 1])
PAYLOADS = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(HEADS),
    st.sampled_from([bytes(4), b"\0\0\0\x08", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", bytes(8), b"\0\0\0\x01\0\0\0\x0b", b"x" * 16_384]),
    st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 100, 16_384, 65_535, 2**31 - 1, 2**32 - 1])).map(
        lambda pair: pair[0].to_bytes(2, "big") + pair[1].to_bytes(4, "big")
    ),
)
FLAGS = st.sampled_from([0, 0x1, 0x4, 0x5, 0x8, 0xC, 0x20, 0x24, 0x2D, 0xFF])
FRAMES = st.tuples(st.integers(0, 11), FLAGS, NUMBERS, PAYLOADS).map(lambda parts: frames.frame(*parts))
STEPS = st.one_of(
    FRAMES,
    FRAMES,
    FRAMES,
    st.binary(min_size=1, max_size=30),
    st.sampled_from(["send", "end", "take", "abandon", "hold", "release", "open"]),
)


def step(connection: Connection, streams: list[Stream], action: str) -> None:
    stream = next((one for one in streams if one.ending is Ending.NOT_YET), streams[0])
    calls: dict[str, Callable[[], object]] = {
        "send": lambda: connection.send(stream, bytes(3000)) if stream.ending is Ending.NOT_YET else None,
        "end": lambda: connection.end_input(stream),
        "take": lambda: connection.take(stream),
        "abandon": lambda: connection.abandon(stream),
        "hold": connection.hold,
        "release": connection.release,
        "open": lambda: streams.append(connection.open("POST", "/", [])) if connection.capacity else None,
    }
    calls[action]()


def check(connection: Connection, streams: list[Stream]) -> None:
    live = set(connection.streams.values())
    assert all(stream in live or stream.ending is not Ending.NOT_YET for stream in streams)
    assert not (connection.is_closed and live)
    assert all(len(stream.unread) <= RECEIVE_WINDOW_BYTES for stream in streams)
    assert 0 < connection._credit <= CONNECTION_WINDOW_BYTES or connection.is_closed
    parse(connection.data_to_send())


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_frames_in_any_order_do_no_harm(steps: list[bytes | str]) -> None:
    connection = Connection("https", "model.example")
    connection.outgoing.clear()
    connection.receive_data(frames.settings_frame({}), 0.0)
    streams = [connection.open("POST", "/", []) for _ in range(3)]
    for one in steps:
        if isinstance(one, str):
            step(connection, streams, one)
        else:
            connection.receive_data(one, 0.0)
        check(connection, streams)
    connection.lose("lost")

    assert all(stream.ending is not Ending.NOT_YET for stream in streams)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=200), max_size=10))
def test_any_bytes_do_no_harm(pieces: list[bytes]) -> None:
    connection = Connection("https", "model.example")
    for piece in pieces:
        connection.receive_data(piece, 0.0)

    whole = b"".join(pieces)
    is_waiting = len(whole) < frames.HEADER_BYTES + int.from_bytes(whole[:3])

    assert connection.is_closed or connection.peer is not None or is_waiting


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.integers(0, 255))
def test_any_header_block_does_no_harm(block: bytes, flags: int) -> None:
    connection = Connection("https", "model.example")
    connection.receive_data(frames.settings_frame({}), 0.0)
    stream = connection.open("POST", "/", [])
    connection.outgoing.clear()
    connection.receive_data(frames.frame(frames.HEADERS, flags | frames.END_HEADERS, 1, block), 0.0)
    answers = [type(frame).__name__ for frame in parse(connection.data_to_send())]

    assert (answers == ["GoAwayFrame"]) is connection.is_closed
    assert (answers == ["RstStreamFrame"]) is (stream.ending is Ending.BROKEN and not connection.is_closed)

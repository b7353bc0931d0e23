"""What a peer does wrong: a fault of one stream ends that stream, a fault of the connection ends all, with the code that the RFC names."""

from collections.abc import Callable, Sequence

import pytest
from hyperframe.frame import Frame, GoAwayFrame, SettingsFrame

from s2s.bedrock.http2.frames import ErrorCode
from s2s.bedrock.http2.heads import SECRET_NAMES
from s2s.bedrock.http2.patience import IDLE_FRAMES_PER_SECOND, UNSENT_ANSWERS
from s2s.bedrock.http2.settings import MAX_HEAD_BYTES
from s2s.bedrock.http2.streams import Ending
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES
from tests.s2s.http2.peer import OK, Peer, continuation, data, goaway, ping, raw, reset, window

type Make = Callable[[Peer], Sequence[Frame | bytes]]

P, F, S, H, C, E = (
    ErrorCode.PROTOCOL_ERROR,
    ErrorCode.FLOW_CONTROL_ERROR,
    ErrorCode.FRAME_SIZE_ERROR,
    ErrorCode.STREAM_CLOSED,
    ErrorCode.COMPRESSION_ERROR,
    ErrorCode.ENHANCE_YOUR_CALM,
)


def settings(pairs: str) -> bytes:
    return raw(4, 0, 0, bytes.fromhex(pairs))


OF_THE_CONNECTION: dict[str, tuple[ErrorCode, Make]] = {
    "a frame larger than allowed": (S, lambda _: [raw(0, 0, 1, bytes(16_385))]),
    "data of stream 0": (P, lambda _: [raw(0, 0, 0, b"x")]),
    "data of an idle stream": (P, lambda _: [data(3, b"x")]),
    "data of a server's stream": (P, lambda _: [data(2, b"x")]),
    "headers of stream 0": (P, lambda _: [raw(1, 4, 0, b"\x88")]),
    "headers of an idle stream": (P, lambda peer: [peer.headers(3)]),
    "headers of a server's stream": (P, lambda peer: [peer.headers(2)]),
    "a reset of stream 0": (P, lambda _: [raw(3, 0, 0, bytes(4))]),
    "a reset of an idle stream": (P, lambda _: [raw(3, 0, 3, bytes(4))]),
    "a reset of another size": (S, lambda _: [raw(3, 0, 1, bytes(5))]),
    "a window of an idle stream": (P, lambda _: [window(3, 5)]),
    "a connection's window that grows by nothing": (P, lambda _: [window(0, 0)]),
    "a connection's window beyond all bounds": (F, lambda _: [window(0, 2**31 - 1)]),
    "a window of another size": (S, lambda _: [raw(8, 0, 0, bytes(3))]),
    "settings of a stream": (P, lambda _: [raw(4, 0, 1)]),
    "settings of another size": (S, lambda _: [raw(4, 0, 0, bytes(5))]),
    "settings in an acknowledgement": (S, lambda _: [raw(4, 1, 0, bytes(6))]),
    "a server that wants pushes": (P, lambda _: [settings("0002 00000001")]),
    "an initial window beyond all bounds": (F, lambda _: [settings("0004 80000000")]),
    "a largest frame below the least": (P, lambda _: [settings("0005 00003fff")]),
    "a largest frame above the most": (P, lambda _: [settings("0005 01000000")]),
    "an initial window that takes a stream's beyond all bounds": (F, lambda _: [window(1, 2**31 - 1 - 65_535), settings("0004 7fffffff")]),
    "a ping of a stream": (P, lambda _: [raw(6, 0, 1, bytes(8))]),
    "a ping of another size": (S, lambda _: [raw(6, 0, 0, bytes(7))]),
    "goaway of a stream": (P, lambda _: [raw(7, 0, 1, bytes(8))]),
    "goaway of another size": (S, lambda _: [raw(7, 0, 0, bytes(7))]),
    "a push": (P, lambda _: [raw(5, 4, 1, bytes(5))]),
    "padding longer than its frame": (P, lambda _: [raw(0, 8, 1, b"\x05ab")]),
    "a continuation of nothing": (P, lambda _: [continuation(1, b"\x88", "END_HEADERS")]),
    "a continuation of another stream": (P, lambda _: [raw(1, 0, 1, b"\x88"), continuation(3, b"", "END_HEADERS")]),
    "another frame in a header block": (P, lambda _: [raw(1, 0, 1, b"\x88"), ping()]),
    "data in a header block": (P, lambda _: [raw(1, 0, 1, b"\x88"), data(1, b"x")]),
    "headers in a header block": (P, lambda peer: [raw(1, 0, 1, b"\x88"), peer.headers(1)]),
    "headers that cannot be decoded": (C, lambda _: [raw(1, 4, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")]),
    "a table larger than allowed": (C, lambda _: [raw(1, 4, 1, b"\x3f\xff\xff\x03\x88")]),
    "a header that points nowhere": (C, lambda _: [raw(1, 4, 1, b"\xfe")]),
    "a header block without an end": (E, lambda _: [raw(1, 0, 1, b""), *[continuation(1, bytes(16_384))] * 5]),
    "a header block in empty pieces": (E, lambda _: [raw(1, 0, 1, b""), *[continuation(1, b"")] * 40]),
    "a header list that unfolds": (E, lambda _: [raw(1, 4, 1, b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000 + b"\xbe" * 20)]),
}


@pytest.mark.parametrize("name", OF_THE_CONNECTION)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_fault_of_the_connection_ends_all_streams(name: str, *, in_pieces: bool) -> None:
    code, make = OF_THE_CONNECTION[name]
    peer = Peer()
    stream = peer.open()
    frames = make(peer)
    for one in frames if in_pieces else [b"".join(one if isinstance(one, bytes) else one.serialize() for one in frames)]:
        peer.give(one)

    assert peer.ended() == (code, True)
    assert stream.ending is Ending.BROKEN
    assert "the peer broke HTTP/2" in stream.reason


def test_more_data_than_the_connections_window_ends_all_streams() -> None:
    peer = Peer()
    streams = [peer.open(head=True) for _ in range(20)]
    peer.connection._credit = 10  # else the window is given back before it can run out
    peer.give(data(streams[0], b"x" * 11))

    assert peer.ended() == (ErrorCode.FLOW_CONTROL_ERROR, True)
    assert {stream.ending for stream in streams} == {Ending.BROKEN}


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        ping().serialize(),
        raw(4, 1, 0),
        goaway(0).serialize(),
        data(1).serialize(),
    ],
    ids=["HTTP/1.1", "PING", "acknowledgement", "GOAWAY", "DATA"],
)
def test_the_first_frame_has_to_be_settings(first: bytes) -> None:
    peer = Peer(greeted=False)
    peer.give(first)

    assert peer.connection.is_closed
    assert peer.ended()[0] in (ErrorCode.PROTOCOL_ERROR, ErrorCode.FRAME_SIZE_ERROR)


def malformed(*fields: tuple[str, str]) -> Make:
    return lambda peer: [peer.headers(1, fields)]


OF_A_STREAM: dict[str, tuple[ErrorCode, Make]] = {
    "data before the head": (P, lambda _: [data(1, b"x")]),
    "an end before the head": (P, lambda _: [data(1, b"", "END_STREAM")]),
    "more data than the window": (
        F,
        lambda peer: [peer.headers(1), *[data(1, bytes(16_384))] * (RECEIVE_WINDOW_BYTES // 16_384), data(1, b"x")],
    ),
    "a window that grows by nothing": (P, lambda _: [window(1, 0)]),
    "a window beyond all bounds": (F, lambda _: [window(1, 2**31 - 1)]),
    "no status": (P, malformed(("content-type", "x"))),
    "no fields": (P, malformed()),
    "two statuses": (P, malformed((":status", "200"), (":status", "200"))),
    "a status that is not first": (P, malformed(("x", "y"), (":status", "200"))),
    "a status of letters": (P, malformed((":status", "abc"))),
    "a status of two digits": (P, malformed((":status", "20"))),
    "an upgrade": (P, malformed((":status", "101"))),
    "a request's field": (P, malformed((":status", "200"), (":path", "/"))),
    "a name in capitals": (P, malformed((":status", "200"), ("Content-Type", "x"))),
    "a name without letters": (P, malformed((":status", "200"), ("", "x"))),
    "a header of HTTP/1.1": (P, malformed((":status", "200"), ("transfer-encoding", "chunked"))),
    "two lengths": (P, malformed((":status", "200"), ("content-length", "1"), ("content-length", "2"))),
    "a length of letters": (P, malformed((":status", "200"), ("content-length", "x"))),
    "an interim head that ends the stream": (P, lambda peer: [peer.headers(1, ((":status", "100"),), "END_STREAM")]),
    "headers in the middle": (P, lambda peer: [peer.headers(1), peer.headers(1)]),
    "trailers with a status": (P, lambda peer: [peer.headers(1), peer.headers(1, OK, "END_STREAM")]),
    "a body that is too short": (
        P,
        lambda peer: [peer.headers(1, ((":status", "200"), ("content-length", "5"))), data(1, b"1234", "END_STREAM")],
    ),
    "a body that is too long": (P, lambda peer: [peer.headers(1, ((":status", "200"), ("content-length", "5"))), data(1, b"123456")]),
    "no body where one was announced": (P, lambda peer: [peer.headers(1, ((":status", "400"), ("content-length", "5")), "END_STREAM")]),
}


@pytest.mark.parametrize("name", OF_A_STREAM)
def test_a_fault_of_a_stream_ends_that_stream_alone(name: str) -> None:
    code, make = OF_A_STREAM[name]
    peer = Peer()
    stream, other = peer.open(), peer.open()
    peer.give(*make(peer))
    ours = peer.reset() if name != "more data than the window" else (1, peer.sent()[-1].error_code)  # type: ignore[attr-defined]
    peer.give(peer.headers(other), data(other, b"goes on"))

    assert ours == (1, code)
    assert stream.ending is Ending.BROKEN
    assert "the peer broke HTTP/2" in stream.reason
    assert peer.connection.take(other) == b"goes on"


@pytest.mark.parametrize("kind", ["data", "headers"])
def test_what_follows_the_end_closes_the_stream_and_leaves_the_response_whole(kind: str) -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"all", "END_STREAM"), data(stream, b"more") if kind == "data" else peer.headers(stream))

    assert peer.reset() == (1, ErrorCode.STREAM_CLOSED)
    assert stream.ending is Ending.IN_ORDER
    assert peer.connection.take(stream) == b"all"


FLOODS: dict[str, Make] = {
    "pings": lambda _: [ping()],
    "answers": lambda _: [ping("ACK")],
    "settings": lambda _: [SettingsFrame(0, {})],
    "acknowledgements": lambda _: [raw(4, 1, 0)],
    "priorities": lambda _: [raw(2, 0, 1, bytes(5))],
    "unknown frames": lambda _: [raw(0x77, 0, 1, b"?")],
    "empty data": lambda _: [data(1)],
    "padding": lambda _: [data(1, b"", pad=3)],
    "empty data of a closed stream": lambda _: [data(3)],
    "headers of a closed stream": lambda _: [raw(1, 4, 3, b"\x88")],
    "resets of a closed stream": lambda _: [raw(3, 0, 3, bytes(4))],
    "announcements of an end": lambda _: [goaway(99)],
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_not_borne(name: str) -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.connection.abandon(peer.open())
    peer.sent()
    one = b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in FLOODS[name](peer))
    peer.give(one * (IDLE_FRAMES_PER_SECOND // 2))
    before = peer.connection.is_closed
    peer.give(one * IDLE_FRAMES_PER_SECOND)

    assert not before
    assert peer.ended() == (ErrorCode.ENHANCE_YOUR_CALM, True)
    assert stream.ending is Ending.BROKEN


def test_interim_heads_without_end_are_not_borne() -> None:
    peer = Peer()
    peer.open()
    interim = raw(1, 4, 1, b"\x08\x03103")  # :status as a literal that goes into no table
    peer.give(interim * (IDLE_FRAMES_PER_SECOND + 1))

    assert peer.ended() == (ErrorCode.ENHANCE_YOUR_CALM, True)


def test_many_frames_over_a_long_time_are_no_flood() -> None:
    peer = Peer()
    peer.open(head=True)
    for second in range(5):
        peer.now = 10.0 + second
        peer.give(ping().serialize() * (IDLE_FRAMES_PER_SECOND - 1))

    assert not peer.connection.is_closed


def test_many_useful_frames_are_no_flood() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    closed = peer.open(head=True)
    peer.connection.abandon(closed)
    for _ in range(3 * IDLE_FRAMES_PER_SECOND):
        peer.give(data(stream, b"x"), data(closed, b"x"), window(1, 1), window(0, 1), window(closed.number, 1))

    assert not peer.connection.is_closed


def test_answers_do_not_pile_up_while_the_peer_reads_nothing() -> None:
    peer = Peer()
    peer.connection.hold()
    for number in range(UNSENT_ANSWERS + 1):
        peer.now = number * 0.1
        peer.give(ping())

    assert peer.ended() == (ErrorCode.ENHANCE_YOUR_CALM, True)


def test_a_peer_that_reads_now_and_then_is_answered() -> None:
    peer = Peer()
    for number in range(3 * UNSENT_ANSWERS):
        peer.now = number * 0.1
        peer.connection.hold()
        peer.give(ping())
        peer.connection.release()

    assert len(peer.sent()) == 3 * UNSENT_ANSWERS


def test_words_of_a_goaway_are_cut_and_printable() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(goaway(0, 11, b"calm\x1b[31m\n" + b"!" * 5000))
    peer.connection.lose("lost")

    assert stream.reason.isprintable()
    assert len(stream.reason) < 300


def test_a_reset_of_a_stream_that_ended_badly_changes_nothing() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(reset(stream, 2))
    reason = stream.reason
    peer.give(reset(stream, 7))

    assert (stream.ending, stream.reason) == (Ending.BROKEN, reason)


def test_a_goaway_frame_is_the_last_that_is_sent() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.connection.send(stream, b"x")
    peer.give(window(0, 0), data(stream, b"y"), ping())

    assert [isinstance(frame, GoAwayFrame) for frame in peer.sent()] == [False, True]
    assert peer.connection.take(stream) == b""


def test_every_secret_name_is_in_small_letters() -> None:
    assert {name.lower() for name in SECRET_NAMES} == SECRET_NAMES


def test_a_head_just_within_the_limit_is_read() -> None:
    peer = Peer()
    stream = peer.open()
    block = peer.block(((":status", "200"), ("x-large", "y" * (MAX_HEAD_BYTES - 2000))))
    pieces = [block[start : start + 16_384] for start in range(0, len(block), 16_384)]
    peer.give(raw(1, 0, 1, pieces[0]), *(continuation(1, piece) for piece in pieces[1:]), continuation(1, b"", "END_HEADERS"))

    assert stream.head is not None
    assert len(stream.head[1][0][1]) == MAX_HEAD_BYTES - 2000

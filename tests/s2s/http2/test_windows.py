"""Flow control: what is written keeps to the peer's windows in fair turns, and what may come is bounded by what is read."""

import pytest
from hyperframe.frame import DataFrame, SettingsFrame, WindowUpdateFrame

from s2s.bedrock.http2.connection import GIVE_BACK_BYTES
from s2s.bedrock.http2.frames import ErrorCode
from s2s.bedrock.http2.settings import CONNECTION_WINDOW_BYTES, DEFAULT_WINDOW
from s2s.bedrock.http2.streams import Ending, Input
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES
from tests.s2s.http2.peer import Peer, data, payloads, reset, window

PIECE = bytes(range(256)) * 4


def sizes(peer: Peer) -> list[tuple[int, int]]:
    return [(frame.stream_id, len(frame.data)) for frame in peer.sent() if isinstance(frame, DataFrame)]


def given_back(peer: Peer) -> dict[int, int]:
    found: dict[int, int] = {}
    for frame in peer.sent():
        if isinstance(frame, WindowUpdateFrame):
            found[frame.stream_id] = found.get(frame.stream_id, 0) + frame.window_increment
    return found


def test_what_the_stream_window_does_not_take_waits_for_it() -> None:
    peer = Peer(settings={4: 1000})
    stream = peer.open()
    peer.connection.send(stream, PIECE)
    peer.connection.send(stream, PIECE)
    first = payloads(peer.sent())
    peer.give(window(1, 500))
    second = payloads(peer.sent())
    peer.give(window(1, 5000))
    third = payloads(peer.sent())

    assert (len(first), len(second)) == (1000, 500)
    assert first + second + third == PIECE * 2
    assert stream.pending == b""


def test_what_the_connection_window_does_not_take_waits_for_it() -> None:
    peer = Peer(settings={4: 2**20})
    stream = peer.open()
    for _ in range(70):
        peer.connection.send(stream, PIECE)
    first = payloads(peer.sent())
    peer.give(window(0, 100))
    second = payloads(peer.sent())
    peer.give(window(0, 2**20))

    assert (len(first), len(second)) == (DEFAULT_WINDOW, 100)
    assert first + second + payloads(peer.sent()) == PIECE * 70


def test_later_data_does_not_overtake_what_waits() -> None:
    peer = Peer(settings={4: 3})
    stream = peer.open()
    peer.connection.send(stream, b"abcdef")
    peer.connection.send(stream, b"gh")
    peer.give(window(1, 100))
    peer.connection.send(stream, b"ij")

    assert payloads(peer.sent()) == b"abcdefghij"


def test_streams_take_turns_in_a_narrow_connection() -> None:
    peer = Peer(settings={4: 2**20})
    streams = [peer.open() for _ in range(3)]
    for stream in streams:
        peer.connection.send(stream, bytes(40_000))
    peer.sent()
    peer.give(window(0, 10 * 16_384))
    turns = [number for number, _ in sizes(peer)]

    assert set(turns[:3]) == {1, 3, 5} or set(turns[:2]) == {3, 5}  # the first stream has sent nearly all before
    assert [len(stream.pending) for stream in streams] == [0, 0, 0]


def test_no_frame_is_larger_than_any_peer_takes() -> None:
    peer = Peer(settings={4: 2**20, 5: 2**20})
    peer.give(window(0, 2**20))
    stream = peer.open()
    peer.connection.send(stream, bytes(50_000))

    assert sizes(peer) == [(1, 16_384), (1, 16_384), (1, 16_384), (1, 848)]


def test_a_peer_may_take_windows_back() -> None:
    peer = Peer(settings={4: 1000})
    stream = peer.open()
    peer.connection.send(stream, bytes(900))
    peer.sent()
    peer.give(SettingsFrame(0, {4: 100}))  # 800 below zero
    peer.connection.send(stream, b"x" * 50)
    peer.give(window(1, 800))
    nothing = payloads(peer.sent())
    peer.give(SettingsFrame(0, {4: 120}))

    assert nothing == b""
    assert payloads(peer.sent()) == b"x" * 20


def test_a_window_that_is_taken_back_while_its_stream_waits_sends_nothing() -> None:
    peer = Peer(settings={4: 100_000})
    stream = peer.open()
    peer.connection.send(stream, bytes(70_000))
    peer.sent()
    peer.give(SettingsFrame(0, {4: 0}), window(0, 100_000))
    nothing = payloads(peer.sent())
    peer.give(SettingsFrame(0, {4: 70_000}))

    assert nothing == b""
    assert len(payloads(peer.sent())) == 70_000 - DEFAULT_WINDOW


def test_a_wider_initial_window_lets_waiting_data_go() -> None:
    peer = Peer(settings={4: 10})
    stream = peer.open()
    peer.connection.send(stream, bytes(100))
    peer.connection.end_input(stream)
    peer.sent()
    peer.give(SettingsFrame(0, {4: 100}))
    sent = [frame for frame in peer.sent() if isinstance(frame, DataFrame)]

    assert [(len(frame.data), set(frame.flags)) for frame in sent] == [(90, {"END_STREAM"})]
    assert stream.input is Input.ENDED


def test_the_end_waits_behind_the_data() -> None:
    peer = Peer(settings={4: 0})
    stream = peer.open()
    peer.connection.send(stream, b"abc")
    peer.connection.end_input(stream)
    waiting = stream.input
    peer.give(window(1, 2))
    part = stream.input
    peer.give(window(1, 1))

    assert (waiting, part, stream.input) == (Input.ENDING, Input.ENDING, Input.ENDED)


def test_an_end_without_data_needs_no_window() -> None:
    peer = Peer(settings={4: 0})
    stream = peer.open()
    peer.connection.end_input(stream)
    (end,) = peer.sent()

    assert set(end.flags) == {"END_STREAM"}


def test_data_waits_while_the_socket_takes_none() -> None:
    peer = Peer()
    stream = peer.open()
    peer.connection.hold()
    peer.connection.send(stream, b"abc")
    peer.give(window(0, 5), window(1, 5))
    held = payloads(peer.sent())
    peer.connection.release()

    assert held == b""
    assert payloads(peer.sent()) == b"abc"


@pytest.mark.parametrize("end", ["reset", "end", "abandon", "lose"])
def test_what_waits_for_a_stream_that_is_over_is_dropped(end: str) -> None:
    peer = Peer(settings={4: 0})
    stream, other = peer.open(head=True), peer.open()
    peer.connection.send(stream, PIECE)
    peer.connection.send(other, b"abc")
    match end:
        case "reset":
            peer.give(reset(stream, 2))
        case "end":
            peer.give(data(stream, b"", "END_STREAM"))
        case "abandon":
            peer.connection.abandon(stream)
        case _:
            peer.connection.lose("lost")
    peer.sent()
    peer.give(window(1, 5000), window(3, 5000))

    assert stream.pending == b""
    assert payloads(peer.sent()) == (b"" if end == "lose" else b"abc")


def test_a_reader_that_keeps_up_gives_windows_back_in_large_pieces() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    updates = 0
    for _ in range(2000):
        peer.give(data(stream, bytes(3000)))
        peer.connection.take(stream)
        updates += len(given_back(peer))

    assert stream.ending is Ending.NOT_YET
    assert updates <= 2000 * 3000 / GIVE_BACK_BYTES + 2000 * 3000 / (CONNECTION_WINDOW_BYTES / 2) + 1


def test_a_reader_that_stands_still_stops_its_own_stream_only() -> None:
    peer = Peer()
    unread, other = peer.open(head=True), peer.open(head=True)
    room = RECEIVE_WINDOW_BYTES
    while room:
        peer.give(data(unread, bytes(16_384)))
        room -= 16_384
    for _ in range(2 * CONNECTION_WINDOW_BYTES // 16_384):
        peer.give(data(other, bytes(16_384)))
        peer.connection.take(other)
    back = given_back(peer)

    assert unread.number not in back
    assert len(unread.unread) == RECEIVE_WINDOW_BYTES
    assert back[0] >= CONNECTION_WINDOW_BYTES
    assert (unread.ending, other.ending) == (Ending.NOT_YET, Ending.NOT_YET)
    assert len(peer.connection.take(unread)) == RECEIVE_WINDOW_BYTES
    assert given_back(peer) == {unread.number: RECEIVE_WINDOW_BYTES}


def test_small_pieces_that_nobody_reads_cost_their_bytes_and_no_more() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    for _ in range(10_000):
        peer.give(data(stream, b"x"))

    assert isinstance(stream.unread, bytearray)
    assert peer.connection.take(stream) == b"x" * 10_000


def test_padding_gives_its_window_back_by_itself() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    for turn in range(4 * RECEIVE_WINDOW_BYTES // 256):
        peer.now = turn * 0.01
        peer.give(data(stream, b"", pad=255))

    assert stream.ending is Ending.NOT_YET
    assert given_back(peer)[stream.number] >= 3 * RECEIVE_WINDOW_BYTES


def test_data_of_closed_streams_is_given_back_to_the_connection() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.connection.abandon(stream)
    for _ in range(3 * CONNECTION_WINDOW_BYTES // 16_384):
        peer.give(data(stream, bytes(16_384)))
    back = given_back(peer)

    assert set(back) == {0}
    assert back[0] >= 2 * CONNECTION_WINDOW_BYTES
    assert not peer.connection.is_closed


def test_no_window_is_given_back_for_a_response_that_has_ended() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(*[data(stream, bytes(16_384))] * 20, data(stream, b"", "END_STREAM"))
    peer.connection.take(stream)

    assert given_back(peer) == {}


def test_a_stream_reset_for_its_window_keeps_what_came_before() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(*[data(stream, bytes(16_384))] * (RECEIVE_WINDOW_BYTES // 16_384), data(stream, b"x"))

    assert peer.sent()[-1].error_code == ErrorCode.FLOW_CONTROL_ERROR  # type: ignore[attr-defined]
    assert len(peer.connection.take(stream)) == RECEIVE_WINDOW_BYTES

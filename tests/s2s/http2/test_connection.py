"""A connection without input and output: requests, responses, and every way in which they end in order or not."""

import logging

import pytest
from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from s2s.bedrock.http2.connection import Phase
from s2s.bedrock.http2.frames import MAX_STREAM_ID, ErrorCode
from s2s.bedrock.http2.settings import CONNECTION_WINDOW_BYTES, DEFAULT_WINDOW
from s2s.bedrock.http2.streams import Ending, Input
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES
from s2s.bedrock.quiet import calm_loggers
from tests.s2s.http2.peer import OK, Peer, continuation, data, goaway, payloads, ping, reset


def test_it_introduces_itself() -> None:
    settings, window = Peer(greeted=False).opening

    assert isinstance(settings, SettingsFrame)
    assert settings.settings == {1: 4096, 2: 0, 4: RECEIVE_WINDOW_BYTES, 6: 64 * 1024}
    assert isinstance(window, WindowUpdateFrame)
    assert (window.stream_id, window.window_increment) == (0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW)


def test_no_stream_fits_before_the_peer_has_said_how_many() -> None:
    peer = Peer(greeted=False)
    before = peer.connection.capacity
    peer.give(SettingsFrame(0, {3: 2}))

    assert before == 0
    assert peer.connection.capacity == 2


def test_the_peers_limit_of_streams_counts_those_that_are_open() -> None:
    peer = Peer(settings={3: 2})
    first = peer.open(head=True)
    peer.open()
    full = peer.connection.capacity
    peer.connection.end_input(first)
    peer.give(data(first, b"", "END_STREAM"))

    assert full == 0
    assert peer.connection.capacity == 1


def test_a_limit_that_is_lowered_lets_open_streams_go_on() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(SettingsFrame(0, {3: 0}), data(stream, b"x"))

    assert peer.connection.capacity == 0
    assert peer.connection.take(stream) == b"x"


def test_a_request_has_its_pseudo_headers_first_and_host_as_authority() -> None:
    peer = Peer()
    peer.connection.open("POST", "/model/x?", [("content-type", "t"), ("host", "h.example"), ("x-twice", "1"), ("x-twice", "2")])

    assert peer.requested() == [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "h.example"),
        (":path", "/model/x?"),
        ("content-type", "t"),
        ("x-twice", "1"),
        ("x-twice", "2"),
    ]


def test_without_a_host_the_endpoint_is_the_authority() -> None:
    peer = Peer()
    peer.connection.open("POST", "/", [])

    assert (":authority", "model.example") in peer.requested()


@pytest.mark.parametrize("name", ["authorization", "x-amz-security-token"])
def test_secrets_are_never_put_into_a_table(name: str) -> None:
    peer = Peer()
    peer.connection.open("POST", "/", [(name, "secret"), ("x-plain", "plain")])
    requested = peer.requested()
    table = {bytes(entry[0]).decode() for entry in peer.decoder.header_table.dynamic_entries}

    assert [field.indexable for (found, _), field in zip(requested, peer.fields, strict=True) if found == name] == [False]
    assert "x-plain" in table
    assert name not in table


def test_a_large_request_head_is_continued() -> None:
    peer = Peer()
    peer.connection.open("POST", "/", [("x-large", "\x00" * 20_000)])

    assert ("x-large", "\x00" * 20_000) in peer.requested()


def test_the_peers_table_size_is_kept() -> None:
    peer = Peer(settings={1: 0})
    peer.decoder.header_table_size = peer.decoder.max_allowed_table_size = 0
    for _ in range(2):
        peer.connection.open("POST", "/", [("x-plain", "value")])
        fields = peer.requested()

        assert ("x-plain", "value") in fields
        assert len(peer.decoder.header_table.dynamic_entries) == 0


def test_stream_ids_count_up_by_two() -> None:
    peer = Peer()

    assert [peer.open().number for _ in range(3)] == [1, 3, 5]


def test_when_the_ids_run_out_the_connection_ends_with_its_last_stream() -> None:
    peer = Peer(first_stream_id=MAX_STREAM_ID - 2)
    first, last = peer.open(head=True), peer.open()
    full = (peer.connection.capacity, peer.connection.phase)
    peer.give(data(first, b"x"))
    peer.connection.abandon(first)
    waiting = peer.connection.phase
    peer.connection.abandon(last)

    assert last.number == MAX_STREAM_ID
    assert full == (0, Phase.DRAINING)
    assert waiting is Phase.DRAINING
    assert peer.connection.phase is Phase.CLOSED


def test_a_response_comes_in_pieces_and_ends() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(peer.headers(stream), data(stream, b"one"), data(stream, b"two"), data(stream, b"three", "END_STREAM"))

    assert stream.head == (200, [OK[1]])
    assert stream.ending is Ending.IN_ORDER
    assert peer.connection.take(stream) == b"onetwothree"
    assert peer.connection.take(stream) == b""


def test_one_piece_is_not_copied() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"one"))
    kept = stream.unread

    assert peer.connection.take(stream) is kept


def test_a_stream_is_over_for_the_connection_when_both_sides_have_ended() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.connection.end_input(stream)
    peer.give(data(stream, b"", "END_STREAM"))

    assert stream.ending is Ending.IN_ORDER
    assert peer.connection.streams == {}


def test_once_the_response_has_ended_the_request_is_not_ended_but_reset() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"", "END_STREAM"))
    peer.connection.end_input(stream)
    waiting = dict(peer.connection.streams)
    peer.connection.abandon(stream)

    assert waiting == {1: stream}
    assert peer.reset() == (1, ErrorCode.CANCEL)
    assert stream.ending is Ending.IN_ORDER


def test_interim_heads_are_passed_over() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(*(peer.headers(stream, ((":status", status), ("x", "y"))) for status in ("100", "103", "103")))
    before = stream.head
    peer.give(peer.headers(stream))

    assert before is None
    assert stream.head == (200, [OK[1]])


def test_trailers_end_a_response() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"body"), peer.headers(stream, (("x-checksum", "1"),), "END_STREAM"))

    assert stream.ending is Ending.IN_ORDER
    assert peer.connection.take(stream) == b"body"


def test_a_head_may_be_the_whole_response() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(peer.headers(stream, ((":status", "403"),), "END_STREAM"))

    assert (stream.head, stream.ending) == ((403, []), Ending.IN_ORDER)


def test_a_head_may_be_padded_prioritised_and_continued() -> None:
    peer = Peer()
    stream = peer.open()
    block = peer.block(OK)
    head = HeadersFrame(stream.number, block[:3], pad_length=7, depends_on=0, stream_weight=3, flags=["PADDED", "PRIORITY"])
    peer.give(head, continuation(stream.number, block[3:5]), continuation(stream.number, b""))
    peer.give(continuation(stream.number, block[5:], "END_HEADERS"))

    assert stream.head == (200, [OK[1]])


@pytest.mark.parametrize(
    ("method", "status", "body"),
    [("POST", "200", b"12345"), ("HEAD", "200", b""), ("POST", "304", b""), ("POST", "204", b"")],
)
def test_a_body_of_the_announced_length_is_whole(method: str, status: str, body: bytes) -> None:
    peer = Peer()
    stream = peer.open(method)
    peer.give(peer.headers(stream, ((":status", status), ("content-length", "5"))), data(stream, body, "END_STREAM"))

    assert stream.ending is Ending.IN_ORDER


def test_padding_is_no_data() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"a", pad=200), data(stream, b"", pad=10), data(stream, b"b", "END_STREAM", pad=1))

    assert peer.connection.take(stream) == b"ab"


def test_a_request_is_written_and_ended() -> None:
    peer = Peer()
    stream = peer.open()
    peer.connection.send(stream, b"one")
    peer.connection.send(stream, b"")
    peer.connection.send(stream, b"two")
    peer.connection.end_input(stream)
    peer.connection.end_input(stream)
    sent = peer.sent()

    assert [(type(frame), frame.stream_id, set(frame.flags)) for frame in sent] == [
        (DataFrame, 1, set()),
        (DataFrame, 1, set()),
        (DataFrame, 1, {"END_STREAM"}),
    ]
    assert payloads(sent) == b"onetwo"
    assert stream.input is Input.ENDED


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_reset_in_the_middle_breaks_the_stream_and_names_the_code(code: ErrorCode) -> None:
    peer = Peer()
    stream, other = peer.open(head=True), peer.open(head=True)
    peer.give(data(stream, b"before"), reset(stream, code), data(other, b"goes on"))

    assert stream.ending is Ending.BROKEN
    assert code is ErrorCode.REFUSED_STREAM or code.name in stream.reason
    assert peer.connection.take(stream) == b"before"
    assert peer.connection.take(other) == b"goes on"
    assert peer.connection.streams == {other.number: other}


def test_an_unknown_code_is_named_by_its_number() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(reset(stream, 0x1234))

    assert "0x1234" in stream.reason


def test_a_reset_after_the_whole_response_is_no_failure() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"all", "END_STREAM"), reset(stream, ErrorCode.NO_ERROR))

    assert stream.ending is Ending.IN_ORDER
    assert peer.connection.take(stream) == b"all"
    assert peer.connection.streams == {}


def test_a_stream_is_refused_only_when_nothing_was_done_for_it() -> None:
    peer = Peer()
    untouched, begun = peer.open(), peer.open(head=True)
    peer.give(reset(untouched, ErrorCode.REFUSED_STREAM), reset(begun, ErrorCode.REFUSED_STREAM))

    assert (untouched.ending, begun.ending) == (Ending.REFUSED, Ending.BROKEN)


def test_goaway_refuses_later_streams_and_lets_earlier_ones_end() -> None:
    peer = Peer()
    first, second, third = (peer.open() for _ in range(3))
    peer.give(goaway(second.number, ErrorCode.NO_ERROR, b"maintenance\n"))
    after = (first.ending, second.ending, third.ending, peer.connection.phase, peer.connection.capacity)
    peer.give(peer.headers(first), data(first, b"still", "END_STREAM"))
    peer.connection.end_input(second)
    peer.give(peer.headers(second), data(second, b"here", "END_STREAM"))
    waiting = peer.connection.phase
    peer.connection.abandon(first)

    assert after == (Ending.NOT_YET, Ending.NOT_YET, Ending.REFUSED, Phase.DRAINING, 0)
    assert "NO_ERROR (maintenance)" in third.reason
    assert (peer.connection.take(second), second.ending) == (b"here", Ending.IN_ORDER)
    assert (waiting, peer.connection.phase) == (Phase.DRAINING, Phase.CLOSED)


def test_a_second_goaway_may_name_an_earlier_stream() -> None:
    peer = Peer()
    first, second = peer.open(), peer.open()
    peer.give(goaway(MAX_STREAM_ID))
    kept = second.ending
    peer.give(goaway(first.number))

    assert (kept, first.ending, second.ending) == (Ending.NOT_YET, Ending.NOT_YET, Ending.REFUSED)


def test_goaway_without_streams_closes() -> None:
    peer = Peer()
    peer.give(goaway(0))

    assert peer.connection.phase is Phase.CLOSED


def test_the_loss_of_the_connection_breaks_every_stream_and_remembers_the_goaway() -> None:
    peer = Peer()
    streams = [peer.open(), peer.open(head=True)]
    peer.give(data(streams[1], b"unread"), goaway(99, ErrorCode.INTERNAL_ERROR))
    peer.connection.lose("the peer closed the TCP connection")

    assert [stream.ending for stream in streams] == [Ending.BROKEN, Ending.BROKEN]
    assert "TCP" in streams[0].reason
    assert "INTERNAL_ERROR" in streams[0].reason
    assert peer.connection.take(streams[1]) == b"unread"


def test_letting_go_resets_with_cancel_and_drops_what_was_not_read() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.give(data(stream, b"unread"))
    peer.connection.abandon(stream)
    peer.connection.abandon(stream)

    assert peer.reset() == (1, ErrorCode.CANCEL)
    assert stream.ending is Ending.BROKEN
    assert peer.connection.take(stream) == b""


def test_letting_go_of_what_has_ended_on_both_sides_sends_nothing() -> None:
    peer = Peer()
    stream = peer.open(head=True)
    peer.connection.end_input(stream)
    peer.sent()
    peer.give(data(stream, b"", "END_STREAM"))
    peer.connection.abandon(stream)

    assert peer.sent() == []
    assert stream.ending is Ending.IN_ORDER


def test_what_is_still_on_its_way_to_a_closed_stream_means_nothing() -> None:
    peer = Peer()
    stream, other = peer.open(head=True), peer.open()
    peer.connection.abandon(stream)
    peer.sent()
    trailers = peer.headers(stream, (("x-late", "indexed"),), "END_STREAM")
    peer.give(data(stream, b"late"), trailers, reset(stream, 8))
    peer.give(peer.headers(other, ((":status", "200"), ("x-late", "indexed"))))  # refers to the table entry of the late block

    assert other.head == (200, [("x-late", "indexed")])
    assert not peer.connection.is_closed


def test_a_ping_is_answered_and_an_answer_is_not() -> None:
    peer = Peer()
    peer.give(ping(), ping("ACK"))
    (answer,) = peer.sent()

    assert isinstance(answer, PingFrame)
    assert (answer.opaque_data, set(answer.flags)) == (b"12345678", {"ACK"})


def test_it_can_ask_for_a_sign_of_life() -> None:
    peer = Peer()
    peer.connection.ping()
    (asked,) = peer.sent()

    assert isinstance(asked, PingFrame)
    assert set(asked.flags) == set()


def test_closing_says_goodbye_once_and_ends_all_streams() -> None:
    peer = Peer()
    stream = peer.open()
    peer.connection.close("closed by this side")
    peer.connection.close("again")

    assert peer.ended() == (ErrorCode.NO_ERROR, True)
    assert (stream.ending, stream.reason) == (Ending.BROKEN, "closed by this side")
    assert peer.sent() == []


def test_unknown_frames_and_settings_mean_nothing() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(SettingsFrame(0, {0x99: 7}), b"\0\0\x03\xbe\xff\0\0\0\x01abc", peer.headers(stream))

    assert stream.head is not None


def test_a_stream_on_a_full_connection_is_our_own_mistake() -> None:
    peer = Peer(settings={3: 0})

    with pytest.raises(RuntimeError):
        peer.open()


def test_frames_may_come_in_any_pieces() -> None:
    peer = Peer()
    stream = peer.open()
    whole = b"".join(one.serialize() for one in (peer.headers(stream), data(stream, b"x" * 1000), ping(), data(stream, b"y", "END_STREAM")))
    for place in range(0, len(whole), 7):
        peer.give(whole[place : place + 7])

    assert peer.connection.take(stream) == b"x" * 1000 + b"y"
    assert stream.ending is Ending.IN_ORDER
    assert isinstance(peer.sent()[0], PingFrame)


def test_what_comes_after_the_connection_was_closed_means_nothing() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(goaway(0), peer.headers(stream), ping())
    peer.sent()
    peer.give(peer.headers(stream), ping())

    assert peer.sent() == []
    assert stream.head is None


def test_resets_are_not_echoed() -> None:
    peer = Peer()
    stream = peer.open()
    peer.give(reset(stream, 2))

    assert not any(isinstance(frame, RstStreamFrame) for frame in peer.sent())


def test_no_header_is_logged_whatever_the_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    calm_loggers()
    peer = Peer()
    peer.connection.open("POST", "/", [("authorization", "secret")])
    peer.give(peer.headers(1, ((":status", "200"), ("x-secret", "secret"))))

    assert [record.name for record in caplog.records if record.name.startswith(("hpack", "s2s"))] == []

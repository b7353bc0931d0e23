"""HTTP/2 as RFC 9113 and RFC 7541 ask for it, one requirement a row: what must be taken, and what must be refused in which way.

The rows follow the sections that h2spec checks (its groups "generic", "http2" and "hpack"). A row of `BROKEN` sends frames and names the
complaint: of the connection (GOAWAY with the code, then the end of the connection) or of the stream (RST_STREAM with the code). A stream
error may be answered as a connection error (RFC 9113 5.4.2); the `h2` library does so for frames of a wrong length and for an increment of
0, while a malformed request costs its stream alone.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from h2.errors import ErrorCodes

from nova_sonic_local.http2 import MAX_STREAMS_PER_CONNECTION
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from tests.emulator.frames import ACK, END_HEADERS, END_STREAM, PADDED, PREFACE, PRIORITISED, Kind, Peer, frame, settings

PROTOCOL = ErrorCodes.PROTOCOL_ERROR
FLOW = ErrorCodes.FLOW_CONTROL_ERROR
CLOSED = ErrorCodes.STREAM_CLOSED
SIZE = ErrorCodes.FRAME_SIZE_ERROR
REFUSED = ErrorCodes.REFUSED_STREAM
COMPRESSION = ErrorCodes.COMPRESSION_ERROR
MOST = 0x7FFF_FFFF
LARGEST_FRAME = 16_384

type Script = Callable[[Peer], list[bytes]]


@dataclass(frozen=True)
class Broken:
    section: str
    what: str
    script: Script
    code: ErrorCodes
    scope: str = "connection"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, Peer(emulator.h2c_endpoint) as one:
        yield one


def opened(one: Peer, stream_id: int = 1) -> bytes:
    """Return a request that stays open."""
    return one.head(stream_id, one.stream_request(), END_HEADERS)


def half_closed(one: Peer, stream_id: int = 1) -> bytes:
    """Return a request that is complete, and whose response is withheld: the window for it is empty."""
    return settings((4, 0)) + one.head(stream_id, one.request())


def reset(stream_id: int = 1, code: int = 8) -> bytes:
    return frame(Kind.RST_STREAM, 0, stream_id, code.to_bytes(4))


def window(increment: int, stream_id: int = 0) -> bytes:
    return frame(Kind.WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4))


def priority(stream_id: int, depends_on: int = 0) -> bytes:
    return frame(Kind.PRIORITY, 0, stream_id, depends_on.to_bytes(4) + b"\x0f")


def data(stream_id: int = 1, payload: bytes = b"test", flags: int = 0) -> bytes:
    return frame(Kind.DATA, flags, stream_id, payload)


def goaway(stream_id: int = 0, code: int = 0) -> bytes:
    return frame(Kind.GOAWAY, 0, stream_id, bytes(4) + code.to_bytes(4))


def headers(one: Peer, *more: tuple[str, str], flags: int = END_HEADERS | END_STREAM, **changed: str | None) -> list[bytes]:
    return [one.head(1, [*one.request(**changed), *more], flags)]


def split_block(one: Peer, between: bytes) -> list[bytes]:
    """Return a header block with something between its two frames."""
    block = one.encoder.encode(one.request())
    return [frame(Kind.HEADERS, END_STREAM, 1, block[:3]), between, frame(Kind.CONTINUATION, END_HEADERS, 1, block[3:])]


def raw_block(block: bytes) -> Script:
    return lambda _one: [frame(Kind.HEADERS, END_HEADERS | END_STREAM, 1, block)]


def plain(*pieces: bytes) -> Script:
    return lambda _one: list(pieces)


def after_open(*pieces: bytes) -> Script:
    return lambda one: [opened(one), *pieces]


def after_half_closed(*pieces: bytes) -> Script:
    return lambda one: [half_closed(one), *pieces]


def field(*more: tuple[str, str]) -> Script:
    return lambda one: headers(one, *more)


def without(name: str) -> Script:
    return lambda one: [one.head(1, [pair for pair in one.request() if pair[0] != f":{name}"])]


BROKEN = [
    Broken("4.2", "DATA larger than SETTINGS_MAX_FRAME_SIZE", after_open(data(payload=bytes(LARGEST_FRAME + 1))), SIZE),
    Broken("4.2", "HEADERS larger than SETTINGS_MAX_FRAME_SIZE", lambda one: headers(one, ("x", "é" * LARGEST_FRAME)), SIZE),
    Broken("4.3", "a header block that cannot be decoded", raw_block(b"\x40\x01"), COMPRESSION),
    Broken("4.3", "PRIORITY inside a header block", lambda one: split_block(one, priority(1)), PROTOCOL),
    Broken("4.3", "HEADERS of another stream inside a header block", lambda one: split_block(one, one.head(3, one.request())), PROTOCOL),
    Broken("5.1", "DATA on an idle stream", plain(data()), PROTOCOL),
    Broken("5.1", "RST_STREAM on an idle stream", plain(reset()), PROTOCOL),
    Broken("5.1", "WINDOW_UPDATE on an idle stream", plain(window(100, 1)), PROTOCOL),
    Broken("5.1", "CONTINUATION on an idle stream", plain(frame(Kind.CONTINUATION, END_HEADERS, 1, b"\x82")), PROTOCOL),
    Broken("5.1", "DATA on a half-closed stream", after_half_closed(data()), CLOSED, "stream"),
    Broken("5.1", "HEADERS on a half-closed stream", lambda one: [half_closed(one), one.head(1, one.request())], CLOSED, "stream"),
    Broken("5.1", "CONTINUATION on a half-closed stream", after_half_closed(frame(Kind.CONTINUATION, END_HEADERS, 1, b"\x82")), PROTOCOL),
    Broken("5.1", "DATA on a stream that was reset", after_open(reset(), data()), CLOSED, "stream"),
    Broken("5.1", "HEADERS on a stream that was reset", lambda one: [opened(one), reset(), one.head(1, one.request())], CLOSED, "stream"),
    Broken("5.1", "CONTINUATION on a reset stream", after_open(reset(), frame(Kind.CONTINUATION, END_HEADERS, 1, b"\x82")), PROTOCOL),
    Broken("5.1.1", "a stream of an even number", lambda one: [one.head(2, one.request())], PROTOCOL),
    Broken("5.1.1", "a stream of a lower number", lambda one: [opened(one, 5), one.head(3, one.request())], PROTOCOL),
    Broken("5.4.1", "a malformed frame ends the connection", plain(frame(Kind.PING, payload=bytes(7))), SIZE),
    Broken("5.5", "an unknown frame inside a header block", lambda one: split_block(one, frame(0xFA, payload=bytes(8))), PROTOCOL),
    Broken("6.1", "DATA on stream 0", after_open(data(0)), PROTOCOL),
    Broken("6.1", "DATA with more padding than payload", after_open(data(payload=b"\x06test", flags=PADDED)), PROTOCOL),
    Broken("6.2", "HEADERS on stream 0", lambda one: [one.head(0, one.request())], PROTOCOL),
    Broken(
        "6.2",
        "HEADERS with more padding than payload",
        lambda one: [frame(Kind.HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + one.encoder.encode(one.request()))],
        PROTOCOL,
    ),
    Broken("6.3", "PRIORITY on stream 0", plain(priority(0)), PROTOCOL),
    Broken("6.3", "PRIORITY of a wrong length", after_open(frame(Kind.PRIORITY, 0, 1, bytes(4))), SIZE),
    Broken("6.4", "RST_STREAM on stream 0", plain(reset(0)), PROTOCOL),
    Broken("6.4", "RST_STREAM of a wrong length", after_open(frame(Kind.RST_STREAM, 0, 1, bytes(3))), SIZE),
    # The RFC's code is FRAME_SIZE_ERROR; `h2` refuses the frame's data before it looks at its size.
    Broken("6.5", "a SETTINGS acknowledgement with a payload", plain(frame(Kind.SETTINGS, ACK, payload=bytes(6))), PROTOCOL),
    Broken("6.5", "SETTINGS on a stream", after_open(frame(Kind.SETTINGS, 0, 1)), PROTOCOL),
    Broken("6.5", "SETTINGS of a wrong length", plain(frame(Kind.SETTINGS, payload=bytes(3))), SIZE),
    Broken("6.5.2", "ENABLE_PUSH other than 0 and 1", plain(settings((2, 2))), PROTOCOL),
    Broken("6.5.2", "INITIAL_WINDOW_SIZE above the largest", plain(settings((4, MOST + 1))), FLOW),
    Broken("6.5.2", "MAX_FRAME_SIZE below the least", plain(settings((5, LARGEST_FRAME - 1))), PROTOCOL),
    Broken("6.5.2", "MAX_FRAME_SIZE above the largest", plain(settings((5, 1 << 24))), PROTOCOL),
    Broken("6.6", "PUSH_PROMISE of a client", lambda one: [opened(one), frame(Kind.PUSH_PROMISE, END_HEADERS, 1, bytes(4))], PROTOCOL),
    Broken("6.7", "PING on a stream", after_open(frame(Kind.PING, 0, 1, bytes(8))), PROTOCOL),
    Broken("6.7", "PING of a wrong length", plain(frame(Kind.PING, payload=bytes(6))), SIZE),
    Broken("6.8", "GOAWAY on a stream", after_open(goaway(1)), PROTOCOL),
    Broken("6.8", "GOAWAY of a wrong length", plain(frame(Kind.GOAWAY, payload=bytes(7))), SIZE),
    Broken("6.9", "a window increment of 0 for the connection", plain(window(0)), PROTOCOL),
    Broken("6.9", "a window increment of 0 for a stream", after_open(window(0, 1)), PROTOCOL),
    Broken("6.9", "WINDOW_UPDATE of a wrong length", plain(frame(Kind.WINDOW_UPDATE, payload=bytes(3))), SIZE),
    Broken("6.9.1", "a window of the connection above the largest", plain(window(MOST)), FLOW),
    Broken("6.9.1", "a window of a stream above the largest", after_open(window(MOST, 1)), FLOW, "stream"),
    Broken("6.9.2", "INITIAL_WINDOW_SIZE that makes a window too large", after_open(window(100, 1), settings((4, MOST))), FLOW),
    Broken("6.10", "a header block that is not continued", lambda one: split_block(one, data()), PROTOCOL),
    Broken("6.10", "CONTINUATION on stream 0", lambda one: split_block(one, frame(Kind.CONTINUATION, END_HEADERS, 0)), PROTOCOL),
    Broken("6.10", "CONTINUATION of another stream", lambda one: split_block(one, frame(Kind.CONTINUATION, END_HEADERS, 3)), PROTOCOL),
    Broken("6.10", "CONTINUATION after a complete block", after_open(frame(Kind.CONTINUATION, END_HEADERS, 1, b"\x82")), PROTOCOL),
    Broken("6.10", "CONTINUATION after DATA", after_open(data(), frame(Kind.CONTINUATION, END_HEADERS, 1, b"\x82")), PROTOCOL),
    Broken(
        "8.1",
        "HEADERS again that do not end the request",
        lambda one: [opened(one), one.head(1, [("x", "y")], END_HEADERS)],
        PROTOCOL,
    ),
    Broken("8.1", "pseudo-fields in trailers", lambda one: [opened(one), one.head(1, [(":method", "GET")])], PROTOCOL, "stream"),
    Broken(
        "8.1.1", "less data than content-length", lambda one: [*_with_length(one, "3", data(payload=b"ab", flags=END_STREAM))], PROTOCOL
    ),
    Broken(
        "8.1.1", "more data than content-length", lambda one: [*_with_length(one, "1", data(payload=b"ab", flags=END_STREAM))], PROTOCOL
    ),
    Broken("8.2.1", "an upper-case name", field(("X-Test", "1")), PROTOCOL, "stream"),
    Broken("8.2.1", "an empty name", field(("", "1")), PROTOCOL, "stream"),
    Broken("8.2.1", "a name with a space", field(("x test", "1")), PROTOCOL, "stream"),
    Broken("8.2.1", "a name with a colon inside", field(("x:y", "1")), PROTOCOL, "stream"),
    Broken("8.2.1", "a value with a line break", field(("x", "1\r\ny: 2")), PROTOCOL, "stream"),
    Broken("8.2.1", "a value with a zero byte", field(("x", "1\x00")), PROTOCOL, "stream"),
    Broken("8.2.1", "a value that begins with a space", field(("x", " 1")), PROTOCOL, "stream"),
    Broken("8.2.1", "a value that ends with a tab", field(("x", "1\t")), PROTOCOL, "stream"),
    *(
        Broken("8.2.2", f"the connection-specific field {name}", field((name, value)), PROTOCOL, "stream")
        for name, value in [
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        ]
    ),
    Broken("8.2.2", "TE other than trailers", field(("te", "trailers, deflate;q=0.5")), PROTOCOL, "stream"),
    Broken("8.3", "an unknown pseudo-field", lambda one: [one.head(1, [(":test", "ok"), *one.request()])], PROTOCOL, "stream"),
    Broken("8.3", "a pseudo-field of responses", lambda one: [one.head(1, [*one.request(), (":status", "200")])], PROTOCOL, "stream"),
    Broken("8.3", "a pseudo-field after a regular one", lambda one: [one.head(1, [("x", "y"), *one.request()])], PROTOCOL, "stream"),
    *(Broken("8.3.1", f"no :{name}", without(name), PROTOCOL, "stream") for name in ("method", "scheme", "path")),
    *(
        Broken("8.3.1", f":{name} twice", field((f":{name}", "x")), PROTOCOL, "stream")
        for name in ("method", "scheme", "path", "authority")
    ),
    Broken("8.3.1", "an empty :path", lambda one: headers(one, path=""), PROTOCOL, "stream"),
    Broken("8.3.1", "a Host that differs from :authority", field(("host", "elsewhere")), PROTOCOL, "stream"),
    Broken("RFC 7541 2.3.3", "an index beyond the tables", raw_block(b"\xff\x20"), COMPRESSION),
    Broken("RFC 7541 4.2", "a table size update at the end of a block", lambda one: [_with_suffix(one, b"\x20")], COMPRESSION),
    Broken("RFC 7541 5.2", "padding of Huffman code longer than 7 bits", raw_block(b"\x82\x86\x84\x40\x01x\x83\xf8\xff\xff"), COMPRESSION),
    Broken("RFC 7541 5.2", "padding of Huffman code that is not ones", raw_block(b"\x82\x86\x84\x40\x01x\x81\x18"), COMPRESSION),
    Broken(
        "RFC 7541 5.2",
        "the end-of-string symbol inside Huffman code",
        raw_block(b"\x82\x86\x84\x40\x01x\x85\xff\xff\xff\xff\xff"),
        COMPRESSION,
    ),
    Broken("RFC 7541 6.1", "index 0", raw_block(b"\x80"), COMPRESSION),
    Broken("RFC 7541 6.3", "a table size update above the limit", raw_block(b"\x3f\xe2\x1f\x82\x86\x84"), COMPRESSION),
]


def _with_length(one: Peer, length: str, body: bytes) -> list[bytes]:
    return [one.head(1, [*one.stream_request(), ("content-length", length)], END_HEADERS), body]


def _with_suffix(one: Peer, suffix: bytes) -> bytes:
    return frame(Kind.HEADERS, END_HEADERS | END_STREAM, 1, one.encoder.encode(one.request()) + suffix)


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: f"{row.section} {row.what}")
async def test_what_is_broken_is_refused_where_it_happened(peer: Peer, row: Broken) -> None:
    peer.send(*row.script(peer))

    assert await peer.verdict() == (row.scope, row.code)


@pytest.mark.parametrize("row", [row for row in BROKEN if row.scope == "stream"], ids=lambda row: f"{row.section} {row.what}")
async def test_a_broken_stream_leaves_the_others_alone(peer: Peer, row: Broken) -> None:
    peer.send(*row.script(peer))
    await peer.verdict()
    peer.send(peer.head(7, peer.request()))

    assert await peer.status(7) == 404


TAKEN: list[tuple[str, str, Script]] = [
    ("4.1", "a frame of an unknown type", plain(frame(0xFA, payload=bytes(8)))),
    ("4.1", "undefined flags", plain(frame(Kind.PING, 0x16, payload=b"flagged!"))),
    ("4.1", "the reserved bit", plain(frame(Kind.PING, 0, 1 << 31, b"reserved"))),
    ("4.2", "DATA of the largest size", after_open(data(payload=bytes(LARGEST_FRAME)))),
    ("5.1", "PRIORITY on an idle stream", plain(priority(1))),
    ("5.1", "WINDOW_UPDATE on a half-closed stream", after_half_closed(window(1, 1))),
    ("5.1", "PRIORITY on a half-closed stream", after_half_closed(priority(1))),
    ("5.1", "RST_STREAM on a half-closed stream", after_half_closed(reset())),
    ("5.1", "PRIORITY on a closed stream", after_open(reset(), priority(1))),
    ("5.1", "WINDOW_UPDATE on a closed stream", after_open(reset(), window(1, 1))),
    ("5.1", "RST_STREAM on a closed stream", after_open(reset(), reset())),
    ("5.3", "PRIORITY in every form", plain(priority(1), priority(3, 1), priority(5, (1 << 31) | 3))),
    ("6.1", "DATA with padding", after_open(data(payload=b"\x06test" + bytes(6), flags=PADDED))),
    ("6.1", "DATA that is empty", after_open(data(payload=b""))),
    ("6.5", "an empty SETTINGS", plain(settings())),
    ("6.5", "every known setting", plain(settings((1, 4096), (2, 0), (3, 100), (4, 65_535), (5, 16_384), (6, 10_000)))),
    ("6.5.2", "an unknown setting", plain(settings((0xFF, 0)))),
    ("6.8", "GOAWAY with an unknown code", plain(goaway(code=0xFF))),
    ("6.9", "WINDOW_UPDATE of the connection and of a stream", after_open(window(1), window(1, 1))),
    ("7", "RST_STREAM with an unknown code", after_open(reset(code=0xFF))),
    ("8.1", "trailers", lambda one: [opened(one), one.head(1, [("x", "y")])]),
]


@pytest.mark.parametrize(("section", "what", "script"), TAKEN, ids=[f"{section} {what}" for section, what, _ in TAKEN])
async def test_what_is_allowed_is_taken(peer: Peer, section: str, what: str, script: Script) -> None:
    peer.send(*script(peer))

    assert await peer.is_alive()
    assert not [found for found in peer.frames if found.kind == Kind.GOAWAY]


HEADS: list[tuple[str, str, Script]] = [
    ("8.3.1", "GET", headers),
    ("8.3.1", "HEAD", lambda one: headers(one, method="HEAD")),
    ("8.3.1", "POST with data", lambda one: [*headers(one, flags=END_HEADERS, method="POST"), data(flags=END_STREAM)]),
    ("8.3.1", "no :authority, but Host", lambda one: headers(one, ("host", "x"), authority=None)),
    ("8.3.1", "Host equal to :authority", lambda one: headers(one, ("host", one.url.netloc))),
    ("8.2.2", "TE of trailers", lambda one: headers(one, ("te", "trailers"))),
    ("8.1.1", "a content-length that is right", lambda one: [*headers(one, ("content-length", "4"), flags=END_HEADERS), data(flags=1)]),
    ("8.2.1", "a value that is empty", lambda one: headers(one, ("x", ""))),
    ("6.2", "HEADERS with padding", lambda one: [frame(Kind.HEADERS, 0xD, 1, b"\x02" + one.encoder.encode(one.request()) + bytes(2))]),
    (
        "6.2",
        "HEADERS with a priority",
        lambda one: [frame(Kind.HEADERS, 0x5 | PRIORITISED, 1, bytes(4) + b"\x0f" + one.encoder.encode(one.request()))],
    ),
    ("6.10", "CONTINUATION", lambda one: split_block(one, b"")),
    ("6.10", "many CONTINUATIONs", lambda one: _in_pieces(one, 4)),
    ("RFC 7541 6.1", "indexed fields", raw_block(b"\x82\x86\x84\x41\x01x")),
    ("RFC 7541 6.2.1", "a literal with indexing, name new", raw_block(b"\x82\x86\x84\x41\x01x\x40\x01n\x01v")),
    ("RFC 7541 6.2.2", "a literal without indexing, name indexed", raw_block(b"\x82\x86\x84\x41\x01x\x0f\x2b\x01v")),
    ("RFC 7541 6.2.2", "a literal without indexing, name new", raw_block(b"\x82\x86\x84\x41\x01x\x00\x01n\x01v")),
    ("RFC 7541 6.2.3", "a literal never indexed", raw_block(b"\x82\x86\x84\x41\x01x\x10\x01n\x01v")),
    ("RFC 7541 5.2", "a text in Huffman code", raw_block(b"\x82\x86\x84\x41\x01x\x40\x01n\x82\x11\x3f")),
    ("RFC 7541 6.3", "a table size update at the beginning", raw_block(b"\x20\x82\x86\x84\x41\x01x")),
    ("RFC 7541 6.3", "two table size updates", raw_block(b"\x20\x3f\xe1\x1f\x82\x86\x84\x41\x01x")),
]


def _in_pieces(one: Peer, count: int) -> list[bytes]:
    block = one.encoder.encode(one.request())
    pieces = [block[index : index + 1] for index in range(count - 1)] + [block[count - 1 :]]
    last = len(pieces) - 1
    first = frame(Kind.HEADERS, END_STREAM, 1, pieces[0])
    return [first, *(frame(Kind.CONTINUATION, END_HEADERS * (index == last), 1, pieces[index]) for index in range(1, count))]


@pytest.mark.parametrize(("section", "what", "script"), HEADS, ids=[f"{section} {what}" for section, what, _ in HEADS])
async def test_a_request_in_any_legal_form_is_answered(peer: Peer, section: str, what: str, script: Script) -> None:
    peer.send(*script(peer))

    assert await peer.status(1) == 404


# Preface, acknowledgements and windows, each with a story of its own.


async def test_the_server_begins_with_settings() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, Peer(emulator.h2c_endpoint) as one:
        assert (one.frames[0].kind, one.frames[0].flags) == (Kind.SETTINGS, 0)


async def test_a_wrong_preface_ends_the_connection() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, Peer(emulator.h2c_endpoint, has_preface=False) as one:
        one.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        await one.closed()

        assert [found.kind for found in one.frames if found.kind != Kind.SETTINGS] == [Kind.WINDOW_UPDATE]


async def test_a_preface_without_settings_is_a_protocol_error() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator, Peer(emulator.h2c_endpoint, has_preface=False) as one:
        one.send(PREFACE, frame(Kind.PING, payload=bytes(8)))

        assert await one.verdict() == ("connection", PROTOCOL)


async def test_settings_are_acknowledged(peer: Peer) -> None:
    peer.send(settings((4, 1_000)))
    acknowledgement = await peer.until(lambda found: found.kind == Kind.SETTINGS and found.flags & ACK, 2)

    assert acknowledgement.payload == b""


async def test_a_ping_is_answered_with_its_payload_and_an_answer_is_not_answered(peer: Peer) -> None:
    peer.send(frame(Kind.PING, ACK, payload=b"invalid!"), frame(Kind.PING, payload=b"h2spec.."))
    answer = await peer.until(Kind.PING)

    assert (answer.flags, answer.payload) == (ACK, b"h2spec..")


async def test_more_streams_than_allowed_are_refused_one_by_one(peer: Peer) -> None:
    numbers = [2 * index + 1 for index in range(MAX_STREAMS_PER_CONNECTION + 1)]
    peer.send(*(opened(peer, number) for number in numbers))
    refused = await peer.until(lambda found: found.kind == Kind.RST_STREAM and found.error_code == REFUSED)

    assert refused.stream_id == numbers[-1]
    assert await peer.is_alive()


async def test_no_more_is_sent_than_the_window_allows(peer: Peer) -> None:
    peer.send(settings((4, 1)), peer.head(1, peer.request()))
    first = await peer.until(Kind.DATA)
    await peer.is_alive()
    in_a_window_of_one = [found.payload for found in peer.frames if found.kind == Kind.DATA]
    peer.send(window(1, 1))
    await peer.until(Kind.DATA, 2)
    peer.send(window(10_000, 1))
    body = await peer.body(1)

    assert in_a_window_of_one == [first.payload]
    assert len(first.payload) == 1
    assert body == b'{"message":"There is no such operation here."}'


async def test_a_changed_initial_window_changes_open_windows_even_below_zero(peer: Peer) -> None:
    peer.send(settings((4, 3)), peer.head(1, peer.request()))
    await peer.until(Kind.DATA)
    peer.send(settings((4, 0)), window(3, 1))
    await peer.is_alive()
    while_negative = b"".join(found.payload for found in peer.frames if found.kind == Kind.DATA)
    peer.send(window(2, 1))
    await peer.until(Kind.DATA, 2)
    await peer.is_alive()
    when_positive = b"".join(found.payload for found in peer.frames if found.kind == Kind.DATA)

    assert (while_negative, when_positive) == (b'{"m', b'{"mes')


async def test_the_last_of_several_values_of_a_setting_counts(peer: Peer) -> None:
    peer.send(settings((4, 100), (4, 1)), peer.head(1, peer.request()))
    first = await peer.until(Kind.DATA)

    assert len(first.payload) == 1


async def test_unread_data_beyond_the_window_of_a_stream_is_a_flow_control_error() -> None:
    async with NovaSonicLocal(Options(brain="echo", fault="slow_reader@0")) as emulator, Peer(emulator.h2c_endpoint) as one:
        one.send(opened(one), *(data(payload=bytes(LARGEST_FRAME)) for _ in range(5)))

        assert (await one.verdict())[1] == FLOW


async def test_a_connection_error_is_told_once_and_nothing_is_taken_after_it(peer: Peer) -> None:
    peer.send(frame(Kind.PING, payload=bytes(6)), peer.head(1, peer.request()))
    await peer.closed()

    assert [found.kind for found in peer.frames if found.kind in (Kind.GOAWAY, Kind.HEADERS)] == [Kind.GOAWAY]


async def test_after_goaway_of_the_client_its_streams_go_on(peer: Peer) -> None:
    peer.send(opened(peer), goaway(), data(payload=b"no message"), data(flags=END_STREAM))

    assert await peer.status(1) == 400


async def test_connections_that_break_the_rules_leave_nothing_behind() -> None:
    async with NovaSonicLocal(Options(brain="echo")) as emulator:
        async with asyncio.TaskGroup() as tasks:
            for row in BROKEN:
                tasks.create_task(_break(emulator, row))
        await emulator.quiet()

        assert (emulator.live_streams, emulator.live_connections) == (0, 0)


async def _break(emulator: NovaSonicLocal, row: Broken) -> None:
    async with Peer(emulator.h2c_endpoint) as one:
        one.send(*row.script(one))
        await one.verdict()

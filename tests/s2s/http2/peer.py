"""The other side of a connection without input and output, by libraries that the connection does not use for it."""

import struct
from collections.abc import Mapping, Sequence

from hpack import Decoder, Encoder, HeaderTuple
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from s2s.bedrock.http2.connection import Connection
from s2s.bedrock.http2.frames import HEADER_BYTES, PREFACE
from s2s.bedrock.http2.streams import Stream

OK = ((":status", "200"), ("content-type", "application/vnd.amazon.eventstream"))


def parse(data: bytes) -> list[Frame]:
    """Return the frames of some bytes."""
    found = []
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:HEADER_BYTES]))
        frame.parse_body(memoryview(data[HEADER_BYTES : HEADER_BYTES + length]))
        found.append(frame)
        data = data[HEADER_BYTES + length :]
    return found


def raw(kind: int, flags: int, number: int, payload: bytes = b"") -> bytes:
    """Return a frame that a library might refuse to build."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", number) + payload


class Peer:
    """A connection, and the server that it talks to."""

    def __init__(self, *, first_stream_id: int = 1, settings: Mapping[int, int] | None = None, greeted: bool = True) -> None:
        self.connection = Connection("https", "model.example", first_stream_id=first_stream_id)
        self.encoder, self.decoder = Encoder(), Decoder()
        self.now = 0.0
        self.fields: list[HeaderTuple] = []
        opening = self.connection.data_to_send()
        assert opening.startswith(PREFACE)
        self.opening = parse(opening[len(PREFACE) :])
        if greeted:
            self.give(SettingsFrame(0, dict(settings or {})))
            assert [type(frame).__name__ for frame in self.sent()] == ["SettingsFrame"]

    def give(self, *frames: Frame | bytes) -> None:
        """Let the connection receive frames, all at once."""
        self.connection.receive_data(b"".join(one if isinstance(one, bytes) else one.serialize() for one in frames), self.now)

    def sent(self) -> list[Frame]:
        """Return what the connection sent since the last call."""
        return parse(self.connection.data_to_send())

    def requested(self) -> list[tuple[str, str]]:
        """Return the fields of the one request that was sent."""
        found = self.sent()
        assert [isinstance(frame, HeadersFrame | ContinuationFrame) for frame in found] == [True] * len(found)
        assert ["END_HEADERS" in frame.flags for frame in found] == [False] * (len(found) - 1) + [True]
        self.fields = list(self.decoder.decode(b"".join(getattr(frame, "data", b"") for frame in found), raw=True))
        return [(bytes(name).decode(), bytes(value).decode()) for name, value in self.fields]

    def open(self, method: str = "POST", *, head: bool = False) -> Stream:
        """Open a stream, perhaps with the head of its response."""
        stream = self.connection.open(method, "/model/x/invoke", [])
        self.sent()
        if head:
            self.give(self.headers(stream))
        return stream

    def block(self, fields: Sequence[tuple[str, str]]) -> bytes:
        return bytes(self.encoder.encode(fields, huffman=False))

    def headers(self, stream: Stream | int, fields: Sequence[tuple[str, str]] = OK, *flags: str) -> HeadersFrame:
        number = stream if isinstance(stream, int) else stream.number
        return HeadersFrame(number, self.block(fields), flags=["END_HEADERS", *flags])

    def ended(self) -> tuple[int, bool]:
        """Return the code of the GOAWAY that the connection sent last, and whether it is closed."""
        goaway = self.sent()[-1]
        assert isinstance(goaway, GoAwayFrame)
        return goaway.error_code, self.connection.is_closed

    def reset(self) -> tuple[int, int]:
        """Return the stream and code of the one RST_STREAM that the connection sent."""
        (reset,) = self.sent()
        assert isinstance(reset, RstStreamFrame)
        return reset.stream_id, reset.error_code


def data(stream: Stream | int, payload: bytes = b"", *flags: str, pad: int = 0) -> DataFrame:
    number = stream if isinstance(stream, int) else stream.number
    return DataFrame(number, payload, pad_length=pad, flags=[*flags, *(["PADDED"] if pad else [])])


def window(number: int, increment: int) -> bytes:
    return WindowUpdateFrame(number, increment).serialize() if increment else raw(8, 0, number, bytes(4))


def reset(stream: Stream, code: int) -> RstStreamFrame:
    return RstStreamFrame(stream.number, code)


def goaway(last: int, code: int = 0, words: bytes = b"") -> GoAwayFrame:
    return GoAwayFrame(0, last, code, words)


def ping(*flags: str) -> PingFrame:
    return PingFrame(0, b"12345678", flags=list(flags))


def continuation(number: int, payload: bytes, *flags: str) -> ContinuationFrame:
    return ContinuationFrame(number, payload, flags=list(flags))


def payloads(found: Sequence[Frame]) -> bytes:
    return b"".join(frame.data for frame in found if isinstance(frame, DataFrame))

"""HTTP/2 frames (RFC 9113, sections 4 and 6): how they are written, and how received bytes fall into them. Knows no connection."""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

HEADER_BYTES: Final = 9
MAX_FRAME_BYTES: Final = 16_384
"""The smallest limit that a peer may set (RFC 9113 6.5.2): frames of this size may always be sent, and we ask for none larger."""
MAX_WINDOW: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1
PING_BYTES: Final = 8

type Frame = tuple[int, int, int, bytes]
"""Kind, flags, stream id and payload. A plain tuple: one is made for each piece of speech."""

_HEADER: Final = Struct(">HBBBL")
_WORD: Final = Struct(">L")
_SETTING: Final = Struct(">HL")
_GOAWAY: Final = Struct(">LL")
_PRIORITY_BYTES: Final = 5


class ErrorCode(IntEnum):
    """Why a stream or connection ends (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class PeerViolation(Exception):
    """The peer broke a rule, and the connection cannot go on (RFC 9113 5.4.1).

    Args:
        code: for the GOAWAY.
        text: which rule.
    """

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def code_name(code: int) -> str:
    """Return the name of an error code; of an unknown one its number."""
    return ErrorCode(code).name if code in ErrorCode else f"{code:#x}"


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return frame_header(kind, flags, stream_id, len(payload)) + payload


def frame_header(kind: int, flags: int, stream_id: int, size: int) -> bytes:
    """Return the nine bytes before a payload of `size` bytes."""
    return _HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream_id)


def data_header(stream_id: int, size: int) -> bytes:
    """Return the nine bytes before `size` bytes of data: `frame_header` for the frame of every piece of speech."""
    return _HEADER.pack(size >> 8, size & 0xFF, 0, 0, stream_id)


def headers_frames(stream_id: int, block: bytes, *, ends_stream: bool = False) -> bytes:
    """Return a header block in one HEADERS frame and as many CONTINUATION frames as it takes."""
    first, rest = block[:MAX_FRAME_BYTES], block[MAX_FRAME_BYTES:]
    flags = END_STREAM if ends_stream else 0
    parts = [frame(HEADERS, flags if rest else flags | END_HEADERS, stream_id, first)]
    while rest:
        piece, rest = rest[:MAX_FRAME_BYTES], rest[MAX_FRAME_BYTES:]
        parts.append(frame(CONTINUATION, 0 if rest else END_HEADERS, stream_id, piece))
    return b"".join(parts)


def settings_frame(values: dict[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def window_frame(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(increment))


def reset_frame(stream_id: int, code: int) -> bytes:
    """Return an RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def goaway_frame(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame."""
    return frame(GOAWAY, 0, 0, _GOAWAY.pack(last_stream_id, code) + debug)


def read_word(payload: bytes) -> int:
    """Return the one number that is the payload of RST_STREAM and WINDOW_UPDATE.

    Raises:
        PeerViolation: the payload has another size.
    """
    if len(payload) != _WORD.size:
        raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {len(payload)} bytes where 4 are due")
    number: int = _WORD.unpack(payload)[0]
    return number


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """Return identifiers and values of a SETTINGS frame, in order.

    Raises:
        PeerViolation: the payload does not consist of settings.
    """
    if len(payload) % _SETTING.size:
        raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes")
    return list(_SETTING.iter_unpack(payload))


def read_goaway(payload: bytes) -> tuple[int, int, bytes]:
    """Return last stream id, error code and debug data of a GOAWAY frame.

    Raises:
        PeerViolation: the payload is too short.
    """
    if len(payload) < _GOAWAY.size:
        raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes")
    last_stream_id, code = _GOAWAY.unpack_from(payload)
    return last_stream_id & MAX_STREAM_ID, code, payload[_GOAWAY.size :]


def strip(kind: int, flags: int, payload: bytes) -> bytes:
    """Return the payload of DATA or HEADERS without padding and priority.

    Raises:
        PeerViolation: the payload is shorter than what it says to hold.
    """
    start, end = 0, len(payload)
    if flags & PADDED:
        if not payload:
            raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without the length of its padding")
        start, end = 1, end - payload[0]
    if kind == HEADERS and flags & PRIORITY_FLAG:
        start += _PRIORITY_BYTES
    if start > end:
        code = ErrorCode.PROTOCOL_ERROR if flags & PADDED else ErrorCode.FRAME_SIZE_ERROR
        raise PeerViolation(code, "a frame that is shorter than its padding and priority")
    return payload[start:end]


class FrameSplitter:
    """Cuts a stream of bytes into frames.

    Each byte is copied into its payload once, when frames come whole, and at most three times however they are split.
    """

    __slots__ = ("_rest", "_wanted")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._wanted = HEADER_BYTES

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and yield the frames that they complete. Has to be run to its end before it is fed again.

        Raises:
            PeerViolation: a frame is larger than MAX_FRAME_BYTES; those before it have been yielded.
        """
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < self._wanted:
                return
            data = bytes(rest)
            rest.clear()
        start, size, wanted = 0, len(data), HEADER_BYTES
        while size - start >= HEADER_BYTES:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, start)
            length = high << 8 | low
            if length > MAX_FRAME_BYTES:
                raise PeerViolation(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = start + HEADER_BYTES + length
            if end > size:
                wanted = HEADER_BYTES + length
                break
            yield kind, flags, stream_id & MAX_STREAM_ID, data[start + HEADER_BYTES : end]
            start = end
        self._wanted = wanted
        if start < size:
            rest += memoryview(data)[start:]

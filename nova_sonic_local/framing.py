"""The event-stream encoding of AWS: messages with typed headers and checksums.

    u32 total_length | u32 headers_length | u32 crc32 of these 8 bytes | headers | payload | u32 crc32 of all before
    header := u8 name_length | name | u8 type | value

All integers are big-endian (Smithy, "Amazon event stream specification"). Pure: no sockets, no clock.
"""

import struct
from binascii import crc32
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from uuid import UUID

MAX_HEADERS_BYTES = 128 * 1024
MAX_PAYLOAD_BYTES = 16 * 1024 * 1024
_MAX_NAME_BYTES = 0xFF
_MAX_VALUE_BYTES = 0xFFFF
_PRELUDE = struct.Struct(">III")
_PRELUDE_BYTES = 12
_CRC_BYTES = 4


class FramingError(Exception):
    """Bytes that are no event-stream message, or a message that cannot be encoded."""


class HeaderType(IntEnum):
    """How a header's value is encoded."""

    TRUE = 0
    FALSE = 1
    INT8 = 2
    INT16 = 3
    INT32 = 4
    INT64 = 5
    BYTES = 6
    STRING = 7
    TIMESTAMP = 8
    UUID = 9


_NUMBERS = {
    HeaderType.INT8: struct.Struct(">b"),
    HeaderType.INT16: struct.Struct(">h"),
    HeaderType.INT32: struct.Struct(">i"),
    HeaderType.INT64: struct.Struct(">q"),
    HeaderType.TIMESTAMP: struct.Struct(">q"),
}

type HeaderValue = bool | int | bytes | str | UUID


@dataclass(frozen=True, slots=True)
class Header:
    """One header. TIMESTAMP values are milliseconds since 1970."""

    name: str
    type: HeaderType
    value: HeaderValue


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    headers: tuple[Header, ...]
    payload: bytes

    def value(self, name: str) -> HeaderValue | None:
        """Return a header's value, or None when there is no such header."""
        for header in self.headers:
            if header.name == name:
                return header.value
        return None


def text_header(name: str, value: str) -> Header:
    """Return a string header."""
    return Header(name, HeaderType.STRING, value)


def encode_header(header: Header) -> bytes:
    """Encode one header.

    Raises:
        FramingError: the name or the value is too long.
    """
    name = header.name.encode()
    if not 0 < len(name) <= _MAX_NAME_BYTES:
        raise FramingError(f"header name of {len(name)} bytes")
    start = bytes((len(name),)) + name + bytes((header.type,))
    match header.value:
        case bool():
            return start
        case int():
            return start + _NUMBERS[header.type].pack(header.value)
        case UUID():
            return start + header.value.bytes
        case str() | bytes():
            value = header.value.encode() if isinstance(header.value, str) else header.value
            if len(value) > _MAX_VALUE_BYTES:
                raise FramingError(f"header value of {len(value)} bytes")
            return start + struct.pack(">H", len(value)) + value


def encode_message(headers: Sequence[Header], payload: bytes) -> bytes:
    """Encode a message.

    Raises:
        FramingError: the headers or the payload are too large.
    """
    return encode_with(b"".join(map(encode_header, headers)), payload)


def encode_with(headers: bytes, payload: bytes) -> bytes:
    """Encode a message whose headers are encoded already."""
    if len(headers) > MAX_HEADERS_BYTES or len(payload) > MAX_PAYLOAD_BYTES:
        raise FramingError(f"message of {len(headers)} + {len(payload)} bytes")
    total = _PRELUDE_BYTES + len(headers) + len(payload) + _CRC_BYTES
    lengths = struct.pack(">II", total, len(headers))
    body = b"".join((lengths, struct.pack(">I", crc32(lengths)), headers, payload))
    return body + struct.pack(">I", crc32(body))


def decode_headers(data: bytes) -> tuple[Header, ...]:
    """Decode a block of headers.

    Raises:
        FramingError: an unknown type, a name used twice, or a value that does not fit.
    """
    headers: list[Header] = []
    names: set[str] = set()
    offset = 0
    try:
        while offset < len(data):
            header, offset = _decode_header(data, offset)
            if header.name in names:
                raise FramingError("header given twice")
            names.add(header.name)
            headers.append(header)
    except (struct.error, IndexError, ValueError) as error:
        raise FramingError("broken header") from error
    return tuple(headers)


def _decode_header(data: bytes, offset: int) -> tuple[Header, int]:
    name_end = offset + 1 + data[offset]
    name = data[offset + 1 : name_end].decode()
    kind = HeaderType(data[name_end])
    start = name_end + 1
    if kind in (HeaderType.TRUE, HeaderType.FALSE):
        return Header(name, kind, kind is HeaderType.TRUE), start
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        (value,) = number.unpack_from(data, start)
        return Header(name, kind, int(value)), start + number.size
    if kind is HeaderType.UUID:
        return Header(name, kind, UUID(bytes=data[start : start + 16])), start + 16
    (length,) = struct.unpack_from(">H", data, start)
    raw = data[start + 2 : start + 2 + length]
    if len(raw) != length:
        raise FramingError("header value cut off")
    return Header(name, kind, raw.decode() if kind is HeaderType.STRING else raw), start + 2 + length


def decode_message(data: bytes) -> Message:
    """Decode exactly one message.

    Raises:
        FramingError: not one whole, intact message.
    """
    decoder = MessageDecoder()
    messages = decoder.feed(data)
    if len(messages) != 1 or decoder.pending_bytes:
        raise FramingError("not exactly one message")
    return messages[0]


class MessageDecoder:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes of an unfinished message."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes and return the messages that are complete.

        Raises:
            FramingError: a checksum or a length is wrong; the stream cannot go on.
        """
        return list(self.messages(data))

    def messages(self, data: bytes) -> Iterator[Message]:
        """Take bytes and yield the messages that are complete, also those before a broken one.

        Raises:
            FramingError: as `feed`, once the messages before it have been taken.
        """
        self._buffer += data
        while len(self._buffer) >= _PRELUDE_BYTES:
            total, headers_length, checksum = _PRELUDE.unpack_from(self._buffer)
            if crc32(self._buffer[:8]) != checksum:
                raise FramingError("prelude checksum")
            payload_length = total - headers_length - _PRELUDE_BYTES - _CRC_BYTES
            if headers_length > MAX_HEADERS_BYTES or not 0 <= payload_length <= MAX_PAYLOAD_BYTES:
                raise FramingError("message length")
            if len(self._buffer) < total:
                break
            whole = bytes(self._buffer[:total])
            del self._buffer[:total]
            if crc32(whole[:-_CRC_BYTES]) != int.from_bytes(whole[-_CRC_BYTES:]):
                raise FramingError("message checksum")
            headers_end = _PRELUDE_BYTES + headers_length
            yield Message(decode_headers(whole[_PRELUDE_BYTES:headers_end]), whole[headers_end:-_CRC_BYTES])

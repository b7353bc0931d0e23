"""AWS event stream encoding of Nova Sonic's events, and the signature of each message we send (`application/vnd.amazon.eventstream`).

    u32 total length | u32 length of headers | u32 CRC-32 of the first 8 bytes | headers | payload | u32 CRC-32 of all before

An event that we send is a message within a message: the inner one is the event, the outer one its signature, each built on the one before.
Only the plain event of either direction is done here, for speed; whatever else comes is the SDK's to read. Pure: the time is an argument.
"""

import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Final
from zlib import crc32

import orjson
import pybase64

MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""Largest message that is taken: speech comes in some 10 KB, and the arguments of a tool call are bounded by the model's output tokens."""

_WORD: Final = Struct(">I")
_LENGTHS: Final = Struct(">II")
_PRELUDE: Final = Struct(">III")
_DATE: Final = Struct(">q")
_OVERHEAD: Final = 16
"""Prelude and last CRC."""


def _string_header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()


_EVENT_HEADERS: Final = (
    _string_header(":message-type", "event") + _string_header(":event-type", "chunk") + _string_header(":content-type", "application/json")
)
_BEFORE_TEXT: Final = b'{"bytes":"'
_AFTER_TEXT: Final = b'"}'
_DATE_NAME: Final = bytes([5]) + b":date" + b"\x08"
_SIGNATURE_NAME: Final = bytes([16]) + b":chunk-signature" + b"\x06" + (32).to_bytes(2, "big")
_SHA256_BLOCK_BYTES: Final = 64
_EMPTY_SHA256: Final = hashlib.sha256(b"").hexdigest()


class FramingError(ValueError):
    """Bytes that are no event-stream message: a wrong checksum, or lengths that cannot be."""


def encode_message(headers: bytes, payload: bytes) -> bytes:
    """Return one message.

    Args:
        headers: encoded.
        payload: any bytes.
    """
    prelude = _prelude(len(headers), len(payload))
    return b"".join((prelude, headers, payload, _WORD.pack(crc32(payload, crc32(headers, crc32(prelude))))))


@lru_cache(maxsize=256)
def _prelude(headers_bytes: int, payload_bytes: int) -> bytes:
    lengths = _LENGTHS.pack(_OVERHEAD + headers_bytes + payload_bytes, headers_bytes)
    return lengths + _WORD.pack(crc32(lengths))


@lru_cache(maxsize=256)
def _event_start(text_bytes: int) -> tuple[bytes, int]:
    """Return what comes before the base64 of an event, and its checksum: the same for all events of one length, as pieces of speech are."""
    start = _prelude(len(_EVENT_HEADERS), len(_BEFORE_TEXT) + text_bytes + len(_AFTER_TEXT)) + _EVENT_HEADERS + _BEFORE_TEXT
    return start, crc32(start)


def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """Return the key of a day (yyyymmdd), region and service (AWS Signature Version 4)."""
    key = f"AWS4{secret_access_key}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


class InputEncoder:
    """Encodes and signs the events of one stream, in their order.

    Args:
        secret_access_key: of the identity that signed the request; it must not change within a stream.
        region: AWS region of the signature.
        service: signing name of the service.
        seed: signature of the request, 64 hex digits.
    """

    def __init__(self, secret_access_key: str, region: str, service: str, seed: str) -> None:
        self._secret = secret_access_key
        self._scope = f"{region}/{service}/aws4_request"
        self._region, self._service = region, service
        self._previous = seed
        self._second = -1
        self._date = ""
        self._inner = self._outer = hashlib.sha256()
        """HMAC of the day's key, begun (RFC 2104): a copy costs a third of beginning anew, measured."""
        self._preamble = ""
        """Of the string to sign, up to the previous signature; it changes once a second."""

    def encode_event(self, event: bytes, date_ms: int) -> bytes:
        """Return the signed message of an event.

        Args:
            event: its JSON.
            date_ms: now, milliseconds since 1970.
        """
        text = pybase64.b64encode(event)
        start, checksum = _event_start(len(text))
        inner = b"".join((start, text, _AFTER_TEXT, _WORD.pack(crc32(_AFTER_TEXT, crc32(text, checksum)))))
        return self._sign(inner, hashlib.sha256(inner).hexdigest(), date_ms)

    def encode_inner(self, message: bytes, date_ms: int) -> bytes:
        """Return the signed message around a message that is encoded already.

        Args:
            message: the inner one.
            date_ms: now, milliseconds since 1970.
        """
        return self._sign(message, hashlib.sha256(message).hexdigest(), date_ms)

    def encode_end(self, date_ms: int) -> bytes:
        """Return the signed empty message that ends the input."""
        return self._sign(b"", _EMPTY_SHA256, date_ms)

    def _sign(self, payload: bytes, digest: str, date_ms: int) -> bytes:
        second = date_ms // 1000
        if second != self._second:
            self._turn_to(second)
        date_header = _DATE_NAME + _DATE.pack(date_ms)
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{self._preamble}{self._previous}\n{hashlib.sha256(date_header).hexdigest()}\n{digest}".encode())
        outer.update(inner.digest())
        signature = outer.digest()
        self._previous = signature.hex()
        return encode_message(b"".join((date_header, _SIGNATURE_NAME, signature)), payload)

    def _turn_to(self, second: int) -> None:
        moment = datetime.fromtimestamp(second, UTC)
        date = moment.strftime("%Y%m%d")
        if date != self._date:
            self._date = date
            key = signing_key(self._secret, date, self._region, self._service).ljust(_SHA256_BLOCK_BYTES, b"\0")
            self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
            self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))
        self._second = second
        self._preamble = f"AWS4-HMAC-SHA256-PAYLOAD\n{moment:%Y%m%dT%H%M%SZ}\n{date}/{self._scope}\n"


class MessageSplitter:
    """Cuts received bytes into whole messages, wherever they were split on the way."""

    def __init__(self) -> None:
        self._waiting = b""

    @property
    def is_at_border(self) -> bool:
        """Whether no message is half received."""
        return not self._waiting

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the messages that are whole now; must be read to its end before the next call.

        Raises:
            FramingError: this is no event stream.
        """
        if self._waiting:
            data = self._waiting + data
        start, end = 0, len(data)
        while end - start >= _OVERHEAD:
            total, headers, checksum = _PRELUDE.unpack_from(data, start)
            if crc32(data[start : start + 8]) != checksum:
                raise FramingError("the checksum of a message's lengths is wrong")
            if total > MESSAGE_BYTES or headers + _OVERHEAD > total:
                raise FramingError("a message of impossible length")
            if end - start < total:
                break
            message = data[start : start + total]
            if crc32(message[:-4]) != _WORD.unpack_from(message, total - 4)[0]:
                raise FramingError("the checksum of a message is wrong")
            yield message
            start += total
        self._waiting = data[start:]


class OutputDecoder:
    """Reads the plain events of the model; knows their headers by their bytes, once a slower reader has vouched for them."""

    HEADS = 8
    """How many spellings of the headers of a plain event are remembered: their order is the service's choice."""

    def __init__(self) -> None:
        self._plain: set[bytes] = {_EVENT_HEADERS}

    def plain_event(self, message: bytes) -> bytes | None:
        """Return the JSON of a plain event, or None when the message is something else, or spelled in a way that is not known yet."""
        headers = _WORD.unpack_from(message, 4)[0]
        if message[12 : 12 + headers] not in self._plain:
            return None
        try:
            if message.startswith(_BEFORE_TEXT, 12 + headers) and message.endswith(_AFTER_TEXT, 0, -4):
                return pybase64.b64decode(message[12 + headers + len(_BEFORE_TEXT) : -4 - len(_AFTER_TEXT)], validate=True)
        except ValueError:  # more than one member, or an escaped character
            pass
        try:
            return pybase64.b64decode(orjson.loads(message[12 + headers : -4])["bytes"], validate=True)
        except (ValueError, KeyError, TypeError):  # not what a plain event looks like: for the slower reader to say what it is
            return None

    def learn(self, message: bytes) -> None:
        """Take note that this message was a plain event."""
        if len(self._plain) < self.HEADS:
            self._plain.add(message[12 : 12 + _WORD.unpack_from(message, 4)[0]])

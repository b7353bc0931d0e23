"""Header blocks: HPACK by the `hpack` library, and the rules for requests and responses (RFC 9113, section 8)."""

from collections.abc import Sequence
from typing import Final

from hpack import Decoder, Encoder, HeaderTuple, HPACKError, NeverIndexedHeaderTuple, OversizedHeaderListError

from s2s.bedrock.http2.frames import ErrorCode, PeerViolation
from s2s.bedrock.http2.settings import MAX_HEAD_BYTES, TABLE_BYTES
from s2s.bedrock.interfaces import Headers

SECRET_NAMES: Final = frozenset({"authorization", "cookie", "proxy-authorization", "x-amz-security-token"})
"""Never put into a table, ours or an intermediary's (RFC 7541 7.1.3)."""
_OF_CONNECTIONS: Final = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"})
"""Headers that a message in HTTP/2 may not have (RFC 9113 8.2.2)."""
_STATUS_DIGITS: Final = 3


class Malformed(Exception):
    """A message breaks the rules of HTTP, so its stream cannot go on (RFC 9113 8.1.1)."""


class HeadCodec:
    """The two compression contexts of a connection."""

    __slots__ = ("_decoder", "_encoder")

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._decoder = Decoder(MAX_HEAD_BYTES)
        self._decoder.max_allowed_table_size = TABLE_BYTES

    def limit_table(self, size: int) -> None:
        """Keep to the peer's limit of our table, in bytes."""
        if self._encoder.header_table_size != size:
            self._encoder.header_table_size = size

    def encode(self, fields: Headers) -> bytes:
        """Return the header block of some fields."""
        return bytes(self._encoder.encode([_secretive(name, value) for name, value in fields]))

    def decode(self, block: bytes) -> Headers:
        """Return the fields of a header block. The bytes of values are taken for Latin-1, which fits all of them.

        Raises:
            PeerViolation: it cannot be decoded, and no later one could, or it is too large.
        """
        try:
            fields = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            raise PeerViolation(ErrorCode.ENHANCE_YOUR_CALM, f"more than {MAX_HEAD_BYTES} bytes of headers") from error
        except HPACKError as error:
            raise PeerViolation(ErrorCode.COMPRESSION_ERROR, f"headers that cannot be decoded: {error}") from error
        return [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in fields]


def _secretive(name: str, value: str) -> HeaderTuple:
    return NeverIndexedHeaderTuple(name, value) if name in SECRET_NAMES else HeaderTuple(name, value)


def request_fields(scheme: str, authority: str, method: str, path: str, headers: Headers) -> Headers:
    """Return the fields of a request; `host` among the headers is its authority."""
    host = next((value for name, value in headers if name == "host"), authority)
    pseudo = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path)]
    return [*pseudo, *((name, value) for name, value in headers if name != "host")]


def response_head(fields: Sequence[tuple[str, str]]) -> tuple[int, Headers]:
    """Return status and headers of a response.

    Raises:
        Malformed: there is not exactly one status at the front, or another field is not allowed.
    """
    if not fields or fields[0][0] != ":status":
        raise Malformed("a response without a status")
    status = fields[0][1]
    if len(status) != _STATUS_DIGITS or not (status.isascii() and status.isdigit()) or status == "101":
        raise Malformed("a response with an impossible status")
    check_fields(fields[1:])
    return int(status), fields[1:]


def check_fields(fields: Headers) -> None:
    """Check fields that are no pseudo-headers.

    Raises:
        Malformed: one is not allowed.
    """
    for name, _ in fields:
        if not name or name[0] == ":" or name in _OF_CONNECTIONS or name != name.lower():
            raise Malformed(f"a response with the header {name[:40]!r}")


def content_length(headers: Headers) -> int | None:
    """Return how long a body is to be.

    Raises:
        Malformed: there are two answers, or one that is no number.
    """
    values = {value for name, value in headers if name == "content-length"}
    if not values:
        return None
    value = values.pop()
    if values or not (value.isascii() and value.isdigit() and len(value) <= 18):  # noqa: PLR2004 -- fits 64 bits
        raise Malformed("a response with an impossible content-length")
    return int(value)

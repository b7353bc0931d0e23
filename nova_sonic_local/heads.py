"""What makes the head of a request malformed (RFC 9113, sections 8.1 to 8.3).

A malformed request is an error of its stream (RFC 9113 8.1.1): the other streams of the connection go on. Pure.
"""

import re
from collections.abc import Iterable

_NAME = re.compile(rb":?[^\x00-\x20A-Z\x7f-\xff:]+")
_FORBIDDEN_IN_VALUES = re.compile(rb"[\x00\r\n]")
_CONNECTION_SPECIFIC = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"})
_PSEUDO = frozenset({b":method", b":scheme", b":path", b":authority"})
_NEEDED = frozenset({b":method", b":scheme", b":path"})

type Field = tuple[bytes, bytes]

VERSION = ":version"
"""Pseudo-field of our own, which no client can send: tells the requests of HTTP/1.1 apart."""


def flaw_of_request(fields: Iterable[Field]) -> str | None:
    """Return what is wrong with the head of a request, or None."""
    pseudo: dict[bytes, bytes] = {}
    host: bytes | None = None
    has_regular = False
    for name, value in fields:
        if (flaw := _flaw_of_field(name, value)) is not None:
            return flaw
        if not name.startswith(b":"):
            has_regular = True
            host = value if name == b"host" else host
        elif has_regular or name in pseudo or name not in _PSEUDO:
            return "a pseudo-field that is unknown, given twice, or after a regular one"
        else:
            pseudo[name] = value
    if pseudo.get(b":method") == b"CONNECT":
        return None if pseudo.keys() == {b":method", b":authority"} else "CONNECT has a method and an authority"
    if not pseudo.keys() >= _NEEDED or not pseudo[b":path"]:
        return "no method, scheme or path"
    if host is not None and host.lower() != pseudo.get(b":authority", host).lower():
        return "Host differs from :authority"
    return None


def flaw_of_trailers(fields: Iterable[Field]) -> str | None:
    """Return what is wrong with the trailers of a request, or None."""
    for name, value in fields:
        if name.startswith(b":"):
            return "a pseudo-field in trailers"
        if (flaw := _flaw_of_field(name, value)) is not None:
            return flaw
    return None


def _flaw_of_field(name: bytes, value: bytes) -> str | None:
    if not _NAME.fullmatch(name):
        return "a field name with forbidden characters"
    if _FORBIDDEN_IN_VALUES.search(value) or value != value.strip(b" \t"):
        return "a field value with forbidden characters"
    if name in _CONNECTION_SPECIFIC or (name == b"te" and value != b"trailers"):
        return "a connection-specific field"
    return None

"""What a broken, or merely unexpected, service may put on the wire: pieces that are no message, and messages that are in no guide."""

import orjson

from nova_sonic_local.emission import encode_chunk, encode_event

GARBAGE = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>502 Bad Gateway</html>\r\n"
"""What a proxy in between may say. Its first 12 bytes, taken for a prelude, have a wrong checksum."""
_STRANGE = orjson.dumps({"event": {"somethingNew": {"note": "A client ignores what it does not know."}}})


def strange_event() -> bytes:
    """Return the message of an event of an unknown name."""
    return encode_chunk(_STRANGE)


def strange_type() -> bytes:
    """Return a message of an unknown event type."""
    return encode_event("somethingNew", _STRANGE)


def huge_event(kilobytes: float) -> bytes:
    """Return the message of an event of an unknown name and this size."""
    return encode_chunk(orjson.dumps({"event": {"somethingNew": {"note": "x" * int(kilobytes * 1024)}}}))


def corrupt_message() -> bytes:
    """Return a message whose last checksum is wrong."""
    message = strange_event()
    return message[:-1] + bytes((message[-1] ^ 0xFF,))


def half_message() -> bytes:
    """Return the first half of a message."""
    message = strange_event()
    return message[: len(message) // 2]

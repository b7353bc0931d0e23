"""Event-stream messages as the tests of the client write and read them."""

from collections.abc import Sequence

import orjson
import pybase64

from nova_sonic_local.framing import decode_message
from s2s.bedrock.event_stream import MessageSplitter, encode_message


def string_header(name: str, value: str) -> bytes:
    """Return one header of type string."""
    return bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()


def event_message(event: bytes, order: Sequence[str] = (":event-type", ":content-type", ":message-type")) -> bytes:
    """Return an event of the model as the service sends it: its headers in another order than ours."""
    values = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return encode_message(
        b"".join(string_header(name, values[name]) for name in order), orjson.dumps({"bytes": pybase64.b64encode(event).decode()})
    )


def payloads_sent(writes: Sequence[bytes]) -> list[bytes]:
    """Return the events in signed messages; an empty one is the end of the input."""
    events = []
    for outer in MessageSplitter().feed(b"".join(writes)):
        inner = decode_message(outer).payload
        events.append(pybase64.b64decode(orjson.loads(decode_message(inner).payload)["bytes"]) if inner else b"")
    return events

"""Bytes of the event stream as AWS's SDK for Python writes them: the same vectors hold the emulator and our client's codec.

They were made by the SDK's own encoder and signer (aws-sdk-bedrock-runtime 0.12.0 with smithy-aws-event-stream 0.3.0), its clock held at
2026-01-02T03:04:05.678Z; tests/vectors/event_stream.jsonl says so at each row.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
"""The secret key of AWS's public documentation, in its spelling with a plus sign."""
REGION = "us-east-1"
SERVICE = "bedrock"

_ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parents[1] / "vectors/event_stream.jsonl").read_text(encoding="utf-8").splitlines()
]


@dataclass(frozen=True)
class DateHeader:
    """The encoded `:date` header."""

    date_ms: int
    wire: bytes


@dataclass(frozen=True)
class InnerMessage:
    """The unsigned message around an input event."""

    headers: tuple[tuple[str, str], ...]
    payload: bytes
    wire: bytes


@dataclass(frozen=True)
class SignedMessage:
    """The signed message around an inner one; an empty inner message ends the input."""

    name: str
    previous: str
    """Signature before this one in hex: the request's for the first message."""
    date_ms: int
    inner: bytes
    signature: str
    wire: bytes


@dataclass(frozen=True)
class Chunk:
    """An output event."""

    event: bytes
    wire: bytes


@dataclass(frozen=True)
class ExceptionMessage:
    """An exception in the stream."""

    member: str
    message: str
    wire: bytes


def _of(kind: str) -> list[dict[str, Any]]:
    return [row for row in _ROWS if row["kind"] == kind]


def _hex(row: dict[str, Any], key: str = "wire") -> bytes:
    return bytes.fromhex(row[key])


DATE_HEADERS = [DateHeader(row["date_ms"], _hex(row)) for row in _of("header")]
INNER_MESSAGES = [
    InnerMessage(tuple((name, value) for name, value in row["headers"]), row["payload"].encode(), _hex(row)) for row in _of("message")
]
SIGNED_MESSAGES = [
    SignedMessage(row["name"], row["previous"], row["date_ms"], _hex(row, "payload_wire"), row["signature"], _hex(row))
    for row in _of("signed")
]
CHUNKS = [Chunk(row["event"].encode(), _hex(row)) for row in _of("chunk")]
EXCEPTIONS = [ExceptionMessage(row["member"], row["message"], _hex(row)) for row in _of("exception")]

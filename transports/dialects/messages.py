"""What tables of messages are made of: each dialect has one, and docs/reference/asyncapi.yaml is written from them.

The schemas say what is documented. They are JSON Schema as far as AsyncAPI 3.0 takes it (draft 7), and open: readers of a message ignore
what they do not know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

type Json = bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None
type Schema = Mapping[str, Json]


class Sender(StrEnum):
    """Who sends a message."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message."""

    name: str
    """Tells it apart from all others that the same side sends in this dialect."""
    sender: Sender
    summary: str
    """One sentence."""
    schema: Schema
    """Of the JSON in the text frame; of a binary frame, its layout in words."""
    example: Json | bytes
    """As it is sent: JSON in a text frame, or the bytes of a binary frame."""

    @property
    def is_binary(self) -> bool:
        """Whether it is a binary frame."""
        return isinstance(self.example, bytes)


@dataclass(frozen=True, slots=True)
class Table:
    """All messages of a dialect."""

    key: str
    """A short name, for references."""
    title: str
    choice: str
    """What makes a connection speak it."""
    messages: tuple[Message, ...]
    subprotocol: str = ""
    """The one to ask for; empty where none is needed."""
    path: str = "/"
    """Where clients of this dialect usually connect."""
    takes_tokens: bool = True
    """Whether clients may say who they are in a message of its own."""


TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
COUNTER: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 0xFFFF_FFFF}
"""Counts modulo 2^32."""
RATE: Final[Schema] = {"enum": [8_000, 16_000, 24_000]}
"""Samples per second."""
BASE64: Final[Schema] = {"type": "string", "contentEncoding": "base64"}


def constant(value: str | int) -> Schema:
    """Return the schema of one value."""
    return {"const": value}


def one_of(*values: str) -> Schema:
    """Return the schema of one of these texts."""
    return {"enum": list(values)}


def or_null(schema: Schema) -> Schema:
    """Return the schema of something that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def members(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    """Return the schema of an object.

    Args:
        required: members that are always there.
        optional: members that may be left out.
    """
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}

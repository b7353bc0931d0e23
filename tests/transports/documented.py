"""Holds messages against the tables that docs/reference/asyncapi.yaml is written from."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from jsonschema import Draft7Validator

from scripts.asyncapi import messages_of
from transports.dialects.messages import Message, Sender, Table


def matching(table: Table, sender: Sender, frame: str | bytes) -> list[str]:
    """Return the names of all messages of the table that a frame can be; of the server's, only of what is documented member by member."""
    if isinstance(frame, bytes):
        return [message.name for message in messages_of(table) if message.sender is sender and message.is_binary]
    document = orjson.loads(frame)
    return [
        message.name
        for message in messages_of(table)
        if message.sender is sender and not message.is_binary and _validator(message).is_valid(document)
    ]


def problems(table: Table, sender: Sender, frames: Sequence[str | bytes]) -> list[str]:
    """Return the frames that are not exactly one of the table's messages, with what they can be."""
    found = [(frame, matching(table, sender, frame)) for frame in frames]
    return [f"{frame!r} is {names}" for frame, names in found if len(names) != 1]


def _validator(message: Message) -> Draft7Validator:
    known = _VALIDATORS.get(id(message))
    if known is None:
        schema = message.schema if message.sender is Sender.CLIENT else closed(message.schema)
        Draft7Validator.check_schema(schema)
        known = _VALIDATORS[id(message)] = Draft7Validator(schema)
    return known


_VALIDATORS: dict[int, Draft7Validator] = {}
"""By the identity of messages, which are constants of their modules."""


def closed(schema: Any) -> Any:
    """Return a schema that takes no member without a name: what the server sends shall be documented."""
    if isinstance(schema, Mapping):
        inner = {key: closed(value) for key, value in schema.items()}
        names = inner.get("properties")
        return inner | {"additionalProperties": False} if isinstance(names, dict) and names and "type" in inner else inner
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return [closed(each) for each in schema]
    return schema

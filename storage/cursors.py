"""Opaque paging cursors, bound to the query that made them."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256

import orjson

from storage.errors import BadCursor
from storage.table import Query
from storage.tables import TableDefinition


def encode_cursor(definition: TableDefinition, query: Query, last: Mapping[str, str]) -> str:
    """Encode where a page ended: the key attributes of its last record."""
    return urlsafe_b64encode(orjson.dumps([_origin(definition, query), dict(last)])).decode().rstrip("=")


def decode_cursor(definition: TableDefinition, query: Query) -> dict[str, str] | None:
    """Return where the page before ended, or None for the first page.

    Raises:
        BadCursor: it is damaged, or belongs to another query.
    """
    if query.cursor is None:
        return None
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        parts = orjson.loads(urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, binascii.Error) as error:
        raise BadCursor("the cursor is damaged") from error
    match parts:
        case [str(origin), dict(last)] if origin == _origin(definition, query) and set(last) == _expected(definition, query):
            return {str(name): str(value) for name, value in last.items()}
        case _:
            raise BadCursor("the cursor belongs to another query")


def _origin(definition: TableDefinition, query: Query) -> str:
    text = "\0".join([definition.name, query.index or "", query.partition, *(query.between or ()), str(query.descending)])
    return sha256(text.encode()).hexdigest()[:16]


def _expected(definition: TableDefinition, query: Query) -> set[str]:
    names = {"PK", "SK"}
    if query.index is not None:
        index = definition.index(query.index)
        names |= {index.partition} | ({index.sort} if index.sort else set())
    return names

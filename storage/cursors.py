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
    match _parts_of(query.cursor):
        case [str(origin), dict(last)] if origin == _origin(definition, query) and _is_within(definition, query, last):
            return {str(name): str(value) for name, value in last.items()}
        case _:
            raise BadCursor("the cursor belongs to another query")


def _origin(definition: TableDefinition, query: Query) -> str:
    text = "\0".join([definition.name, query.index or "", query.partition, *(query.between or ()), str(query.descending)])
    return sha256(text.encode()).hexdigest()[:16]


def _is_within(definition: TableDefinition, query: Query, last: Mapping[str, object]) -> bool:
    """Tell whether a position lies in what the query reads: DynamoDB takes no other, and a client could have made it up."""
    if set(last) != _expected(definition, query) or not all(isinstance(value, str) and value for value in last.values()):
        return False
    index = definition.index(query.index) if query.index is not None else None
    if last[index.partition if index else definition.partition] != query.partition:
        return False
    sort = last.get(index.sort or "" if index else definition.sort)
    return query.between is None or not isinstance(sort, str) or query.between[0] <= sort <= query.between[1]


def _expected(definition: TableDefinition, query: Query) -> set[str]:
    names = {definition.partition, definition.sort}
    if query.index is not None:
        index = definition.index(query.index)
        names |= {index.partition} | ({index.sort} if index.sort else set())
    return names


def encode_position(listing: str, position: tuple[str, str]) -> str:
    """Encode where a page of a list over several queries ended.

    Args:
        listing: the list's name.
        position: in the list's own order.
    """
    return urlsafe_b64encode(orjson.dumps([listing, *position])).decode().rstrip("=")


def decode_position(listing: str, cursor: str | None) -> tuple[str, str] | None:
    """Return where the page before ended, or None for the first page.

    Raises:
        BadCursor: it is damaged, or belongs to another list.
    """
    if cursor is None:
        return None
    match _parts_of(cursor):
        case [str(origin), str(first), str(second)] if origin == listing:
            return first, second
        case _:
            raise BadCursor("the cursor belongs to another list")


def _parts_of(cursor: str) -> object:
    try:
        return orjson.loads(urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode("ascii")))
    except (ValueError, binascii.Error) as error:
        raise BadCursor("the cursor is damaged") from error

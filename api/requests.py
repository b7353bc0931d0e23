"""What a request carries, read strictly and within limits before its handler sees it."""

import asyncio
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from api.errors import BodyTooLarge, BodyTooSlow, InvalidBody, InvalidParameter, NotFound, UnsupportedMedia
from api.operations import MAX_BODY_BYTES, Operation
from api.schema import BadValue, Record, Values, read_members

MAX_JSON_BYTES: Final = 4 * 1024 * 1024
"""Of any JSON: more would keep the event loop from everybody else while it is read. Files come as they are."""
MAX_DEPTH: Final = 16
"""The deepest body has three levels."""
BODY_SECONDS: Final = 10.0
BYTES_PER_SECOND: Final = 64 * 1024
"""What a large body comes with at least: it is given more time."""
_MEDIA: Final = frozenset({"application/json", "application/merge-patch+json"})


@dataclass(frozen=True, slots=True)
class Given:
    """What a request gives."""

    path: Values
    query: Values
    headers: Values
    body: Values
    file: bytes | None = None
    """A body that is no JSON, where the operation takes such."""


GIVEN: Final = web.RequestKey("given", Given)
"""`request[GIVEN]`, in every operation."""
OPERATION: Final = web.RequestKey("operation", Operation)
"""What is asked: absent where nothing was found."""


@web.middleware
async def reading(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Read what an operation takes, and refuse everything else."""
    operation = request.get(OPERATION)
    if operation is not None:
        path = Values(read_members(operation.parts, request.match_info, NotFound))
        headers = {one.name: request.headers[one.name] for one in operation.headers if one.name in request.headers}
        given = Values(read_members(operation.headers, headers, InvalidParameter))
        file = await _receive(request, operation.max_body_bytes) if request.content_type in operation.files else None
        body = Values({}) if operation.body is None or file is not None else await _read_body(request, operation.body)
        request[GIVEN] = Given(path, _read_query(request, operation), given, body, file)
    return await handler(request)


def _read_query(request: web.Request, operation: Operation) -> Values:
    known = {one.name for one in operation.query}
    names = [name for name, _ in request.query.items()]
    if unknown := set(names) - known:
        there = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise InvalidParameter(f"The query has {len(unknown)} parameters that this resource does not know; {there}.")
    if len(names) > len(set(names)):
        raise InvalidParameter("A parameter of the query is there twice.")
    return Values(read_members(operation.query, dict(request.query), InvalidParameter))


async def _read_body(request: web.Request, kind: Record) -> Values:
    if request.content_type not in _MEDIA or request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia
    operation: Operation = request[OPERATION]
    raw = await _receive(request, min(operation.max_body_bytes, MAX_JSON_BYTES))
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:  # also of what is no UTF-8, and nested more than 1024 deep
        raise InvalidBody("The body is no JSON.") from None
    if _is_deep(raw):
        raise InvalidBody("The body is nested too deeply.")
    try:
        return kind.read(value)
    except BadValue as reason:
        raise InvalidBody(f"The body {reason}.") from None


async def _receive(request: web.Request, most: int) -> bytes:
    """Return the body as it came, of so many bytes at most.

    Raises:
        BodyTooLarge: it is, or says that it is.
        BodyTooSlow: it does not come.
        InvalidBody: it ends before its end.
    """
    if (request.content_length or 0) > most:
        raise BodyTooLarge
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS + (most - MAX_BODY_BYTES) / BYTES_PER_SECOND):
            async for chunk in request.content.iter_any():
                received += chunk
                if len(received) > most:
                    raise BodyTooLarge
    except TimeoutError:
        raise BodyTooSlow from None
    except web.RequestPayloadError:
        raise InvalidBody("The body is damaged.") from None
    return bytes(received)


def _is_deep(raw: bytes) -> bool:
    """Tell whether JSON is nested too deeply; of a large body, which is one long text, whether it has that many brackets at all."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    return len(raw) > MAX_BODY_BYTES or _depth(raw) > MAX_DEPTH


def _depth(raw: bytes) -> int:
    """Return how deeply JSON is nested at least; brackets in texts count too, and a text has no reason to have that many."""
    deepest = depth = 0
    for byte in raw:
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest

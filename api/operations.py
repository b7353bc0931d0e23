"""What can be asked over plain HTTP, as data: the router and the OpenAPI document are both made from it.

A file of a resource has its handlers, `async def list_orders(request: web.Request) -> web.Response`, and the tuple OPERATIONS. What the
handlers work on is in the application under a `web.AppKey` of that file. A handler finds what it was given, checked, in `request[GIVEN]`,
and who asks in `request[PRINCIPAL]`; it raises a SessionError for everything that it refuses.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from aiohttp import web

from api.schema import Kind, Member, Record

MAX_BODY_BYTES: Final = 64 * 1024
"""Twenty items with the longest names and descriptions take 5 KB."""

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(StrEnum):
    """Who may ask."""

    PUBLIC = "public"
    """Anybody; nobody is authenticated."""
    SIGNED_IN = "signed in"
    """Anybody who is authenticated; what they reach is their own, and all of it for operators."""
    OPERATOR = "operator"
    """Who has the operator role."""


class Shape(StrEnum):
    """How the data of an answer are packed."""

    RECORD = "record"
    """{success, data, message}."""
    PAGE = "page"
    """The same, and `nextCursor` where more follows."""
    BARE = "bare"
    """The data alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """An answer with a 2xx status."""

    status: int = 200
    description: str
    data: Kind[object] | None = None
    """None for an answer without a body."""
    shape: Shape = Shape.RECORD
    is_versioned: bool = False
    """Whether the header ETag comes with it."""
    files: tuple[str, ...] = ()
    """Media types of an answer that is a file, in the place of data."""
    also: str = ""
    """Another media type that BARE data come in, as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    """GET answers HEAD as well."""
    path: str
    """As aiohttp's router takes it, without a stage: `/orders/{id}`."""
    handler: Handler
    name: str = ""
    """Unique, with underscores: the operationId of the OpenAPI document is made of it; without it, of the handler's name."""
    summary: str
    success: Success
    access: Access = Access.SIGNED_IN
    parts: tuple[Member[object], ...] = ()
    """The variable parts of the path."""
    query: tuple[Member[object], ...] = ()
    headers: tuple[Member[object], ...] = ()
    body: Record | None = None
    files: tuple[str, ...] = ()
    """Media types of a body that is taken as it is, in the place of JSON."""
    max_body_bytes: int = MAX_BODY_BYTES
    """Of either."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """What else than the success comes back, beside what every operation may answer (OpenAPI, "responses")."""

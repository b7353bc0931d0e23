"""Changes under the condition that nobody else was faster: ETag and If-Match (RFC 9110 13.1.1), made of the time of the last change."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, Protocol

from aiohttp import web

from api.answers import Data, answer
from api.errors import ChangedMeanwhile, ChangedSince
from api.requests import GIVEN
from api.schema import Member, Text
from storage.models import format_instant

IF_MATCH: Final = Member(
    "If-Match", Text(1_024), 'ETag of the record as you know it, "2024-01-15T00:00:00.000Z" for its updatedAt; or * for any version.'
)
TRIES: Final = 10
"""How often a change without If-Match is tried again when somebody else was faster."""

CHANGE_REFUSALS: Final = {
    404: "There is no such record that you may see",
    409: "Its status does not allow the change, or somebody else was faster each time",
    412: "It is not as If-Match says",
    422: "Against a rule; the message says which",
}


def etag(updated_at: datetime) -> str:
    """Return the entity tag of a record."""
    return f'"{format_instant(updated_at)}"'


def require_match(request: web.Request, updated_at: datetime) -> None:
    """See that a record is as the client knows it, if the client says how it knows it.

    Raises:
        ChangedSince: it is not.
    """
    wanted = request[GIVEN].headers.get(IF_MATCH)
    if wanted is not None and wanted.strip() != "*" and etag(updated_at) not in _tags(wanted):
        raise ChangedSince


class Versioned(Protocol):
    """A record that knows when it was changed last."""

    @property
    def updated_at(self) -> datetime:
        """When that was."""


async def unless_changed[T: Versioned, R](
    request: web.Request, find: Callable[[web.Request], Awaitable[T]], attempt: Callable[[T], Awaitable[R | None]]
) -> R:
    """Do something to a record if it is as the client knows it; without If-Match also as others have changed it meanwhile.

    Args:
        request: says which version the client knows.
        find: reads the record that the request is about, and says whether this client may do that.
        attempt: does it to the record that was read; None (or False) when somebody else was faster.

    Raises:
        ChangedSince: it is not as the client knows it.
        ChangedMeanwhile: somebody else was faster each time.
    """
    for _ in range(TRIES):
        before = await find(request)
        require_match(request, before.updated_at)
        if done := await attempt(before):
            return done
        if _is_of_one_version(request):
            raise ChangedSince
    raise ChangedMeanwhile


def versioned(request: web.Request, updated_at: datetime, data: Callable[[], Data], message: str) -> web.Response:
    """Return a record with its tag, or 304 to a client that knows this version."""
    tag = etag(updated_at)
    if tag in _tags(",".join(request.headers.getall("If-None-Match", ()))):
        return web.Response(status=304, headers={"ETag": tag, "Cache-Control": "no-cache"})
    return answer(data(), message, headers={"ETag": tag, "Cache-Control": "no-cache"})


def _is_of_one_version(request: web.Request) -> bool:
    return (request[GIVEN].headers.get(IF_MATCH) or "*").strip() != "*"


def _tags(header: str) -> set[str]:
    """Return strong tags; a weak one (W/) is none of ours."""
    return {one.strip() for one in header.split(",")}

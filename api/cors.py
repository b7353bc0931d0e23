"""Which pages of other origins may use the API, and what their browsers are told (Fetch standard, "CORS protocol").

The header set is the one that the front ends were written against. What goes beyond it is named only to a preflight that asks for it.
"""

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.answers import failure
from api.errors import ForeignOrigin, WrongHost
from api.interfaces import Origins
from api.operations import Access
from api.requests import OPERATION

ALLOW_METHODS: Final = "GET,POST,PUT,DELETE,OPTIONS"
ALLOW_HEADERS: Final = "Content-Type,X-Amz-Date,Authorization,X-Api-Key,X-Amz-Security-Token"
MORE_METHODS: Final = ("PATCH", "HEAD")
MORE_HEADERS: Final = ("Idempotency-Key", "If-Match", "If-None-Match")
EXPOSED_HEADERS: Final = "ETag,Retry-After,WWW-Authenticate"
MAX_AGE_SECONDS: Final = "600"
"""A browser asks again after this; Chromium keeps no answer longer than 7200 s."""
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def sharing(origins: Origins) -> Middleware:
    """Return what answers preflights, tells browsers what they may do, and keeps foreign pages from changing anything."""

    @web.middleware
    async def share(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = request.get(OPERATION)
        hosts = request.headers.getall("Host", ())
        sources = request.headers.getall("Origin", ())
        if operation is not None and operation.access is not Access.PUBLIC and not origins.serves(hosts):
            return failure(WrongHost())
        is_allowed = origins.allows(sources, hosts)
        if not is_allowed and request.method not in _READING:
            return failure(ForeignOrigin())
        response = await handler(request)
        response.headers.update(_headers(request, origins, sources[0] if sources and is_allowed else ""))
        return response

    return share


def preflight(allowed: str) -> web.Response:
    """Return the answer to OPTIONS.

    Args:
        allowed: methods of the resource, as Allow has them.
    """
    return web.Response(status=204, headers={"Allow": allowed, "Cache-Control": "no-store"})


def _headers(request: web.Request, origins: Origins, origin: str) -> dict[str, str]:
    """Return the CORS headers; `origin` is empty where none was sent, or one that is not allowed."""
    if not origins.allows_all and not origin:
        return {"Vary": "Origin"}
    headers = {"Access-Control-Allow-Origin": "*"} if origins.allows_all else {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
    asked_method = request.headers.get("Access-Control-Request-Method", "").strip().upper()
    asked_headers = {name.strip().lower() for name in request.headers.get("Access-Control-Request-Headers", "").split(",")}
    headers["Access-Control-Allow-Methods"] = ",".join([ALLOW_METHODS, *(one for one in MORE_METHODS if one == asked_method)])
    headers["Access-Control-Allow-Headers"] = ",".join([ALLOW_HEADERS, *(one for one in MORE_HEADERS if one.lower() in asked_headers)])
    if request.method == "OPTIONS":
        return headers | {"Access-Control-Max-Age": MAX_AGE_SECONDS}
    return headers | {"Access-Control-Expose-Headers": EXPOSED_HEADERS}

"""The application that answers plain HTTP: operations of the API, and the page."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from api.authentication import authenticating
from api.cors import preflight, sharing
from api.interfaces import Origins
from api.operations import Operation
from api.refusals import telling
from api.requests import OPERATION, reading
from auth.interfaces import Authenticator

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""On every answer that has none of its own (OWASP REST security cheat sheet)."""


def build_app(
    groups: Iterable[Sequence[Operation]],
    *,
    authenticator: Authenticator,
    origins: Origins,
    stage: str = "",
    page: Iterable[web.RouteDef] = (),
    parts: Mapping[web.AppKey[Any], object] | None = None,
) -> web.Application:
    """Return the application.

    Args:
        groups: the operations of each resource.
        authenticator: tells who asks.
        origins: which pages of other origins may use the API.
        stage: a path under which every operation is served as well, as API Gateway does: `demo`.
        page: routes that are no operations.
        parts: what the handlers work on.
    """
    operations = sorted((one for group in groups for one in group), key=lambda one: one.path)
    known: dict[web.AbstractRoute, Operation] = {}

    @web.middleware
    async def locating(request: web.Request, handler: Handler) -> web.StreamResponse:
        operation = known.get(request.match_info.route)
        if operation is not None:
            request[OPERATION] = operation
        return await handler(request)

    app = web.Application(middlewares=[locating, sharing(origins), telling, authenticating(authenticator), reading])
    app.on_response_prepare.append(_finish)
    for key, part in (parts or {}).items():
        app[key] = part
    for path, group in groupby(operations, key=lambda one: one.path):
        of_path = tuple(group)
        for prefix in ("", f"/{stage}") if stage else ("",):
            known |= _register(app, prefix + path, of_path)
    app.add_routes(page)
    return app


def _register(app: web.Application, path: str, operations: Sequence[Operation]) -> dict[web.AbstractRoute, Operation]:
    methods = [method for one in operations for method in ((one.method, "HEAD") if one.method == "GET" else (one.method,))]
    allowed = ", ".join([*methods, "OPTIONS"])

    async def options(_request: web.Request) -> web.Response:
        return preflight(allowed)

    resource = app.router.add_resource(path)
    resource.add_route("OPTIONS", options)
    known: dict[web.AbstractRoute, Operation] = {}
    for one in operations:
        known[resource.add_route(one.method, one.handler)] = one
        if one.method == "GET":
            known[resource.add_route("HEAD", one.handler)] = one
    return known


async def _finish(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)

"""What the admin endpoint refuses, and in which form it says so.

It has no password, so that a test needs none. What keeps others away is that it listens where the emulator listens, on loopback unless told
otherwise, and that no page in a browser can drive it: requests with an Origin are refused, and so are those whose Host is a name that a
stranger could have pointed at this machine (DNS rebinding).
"""

import ipaddress
import logging
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_log = logging.getLogger(__name__)

LARGEST_BODY_BYTES: Final = 16 * 1024
JSON_TYPE: Final = "application/json"


class AdminError(Exception):
    """A request of the admin endpoint is refused.

    Args:
        status: of HTTP.
        code: stable, for programs.
        message: for people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def answer(body: object, status: int = 200) -> web.Response:
    """Return a response with JSON, on a line of its own."""
    return respond(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE), status)


def respond(body: bytes, status: int = 200) -> web.Response:
    """Return a response with JSON that is written already."""
    return web.Response(body=body, status=status, content_type=JSON_TYPE)


def refusal(error: AdminError) -> web.Response:
    """Return the response that says what was wrong."""
    return answer({"error": {"code": error.code, "message": str(error)}}, error.status)


def make_guard(bound_to: str) -> Middleware:
    """Return the middleware that checks every request and answers every error in JSON.

    Args:
        bound_to: the address that the endpoint listens on.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_origin(request, bound_to)
            return await handler(request)
        except AdminError as error:
            return refusal(error)
        except web.HTTPRequestEntityTooLarge:
            return refusal(AdminError(413, "body_too_large", f"the body may have {LARGEST_BODY_BYTES} bytes"))
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            return refusal(AdminError(405, "method_not_allowed", f"{request.path} takes {allowed}"))
        except web.HTTPNotFound:
            return refusal(AdminError(404, "unknown_path", "there is nothing here; see docs/reference/emulator-admin.md"))
        except Exception:  # noqa: BLE001 -- the root of a request: a fault of ours is told, and ends nothing else
            _log.exception("the admin endpoint failed")
            return refusal(AdminError(500, "internal", "the emulator failed; its log says how"))

    return guard


def _check_origin(request: web.Request, bound_to: str) -> None:
    if "Origin" in request.headers:
        raise AdminError(403, "origin_refused", "pages in a browser may not use this endpoint")
    try:
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        name = ""
    if not is_trusted_host(name, bound_to):
        raise AdminError(403, "host_refused", "Host must be the address that the emulator listens on, or localhost")


def is_trusted_host(name: str, bound_to: str) -> bool:
    """Tell whether a Host header, without its port, cannot be a stranger's name for this machine.

    An address needs no name server. Names without a dot are those of containers; they count only where others than this machine are served.
    """
    if name in ("localhost", bound_to.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and "." not in name and not is_loopback(bound_to)
    return True


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def read_members(request: web.Request, kinds: Mapping[str, type], required: tuple[str, ...] = ()) -> dict[str, object]:
    """Return the members of the body, a JSON object; an empty body has none.

    Args:
        request: the request.
        kinds: which members there may be, and of which type.
        required: which there must be.

    Raises:
        AdminError: the body is something else.
    """
    body = await request.read()
    if not body and not required:
        return {}
    if request.content_type != JSON_TYPE:
        raise AdminError(415, "wrong_media_type", f"Content-Type must be {JSON_TYPE}")
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise AdminError(400, "not_json", f"the body is no JSON: {error}") from error
    if not isinstance(members, dict):
        raise AdminError(400, "not_json", "the body must be a JSON object")
    if unknown := sorted(members.keys() - kinds.keys()):
        raise AdminError(400, "unknown_member", f"{unknown[0]!r} is not known; there are {', '.join(kinds) or 'none'}")
    if missing := [name for name in required if name not in members]:
        raise AdminError(400, "missing_member", f"{missing[0]!r} is missing")
    for name, value in members.items():
        if type(value) is not kinds[name]:  # bool is an int to isinstance
            raise AdminError(400, "wrong_value", f"{name!r} must be of type {kinds[name].__name__}")
    return members


def check_query(request: web.Request, *known: str) -> None:
    """Refuse parameters in the query that are not known.

    Raises:
        AdminError: there is one.
    """
    if unknown := sorted(set(request.query) - set(known)):
        raise AdminError(400, "unknown_parameter", f"{unknown[0]!r} is not known; there are {', '.join(known) or 'none'}")

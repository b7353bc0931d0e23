"""What a client hears that asks for a WebSocket and does not get one."""

import re
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

_TARGET: Final = re.compile(r"[!-~]+")


def malformed(request: Request) -> Response | None:
    """Return the refusal of a handshake that no proxy would read as we do: not one Host, or a path of other letters (RFC 9112 3.2)."""
    if len(request.headers.get_all("Host")) == 1 and _TARGET.fullmatch(request.path):
        return None
    return refuse(HTTPStatus.BAD_REQUEST, "A request has one Host, and a path of printable letters.")


def refuse(status: HTTPStatus, text: str, *more: tuple[str, str]) -> Response:
    """Return a refusal in plain text."""
    body = f"{text}\n".encode()
    own = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), ("Connection", "close")]
    hardening = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "default-src 'none'")]
    return Response(status.value, status.phrase, Headers([*own, *more, *hardening]), body)

"""What a client hears that asks for a WebSocket and does not get one."""

from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Response


def refuse(status: HTTPStatus, text: str, *more: tuple[str, str]) -> Response:
    """Return a refusal in plain text."""
    body = f"{text}\n".encode()
    own = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body))), ("Connection", "close")]
    hardening = [("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "default-src 'none'")]
    return Response(status.value, status.phrase, Headers([*own, *more, *hardening]), body)

"""The page's files and small JSON answers, served over plain HTTP on the WebSocket's own port.

All files are read once and answered from a table, so a path can name what is in the table and nothing else.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

type Answer = Callable[[], Awaitable[tuple[int, bytes]]]
"""Makes the status and the JSON of an answer."""

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".wav": "audio/wav",
    ".txt": "text/plain; charset=utf-8",
}
"""What the page is made of; other files are not served."""

_CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; media-src 'self' blob:; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final = (
    ("Content-Security-Policy", _CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "microphone=(self), camera=(), geolocation=()"),
)
"""On every answer (OWASP HTTP headers cheat sheet)."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    content_type: str
    etag: str


def load_assets(folder: Path) -> Mapping[str, Asset]:
    """Read a folder's files into a table by URL path; the index page is `/`. Hidden files are left out. A missing folder is empty."""
    assets: dict[str, Asset] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        content_type = _TYPES.get(file.suffix)
        if content_type is None or not file.is_file() or any(part.startswith(".") for part in name.parts):
            continue
        body = file.read_bytes()
        assets[f"/{name.as_posix()}"] = Asset(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:24]}"')
    if "/index.html" in assets:
        assets["/"] = assets["/index.html"]
    return assets


class Site:
    """Answers plain HTTP requests.

    Args:
        assets: files by path.
        answers: what is made anew for each request, by path.
    """

    def __init__(self, assets: Mapping[str, Asset], answers: Mapping[str, Answer]) -> None:
        self._assets = assets
        self._answers = answers

    async def respond(self, request: Request) -> Response:
        """Return the response to a request that wants no WebSocket."""
        if request.method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET and HEAD.\n", ("Allow", "GET, HEAD"))
        response = await self._find(request)
        if request.method == "HEAD":
            response.body = b""  # Content-Length stays: it tells of the GET (RFC 9110 9.3.2)
        return response

    async def _find(self, request: Request) -> Response:
        path = unquote(request.path.partition("?")[0])
        if answer := self._answers.get(path):
            status, body = await answer()
            return _response(HTTPStatus(status), body, ("Cache-Control", "no-store"), content_type="application/json")
        asset = self._assets.get(path)
        if asset is None:
            return _response(HTTPStatus.NOT_FOUND, b"There is nothing here.\n")
        fresh = ("ETag", asset.etag), ("Cache-Control", "no-cache")
        if asset.etag in ",".join(request.headers.get_all("If-None-Match")):
            return _response(HTTPStatus.NOT_MODIFIED, b"", *fresh, content_type=asset.content_type)
        return _response(HTTPStatus.OK, asset.body, *fresh, content_type=asset.content_type)


def refuse(status: HTTPStatus, text: str, *more: tuple[str, str]) -> Response:
    """Return a refusal in plain text."""
    return _response(status, f"{text}\n".encode(), *more)


def _response(status: HTTPStatus, body: bytes, *more: tuple[str, str], content_type: str = "text/plain; charset=utf-8") -> Response:
    own = [("Content-Type", content_type), ("Content-Length", str(len(body))), ("Connection", "close")]
    if status is HTTPStatus.NOT_MODIFIED:
        own = [("Connection", "close")]
    return Response(status, status.phrase, Headers([*own, *more, *SECURITY_HEADERS]), body)

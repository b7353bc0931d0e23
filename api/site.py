"""The page's files.

All files are read once and answered from a table, so a path can name what is in the table and nothing else.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web

from api.operations import Handler

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
PAGE_HEADERS: Final = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
}
"""On every file, beside those that every answer has (OWASP HTTP headers cheat sheet)."""


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


def routes(assets: Mapping[str, Asset]) -> list[web.RouteDef]:
    """Return a route for each file; HEAD tells of GET (RFC 9110 9.3.2)."""
    return [web.get(path, _serving(asset), allow_head=True) for path, asset in assets.items()]


def _serving(asset: Asset) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        headers = {**PAGE_HEADERS, "ETag": asset.etag, "Cache-Control": "no-cache"}
        if asset.etag in ",".join(request.headers.getall("If-None-Match", ())):
            return web.Response(status=304, headers=headers)
        return web.Response(body=asset.body, headers={**headers, "Content-Type": asset.content_type})

    return serve

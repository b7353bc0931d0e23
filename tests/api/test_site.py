"""The page's files over plain HTTP, and their headers."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import ClientSession
from yarl import URL

from api import config, site
from api.app import build_app
from api.site import Asset, load_assets
from auth.anonymous import AnonymousAuthenticator
from tests.api.raw import exchange, serving
from transports.origins import OriginPolicy

BIG = bytes(range(256)) * 8_000
FILES = {
    "index.html": b"<!doctype html><title>x</title>",
    "app.js": b"export {};",
    "style.css": b"body {}",
    "icon.svg": b"<svg/>",
    "worklets/player.js": BIG,
}


@pytest.fixture
def assets(tmp_path: Path) -> Mapping[str, Asset]:
    web = tmp_path / "web"
    for name, body in FILES.items():
        (web / name).parent.mkdir(parents=True, exist_ok=True)
        (web / name).write_bytes(body)
    (web / ".secret.js").write_bytes(b"hidden")
    (web / "notes.py").write_bytes(b"unknown kind")
    (tmp_path / "outside.js").write_bytes(b"outside")
    return load_assets(web)


@pytest.fixture
async def port(assets: Mapping[str, Asset]) -> AsyncIterator[int]:
    app = build_app(
        [config.OPERATIONS],
        authenticator=AnonymousAuthenticator(),
        origins=OriginPolicy(),
        page=site.routes(assets),
        parts={config.CONFIG: b'{"local":true}'},
    )
    async with serving(app) as running:
        yield running


@pytest.mark.parametrize(
    ("path", "name", "content_type"),
    [
        ("/", "index.html", "text/html"),
        ("/index.html", "index.html", "text/html"),
        ("/?autoStart=true", "index.html", "text/html"),
        ("/app.js", "app.js", "text/javascript"),
        ("/%61pp.js", "app.js", "text/javascript"),
        ("/style.css", "style.css", "text/css"),
        ("/icon.svg", "icon.svg", "image/svg+xml"),
        ("/worklets/player.js", "worklets/player.js", "text/javascript"),
    ],
)
async def test_a_file_is_served_with_its_type(port: int, path: str, name: str, content_type: str) -> None:
    async with ClientSession() as http:
        response = await http.get(URL(f"http://127.0.0.1:{port}{path}", encoded=True))

        assert await response.read() == FILES[name]
        assert (response.status, response.content_type) == (200, content_type)


async def test_every_answer_has_the_security_headers_and_no_server_name(port: int) -> None:
    async with ClientSession() as http:
        for path in ("/", "/config", "/nothing"):
            response = await http.get(f"http://127.0.0.1:{port}{path}")

            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "Server" not in response.headers


async def test_the_page_may_use_the_microphone_and_nothing_else(port: int) -> None:
    async with ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{port}/")

        assert response.headers["Permissions-Policy"] == "microphone=(self), camera=(), geolocation=()"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/ws",
        "/.secret.js",
        "/notes.py",
        "/../outside.js",
        "/%2e%2e/outside.js",
        "/..%2foutside.js",
        "/worklets/../../outside.js",
        "//etc/passwd",
        "/worklets",
        "/app.js/",
        "/\\..\\outside.js",
        "/%00",
    ],
)
async def test_what_is_not_in_the_table_is_not_found(port: int, path: str) -> None:
    answer = await exchange(port, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"outside" not in answer


async def test_a_known_etag_saves_the_body(port: int) -> None:
    async with ClientSession() as http:
        address = f"http://127.0.0.1:{port}/app.js"
        first = await http.get(address)
        again = await http.get(address, headers={"If-None-Match": first.headers["ETag"]})
        other = await http.get(address, headers={"If-None-Match": '"other"'})

        assert (again.status, await again.read()) == (304, b"")
        assert (other.status, await other.read()) == (200, FILES["app.js"])


async def test_head_tells_the_length_without_the_body(port: int) -> None:
    answer = await exchange(port, "HEAD /app.js HTTP/1.0\r\n\r\n")

    assert b"Content-Length: 10\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_other_methods_are_refused(port: int) -> None:
    answer = await exchange(port, "DELETE /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: GET,HEAD\r\n" in answer


@pytest.mark.req("S0-08")
async def test_the_configuration_is_never_stored(port: int) -> None:
    async with ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{port}/config")

        assert await response.json() == {"local": True}
        assert response.headers["Cache-Control"] == "no-store"


def test_a_missing_folder_serves_nothing(tmp_path: Path) -> None:
    assert load_assets(tmp_path / "nowhere") == {}

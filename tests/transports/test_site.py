"""Plain HTTP on the WebSocket's port: the page, its headers, and who may upgrade."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSServerHandshakeError
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.http11 import Request

from tests.transports.doubles import Rig, running_server
from transports.site import Asset, Site, load_assets

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


async def config() -> tuple[int, bytes]:
    return 200, b'{"local":true}'


async def unready() -> tuple[int, bytes]:
    return 503, b"{}"


def site(assets: Mapping[str, Asset]) -> Site:
    return Site(assets, {"/config": config, "/ready": unready})


async def request(rig: Rig, head: str) -> bytes:
    """Send a request as it stands and return all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(head.encode())
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


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
async def test_a_file_is_served_with_its_type(assets: Mapping[str, Asset], path: str, name: str, content_type: str) -> None:
    async with running_server(site=site(assets)) as rig, ClientSession() as http:
        response = await http.get(f"http://127.0.0.1:{rig.port}{path}")

        assert await response.read() == FILES[name]
        assert (response.status, response.content_type) == (200, content_type)


async def test_every_answer_has_the_security_headers_and_no_server_name(assets: Mapping[str, Asset]) -> None:
    async with running_server(site=site(assets)) as rig, ClientSession() as http:
        for path in ("/", "/config", "/nothing"):
            response = await http.get(f"http://127.0.0.1:{rig.port}{path}")

            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert "microphone=(self)" in response.headers["Permissions-Policy"]
            assert "Server" not in response.headers


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
async def test_what_is_not_in_the_table_is_not_found(assets: Mapping[str, Asset], path: str) -> None:
    async with running_server(site=site(assets)) as rig:
        answer = await request(rig, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"outside" not in answer


@given(st.text(alphabet=st.characters(codec="ascii")))
async def test_whatever_is_asked_for_there_is_an_answer(path: str) -> None:
    response = await Site({}, {}).respond(Request(f"/{path}", Headers()))

    assert response.status_code == 404


async def test_a_known_etag_saves_the_body(assets: Mapping[str, Asset]) -> None:
    async with running_server(site=site(assets)) as rig, ClientSession() as http:
        address = f"http://127.0.0.1:{rig.port}/app.js"
        first = await http.get(address)
        again = await http.get(address, headers={"If-None-Match": first.headers["ETag"]})
        other = await http.get(address, headers={"If-None-Match": '"other"'})

        assert (again.status, await again.read()) == (304, b"")
        assert (other.status, await other.read()) == (200, FILES["app.js"])


async def test_head_tells_the_length_without_the_body(assets: Mapping[str, Asset]) -> None:
    async with running_server(site=site(assets)) as rig:
        answer = await request(rig, "HEAD /app.js HTTP/1.0\r\n\r\n")

        assert b"Content-Length: 10\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


async def test_other_methods_are_refused(assets: Mapping[str, Asset]) -> None:
    async with running_server(site=site(assets)) as rig:
        answer = await request(rig, "DELETE /app.js HTTP/1.1\r\nHost: x\r\n\r\n")

        assert answer.startswith(b"HTTP/1.1 405 ")
        assert b"Allow: GET, HEAD\r\n" in answer


async def test_an_answer_made_anew_keeps_its_status(assets: Mapping[str, Asset]) -> None:
    async with running_server(site=site(assets)) as rig, ClientSession() as http:
        config_answer = await http.get(f"http://127.0.0.1:{rig.port}/config")
        ready_answer = await http.get(f"http://127.0.0.1:{rig.port}/ready")

        assert await config_answer.json() == {"local": True}
        assert config_answer.headers["Cache-Control"] == "no-store"
        assert ready_answer.status == 503


def test_a_missing_folder_serves_nothing(tmp_path: Path) -> None:
    assert load_assets(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
async def test_a_foreign_page_cannot_upgrade(origin: str) -> None:
    async with running_server() as rig, ClientSession() as http:
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect(f"ws://127.0.0.1:{rig.port}/", headers={"Origin": origin})

        assert caught.value.status == 403
        assert rig.counters.read() == {"origin_refused": 1}


@pytest.mark.parametrize("path", ["/", "/ws", "/interact-s2s", "/any/thing?x=1"])
async def test_any_path_upgrades(path: str) -> None:
    async with running_server() as rig, ClientSession() as http:
        async with http.ws_connect(f"ws://127.0.0.1:{rig.port}{path}", protocols=("other", "nova-sonic.v1")) as client:
            assert client.protocol == "nova-sonic.v1"
        async with http.ws_connect(f"ws://127.0.0.1:{rig.port}{path}", protocols=("other",)) as client:
            assert client.protocol is None


async def test_a_leaving_server_takes_no_new_connection() -> None:
    async with running_server() as rig, ClientSession() as http:
        await rig.registry.drain(0)
        with pytest.raises(WSServerHandshakeError) as caught:
            await http.ws_connect(f"ws://127.0.0.1:{rig.port}/")

        assert caught.value.status == 503
        assert caught.value.headers is not None
        assert caught.value.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    "head",
    [
        "",
        "GET / HTTP/1.1\r\nHost: ",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\n" + "X: y\r\n" * 2_000 + "\r\n",
        "GET /" + "a" * 70_000 + " HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_request_for_us_are_turned_away(assets: Mapping[str, Asset], head: str) -> None:
    async with running_server(site=site(assets), open_seconds=0.2) as rig, ClientSession() as http:
        try:
            answer = await request(rig, head)
        except ConnectionError:
            answer = b""
        alive = await http.get(f"http://127.0.0.1:{rig.port}/config")

        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert alive.status == 200

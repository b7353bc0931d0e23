"""Proxies: which one an environment names, and the way through it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import pytest

from s2s.bedrock.http2.pool import Http2Exchanges
from s2s.bedrock.http2.proxy import MAX_ANSWER_BYTES, Proxy, parse_proxy, proxy_for
from s2s.bedrock.interfaces import CannotConnect, NotTrusted
from tests.s2s.http2.scripted import PATH, Caller, Scripted, Secure

ENDPOINT = "https://bedrock-runtime.us-east-1.amazonaws.com"
PROXY = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, Proxy("proxy.example", 3128)),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, Proxy("proxy.example", 3128)),
        ({"https_proxy": "", "HTTPS_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": "proxy.example"}, Proxy("proxy.example", 80)),
        ({"HTTPS_PROXY": "http://[::1]:8080"}, Proxy("::1", 8080)),
        ({"ALL_PROXY": PROXY, "HTTP_PROXY": PROXY}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost, .amazonaws.com"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "AmazonAWS.com"}, None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "us-east-1.amazonaws.com:443"}, None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "aws.com,us-west-2.amazonaws.com"}, Proxy("proxy.example", 3128)),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "amazonaws.com:8443"}, Proxy("proxy.example", 3128)),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "", "NO_PROXY": "*"}, Proxy("proxy.example", 3128)),
        ({"HTTPS_PROXY": PROXY, "no_proxy": ","}, Proxy("proxy.example", 3128)),
    ],
)
def test_the_environment_names_the_proxy(environment: dict[str, str], expected: Proxy | None) -> None:
    assert proxy_for(ENDPOINT, environment) == expected


def test_an_endpoint_without_tls_has_no_proxy() -> None:
    assert proxy_for("http://127.0.0.1:8080", {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY}) is None


def test_credentials_are_decoded_and_not_shown() -> None:
    proxy = parse_proxy("http://user%40work:pass%3Aword@proxy.example:3128")

    assert proxy.authorization == "Basic dXNlckB3b3JrOnBhc3M6d29yZA=="
    assert (str(proxy), repr(proxy)) == ("proxy.example:3128", "Proxy(host='proxy.example', port=3128)")


@pytest.mark.parametrize(
    "text",
    [
        "https://user:secret@proxy.example",
        "socks5://user:secret@proxy.example:1080",
        "http://user:secret@:3128",
        "http://user:secret@host:port",
    ],
)
def test_other_proxies_are_refused_without_telling_credentials(text: str) -> None:
    with pytest.raises(ValueError, match="the proxy must be") as raised:
        parse_proxy(text)

    assert "secret" not in str(raised.value)


type Answer = Callable[["Gate", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Gate:
    """A proxy that answers CONNECT as a test says."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def proxy(self, credentials: str = "") -> Proxy:
        return parse_proxy(f"http://{credentials}127.0.0.1:{self.port}")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            await self.answer(self, reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def let_through(gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, _, port = gate.asked[-1].split(" ")[1].rpartition(":")
    there, back = await asyncio.open_connection(host, int(port))
    try:
        first = await there.read(65_536) if "early" in gate.asked[-1] else b""
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n" + first)
        await asyncio.gather(copy(reader, back), copy(there, writer))
    finally:
        back.close()
        with suppress(OSError):
            await back.wait_closed()


async def ask_for_credentials(gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if "Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in gate.asked[-1]:
        await let_through(gate, reader, writer)
    else:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


def says(answer: bytes) -> Answer:
    async def say(gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    return say


async def say_nothing(gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def respond(caller: Caller) -> None:
    await caller.greet()
    caller.respond(await caller.request(), b"through", end=True)
    await caller.hang_up()


async def fetch(exchanges: Http2Exchanges) -> bytes | None:
    exchange = await exchanges.open("POST", PATH, [])
    body = await exchange.read()
    await exchanges.close()
    return body


async def test_tls_goes_through_a_tunnel(secure: Secure) -> None:
    async with Scripted(respond, secure) as server, Gate(let_through) as gate:
        body = await fetch(server.exchanges(proxy=gate.proxy()))

    assert body == b"through"
    assert gate.asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"]


async def test_the_tunnels_first_bytes_are_not_taken_for_the_answer() -> None:
    async def speak_first(caller: Caller) -> None:
        caller.send(b"\0\0\0\x04\0\0\0\0\0")  # SETTINGS, before the client said anything
        await caller.reader.readexactly(24)
        caller.respond(await caller.request(), b"through", end=True)
        await caller.hang_up()

    async def answer(gate: Gate, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gate.asked[-1] += "early"
        await let_through(gate, reader, writer)

    async with Scripted(speak_first) as server, Gate(answer) as gate:
        body = await fetch(server.exchanges(proxy=gate.proxy()))

    assert body == b"through"


async def test_the_proxy_is_told_the_credentials_of_its_url(secure: Secure) -> None:
    async with Scripted(respond, secure) as server, Gate(ask_for_credentials) as gate:
        body = await fetch(server.exchanges(proxy=gate.proxy("user:pass@")))

    assert body == b"through"


async def test_the_endpoints_certificate_is_checked_through_the_tunnel(secure: Secure) -> None:
    async with Scripted(respond, secure) as server, Gate(let_through) as gate:
        exchanges = Http2Exchanges(server.uri, proxy=gate.proxy())
        with pytest.raises(NotTrusted, match="unknown authority"):
            await exchanges.reach()
        await exchanges.close()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ask_for_credentials, "answered 407 Proxy Authentication Required when asked for model.example:443"),
        (says(b"HTTP/1.0 403 Forbidden\x1b[2J\r\n\r\n"), "answered 403 Forbidden[2J when"),
        (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "is no HTTP proxy"),
        (says(b"HTTP/1.1 OK\r\n\r\n"), "is no HTTP proxy"),
        (says(b""), "closed the connection without an answer"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_ANSWER_BYTES), "answered with more than"),
        (say_nothing, "gives no answer"),
    ],
    ids=["407", "403", "ssh", "no status", "closed", "large", "silent"],
)
async def test_a_proxy_that_does_not_let_us_through_is_named(answer: Answer, words: str) -> None:
    patience = 0.5 if answer is say_nothing else 10.0
    async with Gate(answer) as gate:
        exchanges = Http2Exchanges("https://model.example", proxy=gate.proxy("user:secret@"), connect_seconds=patience)
        with pytest.raises(CannotConnect) as raised:
            await exchanges.open("POST", PATH, [])
        await exchanges.close()

    assert f"the proxy 127.0.0.1:{gate.port}" in str(raised.value) or words == "is no HTTP proxy"
    assert words in str(raised.value)
    assert "secret" not in str(raised.value)
    assert str(raised.value).isprintable()


async def test_a_proxy_that_is_not_there_is_named() -> None:
    async with Gate(say_nothing) as gate:
        proxy = gate.proxy()
    exchanges = Http2Exchanges("https://model.example", proxy=proxy)
    with pytest.raises(CannotConnect, match=rf"no connection to model\.example:443: the proxy 127\.0\.0\.1:{proxy.port}: refused"):
        await exchanges.reach()
    await exchanges.close()

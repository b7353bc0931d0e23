"""HTTP proxies: which one an environment names for an endpoint, and how to get through it (RFC 9110 9.3.6)."""

import asyncio
import base64
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from s2s.bedrock.interfaces import CannotConnect

MAX_ANSWER_BYTES: Final = 8 * 1024
"""Of a proxy's answer to CONNECT."""
_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that is asked to CONNECT."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """Value of Proxy-Authorization; never logged."""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def proxy_for(endpoint_uri: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for an endpoint: HTTPS_PROXY unless NO_PROXY names the host; each may be in small letters, which go first.

    That is what curl and botocore agree on; ALL_PROXY is curl's alone. Endpoints without TLS are for this machine and for tests, and
    proxies forward them as HTTP/1.1: they get none.

    Raises:
        ValueError: the variable does not name an HTTP proxy.
    """
    parts = urlsplit(endpoint_uri)
    text = _variable(environment, "https_proxy")
    if parts.scheme != "https" or not text:
        return None
    if _is_exempt(parts.hostname or "", parts.port or _HTTPS_PORT, _variable(environment, "no_proxy")):
        return None
    return parse_proxy(text)


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name, environment.get(name.upper(), "")).strip()


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Return whether NO_PROXY names a host: itself or a domain above it, with or without the port, or * for all."""
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",")]
    return "*" in names or any(
        candidate == name or candidate.endswith(f".{name}") for name in names if name for candidate in (host, f"{host}:{port}")
    )


def parse_proxy(text: str) -> Proxy:
    """Return the proxy that a URL names; without a scheme it is an HTTP proxy.

    Raises:
        ValueError: it is another kind of proxy, or no URL. The message does not repeat credentials.
    """
    parts = urlsplit(text if "://" in text else f"http://{text}")
    try:
        host, port = parts.hostname, parts.port or _HTTP_PORT
    except ValueError:
        host, port = None, 0
    if parts.scheme != "http":
        raise ValueError(f"the proxy must be an http:// URL: {parts.scheme}:// is not supported")
    if not host:
        raise ValueError("the proxy must be a URL such as http://proxy.example:3128")
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    return Proxy(host, port, authorization)


async def tunnel(connected: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Ask a proxy for a tunnel to a host. Takes no byte of what follows the answer.

    Args:
        connected: non-blocking, to the proxy.
        proxy: whose credentials are sent.
        host: of the endpoint.
        port: of the endpoint.

    Raises:
        CannotConnect: it gave none.
    """
    loop = asyncio.get_running_loop()
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    await loop.sock_sendall(connected, "\r\n".join([*lines, "", ""]).encode())
    answer = bytearray()
    while not answer.endswith(b"\r\n\r\n"):
        byte = await loop.sock_recv(connected, 1)  # one by one, once per connection: the next byte may be the endpoint's
        if not byte:
            raise CannotConnect(f"the proxy {proxy} closed the connection without an answer")
        answer += byte
        if len(answer) > MAX_ANSWER_BYTES:
            raise CannotConnect(f"the proxy {proxy} answered with more than {MAX_ANSWER_BYTES} bytes")
    _check(proxy, answer.partition(b"\r\n")[0].decode("latin-1"), target)


def _check(proxy: Proxy, status_line: str, target: str) -> None:
    version, _, status = status_line.partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdigit():
        raise CannotConnect(f"{proxy} is no HTTP proxy")
    if not status.startswith("2"):
        words = "".join(letter for letter in status[:80] if letter.isprintable())
        raise CannotConnect(f"the proxy {proxy} answered {words} when asked for {target}")

"""From an endpoint to a connection that has been greeted: name, TCP, proxy, TLS, ALPN, SETTINGS; each failure in one line."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection

from s2s.bedrock.http2.connection import Phase
from s2s.bedrock.http2.proxy import Proxy, tunnel
from s2s.bedrock.http2.wire import GOODBYE_SECONDS, Wire
from s2s.bedrock.interfaces import CannotConnect, NotTrusted

EYEBALLS_SECONDS: Final = 0.25
"""Head start of one address over the next (RFC 8305, section 5)."""
_PORTS: Final = {"https": 443, "http": 80}

# OpenSSL's numbers of verification errors (x509_vfy.h).
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_WRONG_HOST: Final = frozenset({62, 64})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect to."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as in a URI; the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_endpoint(uri: str) -> Endpoint:
    """Return the parts of an endpoint's URI.

    Raises:
        ValueError: it is neither https nor http.
    """
    parts = urlsplit(uri)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"the endpoint must be an https or http URI, not {uri}")
    return Endpoint(parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme])


def make_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a TLS context that offers HTTP/2 alone. Blocks for some 10 ms: reads the system's authorities.

    Args:
        ca_file: the only authority to trust, PEM; None for the system's.

    Raises:
        NotTrusted: the file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # also ssl.SSLError, for a file that holds no certificate
        raise NotTrusted(f"the certificate authority's file {ca_file} cannot be used: {error.strerror or error}") from error
    context.set_alpn_protocols(["h2"])
    return context


class Dialler:
    """Connects to one endpoint.

    Args:
        endpoint: where to.
        proxy: what to go through.
        seconds: for all of it together.
        context: of TLS; None without.
    """

    def __init__(self, endpoint: Endpoint, proxy: Proxy | None, seconds: float, context: ssl.SSLContext | None) -> None:
        self._endpoint = endpoint
        self._proxy = proxy
        self._seconds = seconds
        self._context = context
        self._step = ""

    async def dial(self, make_wire: Callable[[], Wire]) -> Wire:
        """Return a connection whose peer has sent its SETTINGS.

        Raises:
            CannotConnect: there is none to be had in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._dial(make_wire)
        except TimeoutError:
            raise CannotConnect(f"no connection to {self._endpoint} within {self._seconds:g} s: {self._step}") from None
        except CannotConnect:
            raise
        except ssl.SSLCertVerificationError as error:
            raise NotTrusted(f"the certificate of {self._endpoint} is not trusted: {describe_distrust(error)}") from error
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as error:  # RuntimeError: uvloop, of a socket; ValueError: no name that DNS or TLS can carry
            raise CannotConnect(f"no connection to {self._endpoint}: {self._describe(error)}") from error

    async def _dial(self, make_wire: Callable[[], Wire]) -> Wire:
        target = self._proxy or self._endpoint
        connected = await self._connect(target.host, target.port)
        if self._proxy is not None:
            self._step = f"the proxy {self._proxy} gives no answer"
            try:
                await tunnel(connected, self._proxy, self._endpoint.host, self._endpoint.port)
            except BaseException:
                connected.close()
                raise
        self._step = "no TLS handshake" if self._context is not None else "no HTTP/2 there"
        _, wire = await asyncio.get_running_loop().create_connection(  # closes the socket when it fails
            make_wire,
            sock=connected,
            ssl=self._context,
            server_hostname=self._endpoint.host if self._context is not None else None,
            ssl_handshake_timeout=self._seconds if self._context is not None else None,
            ssl_shutdown_timeout=GOODBYE_SECONDS if self._context is not None else None,
        )
        try:
            await self._greet(wire)
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _connect(self, host: str, port: int) -> socket.socket:
        through = f"the proxy {self._proxy}: " if self._proxy is not None else ""
        self._step = f"{through}no answer from the name service"
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._step = f"{through}no answer"
        return await start_connection(infos, happy_eyeballs_delay=EYEBALLS_SECONDS)

    async def _greet(self, wire: Wire) -> None:
        if self._context is not None and wire.selected_protocol() != "h2":
            raise CannotConnect(f"no connection to {self._endpoint}: no HTTP/2 agreed in the TLS handshake (ALPN)")
        self._step = "no SETTINGS of HTTP/2 came"
        await wire.greeting()
        if wire.connection.phase is not Phase.OPEN:
            raise CannotConnect(f"no connection to {self._endpoint}: {wire.connection.reason}")
        if wire.connection.capacity == 0:
            raise CannotConnect(f"no connection to {self._endpoint}: it takes no streams")

    def _describe(self, error: Exception) -> str:
        through = f"the proxy {self._proxy}: " if self._proxy is not None else ""
        match error:
            case socket.gaierror():
                return f"{through}no such host"
            case ConnectionRefusedError():
                return f"{through}refused"
            case ssl.SSLError():
                return f"no TLS there ({error.reason or error})"
            case ConnectionError():
                return f"{through}closed by the peer ({self._step})"
            case _:
                return f"{through}{error}"


def describe_distrust(error: ssl.SSLCertVerificationError) -> str:
    """Return in words why a certificate was not accepted."""
    code, words = error.verify_code, error.verify_message.rstrip(".")
    if code in _UNKNOWN_AUTHORITY:
        return f"unknown authority ({words})"
    if code in _WRONG_HOST:
        return f"wrong host ({words})"
    if code == _EXPIRED:
        return f"expired ({words})"
    if code == _NOT_YET_VALID:
        return f"not valid yet ({words})"
    return words

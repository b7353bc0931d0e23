"""TLS connections to the model's endpoint, over AWS's Common Runtime.

The Common Runtime cannot cancel one stream of a connection, so a stream is torn down by closing its connection. That is why a connection
carries one stream unless told otherwise, and why one that carried a broken stream takes no new ones.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

from awscrt.http import Http2ClientConnection, Http2Setting, Http2SettingID, HttpHeaders, HttpRequest
from awscrt.io import ClientBootstrap, ClientTlsContext, DefaultHostResolver, EventLoopGroup, SocketOptions, TlsContextOptions

from s2s.bedrock.crt.exchange import CrtExchange
from s2s.bedrock.crt.sockets import disable_nagle
from s2s.bedrock.crt.threads import RuntimeFailure, follow
from s2s.bedrock.interfaces import RECEIVE_WINDOW_BYTES, CannotConnect, Headers, StreamBroken

CLOSING_SECONDS: Final = 1.0
"""How long a connection may take to close; the Common Runtime goes on by itself after that."""
_HTTPS_PORT: Final = 443


class Connection:
    """One HTTP/2 connection and how many streams it carries.

    Args:
        http: the Common Runtime's connection.
    """

    def __init__(self, http: Http2ClientConnection) -> None:
        self.http = http
        self.streams = 0
        self.is_tainted = False

    def has_room(self, limit: int) -> bool:
        """Return whether another stream may be opened on it."""
        return self.streams < limit and not self.is_tainted and bool(self.http.is_open())

    async def close(self) -> None:
        """Close it and everything on it. Returns in bounded time."""
        closing = follow(self.http.close())
        with suppress(TimeoutError, RuntimeFailure):
            async with asyncio.timeout(CLOSING_SECONDS):
                await closing


class CrtExchanges:
    """Opens exchanges with one endpoint (interfaces.Exchanges).

    Args:
        endpoint_uri: https URI; HTTP/2 is agreed on in the TLS handshake (ALPN), so there is no plain variant.
        ca_file: certificate authority to trust beside none other; None for the system's.
        streams_per_connection: how many sessions die together when a connection does.
        connect_seconds: time for name resolution, TCP and TLS together.

    Raises:
        ValueError: the URI is not https.
    """

    def __init__(self, endpoint_uri: str, *, ca_file: str | None, streams_per_connection: int, connect_seconds: float) -> None:
        parts = urlsplit(endpoint_uri)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError(f"the model's endpoint must be an https URI, not {endpoint_uri}")
        self._host, self._port = parts.hostname, parts.port or _HTTPS_PORT
        self._limit = streams_per_connection
        self._connect_seconds = connect_seconds
        group = EventLoopGroup(1)
        self._bootstrap = ClientBootstrap(group, DefaultHostResolver(group))
        options = TlsContextOptions()
        if ca_file is not None:
            options.override_default_trust_store_from_path(None, ca_file)
        self._tls = ClientTlsContext(options)
        self._open: list[Connection] = []
        self._given_up: set[Future[Http2ClientConnection]] = set()
        """Attempts to connect that nobody waits for any more; the Common Runtime's thread still tells the loop how they ended."""
        self._one_at_a_time = asyncio.Lock()
        self._is_closed = False

    async def open(self, method: str, path: str, headers: Headers) -> CrtExchange:
        """Send the head of a request.

        Raises:
            CannotConnect: there is no connection to be had in time.
            StreamBroken: the connection went away since it was made.
        """
        connection = await self._acquire()

        async def release(is_broken: bool) -> None:  # noqa: FBT001  # CrtExchange calls it with its one value
            await self._release(connection, is_broken=is_broken)

        try:
            return CrtExchange(connection.http, HttpRequest(method=method, path=path, headers=HttpHeaders(list(headers))), release)
        except RuntimeError as error:
            await release(True)
            raise StreamBroken(str(error)) from error

    async def reach(self) -> None:
        """Make sure that there is a live connection.

        Raises:
            CannotConnect: there is none to be had in time.
        """
        await self._release(await self._acquire(), is_broken=False)

    async def _acquire(self) -> Connection:
        if self._limit == 1:  # nothing can be shared: nobody need wait for another's handshake
            return self._occupy(await self._make())
        async with self._one_at_a_time:
            found = next((connection for connection in self._open if connection.has_room(self._limit)), None)
            return self._occupy(found or await self._make())

    async def _make(self) -> Connection:
        self._check()
        made = Connection(await self._connect())
        try:
            self._check()
        except CannotConnect:
            await made.close()
            raise
        return made

    def _check(self) -> None:
        if self._is_closed:
            raise CannotConnect("closed by this side")

    def _occupy(self, connection: Connection) -> Connection:
        connection.streams += 1
        if connection not in self._open:
            self._open.append(connection)
        return connection

    async def _release(self, connection: Connection, *, is_broken: bool) -> None:
        connection.streams -= 1
        connection.is_tainted = connection.is_tainted or is_broken
        if connection.streams == 0 and connection in self._open:
            self._open.remove(connection)
            await connection.close()

    async def close(self) -> None:
        """Close all connections, and make no more."""
        self._is_closed = True
        connections, self._open = self._open, []
        await asyncio.gather(*(connection.close() for connection in connections))
        late = [follow(attempt) for attempt in tuple(self._given_up)]  # a loop that is told something while it closes cannot close
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await asyncio.gather(*late, return_exceptions=True)

    async def _connect(self) -> Http2ClientConnection:
        tls = self._tls.new_connection_options()
        tls.set_server_name(self._host)
        tls.set_alpn_list(["h2"])
        socket_options = SocketOptions()
        socket_options.connect_timeout_ms = int(self._connect_seconds * 1000)
        greeting: Future[bool] = Future()

        def greeted(settings: Sequence[Http2Setting]) -> None:
            if not greeting.done():
                greeting.set_result((Http2SettingID.MAX_CONCURRENT_STREAMS, 0) not in [(one.id, one.value) for one in settings])

        attempt: Future[Http2ClientConnection] = Http2ClientConnection.new(
            host_name=self._host,
            port=self._port,
            bootstrap=self._bootstrap,
            socket_options=socket_options,
            tls_connection_options=tls,
            on_remote_settings_changed=greeted,
            manual_window_management=True,
            initial_window_size=RECEIVE_WINDOW_BYTES,
        )
        try:
            async with asyncio.timeout(self._connect_seconds):
                connection = await follow(attempt)
                takes_streams = await _greet(connection, greeting)
        except BaseException as error:
            self._given_up.add(attempt)
            attempt.add_done_callback(_close_late)
            attempt.add_done_callback(self._given_up.discard)
            match error:
                case RuntimeFailure():
                    raise CannotConnect(f"no connection to {self._host}:{self._port}: {error}") from None
                case TimeoutError():
                    # An untrusted certificate comes here too: s2n reports it after 20 s (its blinding delay), long after we gave up.
                    limit = f"within {self._connect_seconds:g} s (a certificate that is not trusted looks like this, too)"
                    raise CannotConnect(f"no connection to {self._host}:{self._port} {limit}") from None
                case _:
                    raise
        if not takes_streams:
            connection.close()
            raise CannotConnect(f"no connection to {self._host}:{self._port}: it takes no streams")
        disable_nagle(self._port)
        return connection


async def _greet(connection: Http2ClientConnection, greeting: "Future[bool]") -> bool:
    """Wait for the peer's SETTINGS, before which a connection may be to anything, and return whether it takes streams.

    Raises:
        RuntimeFailure: the connection ended instead.
    """
    settings, ended = follow(greeting), follow(connection.shutdown_future)
    try:
        await asyncio.wait({settings, ended}, return_when=asyncio.FIRST_COMPLETED)
        if settings.done():
            return settings.result()
        raise RuntimeFailure(f"no HTTP/2 there: {ended.exception() or 'closed'}")
    finally:
        for waiter in (settings, ended):
            if not waiter.cancel():
                waiter.exception()  # counts as seen


def _close_late(attempt: "Future[Http2ClientConnection]") -> None:
    if attempt.exception() is None:
        attempt.result().close()

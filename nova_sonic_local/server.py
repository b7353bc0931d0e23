"""Nova Sonic Local: an emulator of Amazon Nova Sonic's bidirectional stream, on HTTP/2 with TLS (ALPN h2) and without (prior knowledge)."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from nova_sonic_local.brains.interface import Voice
from nova_sonic_local.casting import Casting, choose_voice
from nova_sonic_local.certificates import server_context
from nova_sonic_local.clock import Clock, LoopClock
from nova_sonic_local.control import Control
from nova_sonic_local.front import FrontProtocol
from nova_sonic_local.http2 import Http2Protocol
from nova_sonic_local.journal import Journal
from nova_sonic_local.options import Options
from nova_sonic_local.record import Recorder
from nova_sonic_local.service import Service
from nova_sonic_local.stream import House
from nova_sonic_local.version import VERSION

if TYPE_CHECKING:
    from nova_sonic_local.http1 import Http1Server

BACKLOG = 2048
"""Connections that may wait to be accepted; with asyncio's 100, five hundred clients that return at once stall for seconds."""

CLOSE_SECONDS = 1.0
"""For clients to take the GOAWAY before their connection is dropped."""


class NovaSonicLocal:
    """A running emulator: `async with NovaSonicLocal(Options()) as emulator`.

    Args:
        options: how it is set up.
        clock: for tests; None is the event loop's time.
    """

    def __init__(self, options: Options | None = None, clock: Clock | None = None) -> None:
        self.options = options or Options()
        self._clock = clock
        self._open = contextlib.AsyncExitStack()
        self._connections: set[Http2Protocol | FrontProtocol] = set()
        self._first: Http1Server | None = None
        self._service: Service | None = None
        self._ca_file: Path | None = None
        self._voice: Voice | None = None
        self._ports: tuple[int, int] = (0, 0)
        self._admin_port: int | None = None

    @property
    def endpoint(self) -> str:
        """URL for clients over TLS; they must trust `ca_file`."""
        return f"https://{self._url_host}:{self._ports[0]}"

    @property
    def h2c_endpoint(self) -> str:
        """URL for clients that speak HTTP/2 without TLS and without upgrade."""
        return f"http://{self._url_host}:{self._ports[1]}"

    @property
    def admin_endpoint(self) -> str | None:
        """URL of the admin endpoint, None when there is none."""
        return f"http://{self._url_host}:{self._admin_port}" if self._admin_port is not None else None

    @property
    def control(self) -> Control:
        """What can be seen and done while it runs."""
        if self._service is None:
            raise RuntimeError("the emulator is not running")
        return Control(self._service)

    @property
    def ca_file(self) -> Path:
        """The certificate authority, PEM."""
        if self._ca_file is None:
            raise RuntimeError("the emulator is not running")
        return self._ca_file

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which clients find and trust it.

        SSL_CERT_FILE is for AWS's Python SDK and whatever else uses OpenSSL's own store, AWS_CA_BUNDLE for boto3 and the
        command line of AWS, NODE_EXTRA_CA_CERTS for Node, BEDROCK_CA_FILE for the server of this project.
        """
        ca_file = str(self.ca_file.resolve())
        key, secret = next(iter(self.options.secrets.items()), ("local", "local"))
        return {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.endpoint,
            "AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING": self.endpoint,
            "AWS_ENDPOINT_URL_POLLY": self.endpoint,
            "SSL_CERT_FILE": ca_file,
            "AWS_CA_BUNDLE": ca_file,
            "NODE_EXTRA_CA_CERTS": ca_file,
            "BEDROCK_CA_FILE": ca_file,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    @property
    def voice(self) -> Voice | None:
        """Who speaks, None before the start."""
        return self._voice

    @property
    def live_streams(self) -> int:
        """Streams being served now."""
        return self._service.live_streams if self._service is not None else 0

    @property
    def serves_requests(self) -> bool:
        """Whether any request, of whatever operation, is being served."""
        return self._service is not None and self._service.is_busy

    @property
    def live_connections(self) -> int:
        """Connections that are open now."""
        return len(self._connections)

    async def idle(self) -> None:
        """Wait until no stream is served; clients may keep their connections."""
        if self._service is not None:
            await self._service.idle()

    async def quiet(self) -> None:
        """Wait until no stream is served and no connection is open."""
        if self._service is not None:
            await self._service.idle()
        while self._connections:
            await next(iter(self._connections)).gone.wait()

    @property
    def _url_host(self) -> str:
        host = self.options.host
        if host in ("0.0.0.0", "::", ""):  # noqa: S104 -- compared, not bound: any address is reached by loopback
            return "127.0.0.1"
        return f"[{host}]" if ":" in host else host

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._open.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        directory = self.options.ca_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nova-sonic-local-")))
        context, self._ca_file = await asyncio.to_thread(server_context, directory)
        self._voice = choose_voice(self.options)
        casting = Casting(self.options)
        stack.push_async_callback(casting.aclose)
        await casting.cast()  # what is wrong with it is told now, and not to the first client
        clock = self._clock or LoopClock()
        recorder = await self._start_recorder(stack)
        journal = Journal(clock, keeps_sound=self.options.keep_sound)
        self._service = Service(House(self.options, clock, self._voice), casting, journal, recorder)
        loop = asyncio.get_running_loop()
        factory = self._protocol_factory(self._service)
        secure = await loop.create_server(factory, self.options.host, self.options.port, ssl=context, backlog=BACKLOG)
        stack.push_async_callback(self._stop, secure)
        plain = await loop.create_server(factory, self.options.host, self.options.h2c_port, backlog=BACKLOG)
        stack.push_async_callback(self._stop, plain)
        self._ports = (secure.sockets[0].getsockname()[1], plain.sockets[0].getsockname()[1])

        if self.options.admin_port is not None:
            # Imported here: an emulator without this endpoint, as in most tests, starts without a library for HTTP.
            from nova_sonic_local.admin import Admin, serve_admin  # noqa: PLC0415 -- see above

            admin = Admin(self.control, self.about)
            self._admin_port = await stack.enter_async_context(serve_admin(admin, self.options.host, self.options.admin_port))

    def about(self) -> dict[str, object]:
        """Return where it listens and who answers, for JSON."""
        return {
            "version": VERSION,
            "endpoint": self.endpoint,
            "h2c_endpoint": self.h2c_endpoint,
            "ca_file": str(self.ca_file),
            "brain": self.control.usual_brain,
            "voice": type(self.voice).__name__,
            "admin": self.admin_endpoint,
        }

    async def _start_recorder(self, stack: contextlib.AsyncExitStack) -> Recorder | None:
        if self.options.record is None:
            return None
        recorder = await asyncio.to_thread(Recorder, self.options.record)
        stack.push_async_callback(asyncio.to_thread, recorder.stop)
        return recorder

    def _protocol_factory(self, service: Service) -> Callable[[], FrontProtocol]:
        def second(_transport: asyncio.Transport) -> asyncio.Protocol:
            return Http2Protocol(service.accept, self._connections.add, self._connections.discard)

        def first(transport: asyncio.Transport) -> asyncio.Protocol:
            if self._first is None:
                # Imported here, as the admin endpoint is: most tests need no library for HTTP/1.1.
                from nova_sonic_local.http1 import Http1Server  # noqa: PLC0415 -- see above

                self._first = Http1Server(service.accept)
            return self._first(transport)

        return lambda: FrontProtocol(second, first, self._connections.add, self._connections.discard)

    async def _stop(self, server: asyncio.Server) -> None:
        server.close()
        if self._service is not None:
            await self._service.close()
        if self._first is not None:
            await self._first.aclose()
        for connection in list(self._connections):
            connection.go_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await server.wait_closed()
        for connection in list(self._connections):
            connection.abort()

"""The WebSocket server: any path upgrades, and what wants no WebSocket goes to plain HTTP on the same port."""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from session.interfaces import Clock
from session.registry import SessionRegistry
from telemetry.counters import Counters
from transports.admission import Admission
from transports.attachments import Adopter, Attachments
from transports.authentication import Gate, offered_by, without_tokens
from transports.connection import Connection
from transports.dialects.binary import SUBPROTOCOL
from transports.dialects.detection import Clocks
from transports.dialects.realtime import SUBPROTOCOL as REALTIME_SUBPROTOCOL
from transports.directory import Directory, LiveConnection
from transports.event_channels import EventDesk
from transports.event_messages import SUBPROTOCOL as EVENTS_SUBPROTOCOL
from transports.first_request import FrontDoor, LaterConnection, PlainHttp
from transports.limits import NO_LIMITS, Limits
from transports.origins import OriginPolicy
from transports.provisions import Provisions
from transports.realtime_request import realtime_dialect
from transports.refusals import malformed, refuse
from transports.sockets import BACKLOG

QUEUED_FRAMES: Final = 4
"""Frames that are read ahead of a session that takes them slowly: of the largest messages 1 MB, half of what a session may take."""
WRITE_LIMIT_BYTES: Final = 4 * 1024
"""Above it a sender waits: speech shall wait in the session, where an interruption can take it back."""
PING_SECONDS: Final = 20
"""A third of the idle time-out of AWS's load balancers; pings every 60 s race it."""
OPEN_SECONDS: Final = 10
CLOSE_SECONDS: Final = 3
RETRY_AFTER_SECONDS: Final = "2"
CONNECTION_ID_BYTES: Final = 8


class WebSocketServer:
    """Accepts connections on sockets that already listen.

    Args:
        sockets: listening sockets; closed with the server.
        registry: admits sessions.
        plain: serves the requests that want no WebSocket; started and stopped with the server.
        origins: which pages may connect.
        gate: asks every client who it is.
        limits: of what one client may take.
        counters: counts connections and frames.
        clock: monotonic seconds.
        resume_seconds: how long a session waits for a client that lost its connection; 0 ends it at once.
        adopter: finds sessions that other processes had.
        directory: knows the open connections.
        provisions: what some dialects need beside sessions; stays the caller's to close.
        events: serves clients that follow events; None turns them away.
        open_seconds: a client that takes longer to say what it wants is dropped.
        ping_seconds: how often a client is asked whether it is still there, and how long it may take to answer.
    """

    def __init__(
        self,
        *,
        sockets: Sequence[socket.socket],
        registry: SessionRegistry,
        plain: PlainHttp,
        origins: OriginPolicy,
        gate: Gate,
        counters: Counters,
        clock: Clock,
        resume_seconds: float = 0,
        adopter: Adopter | None = None,
        limits: Limits = NO_LIMITS,
        directory: Directory | None = None,
        provisions: Provisions | None = None,
        events: EventDesk | None = None,
        open_seconds: float = OPEN_SECONDS,
        ping_seconds: float | None = None,
    ) -> None:
        self._sockets = tuple(sockets)
        self._registry = registry
        self._plain = plain
        self._origins = origins
        self._gate = gate
        self._counters = counters
        self._clock = clock
        self._clocks = Clocks(lambda: int(clock.now() * 1000), lambda: time.time_ns() // 1_000_000)
        self._attachments = Attachments(registry, counters, resume_seconds, adopter, limits)
        self._limits = limits
        self._admission = Admission(limits, counters, clock)
        self._directory = directory or Directory()
        self._provisions = provisions or Provisions()
        self._events = events
        self._open_seconds = open_seconds
        self._ping_seconds = PING_SECONDS if ping_seconds is None else ping_seconds
        self._door = FrontDoor(plain, self._admission, counters, open_seconds)
        self._servers: list[Server] = []

    @property
    def plain_requests(self) -> int:
        """How many requests over plain HTTP are being answered."""
        return self._admission.plain.inside

    async def start(self) -> None:
        """Begin to accept."""
        await self._plain.start()
        for each in self._sockets:
            server = await serve(
                self._serve_connection,
                sock=each,
                backlog=BACKLOG,
                process_request=self._process_request,
                select_subprotocol=_select_subprotocol,
                compression=None,  # it costs a quarter of the CPU and only undoes base64
                max_size=self._limits.frame_bytes,
                max_queue=QUEUED_FRAMES,
                write_limit=WRITE_LIMIT_BYTES,
                ping_interval=self._ping_seconds,
                ping_timeout=self._ping_seconds,
                open_timeout=self._open_seconds,
                close_timeout=CLOSE_SECONDS,
                server_header=None,
                create_connection=partial(LaterConnection, door=self._door),  # type: ignore[arg-type]  # "a wrapper or a subclass"
                logger=logging.getLogger("websockets.server"),
            )
            self._servers.append(server)

    async def stop(self) -> None:
        """Close the connections that are left (1001) and return when all their tasks have ended."""
        for server in self._servers:
            server.close()
        self._door.close()
        await asyncio.gather(self._plain.stop(), *(server.wait_closed() for server in self._servers))
        for each in self._sockets:
            each.close()

    async def _serve_connection(self, connection: ServerConnection) -> None:
        connection_id = secrets.token_hex(CONNECTION_ID_BYTES)
        with structlog.contextvars.bound_contextvars(connection=connection_id):
            if self._events is not None and connection.subprotocol == EVENTS_SUBPROTOCOL:
                await self._events.serve(connection, self._gate)
                return
            realtime = realtime_dialect(connection, self._registry, self._clocks)
            standing = await self._gate.enter(connection, self._clocks, realtime)
            if standing is None:
                return
            live = LiveConnection(connection_id, standing.principal, *self._origin_of(connection))
            client = Connection(
                connection,
                self._attachments,
                standing=standing,
                live=live,
                limits=self._limits,
                clock=self._clock,
                clocks=self._clocks,
                counters=self._counters,
                provisions=self._provisions,
                dialect=realtime,
            )
            async with self._directory.entered(live, lambda: connection.close_code):
                await client.run()

    async def _process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        if self._registry.is_leaving:
            return refuse(HTTPStatus.SERVICE_UNAVAILABLE, "The server is restarting.", ("Retry-After", RETRY_AFTER_SECONDS))
        if (refusal := malformed(request) or self._admission.admit(connection, request)) is not None:
            return refusal
        if not self._origins.allows(request.headers.get_all("Origin"), request.headers.get_all("Host")):
            self._counters.add("origin_refused")
            return refuse(HTTPStatus.FORBIDDEN, "Pages of this origin may not connect; see ALLOWED_ORIGINS.")
        if EVENTS_SUBPROTOCOL in offered_by(request):
            is_off = self._events is None
            return refuse(HTTPStatus.NOT_FOUND, "This server has no events; see EVENTS.") if is_off else None  # asked once it is open
        return await self._gate.admit(connection, request)

    def _origin_of(self, connection: ServerConnection) -> tuple[str, str]:
        """Return where a client comes from, and what it says that it is."""
        request = connection.request
        if request is None:
            return "", ""
        agents = request.headers.get_all("User-Agent")
        return self._admission.address_of(connection, request), agents[0] if agents else ""


def _select_subprotocol(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Take ours if the client knows it; a client with other subprotocols is served by its first frame.

    Browsers give up when they offer some and none is taken: beside a token any other one is.
    """
    for own in (EVENTS_SUBPROTOCOL, SUBPROTOCOL, REALTIME_SUBPROTOCOL):
        if own in offered:
            return Subprotocol(own)
    others = without_tokens(offered)
    return others[0] if others and len(others) < len(offered) else None

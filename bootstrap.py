"""The composition root: the one file that knows every adapter. Any part can be replaced by keyword."""

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import structlog

import endpoints
from api.health import Check, Health
from api.health_server import HealthServer
from api.plain_http import PlainHttp
from auth.interfaces import Authenticator
from config import Settings
from endpoints import Offer
from observers.session_log import SessionLog
from observers.trace_files import TraceFiles
from parts.access import limits_of, open_authenticator
from parts.assistants import load_assistants
from parts.companion import CompanionParts, open_companion
from parts.connections import ConnectionParts, open_connections
from parts.database import open_database, open_keeper
from parts.events import PublishParts, open_publish_parts
from parts.model import TEXT_PROFILES, open_model, stream_quota
from parts.records import Ground, open_record_parts
from parts.tools import Records, make_tools, open_records
from parts.traces import open_traces
from session.interfaces import Clock, ModelClient, Observer, ToolRunner
from session.registry import SessionRegistry
from storage.table import Database
from telemetry.counters import Counters
from telemetry.garbage import GarbageCollection
from telemetry.loop_lag import LoopLag
from telemetry.loop_stalls import LoopStallMonitor
from transports.authentication import Gate
from transports.directory import Directory
from transports.event_channels import EventDesk
from transports.origins import OriginPolicy
from transports.provisions import Provisions, open_provisions
from transports.sockets import PortUnavailable, listen, port_of
from transports.websocket import WebSocketServer

log = structlog.get_logger()


class MonotonicClock:
    """The system's monotonic clock."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


MONOTONIC: Final = MonotonicClock()


@dataclass(frozen=True, slots=True)
class Listening:
    """Sockets that listen; `health` is empty when one port serves all."""

    main: tuple[socket.socket, ...]
    health: tuple[socket.socket, ...]

    @property
    def port(self) -> int:
        """Port of the page and the WebSocket."""
        return port_of(self.main)

    @property
    def health_port(self) -> int:
        """Port of /health."""
        return port_of(self.health or self.main)

    def close(self) -> None:
        """Close all of them."""
        for each in (*self.main, *self.health):
            each.close()


def listen_on(settings: Settings) -> Listening:
    """Take the ports, first of all: what else is started would be in vain without them.

    Raises:
        PortUnavailable: names the port.
    """
    main = listen(settings.host, settings.ws_port)
    if settings.ws_port in settings.health_ports[:1] and settings.ws_port:
        return Listening(main, ())
    try:
        return Listening(main, _listen_on_first(settings.host, settings.health_ports))
    except PortUnavailable:
        Listening(main, ()).close()
        raise


def _listen_on_first(host: str, ports: Sequence[int]) -> tuple[socket.socket, ...]:
    """Listen on the first port that can be had."""
    for port, instead in pairwise(ports):
        try:
            return listen(host, port)
        except PortUnavailable as error:
            log.info("health.port_replaced", port=port, instead=instead, reason=str(error))
    return listen(host, ports[-1])


class Application:
    """Everything that runs.

    Args:
        registry: the live sessions.
        health: knows how the server is.
        plain: answers plain HTTP.
        origins: which pages may connect.
        settings: as read.
        authenticator: tells who a client is.
        counters: of the process.
        lag: of the event loop.
        clock: monotonic seconds.
        resources: closed last, in reverse order.
        provisions: what some dialects need beside sessions.
        directory: knows the open connections.
        events: serves clients that follow events.
        traces: of sessions, if the settings name a folder.
    """

    def __init__(
        self,
        *,
        registry: SessionRegistry,
        health: Health,
        plain: PlainHttp,
        origins: OriginPolicy,
        settings: Settings,
        authenticator: Authenticator,
        counters: Counters,
        lag: LoopLag,
        clock: Clock,
        resources: AsyncExitStack,
        provisions: Provisions,
        directory: Directory,
        events: EventDesk | None = None,
        traces: TraceFiles | None = None,
    ) -> None:
        self.registry = registry
        self.health = health
        self._plain = plain
        self._origins = origins
        self._settings = settings
        self._authenticator = authenticator
        self._counters = counters
        self._lag = lag
        self._clock = clock
        self._resources = resources
        self._provisions = provisions
        self._directory = directory
        self._events = events
        self._traces = traces
        self._servers: list[WebSocketServer | HealthServer] = []
        self._watches: set[asyncio.Task[None]] = set()

    async def start(self, listening: Listening) -> None:
        """Begin to serve on sockets, which are closed with the application."""
        gate = Gate(
            self._authenticator,
            self._counters,
            seconds=self._settings.auth_seconds,
            grace_seconds=self._settings.token_grace_seconds,
        )
        self._servers.append(
            WebSocketServer(
                sockets=listening.main,
                registry=self.registry,
                plain=self._plain,
                origins=self._origins,
                gate=gate,
                limits=limits_of(self._settings),
                counters=self._counters,
                clock=self._clock,
                resume_seconds=self._settings.resume_seconds,
                adopter=self.registry,
                provisions=self._provisions,
                directory=self._directory,
                events=self._events,
            )
        )
        if listening.health:
            self._servers.append(HealthServer(listening.health, self.health))
        for server in self._servers:
            await server.start()
        garbage = GarbageCollection(lambda: self.registry.live == 0, self._counters)
        self._watches = {asyncio.create_task(each.run()) for each in (LoopStallMonitor(self._counters, self._lag.note), garbage)}

    async def drain(self, seconds: float) -> None:
        """Take no session any more and let those that live finish their turn; /ready says no from now on."""
        log.info("server.draining", sessions=self.registry.live)
        await self.registry.drain(seconds)

    def toggle_traces(self) -> None:
        """Record the conversations that open from now on, or no longer."""
        if self._traces is None:
            log.warning("traces.unavailable", reason="SESSION_TRACE_DIR is not set")
        else:
            log.info("traces.on" if self._traces.toggle() else "traces.off")

    async def stop(self) -> None:
        """Close everything that is still open; other processes can have what is kept for them."""
        self.registry.let_go()
        for server in self._servers:
            await server.stop()
        await self.registry.close()
        for watch in self._watches:
            watch.cancel()
        if self._watches:
            await asyncio.wait(self._watches)
        await self._resources.aclose()


@dataclass(frozen=True, slots=True)
class _Desk:
    """What assistants work with, and what knows who is connected."""

    tools: ToolRunner
    database: Database | None
    records: Records | None
    companion: CompanionParts
    connections: ConnectionParts


async def _open_desk(
    settings: Settings,
    told: PublishParts,
    resources: AsyncExitStack,
    counters: Counters,
    *,
    given: tuple[ToolRunner | None, Database | None],
    checks: dict[str, Check],
) -> _Desk:
    """Return the tools that were given, else those on the database that was given, else on the one that the settings choose."""
    tools, database = given
    records: Records | None = None
    if tools is None:
        database = told.watched(database or await open_database(settings, resources))
    companion = await open_companion(settings, database, told.alerts)
    if tools is None:
        records = await open_records(settings, database, resources, checks)
        tools = make_tools(settings, records, companion.tools)
    return _Desk(tools, database, records, companion, await open_connections(settings, database, resources, counters))


async def build(
    settings: Settings,
    *,
    model: ModelClient | None = None,
    tools: ToolRunner | None = None,
    database: Database | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock = MONOTONIC,
    checks: Mapping[str, Check] | None = None,
    authenticator: Authenticator | None = None,
) -> Application:
    """Put the application together; it serves once `start` is called.

    Args:
        settings: as read.
        model: instead of Nova Sonic on Bedrock, or with --local its emulator; stays the caller's to close.
        tools: instead of the seven tools on the database.
        database: instead of the one that the settings choose; stays the caller's to close.
        observers: listen beside the log.
        clock: instead of the system's monotonic clock.
        checks: of /ready, beside those of the parts made here.
        authenticator: instead of the one that the settings choose.

    Raises:
        StartFailed: says what is missing.
    """
    counters, lag = Counters(), LoopLag(settings.max_loop_lag_ms / 1000)
    found, resources = dict(checks or {}), AsyncExitStack()
    try:
        assistants = load_assistants()
        model, place = (model, None) if model else await open_model(settings, resources, found)
        told = await open_publish_parts(settings, resources, counters, clock)
        desk = await _open_desk(settings, told, resources, counters, given=(tools, database), checks=found)
        database, companion, connections = desk.database, desk.companion, desk.connections
        ground = Ground(settings, resources, counters, clock.now, assistants, told.publisher, database, companion.book, connections, place)
        told.join(written := await open_record_parts(ground))
        traces = open_traces(settings, resources)
        provisions = await open_provisions(resources, companion.patients, written.memory, written.preferences)
        authenticator = authenticator or await open_authenticator(settings, resources, found)
        origins = OriginPolicy(settings.allowed_origins, settings.host)
        registry = SessionRegistry(
            model=model,
            tools=desk.tools,
            assistants=assistants,
            default_assistant=settings.assistant,
            observers=(SessionLog(counters, clock), *connections.observers, told.watch, *observers),
            clock=clock,
            max_sessions=settings.max_sessions,
            text_profile=TEXT_PROFILES[settings.model_history],
            is_overloaded=lambda: lag.is_overloaded,
            recorder=traces,
            keeper=None if database is None else await open_keeper(settings, database, resources, counters),
            quota=stream_quota(settings, model, counters),
            client_tool_seconds=settings.client_tool_seconds,
            idle_seconds=settings.session_idle_seconds,
            attendances=written.attendances,
            audio_attendances=written.audio_attendances,
        )
        written.belong_to(registry)
    except BaseException:
        await resources.aclose()
        raise
    health = Health(checks=found, registry=registry, counters=counters, clock=clock)
    offer = Offer(health, assistants, desk.records, connections.switchboard, registry, written)
    return Application(
        registry=registry,
        health=health,
        plain=endpoints.plain_http(settings, offer, authenticator, origins),
        origins=origins,
        settings=settings,
        authenticator=authenticator,
        counters=counters,
        lag=lag,
        clock=clock,
        resources=resources,
        provisions=provisions,
        directory=connections.directory,
        events=told.desk,
        traces=traces,
    )

"""The composition root: the one file that knows every adapter. Any part can be replaced by keyword."""

import asyncio
import os
import secrets
import socket
import tempfile
import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

import orjson
import structlog

from api.app import HealthServer
from api.health import Check, Health
from config import ASSISTANTS, LOCAL_FOLDER, ROOT, ModelHistory, Settings, StorageKind
from local_emulator import EmulatorFailed, LocalEmulator
from observers.session_log import SessionLog
from observers.trace_files import TraceFiles
from s2s.bedrock.client import NovaSonicClient, region_endpoint
from s2s.bedrock.credentials import Credentials, StaticCredentials, find_credentials
from s2s.bedrock.http2.proxy import proxy_for
from s2s.bedrock.stream import Timeouts
from s2s.cures import Place, explain
from s2s.errors import ModelError
from s2s.limits import RELAXED, STRICT
from session.assistant import AssistantError, AssistantProfile, parse_assistant
from session.interfaces import Clock, ModelClient, Observer, ToolRunner
from session.keeper import SessionKeeper
from session.registry import SessionRegistry
from storage.appointments import Appointments
from storage.cipher import KEY_BYTES, Cipher
from storage.dynamodb import open_dynamodb
from storage.errors import StorageError
from storage.examples import LOCAL_SALT, write_examples
from storage.orders import Orders
from storage.parked_sessions import ParkedSessions
from storage.sqlite import open_sqlite
from storage.table import Database, Table
from storage.tables import appointments_table, orders_table, sessions_table
from telemetry.counters import Counters
from telemetry.loop_lag import LoopLag
from telemetry.loop_stalls import LoopStallMonitor
from tools.catalogue import build_tools
from transports.origins import OriginPolicy
from transports.site import Answer, Site, load_assets
from transports.sockets import PortUnavailable, listen, port_of
from transports.websocket import WebSocketServer

log = structlog.get_logger()

LOCAL_KEY: Final = "local"
"""The made-up credentials of --local: the emulator takes any."""
TEXT_PROFILES: Final = {ModelHistory.STRICT: STRICT, ModelHistory.RELAXED: RELAXED}
SPARE_STREAMS: Final = 5
"""Streams that the emulator takes beyond the sessions: one may still be closing when the next opens."""


class StartFailed(Exception):
    """The server cannot start; the message says in one line what to do."""


class NoCredentials(StartFailed):
    """There is nobody to sign requests as."""


class MonotonicClock:
    """The system's monotonic clock."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic()


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
        site: answers plain HTTP.
        settings: as read.
        counters: of the process.
        lag: of the event loop.
        clock: monotonic seconds.
        resources: closed last, in reverse order.
        traces: of sessions, if the settings name a folder.
    """

    def __init__(
        self,
        *,
        registry: SessionRegistry,
        health: Health,
        site: Site,
        settings: Settings,
        counters: Counters,
        lag: LoopLag,
        clock: Clock,
        resources: AsyncExitStack,
        traces: TraceFiles | None = None,
    ) -> None:
        self.registry = registry
        self.health = health
        self._site = site
        self._settings = settings
        self._counters = counters
        self._lag = lag
        self._clock = clock
        self._resources = resources
        self._traces = traces
        self._servers: list[WebSocketServer | HealthServer] = []
        self._monitor: asyncio.Task[None] | None = None

    async def start(self, listening: Listening) -> None:
        """Begin to serve on sockets, which are closed with the application."""
        self._servers.append(
            WebSocketServer(
                sockets=listening.main,
                registry=self.registry,
                site=self._site,
                origins=OriginPolicy(self._settings.allowed_origins, self._settings.host),
                counters=self._counters,
                clock=self._clock,
                resume_seconds=self._settings.resume_seconds,
                adopter=self.registry,
            )
        )
        if listening.health:
            self._servers.append(HealthServer(listening.health, self.health))
        for server in self._servers:
            await server.start()
        self._monitor = asyncio.create_task(LoopStallMonitor(self._counters, self._lag.note).run())

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
        if self._monitor is not None:
            self._monitor.cancel()
            await asyncio.wait({self._monitor})
        await self._resources.aclose()


async def build(
    settings: Settings,
    *,
    model: ModelClient | None = None,
    tools: ToolRunner | None = None,
    database: Database | None = None,
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
    checks: Mapping[str, Check] | None = None,
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

    Raises:
        StartFailed: says what is missing.
    """
    clock = clock or MonotonicClock()
    counters = Counters()
    lag = LoopLag(settings.max_loop_lag_ms / 1000)
    found = dict(checks or {})
    resources = AsyncExitStack()
    try:
        assistants = load_assistants()
        model = model or await _open_model(settings, resources, found)
        if tools is None and database is None:
            database = await open_database(settings, resources)
        tools = tools or await open_tools(settings, database, resources, found)
        keeper = None if database is None else await open_keeper(settings, database, resources, counters)
        traces = open_traces(settings, resources)
        registry = SessionRegistry(
            model=model,
            tools=tools,
            assistants=assistants,
            default_assistant=settings.assistant,
            observers=(SessionLog(counters, clock), *observers),
            clock=clock,
            max_sessions=settings.max_sessions,
            text_profile=TEXT_PROFILES[settings.model_history],
            is_overloaded=lambda: lag.is_overloaded,
            recorder=traces,
            keeper=keeper,
        )
    except BaseException:
        await resources.aclose()
        raise
    health = Health(checks=found, registry=registry, counters=counters, clock=clock)
    answers: dict[str, Answer] = {"/health": health.alive, "/ping": health.alive, "/ready": health.ready}
    answers["/config"] = _config_answer(settings, assistants)
    site = Site(load_assets(ROOT / "web"), answers)
    return Application(
        registry=registry,
        health=health,
        site=site,
        settings=settings,
        counters=counters,
        lag=lag,
        clock=clock,
        resources=resources,
        traces=traces,
    )


def open_traces(settings: Settings, resources: AsyncExitStack) -> TraceFiles | None:
    """Return what records conversations, or None where no folder is named.

    Raises:
        StartFailed: the folder cannot be written to.
    """
    if settings.trace_folder is None:
        return None
    try:
        traces = TraceFiles(settings.trace_folder, every=settings.trace_every, is_masked=settings.is_trace_masked)
    except OSError as error:
        raise StartFailed(f"SESSION_TRACE_DIR cannot be used: {error}") from error
    traces.start()
    resources.push_async_callback(asyncio.to_thread, traces.close)
    return traces


def load_assistants() -> dict[str, AssistantProfile]:
    """Return every assistant by the name of its file.

    Raises:
        StartFailed: names the file that cannot be used.
    """
    assistants: dict[str, AssistantProfile] = {}
    for file in sorted(ASSISTANTS.glob("*.toml")):
        try:
            assistants[file.stem] = parse_assistant(file.read_text(encoding="utf-8"))
        except (AssistantError, UnicodeDecodeError) as error:
            raise StartFailed(f"assistants/{file.name} cannot be used: {error}") from error
    return assistants


def lend_local_credentials(settings: Settings, env: MutableMapping[str, str] = os.environ) -> None:
    """Give boto3 made-up credentials where it talks to a local DynamoDB in --local: it sends nothing without any."""
    if settings.local and settings.dynamodb_endpoint and not env.get("AWS_PROFILE"):
        env.setdefault("AWS_ACCESS_KEY_ID", LOCAL_KEY)
        env.setdefault("AWS_SECRET_ACCESS_KEY", LOCAL_KEY)


def make_client(settings: Settings, endpoint: str | None, ca_file: Path | None, credentials: Credentials) -> NovaSonicClient:
    """Return the client of the model that the settings ask for.

    Raises:
        StartFailed: the proxy is none that can be used.
    """
    proxies = {"https_proxy": settings.https_proxy or "", "no_proxy": settings.no_proxy}
    try:
        proxy = None if settings.local else proxy_for(endpoint or region_endpoint(settings.region), proxies)
    except ValueError as error:
        raise StartFailed(f"HTTPS_PROXY: {error}") from None
    return NovaSonicClient(
        settings.region,
        settings.model_id,
        endpoint,
        str(ca_file) if ca_file else None,
        credentials,
        transport=settings.model_transport,
        timeouts=Timeouts(opening=settings.opening_ms / 1000),
        streams_per_connection=settings.streams_per_connection,
        proxy=proxy,
        text_profile=TEXT_PROFILES[settings.model_history],
    )


def place_of(settings: Settings) -> Place:
    """Return what the settings ask of the model's service, for messages to name."""
    ca_file = str(settings.model_ca_file) if settings.model_ca_file else None
    endpoint = settings.model_endpoint or region_endpoint(settings.region)
    return Place(model_id=settings.model_id, region=settings.region, endpoint=endpoint, ca_file=ca_file)


async def open_endpoint(settings: Settings, resources: AsyncExitStack) -> tuple[str | None, Path | None]:
    """Return where the model is and whom to trust for that, starting the emulator where it is the model.

    Raises:
        StartFailed: the emulator does not start.
    """
    if not settings.local or settings.model_endpoint is not None:
        return settings.model_endpoint, settings.model_ca_file
    emulator = LocalEmulator(LOCAL_FOLDER / "emulator", ("--max-streams", str(settings.max_sessions + SPARE_STREAMS)))
    try:
        local = await emulator.start()
    except EmulatorFailed as error:
        raise StartFailed(str(error)) from error
    resources.push_async_callback(emulator.stop)
    return local.uri, local.ca_file


async def _open_model(settings: Settings, resources: AsyncExitStack, checks: dict[str, Check]) -> ModelClient:
    credentials: Credentials = StaticCredentials(LOCAL_KEY, LOCAL_KEY)
    if not settings.local:
        try:
            credentials = found = await find_credentials(region=settings.region)
        except ModelError as error:
            raise NoCredentials(explain(error, place_of(settings))) from error
        resources.push_async_callback(found.aclose)
    client = make_client(settings, *await open_endpoint(settings, resources), credentials)
    resources.push_async_callback(client.aclose)
    checks["model"] = client.ping
    return client


async def open_database(settings: Settings, resources: AsyncExitStack) -> Database:
    """Return the database that the settings choose.

    Raises:
        StartFailed: it cannot be opened.
    """
    lend_local_credentials(settings)
    try:
        is_embedded = settings.storage is StorageKind.SQLITE
        database: Database = open_sqlite(settings.sqlite_path) if is_embedded else await open_dynamodb(settings.region)
    except StorageError as error:
        raise StartFailed(f"The records cannot be used: {error}") from error
    resources.push_async_callback(database.aclose)
    return database


async def open_keeper(settings: Settings, database: Database, resources: AsyncExitStack, counters: Counters) -> SessionKeeper | None:
    """Return what keeps conversations for other processes, None without a key. That the store is away is no reason not to start."""
    keys = settings.sessions_keys
    try:
        if not keys and settings.local:
            keys = (await asyncio.to_thread(local_key, LOCAL_FOLDER / "sessions.key"),)
        if not keys or not settings.resume_seconds:
            missing = "SESSIONS_KEY" if not keys else "RESUME_GRACE_SECONDS"
            log.warning("sessions.not_kept", reason=f"{missing} is not set: no conversation survives this process")
            return None
        await try_sessions_table(settings, database)
    except (StorageError, OSError) as error:
        log.warning("sessions.not_stored", reason=str(error))
        if not keys:
            return None
    table = database.table(sessions_table(settings.sessions_table))
    keeper = SessionKeeper(ParkedSessions(table, Cipher(keys)), counters, settings.resume_seconds)
    resources.push_async_callback(keeper.aclose)
    return keeper


async def try_sessions_table(settings: Settings, database: Database) -> None:
    """See that there is a table for conversations, making it where it is the server's to make.

    Raises:
        StorageError: there is none, or it cannot be used.
    """
    table = database.table(sessions_table(settings.sessions_table))
    if settings.local or settings.storage is StorageKind.SQLITE:
        await table.create()
    await table.ping()


def local_key(path: Path) -> bytes:
    """Return the key of the processes that share a folder; the first makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        number, draft = tempfile.mkstemp(dir=path.parent)  # for its owner alone
        with os.fdopen(number, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        with suppress(FileExistsError):  # somebody was faster
            os.link(draft, path)
        Path(draft).unlink()
    return path.read_bytes()


async def open_tools(settings: Settings, database: Database | None, resources: AsyncExitStack, checks: dict[str, Check]) -> ToolRunner:
    """Return the tools on a database, None for the one that the settings choose, and add its check.

    Raises:
        StartFailed: the database cannot be opened.
    """
    is_embedded = settings.storage is StorageKind.SQLITE
    database = database or await open_database(settings, resources)
    try:
        tables = [database.table(orders_table(settings.orders_table)), database.table(appointments_table(settings.appointments_table))]
        salt = settings.dni_salt.encode() if settings.dni_salt else LOCAL_SALT if settings.local else None
        orders, appointments = Orders(tables[0]), Appointments(tables[1], settings.clinic_time_zone)
        if (settings.local or is_embedded) and await _create(tables) and settings.local:
            examples = write_examples(orders, appointments, now=datetime.now(UTC), salt=salt)
            log.info("examples.written", records=len([written async for written in examples]))
    except StorageError as error:
        raise StartFailed(f"The records cannot be used: {error}") from error
    if salt is None:
        log.warning("dni.refused_always", reason="DNI_SALT is not set: customers are known by their names alone")

    async def check() -> None:
        for table in tables:
            await table.ping()

    checks["storage"] = check
    return build_tools(orders, appointments, salt=salt, zone=settings.clinic_time_zone)


async def _create(tables: Sequence[Table]) -> bool:
    """Create the tables that are missing; return whether any was."""
    return any([await table.create() for table in tables])


def _config_answer(settings: Settings, assistants: Mapping[str, AssistantProfile]) -> Answer:
    """Return what tells the page which assistants and languages there are."""
    listed = [
        {"name": name, "languages": [{"id": key, "voice_id": language.voice_id} for key, language in profile.languages.items()]}
        for name, profile in assistants.items()
    ]
    body = orjson.dumps({"assistants": listed, "default_assistant": settings.assistant, "websocket_path": "/", "local": settings.local})

    async def answer() -> tuple[int, bytes]:
        return 200, body

    return answer

"""The parts of the application, opened as the settings ask: each is closed with the stack that it was opened into."""

import asyncio
import os
import secrets
import tempfile
import time
import uuid
from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from api.connections import Switchboard
from api.health import Check
from auth.anonymous import AnonymousAuthenticator
from auth.claims import TokenRules
from auth.cognito import CognitoAuthenticator
from auth.interfaces import Authenticator
from auth.issuer_keys import IssuerKeys
from auth.key_endpoint import KeyEndpoint
from config import ASSISTANTS, LOCAL_FOLDER, AuthMode, ModelHistory, Settings, StorageKind
from local_emulator import EmulatorFailed, LocalEmulator
from observers.connection_records import ConnectionRecords
from observers.trace_files import TraceFiles
from s2s.bedrock.client import NovaSonicClient, region_endpoint
from s2s.bedrock.credentials import Credentials, StaticCredentials, find_credentials
from s2s.bedrock.http2.proxy import proxy_for
from s2s.bedrock.stream import Timeouts
from s2s.cures import Place, explain
from s2s.errors import ModelError
from s2s.limits import RELAXED, STRICT
from session.assistant import AssistantError, AssistantProfile, parse_assistant
from session.interfaces import ModelClient, Observer, ToolRunner
from session.keeper import SessionKeeper
from session.stream_quota import StreamQuota
from storage.appointments import Appointments
from storage.audit import AuditTrail
from storage.cipher import KEY_BYTES, Cipher
from storage.connections import Connections
from storage.dynamodb import open_dynamodb
from storage.errors import StorageError
from storage.examples import LOCAL_SALT, write_examples
from storage.orders import Orders
from storage.parked_sessions import ParkedSessions
from storage.sqlite import open_sqlite
from storage.table import Database, Table
from storage.tables import appointments_table, connections_table, orders_table, sessions_table
from telemetry.counters import Counters
from tools.catalogue import build_tools
from tools.companion import Companion
from transports.directory import Directory
from transports.limits import Limits

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


async def open_model(settings: Settings, resources: AsyncExitStack, checks: dict[str, Check]) -> ModelClient:
    """Return the model that the settings ask for, and add its check.

    Raises:
        StartFailed: there are no credentials, or the emulator does not start.
    """
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


def stream_quota(settings: Settings, model: ModelClient, counters: Counters) -> StreamQuota:
    """Return what has sessions take turns at the model's streams."""
    return StreamQuota(model, counters, max_streams=settings.model_max_streams, wait_seconds=settings.model_wait_ms / 1000)


def limits_of(settings: Settings) -> Limits:
    """Return what one client may take."""
    return Limits(
        proxy_hops=settings.trusted_proxy_hops,
        connections=settings.max_connections,
        connections_per_address=settings.max_connections_per_address,
        plain_connections=settings.max_http_connections,
        plain_per_second_per_address=settings.http_requests_per_second_per_address,
        handshakes_per_second=settings.handshakes_per_second,
        handshakes_per_second_per_address=settings.handshakes_per_second_per_address,
        sessions_per_user=settings.max_sessions_per_user,
        sessions_per_address=settings.max_sessions_per_address,
        frame_bytes=settings.max_frame_bytes,
        frames_per_second=settings.max_frames_per_second,
        bytes_per_second=settings.max_bytes_per_second,
        text_bytes=settings.max_text_bytes,
        flood_seconds=settings.flood_seconds,
    )


async def open_authenticator(settings: Settings, resources: AsyncExitStack, checks: dict[str, Check]) -> Authenticator:
    """Return what tells who a client is, and add its check where there is something to look at.

    That the issuer of tokens does not answer is no reason not to start: nobody comes in until it does.

    Raises:
        StartFailed: the proxy on the way to the issuer is none that can be used.
    """
    if settings.auth is not AuthMode.COGNITO:
        log.warning("auth.nobody_is_asked", reason=f"AUTH={settings.auth}: who reaches HOST={settings.host} may do everything")
        return AnonymousAuthenticator()
    keys = IssuerKeys(key_endpoint(settings).fetch, time.monotonic)
    resources.push_async_callback(keys.aclose)
    await keys.start()
    checks["auth"] = keys.check
    client_ids = frozenset(settings.cognito_client_ids)
    return CognitoAuthenticator(keys, TokenRules(settings.issuer, client_ids, settings.cognito_token_use, settings.operators_group))


def key_endpoint(settings: Settings) -> KeyEndpoint:
    """Return where the issuer of tokens publishes its keys.

    Raises:
        StartFailed: the proxy is none that can be used.
    """
    try:
        proxy = proxy_for(settings.issuer, {"https_proxy": settings.https_proxy or "", "no_proxy": settings.no_proxy})
    except ValueError as error:
        raise StartFailed(f"HTTPS_PROXY: {error}") from None
    if proxy is None:
        return KeyEndpoint(settings.issuer)
    return KeyEndpoint(settings.issuer, f"http://{proxy}", {"Proxy-Authorization": proxy.authorization} if proxy.authorization else None)


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
    await make_own_table(settings, table)
    await table.ping()


@dataclass(frozen=True, slots=True)
class ConnectionParts:
    """What knows of connections: without a database, those that are open in this process."""

    directory: Directory
    switchboard: Switchboard | None = None
    observers: tuple[Observer, ...] = ()


async def open_connections(settings: Settings, database: Database | None, resources: AsyncExitStack, counters: Counters) -> ConnectionParts:
    """Return what knows of connections and writes them down. That the store is away is no reason not to start."""
    if database is None:
        return ConnectionParts(Directory())
    table = database.table(connections_table(settings.connections_table))
    try:
        await make_own_table(settings, table)
    except StorageError as error:
        log.warning("connections.not_stored", reason=str(error))
    process, numbers = uuid.uuid4().hex, count()
    connections, trail = Connections(table), AuditTrail(table, lambda: f"{next(numbers):010}-{process[:12]}")
    records = ConnectionRecords(connections, trail, counters, process=process)
    resources.push_async_callback(records.aclose)
    directory = Directory(records)
    records.start(directory.disconnect)
    return ConnectionParts(directory, Switchboard(connections, trail, directory), (records,))


async def make_own_table(settings: Settings, table: Table) -> bool:
    """Make a table where it is the server's to make; return whether it was made.

    Raises:
        StorageError: the store cannot be used.
    """
    return (settings.local or settings.storage is StorageKind.SQLITE) and await table.create()


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


@dataclass(frozen=True, slots=True)
class Records:
    """The records that tools and API work on."""

    orders: Orders
    appointments: Appointments


async def open_tools(settings: Settings, database: Database | None, resources: AsyncExitStack, checks: dict[str, Check]) -> ToolRunner:
    """Return the tools on a database, None for the one that the settings choose, and add its check.

    Raises:
        StartFailed: the database cannot be opened.
    """
    return make_tools(settings, await open_records(settings, database, resources, checks))


def make_tools(settings: Settings, records: Records, companion: Companion | None = None) -> ToolRunner:
    """Return the tools on these records."""
    salt = salt_of(settings)
    if salt is None:
        log.warning("dni.refused_always", reason="DNI_SALT is not set: customers are known by their names alone")
    return build_tools(records.orders, records.appointments, salt=salt, zone=settings.clinic_time_zone, companion=companion)


def salt_of(settings: Settings) -> bytes | None:
    """Return what the hashes of DNIs are made with, None where none are kept."""
    return settings.dni_salt.encode() if settings.dni_salt else LOCAL_SALT if settings.local else None


async def open_records(settings: Settings, database: Database | None, resources: AsyncExitStack, checks: dict[str, Check]) -> Records:
    """Return the records in a database, None for the one that the settings choose, and add its check.

    Raises:
        StartFailed: the database cannot be opened.
    """
    is_embedded = settings.storage is StorageKind.SQLITE
    database = database or await open_database(settings, resources)
    try:
        tables = [database.table(orders_table(settings.orders_table)), database.table(appointments_table(settings.appointments_table))]
        orders, appointments = Orders(tables[0]), Appointments(tables[1], settings.clinic_time_zone)
        if (settings.local or is_embedded) and await _create(tables) and settings.local:
            examples = write_examples(orders, appointments, now=datetime.now(UTC), salt=salt_of(settings))
            log.info("examples.written", records=len([written async for written in examples]))
    except StorageError as error:
        raise StartFailed(f"The records cannot be used: {error}") from error

    async def check() -> None:
        for table in tables:
            await table.ping()

    checks["storage"] = check
    return Records(orders, appointments)


async def _create(tables: Sequence[Table]) -> bool:
    """Create the tables that are missing; return whether any was."""
    return any([await table.create() for table in tables])

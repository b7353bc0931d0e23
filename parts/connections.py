"""What knows of connections and writes them down."""

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count

import structlog

from api.connections import Switchboard
from config import Settings
from observers.connection_records import ConnectionRecords
from parts.database import make_own_table
from session.interfaces import Observer
from storage.audit import AuditTrail
from storage.connections import Connections
from storage.errors import StorageError
from storage.table import Database
from storage.tables import connections_table
from telemetry.counters import Counters
from transports.directory import Directory

log = structlog.get_logger()


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

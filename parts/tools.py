"""The records that tools and API work on, and the tools."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from api.health import Check
from config import Settings, StorageKind
from parts.database import open_database
from parts.errors import StartFailed
from session.interfaces import ToolRunner
from storage.appointments import Appointments
from storage.errors import StorageError
from storage.examples import LOCAL_SALT, write_examples
from storage.orders import Orders
from storage.table import Database, Table
from storage.tables import appointments_table, orders_table
from tools.catalogue import build_tools
from tools.companion import Companion

log = structlog.get_logger()


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

"""Write the example orders, appointments and patients; records that exist are kept, so running it twice changes nothing.

Where they go is decided by the server's own settings: STORAGE, SQLITE_PATH, the names of the tables, AWS_DEFAULT_REGION,
AWS_ENDPOINT_URL_DYNAMODB, DNI_SALT, CLINIC_TIME_ZONE.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

if __package__ in (None, ""):
    # Run as a file, `python scripts/seed_data.py`: Python then looks beside the file and not in the repository.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import Settings, SettingsError, StorageKind
from scripts.upkeep.seeding import Desk, Strangers
from storage.appointments import Appointments
from storage.dynamodb import open_dynamodb
from storage.errors import StorageError, TableMissing
from storage.examples import LOCAL_SALT, Written
from storage.orders import Orders
from storage.patients import PatientBook, PatientTables
from storage.sqlite import open_sqlite
from storage.table import Database
from storage.tables import (
    all_tables,
    appointments_table,
    orders_table,
    patients_table,
    relatives_table,
    reminders_table,
    routine_table,
)


async def seed(settings: Settings, options: argparse.Namespace) -> None:
    """Write the examples and tell each.

    Raises:
        StorageError: the store is away, or a table is missing.
        Strangers: the tables hold records of other people.
    """
    is_embedded = settings.storage is StorageKind.SQLITE
    if options.dry_run and is_embedded and not settings.sqlite_path.exists():
        print(f"{settings.sqlite_path} would be made, with all tables and examples")
        return
    database: Database = open_sqlite(settings.sqlite_path) if is_embedded else await open_dynamodb(settings.region)
    try:
        await _make_tables(settings, database, is_wanted=options.create_tables or is_embedded, is_dry=options.dry_run)
        if options.no_examples:
            return
        desk = _desk(settings, database)
        if desk.salt is None:
            print("DNI_SALT is not set: the examples carry no DNI, and their customers are verified by name alone")
        missing = await desk.missing()
        if options.dry_run:
            for one in missing:
                print(f"{one.kind} {one.number}/{one.of} would be written")
            print(f"{len(missing)} would be written; nothing was changed")
            return
        if (missing or options.reset) and not options.force:
            await desk.refuse_strangers()
        counts = dict.fromkeys(Written, 0)
        async for done in desk.write(reset=options.reset):
            counts[done.outcome] += 1
            print(f"{done.kind} {done.number}/{done.of} {done.outcome}", flush=True)
        print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    finally:
        await database.aclose()


async def _make_tables(settings: Settings, database: Database, *, is_wanted: bool, is_dry: bool) -> None:
    for table in map(database.table, all_tables(settings)):
        if is_dry:
            try:
                await table.ping()
            except TableMissing:
                print(f"table {table.definition.name} {'would be made' if is_wanted else 'is missing; --create-tables makes it'}")
        elif is_wanted and await table.create():
            print(f"table {table.definition.name} made", flush=True)


def _desk(settings: Settings, database: Database) -> Desk:
    tables = PatientTables(
        patients_table(settings.patients_table),
        relatives_table(settings.relatives_table),
        routine_table(settings.routine_table),
        reminders_table(settings.reminders_table),
    )
    is_embedded = settings.storage is StorageKind.SQLITE
    return Desk(
        Orders(database.table(orders_table(settings.orders_table))),
        Appointments(database.table(appointments_table(settings.appointments_table)), settings.clinic_time_zone),
        PatientBook(database, tables),
        datetime.now(UTC),
        settings.dni_salt.encode() if settings.dni_salt else LOCAL_SALT if is_embedded else None,
    )


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run the script; the exit code is 0, 1 for a store that cannot be used or holds other people's records, or 2 for wrong settings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--create-tables", action="store_true", help="make the tables if they do not exist (SQLite makes them always)")
    parser.add_argument("--reset", action="store_true", help="write the examples anew over the records that have their numbers")
    parser.add_argument("--force", action="store_true", help="write them although the tables hold records of other people")
    parser.add_argument("--no-examples", action="store_true", help="make the tables alone")
    parser.add_argument("--dry-run", action="store_true", help="tell what would be made and written, and change nothing")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ if env is None else env)
        asyncio.run(seed(settings, options))
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except TableMissing as error:
        print(f"{error}; run again with --create-tables", file=sys.stderr)
        return 1
    except Strangers as error:
        print(f"nothing was written: {error}; --force writes the examples among them", file=sys.stderr)
        return 1
    except StorageError as error:
        print(f"the records cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write the example orders and appointments; records that exist are kept, so running it twice changes nothing.

Where they go is decided by the server's own settings: STORAGE, SQLITE_PATH, ORDERS_TABLE, APPOINTMENTS_TABLE, SESSIONS_TABLE,
CONNECTIONS_TABLE, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_DYNAMODB, DNI_SALT, CLINIC_TIME_ZONE.
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
from storage.appointments import Appointments
from storage.dynamodb import open_dynamodb
from storage.errors import StorageError, TableMissing
from storage.examples import LOCAL_SALT, Written, write_examples
from storage.orders import Orders
from storage.sqlite import open_sqlite
from storage.table import Database
from storage.tables import all_tables, appointments_table, orders_table


async def seed(settings: Settings, *, create_tables: bool, reset: bool) -> None:
    """Write the examples and tell each.

    Raises:
        StorageError: the store is away, or a table is missing.
    """
    is_embedded = settings.storage is StorageKind.SQLITE
    database: Database = open_sqlite(settings.sqlite_path) if is_embedded else await open_dynamodb(settings.region)
    try:
        tables = [database.table(orders_table(settings.orders_table)), database.table(appointments_table(settings.appointments_table))]
        for table in map(database.table, all_tables(settings)):
            if (create_tables or is_embedded) and await table.create():
                print(f"table {table.definition.name} made", flush=True)
        salt = settings.dni_salt.encode() if settings.dni_salt else LOCAL_SALT if is_embedded else None
        if salt is None:
            print("DNI_SALT is not set: the examples carry no DNI, and their customers are verified by name alone")
        repositories = Orders(tables[0]), Appointments(tables[1], settings.clinic_time_zone)
        counts = dict.fromkeys(Written, 0)
        async for done in write_examples(*repositories, now=datetime.now(UTC), salt=salt, reset=reset):
            counts[done.outcome] += 1
            print(f"{done.kind} {done.number}/{done.of} {done.outcome}", flush=True)
        print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    finally:
        await database.aclose()


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run the script; the exit code is 0, 1 for a store that cannot be used, or 2 for wrong settings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--create-tables", action="store_true", help="make the tables if they do not exist (SQLite makes them always)")
    parser.add_argument("--reset", action="store_true", help="write the examples anew over the records that have their numbers")
    options = parser.parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ if env is None else env)
        asyncio.run(seed(settings, create_tables=options.create_tables, reset=options.reset))
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except TableMissing as error:
        print(f"{error}; run again with --create-tables", file=sys.stderr)
        return 1
    except StorageError as error:
        print(f"the records cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

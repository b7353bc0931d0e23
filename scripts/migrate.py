"""Bring tables to their present definitions and records to their present shape: a copy first, and all back again after an error.

A server may go on writing meanwhile. Which tables, and where they are, is decided by the server's own settings: STORAGE, SQLITE_PATH,
AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_DYNAMODB, CLINIC_TIME_ZONE and the names of the tables. docs/how-to/migrate-records.md has the rest.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

if __package__ in (None, ""):
    # Run as a file, `python scripts/migrate.py`: Python then looks beside the file and not in the repository.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from config import ROOT, Settings, SettingsError
from scripts.upkeep import journal as entries
from scripts.upkeep.backup import Backup, BackupDamaged, restore
from scripts.upkeep.journal import Journal, JournalUnusable, open_journals
from scripts.upkeep.lock import Locked
from scripts.upkeep.migration import Migration, Options
from scripts.upkeep.opening import NamedTable, open_store, tables_of
from scripts.upkeep.pace import Pace
from scripts.upkeep.rehearsal import rehearse
from scripts.upkeep.report import Outcome, Report, TableReport, as_json, as_text
from scripts.upkeep.store import NotThisStore, Store
from storage.errors import StorageError

FOLDER = ROOT / ".local" / "migrations"


class Refused(Exception):
    """What was asked for cannot be done; the text says what can."""


async def migrate(settings: Settings, options: argparse.Namespace) -> Report:
    """Do what was asked for.

    Raises:
        SettingsError: there is no such table.
        StorageError: the store cannot be used, and nothing was changed.
        Refused: another migration has to be ended first.
        Locked: another process migrates.
    """
    tables = tables_of(settings, options.tables)
    chosen = Options(
        zone=settings.clinic_time_zone,
        may_replace_indexes=options.replace_indexes,
        is_copied_by_store=options.service_backup,
        pace=Pace(options.rate),
    )
    if (task := asyncio.current_task()) is not None and threading.current_thread() is threading.main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    store = await open_store(settings)
    try:
        if options.rehearse:
            return await rehearse(store, tables, chosen)
        if options.restore:
            return await _restore(store, tables, Journal(options.folder / options.restore), chosen.pace)
        journal = _journal(options)
        if options.resume is not None or options.rollback is not None:
            begun = next(journal.of(entries.BEGUN))["tables"]
            tables = tuple(table for table in tables_of(settings) if table.kind in begun)
        migration = Migration(store, tables, journal, chosen)
        if options.dry_run:
            return await migration.plan()
        if options.rollback is not None or journal.has(entries.UNDOING):
            return await migration.roll_back()
        return await migration.run()
    finally:
        await store.aclose()


def _journal(options: argparse.Namespace) -> Journal:
    """Return the journal of the migration that is to be run, gone on with, or taken back."""
    unfinished = open_journals(options.folder)
    names = ", ".join(journal.folder.name for journal in unfinished)
    if options.rollback is not None:
        journal = Journal(options.folder / options.rollback)
        if not journal.entries:
            raise Refused(f"there is no migration {options.rollback} in {options.folder}")
        if journal.has(entries.UNDONE):
            raise Refused(f"{options.rollback} was taken back already")
        return journal
    if options.resume is not None:
        found = [journal for journal in unfinished if options.resume in ("", journal.folder.name)]
        if len(found) != 1:
            raise Refused(f"there is not one migration to go on with; unfinished: {names or 'none'}")
        return found[0]
    if unfinished and not options.dry_run:
        raise Refused(f"{names} has not come to its end: go on with it by --resume, or take it back by --rollback {names}")
    return Journal(options.folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}")


async def _restore(store: Store, tables: Sequence[NamedTable], journal: Journal, pace: Pace) -> Report:
    report = Report(journal.folder.name, Outcome.DONE)
    for table in tables:
        for copy in journal.of(entries.BACKED_UP, table=table.kind):
            if "file" not in copy:
                raise Refused(f"DynamoDB itself has the copy of {table.definition.name}: restore {copy['arn']} to a new table there")
            backup = Backup(copy["file"], copy["records"], copy["sha256"])
            await restore(store, table.definition, journal.folder / backup.file, backup, pace)
            report.tables.append(TableReport(table.definition.name, records=backup.records, restored=backup.records))
    if not report.tables:
        raise Refused(f"there is no copy of these tables in {journal.folder}")
    return report


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--dry-run", action="store_true", help="look at everything, tell what would be done, and change nothing")
    way.add_argument(
        "--rehearse", action="store_true", help="try it on a copy in a file of its own, with a fault in the middle, and report"
    )
    way.add_argument("--resume", nargs="?", const="", metavar="RUN", help="go on with a migration whose process was killed or stopped")
    way.add_argument("--rollback", metavar="RUN", help="take back what a migration did; what others have changed since is left alone")
    way.add_argument("--restore", metavar="RUN", help="write the copies of a migration over the tables; stop the server first")
    parser.add_argument("--tables", nargs="+", default=[], metavar="TABLE", help="only these, like: orders appointments")
    parser.add_argument("--rate", type=float, default=50.0, metavar="N", help="writes a second at most (50); 0 is no limit")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where copies and journals go (.local/migrations)")
    parser.add_argument("--replace-indexes", action="store_true", help="remove and build anew indexes that are made otherwise")
    parser.add_argument("--service-backup", action="store_true", help="have DynamoDB keep the copies, rather than files")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run the script; the exit code is 0, 1 when it was not done, or 2 for wrong settings and requests."""
    options = parse(arguments)
    try:
        settings = Settings.from_env(os.environ if env is None else env)
        report = asyncio.run(migrate(settings, options))
    except SettingsError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return 2
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    except (Locked, NotThisStore, JournalUnusable, BackupDamaged) as error:
        print(error, file=sys.stderr)
        return 1
    except (StorageError, OSError) as error:
        print(f"nothing was changed: {error}; scripts/diagnose_tables.py tells more", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; go on with --resume, or take back what was done with --rollback", file=sys.stderr)
        return 1
    print(orjson.dumps(as_json(report), option=orjson.OPT_INDENT_2).decode() if options.json else as_text(report))
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())

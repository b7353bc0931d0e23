"""Records of other programs become the server's own, on both kinds of store; after an error everything is as it was."""

import gzip
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scripts.upkeep import backup as backups
from scripts.upkeep import journal as entries
from scripts.upkeep.breaking import BreakingStore
from scripts.upkeep.changes import RecordChange
from scripts.upkeep.journal import Journal, JournalUnusable, open_journals
from scripts.upkeep.lock import LEASE_SECONDS, Lock, Locked, LockLost
from scripts.upkeep.migration import Migration, Options
from scripts.upkeep.pace import Pace
from scripts.upkeep.progress import Bar
from scripts.upkeep.rehearsal import rehearse
from scripts.upkeep.report import Outcome, Report
from scripts.upkeep.store import Store
from storage.appointments import Appointments, NewAppointment
from storage.conditions import Update
from storage.errors import SlotTaken
from storage.listings import appointments_of_day
from storage.models import OrderStatus
from storage.orders import NewOrder, Orders
from storage.table import Key
from storage.tables import TableDefinition
from tests.scripts import foreign
from tests.scripts.conftest import Installation

ZONE = ZoneInfo("America/Argentina/Buenos_Aires")
OPTIONS = Options(zone=ZONE, pace=Pace(0, ()), now=lambda: foreign.NOW)


def repositories(installation: Installation) -> tuple[Orders, Appointments]:
    orders, appointments = (installation.store.database.table(table.definition) for table in installation.tables())
    return Orders(orders, lambda: foreign.NOW), Appointments(appointments, ZONE, lambda: foreign.NOW)


def migration(installation: Installation, name: str = "run", store: Store | None = None, options: Options = OPTIONS) -> Migration:
    return Migration(store or installation.store, installation.tables(), Journal(installation.folder / name), options)


async def contents(installation: Installation) -> list[dict[str, Any]]:
    return [wire for table in installation.tables() for wire in await foreign.everything(installation.store, table.definition)]


async def is_locked(installation: Installation) -> bool:
    tables = [installation.store.database.table(table.definition) for table in installation.tables()]
    return any([await table.get(Key.twice("MIGRATION#LOCK")) is not None for table in tables])


def counts(report: Report) -> list[tuple[int, int, int]]:
    return [(table.records, table.to_change, table.done) for table in report.tables]


async def test_a_dry_run_tells_and_changes_nothing(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=3, appointments=2)
    before = await contents(installation)
    report = await migration(installation).plan()

    assert report.outcome is Outcome.PLANNED
    assert counts(report) == [(3, 4, 0), (2, 3, 0)]  # one more for the numbering
    assert await contents(installation) == before
    assert not installation.folder.exists()


@pytest.mark.req("S4-62")
@pytest.mark.req("S4-64")
async def test_what_others_wrote_is_served_like_the_servers_own(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=3, appointments=3)
    orders, appointments = repositories(installation)
    before = await appointments_of_day(appointments, date(2030, 1, 17), limit=10)
    report = await migration(installation).run()
    of_day = await appointments_of_day(appointments, date(2030, 1, 17), limit=10)
    cancelled = await orders.cancel("2", "a request")
    new = await orders.create(NewOrder("Ana Martínez", "ana.martinez@email.com", ()), "another request")

    assert report.outcome is Outcome.DONE
    assert report.exit_code == 0
    assert [one.id for one in before.records] == []
    assert [one.id for one in of_day.records] == ["1", "2", "3"]
    assert {one.doctor_name for one in of_day.records} == {"Dr. Rodríguez"}
    assert cancelled is not None
    assert cancelled.status is OrderStatus.CANCELLED
    assert new.id == "4"


async def test_the_time_of_appointments_of_others_is_taken(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=0, appointments=1)
    await migration(installation).run()
    _, appointments = repositories(installation)
    wanted = NewAppointment("Luis", "luis@email.com", "Dr. Rodríguez", foreign.NOW + timedelta(days=1, minutes=45), 30)

    with pytest.raises(SlotTaken):
        await appointments.create(wanted, "a request")


async def test_it_verifies_counts_checksums_and_readability(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=3, appointments=0)
    orders, _ = repositories(installation)
    await migration(installation, "first").run()
    await installation.store.put_back(installation.tables()[0].definition, foreign.order(9))
    report = await migration(installation, "second").run()
    verified = report.tables[0].verified

    assert verified is not None
    assert (verified.records, verified.untouched, verified.changed, verified.made) == (5, 3, 2, 0)
    assert (verified.by_others, verified.readable, verified.wrong) == (0, 5, [])
    assert verified.checksum_before == verified.checksum_after != "0" * 32
    assert (await orders.create(NewOrder("Ana", "ana@email.com", ()), "a request")).id == "10"


async def test_a_second_run_has_nothing_to_do(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings)
    await migration(installation, "first").run()
    before = await contents(installation)
    report = await migration(installation, "second").run()

    assert report.outcome is Outcome.NOTHING
    assert await contents(installation) == before
    assert open_journals(installation.folder) == []
    assert not await is_locked(installation)


@pytest.mark.req("S4-64")
@pytest.mark.parametrize("writes", [0, 3, 6])
async def test_a_fault_in_the_middle_is_taken_back(installation: Installation, writes: int) -> None:
    await foreign.fill(installation.store, installation.settings)
    before = await contents(installation)
    report = await migration(installation, store=BreakingStore(installation.store, after=writes)).run()

    assert report.outcome is Outcome.ROLLED_BACK
    assert report.exit_code == 1
    assert "broken on purpose" in report.error
    assert await contents(installation) == before
    assert sum(table.not_restored for table in report.tables) == 0
    assert not await is_locked(installation)


async def test_a_store_that_is_away_for_a_moment_is_waited_for(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=4, appointments=0)
    options = replace(OPTIONS, pace=Pace(0, (0.0,)))
    report = await migration(installation, store=BreakingStore(installation.store, after=2), options=options).run()

    assert report.outcome is Outcome.DONE


class Meddling(BreakingStore):
    """A store in which somebody changes an order just before it is written.

    Args:
        store: that does everything else.
        definition: of the orders.
    """

    def __init__(self, store: Store, definition: TableDefinition) -> None:
        super().__init__(store, after=0)
        self._definition = definition

    async def count(self) -> None:
        self.left -= 1
        if self.left == -1:
            change = Update(set={"updatedAt": "2029-12-31T00:00:00Z", "status": "Shipped"})
            await self._store.database.table(self._definition).update(Key.twice("ORDER#3"), change)


async def test_what_a_server_writes_meanwhile_is_kept(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=5, appointments=0)
    store = Meddling(installation.store, installation.tables()[0].definition)
    report = await migration(installation, store=store).run()
    order = await repositories(installation)[0].get("3")

    assert report.outcome is Outcome.DONE
    assert order is not None
    assert (order.status, order.updated_at) == (OrderStatus.SHIPPED, datetime(2029, 12, 31, tzinfo=UTC))


async def test_going_back_leaves_alone_what_others_have_changed_since(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=3, appointments=0)
    before = await contents(installation)
    await migration(installation).run()
    orders, _ = repositories(installation)
    await orders.cancel("2", "a request")
    report = await migration(installation).roll_back()
    order = await orders.get("2")
    after = {wire["PK"]["S"]: wire for wire in await contents(installation)}

    assert report.outcome is Outcome.ROLLED_BACK
    assert report.exit_code == 0
    assert sum(table.not_restored for table in report.tables) == 1
    assert order is not None
    assert order.status is OrderStatus.CANCELLED
    assert [after[key] for key in ("ORDER#1", "ORDER#3")] == [wire for wire in before if wire["id"] != {"N": "2"}]


async def test_one_migration_at_a_time(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=1, appointments=0)
    table = installation.store.database.table(installation.tables()[0].definition)
    now = 1_900_000_000.0
    first, second = (Lock(table, name, lambda: now) for name in ("first", "second"))
    await first.take()
    with pytest.raises(Locked, match="migration first works on"):
        await second.take()
    with pytest.raises(Locked, match="--resume"):
        await migration(installation).run()
    now += LEASE_SECONDS + 1
    await second.take()
    with pytest.raises(LockLost):
        await first.keep()
    await first.release()
    now += LEASE_SECONDS / 2
    await second.keep()
    await second.release()
    await first.take()

    assert not open_journals(installation.folder)


async def test_records_that_cannot_be_mended_are_named_and_left_alone(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=0, appointments=0)
    orders, appointments = (table.definition for table in installation.tables())
    lost = foreign.without(foreign.order(1), "customerEmail")
    await installation.store.put_back(orders, lost)
    await installation.store.put_back(orders, foreign.order(2, status=foreign.text("misplaced")))
    await installation.store.put_back(appointments, foreign.appointment(1, date=foreign.text("2030-01-17")))
    report = await migration(installation).run()

    assert [table.unreadable for table in report.tables] == [2, 1]
    assert report.tables[0].problems == ["ORDER#1: customerEmail is no text", "ORDER#2: a value is none of its kind (ValueError)"]
    assert report.tables[1].problems == ["APPOINTMENT#1: date names no time of day"]
    assert lost in await contents(installation)


async def test_appointments_that_overlap_are_told_and_both_stay(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=0, appointments=1)
    definition = installation.tables()[1].definition
    same = foreign.appointment(2, date=foreign.appointment(1)["date"])
    await installation.store.put_back(definition, same)
    planned = await migration(installation).plan()
    report = await migration(installation).run()
    _, appointments = repositories(installation)

    assert planned.tables[1].problems == report.tables[1].problems == ["appointment 2 overlaps appointment 1: move one of them"]
    assert report.outcome is Outcome.DONE
    assert len((await appointments_of_day(appointments, date(2030, 1, 17), limit=10)).records) == 2


async def test_an_appointment_that_others_moved_takes_its_new_time_and_frees_the_old(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=0, appointments=0)
    _, appointments = repositories(installation)
    starts = foreign.NOW + timedelta(days=1)
    wanted = NewAppointment("Luis", "luis@email.com", "Dra. López", starts, 30)
    made = await appointments.create(wanted, "a request")
    moved = Update(set={"date": "2030-02-01T12:00:00Z"})
    await appointments.table.update(Key.twice(f"APPOINTMENT#{made.id}"), moved)
    await migration(installation).run()
    again = await appointments.create(wanted, "another request")

    assert again.starts_at == starts
    with pytest.raises(SlotTaken):
        await appointments.create(replace(wanted, starts_at=datetime(2030, 2, 1, 12, tzinfo=UTC)), "a third request")


async def test_a_rehearsal_tries_all_of_it_and_touches_nothing(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings)
    before = await contents(installation)
    report = await rehearse(installation.store, installation.tables(), OPTIONS)

    assert report.error == ""
    assert report.outcome is Outcome.DONE
    assert "taken back" in report.advice
    assert [table.verified.changed for table in report.tables if table.verified] == [4, 3]
    assert await contents(installation) == before


async def test_a_rehearsal_says_so_when_no_record_is_to_be_changed(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings)
    await migration(installation).run()
    report = await rehearse(installation.store, installation.tables(), OPTIONS)

    assert (report.error, report.advice) == ("", "Tried on a copy: no record is to be changed. The tables are untouched.")


async def test_a_copy_holds_every_record_and_puts_it_back(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings)
    before = await contents(installation)
    await migration(installation).run()
    journal = Journal(installation.folder / "run")
    for table in installation.tables():
        told = next(journal.of(entries.BACKED_UP, table=table.kind))
        copy = backups.Backup(told["file"], told["records"], told["sha256"])
        await backups.restore(installation.store, table.definition, journal.folder / copy.file, copy, Pace(0))
    after = await contents(installation)

    assert [wire for wire in after if wire in before] == before
    assert {path.stat().st_mode & 0o077 for path in journal.folder.iterdir()} == {0}


async def test_a_copy_that_is_cut_short_is_not_put_back(installation: Installation) -> None:
    await foreign.fill(installation.store, installation.settings, orders=3, appointments=0)
    table = installation.tables()[0]
    path = installation.folder / "orders.jsonl.gz"
    installation.folder.mkdir()
    copy = await backups.write_backup(installation.store, table.definition, path, Bar("copying", 3))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(backups.BackupDamaged, match="cannot be read back"):
        await backups.restore(installation.store, table.definition, path, copy, Pace(0))
    path.write_bytes(gzip.compress(b"{}\n"))

    with pytest.raises(backups.BackupDamaged, match="holds 1 records"):
        await backups.restore(installation.store, table.definition, path, copy, Pace(0))


def test_half_an_entry_counts_as_not_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    journal.begin(tables=["orders_table"])
    change = RecordChange(Key.twice("ORDER#1"), {"total": 1}, {"total": 2, "id": "1"})
    journal.changing("orders_table", [change])
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"entry":"page","aft')
    again = Journal(journal.folder)
    again.write(entries.UNDOING)
    again.close()

    assert again.changes("orders_table") == [change]
    assert [json.loads(line)["entry"] for line in journal.path.read_bytes().splitlines()] == ["begun", "changing", "undoing"]
    journal.path.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(JournalUnusable, match="line 1"):
        Journal(journal.folder)

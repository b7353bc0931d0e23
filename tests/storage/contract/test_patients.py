from dataclasses import replace
from datetime import timedelta

import pytest

from storage.patient_models import DayPart, Patient, Relative, Reminder, RoutineStep
from storage.patient_parts import MOST_PARTS, part_id
from storage.patients import PatientBook, PatientTables
from storage.table import Database
from storage.tables import patients_table, relatives_table, reminders_table, routine_table
from tests.storage.databases import NOW, StandingClock

JOHN = Patient("pt-1", "John", NOW, NOW, about="He is 78.", time_zone="Europe/London", user_ids=("eva", "max"))
SARAH = Relative("pt-1", "sarah", "Sarah", "daughter", NOW, about="She visits every Sunday.")


def step(number: int, part: DayPart, at: str = "", patient_id: str = "pt-1") -> RoutineStep:
    return RoutineStep(patient_id, str(number), part, f"step {number}", NOW, at)


def reminder(name: str, hours: float, patient_id: str = "pt-1") -> Reminder:
    return Reminder(patient_id, name, f"do {name}", NOW + timedelta(hours=hours), NOW)


@pytest.fixture
async def book(database: Database, clock: StandingClock, prefix: str) -> PatientBook:
    tables = PatientTables(
        patients_table(f"{prefix}-patients"),
        relatives_table(f"{prefix}-relatives"),
        routine_table(f"{prefix}-routine"),
        reminders_table(f"{prefix}-reminders"),
    )
    for definition in tables.all():
        await database.table(definition).create()
    return PatientBook(database, tables, clock)


@pytest.mark.req("S3-16")
async def test_a_patient_is_read_as_it_was_written(book: PatientBook) -> None:
    is_added = await book.add(JOHN)

    assert is_added
    assert await book.get("pt-1") == JOHN
    assert await book.get("pt-2") is None


async def test_an_id_is_given_once(book: PatientBook) -> None:
    await book.add(JOHN)

    assert not await book.add(replace(JOHN, name="Somebody else"))
    assert await book.get("pt-1") == JOHN


async def test_a_change_is_lost_to_whoever_was_faster(book: PatientBook, clock: StandingClock) -> None:
    await book.add(JOHN)
    clock.advance(seconds=1)
    first = await book.change(replace(JOHN, name="Johnny", user_ids=()), JOHN)
    second = await book.change(replace(JOHN, name="Jack"), JOHN)

    assert first == replace(JOHN, name="Johnny", user_ids=(), updated_at=clock())
    assert second is None
    assert await book.get("pt-1") == first


async def test_patients_are_listed_page_by_page_in_the_order_of_their_ids(book: PatientBook) -> None:
    for number in (3, 1, 5, 2, 4):
        await book.add(replace(JOHN, id=f"pt-{number}"))
    first = await book.all(limit=3)
    second = await book.all(limit=3, cursor=first.cursor)

    assert [patient.id for patient in (*first.records, *second.records)] == ["pt-1", "pt-2", "pt-3", "pt-4", "pt-5"]
    assert second.cursor is None


@pytest.mark.req("S3-16")
async def test_what_belongs_to_one_patient_is_never_found_with_another(book: PatientBook) -> None:
    await book.add(JOHN)
    await book.add(replace(JOHN, id="pt-2", name="Rose"))
    await book.add(replace(JOHN, id="pt-1#RELATIVE", name="Mallory"))
    await book.add_part(book.relatives, SARAH)
    await book.add_part(book.relatives, replace(SARAH, patient_id="pt-2", id="peter", name="Peter", relation="son"))
    await book.add_part(book.reminders, reminder("call", -1, "pt-2"))

    assert await book.relatives.of_patient("pt-1") == (SARAH,)
    assert [one.name for one in await book.relatives.of_patient("pt-2")] == ["Peter"]
    assert await book.relatives.of_patient("pt-1#RELATIVE") == ()
    assert await book.relatives.get("pt-2", "sarah") is None
    assert await book.reminders.due("pt-1") == ()


async def test_nothing_is_added_for_a_patient_that_is_not_there(book: PatientBook) -> None:
    added = await book.add_part(book.relatives, SARAH)
    await book.add(JOHN)

    assert added is None
    assert await book.relatives.of_patient("pt-1") == ()


async def test_the_same_part_again_changes_nothing(book: PatientBook) -> None:
    await book.add(JOHN)
    first = await book.add_part(book.relatives, SARAH)
    again = await book.add_part(book.relatives, replace(SARAH, about="She never visits."))

    assert first == again == SARAH
    assert part_id("a request") == part_id("a request") != part_id("another")


@pytest.mark.req("S3-16")
async def test_the_routine_comes_in_the_order_of_the_day(book: PatientBook) -> None:
    await book.add(JOHN)
    steps = [
        step(1, DayPart.NIGHT, "01:00"),
        step(2, DayPart.NIGHT, "22:30"),
        step(3, DayPart.MORNING),
        step(4, DayPart.MORNING, "08:00"),
        step(5, DayPart.EVENING, "21:00"),
        step(6, DayPart.MORNING, "06:30"),
    ]
    for one in steps:
        await book.add_part(book.routine, one)

    assert [one.id for one in await book.day("pt-1")] == ["6", "4", "3", "5", "2", "1"]
    assert [one.id for one in await book.day("pt-1", DayPart.MORNING)] == ["6", "4", "3"]
    assert await book.day("pt-1", DayPart.AFTERNOON) == ()


@pytest.mark.req("S3-16")
async def test_reminders_are_due_in_order_and_until_they_are_done(book: PatientBook, clock: StandingClock) -> None:
    await book.add(JOHN)
    for name, hours in (("later", 5.0), ("now", -1.0), ("soon", 1.0)):
        await book.add_part(book.reminders, reminder(name, hours))
    due = await book.reminders.due("pt-1", clock())
    done = replace(due[0], done_at=clock(), updated_at=book.next_instant(due[0].updated_at))
    is_changed = await book.reminders.change(done, due[0])

    assert [one.id for one in due] == ["now"]
    assert is_changed
    assert [one.id for one in await book.reminders.due("pt-1")] == ["soon", "later"]
    assert await book.reminders.get("pt-1", "now") == done
    assert not await book.reminders.change(done, due[0])


async def test_a_reminder_that_is_done_is_forgotten_after_a_month_and_one_that_is_taken_up_again_is_not(
    book: PatientBook, clock: StandingClock
) -> None:
    await book.add(JOHN)
    for name in ("forgotten", "again"):
        before = reminder(name, 1)
        await book.add_part(book.reminders, before)
        done = replace(before, done_at=clock(), updated_at=book.next_instant(before.updated_at))
        await book.reminders.change(done, before)
        if name == "again":
            await book.reminders.change(replace(done, done_at=None, updated_at=book.next_instant(done.updated_at)), done)
    clock.advance(hours=24 * 31)

    assert await book.reminders.get("pt-1", "forgotten") is None
    assert [one.id for one in await book.reminders.due("pt-1")] == ["again"]


async def test_a_patient_goes_with_all_that_belongs_to_it(book: PatientBook) -> None:
    rose = replace(JOHN, id="pt-2", name="Rose")
    for patient in (JOHN, rose):
        await book.add(patient)
        await book.add_part(book.relatives, replace(SARAH, patient_id=patient.id))
        await book.add_part(book.routine, step(1, DayPart.MORNING, patient_id=patient.id))
        await book.add_part(book.reminders, reminder("call", 1, patient.id))
    await book.remove("pt-1")
    await book.remove("pt-1")
    await book.add(JOHN)

    assert [len(await book.relatives.of_patient(one)) for one in ("pt-1", "pt-2")] == [0, 1]
    assert [len(await book.day(one)) for one in ("pt-1", "pt-2")] == [0, 1]
    assert [len(await book.reminders.due(one)) for one in ("pt-1", "pt-2")] == [0, 1]


async def test_a_patient_is_removed_as_it_is_known(book: PatientBook) -> None:
    await book.add(JOHN)
    await book.add_part(book.relatives, SARAH)
    changed = await book.change(replace(JOHN, name="Johnny"), JOHN)
    is_removed = await book.remove("pt-1", JOHN)
    left = await book.get("pt-1"), await book.relatives.of_patient("pt-1")

    assert not is_removed
    assert left == (changed, (SARAH,))
    assert await book.remove("pt-1", changed)
    assert await book.get("pt-1") is None


async def test_nobody_changes_a_patient_that_is_being_removed(book: PatientBook, monkeypatch: pytest.MonkeyPatch) -> None:
    await book.add(JOHN)
    clear, changes = book.relatives.clear, []

    async def change_meanwhile(patient_id: str) -> None:
        if (known := await book.get(patient_id)) is not None:
            changes.append(await book.change(replace(known, name="Johnny"), known))
        await clear(patient_id)

    monkeypatch.setattr(book.relatives, "clear", change_meanwhile)
    is_removed = await book.remove("pt-1", JOHN)

    assert is_removed
    assert changes == [None]


async def test_a_part_is_removed_as_it_is_known(book: PatientBook) -> None:
    await book.add(JOHN)
    await book.add_part(book.relatives, SARAH)
    changed = replace(SARAH, about="She moved.", updated_at=NOW + timedelta(seconds=1))
    await book.relatives.change(changed, SARAH)

    assert not await book.relatives.remove(SARAH)
    assert await book.relatives.remove(changed)
    assert await book.relatives.get("pt-1", "sarah") is None


async def test_no_more_is_read_of_a_patient_than_can_be_told(book: PatientBook) -> None:
    await book.add(JOHN)
    for number in range(MOST_PARTS + 1):
        await book.relatives.add(replace(SARAH, id=str(number)))

    assert len(await book.relatives.of_patient("pt-1")) == MOST_PARTS

"""What the companion's conversations begin with, also while the store is slow or away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from config import Settings
from parts.companion import KnownPatients, open_companion
from publishing.interfaces import Silent
from session.errors import PatientsUnavailable
from storage.errors import StorageUnavailable
from storage.examples import write_example_patients
from storage.patient_models import Patient, Relative
from storage.patients import PatientBook, PatientTables
from storage.sqlite import SqliteDatabase
from tests.storage.databases import NOW, StandingClock
from tools.patient_words import Known, describe
from transports.patients import NoPatients


@pytest.fixture
async def book() -> AsyncIterator[PatientBook]:
    """Return a book with the example patients; it is Wednesday, 15:00 UTC."""
    clock = StandingClock()
    database = SqliteDatabase(":memory:", clock=clock.seconds)
    tables = PatientTables()
    for definition in tables.all():
        await database.table(definition).create()
    book = PatientBook(database, tables, clock)
    async for _ in write_example_patients(book, now=clock()):
        pass
    yield book
    await database.aclose()


async def never(*_: object) -> None:
    """Take longer than anybody waits."""
    await asyncio.Event().wait()


async def away(*_: object) -> None:
    raise StorageUnavailable("the store is away")


@pytest.mark.req("S3-16")
async def test_a_conversation_begins_with_what_is_written_down(book: PatientBook) -> None:
    found = await KnownPatients(book, StandingClock()).find("pt-001")
    assert found is not None
    context = await found.context()

    assert found.name == "John"
    assert context == (
        "The person that you talk to is John. He is 78 years old and lives at home.\n\n"
        "When this conversation begins it is Wednesday, 16 January 2030, 15:00, where John lives.\n\n"
        "Whom John knows:\n"
        "- Michael, grandson. He is Sarah's son, ten years old, and loves football.\n"
        "- Sarah, daughter. She visits every Sunday afternoon, and can be called at any time.\n\n"
        "The day of John:\n"
        "- In the morning: 08:00 breakfast, and the blue tablet with it\n"
        "- In the morning: 09:30 a walk in the garden\n"
        "- In the afternoon: 12:00 lunch, and then a rest until two\n"
        "- In the evening: 19:00 listening to music\n"
        "- In the evening: 21:00 going to bed\n\n"
        "What John wants to be reminded of:\n"
        "- call Sarah about Sunday, tomorrow at 17:00"
    )


@pytest.mark.req("S3-13")
@pytest.mark.parametrize("trouble", [never, away])
async def test_without_the_patients_own_record_there_is_a_clear_error_and_no_conversation(
    book: PatientBook, trouble: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book.table, "get", trouble)
    with capture_logs() as logs, pytest.raises(PatientsUnavailable) as refused:
        await KnownPatients(book, seconds=0.01).find("pt-001")

    assert (refused.value.code, refused.value.retryable, refused.value.retry_after) == ("patients_unavailable", True, 5)
    assert [log["event"] for log in logs] == ["patients.unavailable"]
    assert "pt-001" not in str(logs)


@pytest.mark.req("S3-16")
@pytest.mark.parametrize("trouble", [never, away])
async def test_what_cannot_be_read_in_time_is_left_to_the_tools(
    book: PatientBook, trouble: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book.relatives.table, "query", trouble)
    found = await KnownPatients(book, StandingClock(), context_seconds=0.01).find("pt-001")
    assert found is not None
    monkeypatch.setattr(book.routine.table, "query", trouble)
    with capture_logs() as logs:
        context = await found.context()

    assert "Sarah, daughter" not in context
    assert "08:00" not in context
    assert "call Sarah about Sunday, tomorrow at 17:00" in context
    assert "look it up with the tools" in context
    assert [log["event"] for log in logs] == ["patients.context_incomplete"] * 2


async def test_an_unknown_patient_is_nobody(book: PatientBook) -> None:
    assert await KnownPatients(book).find("pt-404") is None


def test_what_a_prompt_is_told_has_an_end() -> None:
    patient = Patient("p", "N" * 100, NOW, NOW, "a" * 1_000)
    relatives = [Relative("p", str(number), "n" * 100, "r" * 60, NOW, "a" * 300) for number in range(100)]
    context = describe(Known(patient, relatives, (), ()), NOW)

    assert context.endswith("\n- and more, which the tools know")
    assert 3_500 < len(context) < 6_000


async def test_a_server_that_owns_its_tables_makes_them_with_two_patients_once() -> None:
    database = SqliteDatabase(":memory:")
    settings = replace(Settings.from_env({}), local=True)
    first = await open_companion(settings, database, Silent())
    assert first.book is not None
    await first.book.remove("pt-002")
    second = await open_companion(settings, database, Silent())
    assert second.book is not None
    listed = await second.book.all()
    await database.aclose()

    assert [one.id for one in listed.records] == ["pt-001"]


async def test_a_server_without_these_tables_starts_and_says_so_when_somebody_is_looked_up() -> None:
    database = SqliteDatabase(":memory:")
    companion = await open_companion(Settings.from_env({}), database, Silent())
    with pytest.raises(PatientsUnavailable):
        await companion.patients.find("pt-001")
    await database.aclose()

    assert companion.book is not None


async def test_without_a_database_nobody_is_known() -> None:
    companion = await open_companion(Settings.from_env({}), None, Silent())

    assert companion.book is None
    assert isinstance(companion.patients, NoPatients)

import pytest

from storage.examples import Written, write_example_patients
from storage.patient_models import DayPart
from storage.patients import PatientBook
from tests.storage.contract.test_patients import book
from tests.storage.databases import StandingClock

__all__ = ["book"]


async def everything(book: PatientBook) -> list[object]:
    patients = (await book.all()).records
    parts = [
        (await book.relatives.of_patient(one.id), await book.routine.of_patient(one.id), await book.reminders.due(one.id))
        for one in patients
    ]
    return [*patients, *parts]


@pytest.mark.req("S3-17")
async def test_example_patients_are_written_once_and_kept_afterwards(book: PatientBook, clock: StandingClock) -> None:
    first = [done async for done in write_example_patients(book, now=clock())]
    before = await everything(book)
    clock.advance(hours=72)
    second = [done async for done in write_example_patients(book, now=clock())]

    assert [(done.kind, done.number, done.of, done.outcome) for done in first] == [
        ("patient", 1, 2, Written.WRITTEN),
        ("patient", 2, 2, Written.WRITTEN),
    ]
    assert [done.outcome for done in second] == [Written.KEPT] * 2
    assert await everything(book) == before


@pytest.mark.req("S3-17")
async def test_a_reset_takes_away_what_was_added_to_an_example(book: PatientBook, clock: StandingClock) -> None:
    for _ in range(2):
        async for _done in write_example_patients(book, now=clock(), reset=True):
            pass
        steps = await book.day("pt-001")
        assert len(steps) == 5
        await book.routine.remove(steps[0])


@pytest.mark.req("S3-16", "S3-17")
async def test_the_examples_are_what_the_sample_questions_need(book: PatientBook, clock: StandingClock) -> None:
    async for _ in write_example_patients(book, now=clock()):
        pass
    john = await book.get("pt-001")

    assert john is not None
    assert john.name == "John"
    assert [(one.name, one.relation) for one in await book.relatives.of_patient("pt-001")] == [
        ("Michael", "grandson"),
        ("Sarah", "daughter"),
    ]
    assert (await book.day("pt-001", DayPart.MORNING))[0].what.startswith("breakfast")

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from storage.appointments import Appointments, NewAppointment
from storage.errors import InvalidRequest, SlotTaken
from storage.examples import example_appointments
from storage.models import AppointmentStatus, AppointmentType, appointment_json
from storage.table import Database, Key, Query
from tests.storage.databases import NOW, ZONE, StandingClock, repositories

TEN = datetime(2030, 1, 17, 10, 0, tzinfo=ZONE)


def new(starts_at: datetime = TEN, minutes: int = 30, doctor: str = "Dr. Rodríguez", email: str = "eva@email.com") -> NewAppointment:
    return NewAppointment("Eva Ruiz", email, doctor, starts_at, minutes, AppointmentType.ROUTINE)


def at(minutes: int) -> datetime:
    return TEN + timedelta(minutes=minutes)


@pytest.fixture
async def appointments(database: Database, clock: StandingClock, prefix: str) -> Appointments:
    return (await repositories(database, clock, prefix))[1]


async def slots(appointments: Appointments, times: Sequence[str], doctor: str = "dr rodriguez") -> list[str]:
    """Return those of the times (UTC) whose slot somebody holds."""
    held = [await appointments.table.get(Key.twice(f"SLOT#{doctor}#2030-01-17T{time}")) for time in times]
    return [time for time, item in zip(times, held, strict=True) if item is not None]


@pytest.mark.req("S4-29")
@pytest.mark.req("S4-33")
async def test_an_appointment_is_stored_with_all_its_attributes_under_its_key_twice(appointments: Appointments) -> None:
    made = await appointments.create(new(), "r1")
    item = await appointments.table.get(Key.twice("APPOINTMENT#1"))

    # Both dates are written: `date` is the public one, `appointmentDate` the key of DoctorDateIndex.
    assert item == {
        "PK": "APPOINTMENT#1", "SK": "APPOINTMENT#1", "id": "1", "patientName": "Eva Ruiz", "patientEmail": "eva@email.com",
        "doctorName": "Dr. Rodríguez", "date": "2030-01-17T13:00:00.000Z", "appointmentDate": "2030-01-17T13:00:00.000Z",
        "timeZone": "America/Argentina/Buenos_Aires", "duration": 30, "type": "routine", "notes": "", "status": "scheduled",
        "createdAt": "2030-01-16T15:00:00.000Z", "updatedAt": "2030-01-16T15:00:00.000Z",
    }  # fmt: skip
    assert await appointments.get("1") == made
    assert appointment_json(made) == {
        "id": "1", "patientName": "Eva Ruiz", "patientEmail": "eva@email.com", "doctorName": "Dr. Rodríguez",
        "date": "2030-01-17T13:00:00.000Z", "duration": 30, "type": "routine", "notes": "", "status": "scheduled",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "minutes", "fits"),
    [(-30, 30, True), (30, 30, True), (-30, 35, False), (25, 5, False), (0, 30, False), (5, 5, False), (-60, 120, False), (30, 240, True)],
)
@pytest.mark.req("S4-49")
async def test_two_appointments_of_a_doctor_never_overlap(appointments: Appointments, offset: int, minutes: int, *, fits: bool) -> None:
    await appointments.create(new(), "r1")
    other_doctor = await appointments.create(new(at(offset), minutes, "Dra. López"), "r2")

    assert other_doctor.status is AppointmentStatus.SCHEDULED
    if fits:
        assert (await appointments.create(new(at(offset), minutes), "r3")).starts_at == at(offset)
    else:
        with pytest.raises(SlotTaken):
            await appointments.create(new(at(offset), minutes), "r3")


@pytest.mark.req("S4-49")
async def test_overlaps_across_midnight_are_seen(appointments: Appointments) -> None:
    midnight_utc = datetime(2030, 1, 17, 21, 0, tzinfo=ZONE)
    await appointments.create(new(midnight_utc - timedelta(minutes=20), 40), "r1")

    with pytest.raises(SlotTaken):
        await appointments.create(new(midnight_utc), "r2")


@pytest.mark.req("S4-49")
async def test_of_fifty_racers_for_one_time_one_gets_it(appointments: Appointments) -> None:
    async def race(number: int) -> bool:
        try:
            await appointments.create(new(at(5 * (number % 5)), 30), f"race-{number}")
        except SlotTaken:
            return False
        return True

    won = await asyncio.gather(*[race(number) for number in range(50)])

    assert won.count(True) == 1
    assert len(await appointments.everything()) == 1


async def test_one_request_repeated_fifty_times_at_once_makes_one_appointment(appointments: Appointments) -> None:
    made = await asyncio.gather(*[appointments.create(new(), "same") for _ in range(50)])

    assert len({appointment.id for appointment in made}) == 1
    assert len(await appointments.everything()) == 1


@pytest.mark.req("S4-50")
async def test_a_cancelled_appointment_frees_its_time(appointments: Appointments) -> None:
    first = await appointments.create(new(), "r1")
    cancelled = await appointments.cancel(first.id, "r2")
    again = await appointments.cancel(first.id, "r2")
    later = await appointments.cancel(first.id, "r3")
    second = await appointments.create(new(), "r4")

    assert cancelled is not None
    assert cancelled.status is AppointmentStatus.CANCELLED
    assert again == cancelled
    assert later is None
    assert second.starts_at == first.starts_at


@pytest.mark.req("S4-51")
async def test_a_moved_appointment_frees_what_it_leaves_and_holds_what_it_takes(appointments: Appointments) -> None:
    made = await appointments.create(new(), "r1")
    moved = await appointments.move(made.id, at(15), "r2")
    held = await slots(appointments, ["13:00", "13:05", "13:10", "13:15", "13:20", "13:25", "13:30", "13:35", "13:40", "13:45"])

    assert moved is not None
    assert moved.starts_at == at(15)
    assert held == ["13:15", "13:20", "13:25", "13:30", "13:35", "13:40"]
    assert await appointments.get(made.id) == moved
    assert await appointments.move(made.id, at(60), "r2") == moved


@pytest.mark.req("S4-51")
async def test_an_appointment_stays_where_it_is_when_the_new_time_is_taken(appointments: Appointments) -> None:
    first = await appointments.create(new(), "r1")
    second = await appointments.create(new(at(60)), "r2")
    with pytest.raises(SlotTaken):
        await appointments.move(second.id, at(15), "r3")

    assert await appointments.get(second.id) == second
    assert await appointments.get(first.id) == first
    assert await slots(appointments, ["14:00", "14:25", "13:30"]) == ["14:00", "14:25"]


async def test_of_fifty_moves_to_one_time_one_succeeds(appointments: Appointments) -> None:
    made = [await appointments.create(new(at(5 * number), 5), f"r{number}") for number in range(10)]

    async def race(number: int) -> bool:
        try:
            await appointments.move(made[number % 10].id, at(600), f"m{number}")
        except SlotTaken:
            return False
        return True

    await asyncio.gather(*[race(number) for number in range(50)])
    starts = [appointment.starts_at for appointment in await appointments.everything()]

    assert len(set(starts)) == 10
    assert starts.count(at(600)) == 1


async def test_the_longest_appointment_can_be_moved(appointments: Appointments) -> None:
    made = await appointments.create(new(minutes=240), "r1")
    moved = await appointments.move(made.id, at(24 * 60), "r2")

    assert moved is not None


@pytest.mark.parametrize(("starts_at", "minutes"), [(at(1), 30), (at(0), 31), (at(0), 245), (at(0), 0), (at(0), -5)])
async def test_times_between_slots_are_refused(appointments: Appointments, starts_at: datetime, minutes: int) -> None:
    with pytest.raises(InvalidRequest):
        await appointments.create(new(starts_at, minutes), "r1")


async def test_a_completed_appointment_can_be_neither_cancelled_nor_moved(appointments: Appointments) -> None:
    done = replace(example_appointments(NOW, ZONE)[4], id="9")
    await appointments.add(done)

    assert await appointments.cancel("9", "r1") is None
    assert await appointments.move("9", at(0), "r2") is None
    assert await appointments.get("9") == done


async def test_a_doctor_has_one_spelling(appointments: Appointments) -> None:
    first = await appointments.create(new(doctor="Dr. Rodríguez"), "r1")
    with pytest.raises(SlotTaken):
        await appointments.create(new(doctor="doctor rodriguez"), "r2")
    third = await appointments.create(new(at(30), doctor="DOCTOR  RODRIGUEZ"), "r3")
    fourth = await appointments.create(new(at(60), doctor="Rodriguez"), "r4")
    woman = await appointments.create(new(doctor="Dra. Rodríguez"), "r5")

    assert [first.doctor_name, third.doctor_name, fourth.doctor_name] == ["Dr. Rodríguez"] * 3
    assert woman.doctor_name == "Dra. Rodríguez"


@pytest.mark.req("S4-30")
@pytest.mark.req("S4-31")
@pytest.mark.req("S4-32")
async def test_appointments_are_found_by_patient_doctor_and_status(appointments: Appointments) -> None:
    for number, minutes in enumerate([60, 0, 30]):
        await appointments.create(new(at(minutes), email=f"p{number % 2}@email.com"), f"r{number}")
    await appointments.cancel("1", "c")
    of_patient = await appointments.of_patient("p0@email.com")
    of_doctor = await appointments.of_doctor("doctor Rodriguez", at(0), at(30))
    scheduled = await appointments.with_status(AppointmentStatus.SCHEDULED)

    assert sorted(one.id for one in of_patient.records) == ["1", "3"]
    assert [one.id for one in of_doctor.records] == ["2", "3"]
    assert sorted(one.id for one in scheduled.records) == ["2", "3"]


@pytest.mark.req("S4-23")
async def test_a_day_is_a_day_in_the_clinic(appointments: Appointments) -> None:
    late, early = datetime(2030, 1, 17, 22, 0, tzinfo=ZONE), datetime(2030, 1, 18, 0, 30, tzinfo=ZONE)
    await appointments.create(new(late), "r1")
    await appointments.create(new(early), "r2")
    found = [[one.id for one in await appointments.everything(moment.date())] for moment in (late, early)]

    assert found == [["1"], ["2"]]
    assert late.astimezone(ZoneInfo("UTC")).date() == early.astimezone(ZoneInfo("UTC")).date()


async def test_a_deleted_appointment_frees_its_time(appointments: Appointments) -> None:
    made = await appointments.create(new(), "r1")
    await appointments.delete(made.id)
    await appointments.delete(made.id)

    assert await appointments.get(made.id) is None
    assert await slots(appointments, ["13:00"]) == []


@pytest.mark.req("S4-03")
async def test_internal_records_never_appear_among_the_appointments(appointments: Appointments) -> None:
    await appointments.create(new(), "r1")
    page = await appointments.table.query(Query("eva@email.com", "PatientEmailIndex"))

    assert [one.id for one in await appointments.everything()] == ["1"]
    assert len(page.items) == 1

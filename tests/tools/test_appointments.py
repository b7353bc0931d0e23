import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.tools.desk import Desk, open_desk

EVA = {"patientName": "Eva Ruiz", "patientEmail": "eva@email.com", "doctorName": "Dr. Rodríguez"}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as opened:
        yield opened


@pytest.mark.req("S4-49")
async def test_an_appointment_is_made_with_all_its_arguments(desk: Desk) -> None:
    result = await desk.call("agendarTurno", **EVA, date="2030-01-17T10:00", duration=45, type="follow-up")

    assert result["appointment"] == {
        "id": "6", "patientName": "Eva Ruiz", "doctorName": "Dr. Rodríguez", "date": "2030-01-17T10:00:00-03:00", "time": "10:00",
        "type": "follow-up", "status": "scheduled", "duration": 45,
    }  # fmt: skip


@pytest.mark.req("S4-59")
async def test_the_sample_phrase_works_with_the_words_of_the_user(desk: Desk) -> None:
    result = await desk.call("agendarTurno", **EVA, date="mañana a las 10")

    assert result["appointment"]["date"] == "2030-01-17T10:00:00-03:00"
    assert result["appointment"]["type"] == "consultation"
    assert result["appointment"]["duration"] == 30


@pytest.mark.req("S4-31")
async def test_an_appointment_that_the_tool_made_is_found_by_doctor_and_day(desk: Desk) -> None:
    made = await desk.call("agendarTurno", **EVA | {"doctorName": "doctor rodriguez"}, date="2030-01-17", time="10:00")
    stored = await desk.appointments.get(made["appointment"]["id"])
    assert stored is not None
    found = await desk.appointments.of_doctor("Dr. Rodríguez", stored.starts_at, stored.starts_at)

    assert [one.id for one in found.records] == ["6"]


@pytest.mark.req("S4-49")
async def test_double_booking_is_refused(desk: Desk) -> None:
    await desk.call("agendarTurno", **EVA, date="2030-01-17T10:00")
    same = await desk.call("agendarTurno", **EVA, date="2030-01-17T10:00")
    overlapping = await desk.call("agendarTurno", **EVA, date="2030-01-17T09:45")
    after = await desk.call("agendarTurno", **EVA, date="2030-01-17T10:30")

    assert same["error"] == overlapping["error"] == "slot_taken"
    assert after["success"] is True


@pytest.mark.req("S4-49")
async def test_of_fifty_callers_for_one_time_one_gets_it(desk: Desk) -> None:
    calls = [desk.call("agendarTurno", session=f"s{number}", **EVA, date="2030-01-17T10:00") for number in range(50)]
    results = await asyncio.gather(*calls)

    assert [result["success"] for result in results].count(True) == 1
    assert {result.get("error") for result in results} == {None, "slot_taken"}


@pytest.mark.req("S4-49")
async def test_duplicates_of_one_call_make_one_appointment(desk: Desk) -> None:
    calls = [desk.call("agendarTurno", tool_use_id="same", **EVA, date="2030-01-17T10:00") for _ in range(100)]
    results = await asyncio.gather(*calls)

    assert {result["appointment"]["id"] for result in results} == {"6"}


@pytest.mark.req("S4-49")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"date": "2030-01-16T11:59"}, "date_in_past"),
        ({"date": "2031-02-16T10:00"}, "date_too_far"),
        ({"date": "2030-01-17"}, "time_required"),
        ({"date": "a las 10"}, "date_required"),
        ({"date": "cuando pueda"}, "invalid_date"),
        ({"date": "2030-02-30T10:00"}, "invalid_date"),
        ({"date": "2030-01-17T25:00"}, "invalid_date"),
        ({"date": "2030-01-17T10:02"}, "invalid_time"),
        ({"date": "2030-01-17T10:00", "duration": 7}, "invalid_time"),
        ({"date": "2030-01-17T10:00", "duration": 1000}, "invalid_time"),
        ({"date": "2030-01-17T10:00", "duration": -30}, "invalid_time"),
        ({"date": "2030-01-17T10:00", "type": "surgery"}, "invalid_arguments"),
        ({"date": "2030-01-17T10:00", "patientEmail": "eva"}, "invalid_email"),
        ({"date": ["2030-01-17"]}, "invalid_arguments"),
        ({}, "missing_arguments"),
    ],
)
async def test_what_cannot_be_booked_is_asked_for_again(desk: Desk, arguments: dict[str, Any], error: str) -> None:
    result = await desk.call("agendarTurno", **EVA | arguments)

    assert result["error"] == error
    assert len(await desk.appointments.everything()) == 5


async def test_all_that_is_missing_is_asked_for_at_once(desk: Desk) -> None:
    result = await desk.call("agendarTurno", doctorName="Dr. Rodríguez", date="mañana a las 10")

    assert result["message"] == "Ask the user for: patientName, patientEmail."


@pytest.mark.req("S4-52")
@pytest.mark.req("S4-54")
async def test_an_appointment_is_shown_to_its_patient_alone(desk: Desk) -> None:
    shown = await desk.call("consultarTurno", appointmentId="2", patientName="luis fernandez")
    foreign = await desk.call("consultarTurno", appointmentId="2", patientName="Ana Martínez")
    unknown = await desk.call("consultarTurno", appointmentId="999", patientName="Ana Martínez")
    nameless = await desk.call("consultarTurno", appointmentId="2", patientName=" ")

    assert shown["appointment"]["patientName"] == "Luis Fernández"
    assert "patientEmail" not in shown["appointment"]
    assert foreign["error"] == "identity_not_verified"
    assert foreign == unknown
    assert nameless["error"] == "missing_arguments"


@pytest.mark.req("S4-50")
async def test_an_appointment_is_cancelled_once_and_its_time_is_free(desk: Desk) -> None:
    before = await desk.call("consultarTurno", appointmentId="3", patientName="Ana Martínez")
    first = await desk.call("cancelarTurno", appointmentId=3, patientName="Ana Martinez")
    second = await desk.call("cancelarTurno", appointmentId="tres", patientName="Ana Martinez")
    booked = await desk.call("agendarTurno", **EVA | {"doctorName": "Dra. López"}, date=before["appointment"]["date"])

    assert first["appointment"]["status"] == "cancelled"
    assert second["error"] == "already_cancelled"
    assert booked["success"] is True


@pytest.mark.req("S4-50", "S4-51")
async def test_a_completed_appointment_stays_as_it_is(desk: Desk) -> None:
    cancelled = await desk.call("cancelarTurno", appointmentId="5", patientName="Juan Pérez")
    moved = await desk.call("modificarTurno", appointmentId="5", patientName="Juan Pérez", newDate="viernes a las 15:00")

    assert cancelled["error"] == moved["error"] == "not_changeable"


# Appointment 1 is on Monday 2030-01-21 (three days after Wednesday is a Saturday) at 09:00.
@pytest.mark.req("S4-51")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"newDate": "2030-01-25T15:00"}, "2030-01-25T15:00:00-03:00"),
        ({"newDate": "2030-01-25", "newTime": "15:00"}, "2030-01-25T15:00:00-03:00"),
        ({"newDate": "2030-01-25"}, "2030-01-25T09:00:00-03:00"),
        ({"newTime": "15:00"}, "2030-01-21T15:00:00-03:00"),
        ({"newDate": "el viernes a las 15:00"}, "2030-01-18T15:00:00-03:00"),
        ({"newDate": "2030-01-25T18:00:00Z"}, "2030-01-25T15:00:00-03:00"),
        ({"newDate": "2030-01-25T00:00:00", "newTime": "15:00"}, "2030-01-25T15:00:00-03:00"),
        ({"new_date": "viernes", "new_time": "tres de la tarde"}, "2030-01-18T15:00:00-03:00"),
        ({"newDate": "2030-01-21T09:15"}, "2030-01-21T09:15:00-03:00"),
    ],
)
async def test_an_appointment_is_moved_by_day_by_time_or_both(desk: Desk, arguments: dict[str, str], expected: str) -> None:
    result = await desk.call("modificarTurno", appointmentId="1", patientName="Juan Pérez", **arguments)
    shown = await desk.call("consultarTurno", appointmentId="1", patientName="Juan Pérez")

    assert result["appointment"]["date"] == expected
    assert shown["appointment"] == result["appointment"]


@pytest.mark.req("S4-51")
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "missing_arguments"),
        ({"newDate": "ayer"}, "invalid_date"),
        ({"newDate": "2020-01-01T10:00"}, "date_in_past"),
        ({"newTime": "10:01"}, "invalid_time"),
        ({"newTime": "nunca"}, "time_required"),
    ],
)
async def test_a_move_that_is_not_possible_changes_nothing(desk: Desk, arguments: dict[str, str], error: str) -> None:
    before = await desk.appointments.get("1")
    result = await desk.call("modificarTurno", appointmentId="1", patientName="Juan Pérez", **arguments)

    assert result["error"] == error
    assert await desk.appointments.get("1") == before


@pytest.mark.req("S4-51")
async def test_a_move_onto_another_appointment_is_refused(desk: Desk) -> None:
    taken = await desk.call("consultarTurno", appointmentId="4", patientName="María García")
    result = await desk.call("modificarTurno", appointmentId="1", patientName="Juan Pérez", newDate=taken["appointment"]["date"])

    assert result["error"] == "slot_taken"


@pytest.mark.req("S4-54")
async def test_wrong_patient_names_are_limited_like_wrong_dnis(desk: Desk) -> None:
    errors = [(await desk.call("cancelarTurno", appointmentId="1", patientName="Otra Persona"))["error"] for _ in range(6)]

    assert errors == ["identity_not_verified"] * 5 + ["identity_locked"]

"""/appointments."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.api.desk import JUAN, NOBODY, Desk
from tests.storage.databases import NOW

APPOINTMENT_1 = {
    "id": "1",
    "patientName": "Juan Pérez",
    "patientEmail": "juan.perez@email.com",
    "doctorName": "Dr. Rodríguez",
    "date": "2030-01-21T12:00:00.000Z",
    "duration": 30,
    "type": "consultation",
    "notes": "",
    "status": "scheduled",
}
NEW = {"patientName": "Eva Ruiz", "patientEmail": "Eva@email.com", "doctorName": "doctora Lopez", "date": "2030-01-18T10:00:00-03:00"}


@pytest.mark.req("S4-04")
@pytest.mark.req("S4-22")
async def test_all_appointments_are_told_as_the_front_end_expects_them(desk: Desk) -> None:
    response = await desk.ask("GET", "/appointments")
    body = await response.json()

    assert response.status == 200
    assert set(body) == {"success", "data", "message"}
    assert (body["success"], body["message"]) == (True, "Retrieved 5 appointments successfully")
    assert [one for one in body["data"] if one["id"] == "1"] == [APPOINTMENT_1]
    assert [one["date"] for one in body["data"]] == sorted(one["date"] for one in body["data"])


@pytest.mark.req("S4-24")
async def test_one_appointment_is_told_with_its_version(desk: Desk) -> None:
    response = await desk.ask("GET", "/appointments/1")

    assert await response.json() == {"success": True, "data": APPOINTMENT_1, "message": "Retrieved appointment 1 successfully"}
    assert response.headers["ETag"].startswith('"20')


async def test_an_appointment_that_is_not_there_is_told_so(desk: Desk) -> None:
    assert await desk.code("GET", "/appointments/99") == (404, "not_found")


@pytest.mark.req("S4-23")
async def test_a_day_is_the_clinics_day(desk: Desk) -> None:
    """Eleven in the evening in Buenos Aires is the next day in UTC."""
    late = NEW | {"date": "2030-01-19T02:00:00Z"}
    made = (await (await desk.ask("POST", "/appointments", json=late)).json())["data"]["id"]

    async def on(day: str) -> list[str]:
        return [one["id"] for one in (await (await desk.ask("GET", f"/appointments?date={day}")).json())["data"]]

    assert (await on("2030-01-18"), await on("2030-01-19")) == ([made], [])


@pytest.mark.parametrize("day", ["2030-02-30", "2030-1-5", "today", "20300105", "2030-01-05T00:00:00Z", "\uff12\uff10\uff13\uff10-01-05"])
@pytest.mark.req("S4-23")
async def test_a_day_that_is_none_is_refused(desk: Desk, day: str) -> None:
    assert await desk.code("GET", f"/appointments?date={day}") == (400, "invalid_parameter")


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("patientEmail=juan.perez@email.com", {"1", "5"}),
        ("patientEmail=juan.perez@email.com&status=completed", {"5"}),
        ("doctorName=doctor rodriguez", {"1", "4"}),
        ("doctorName=doctor rodriguez&date=2030-01-21", {"1"}),
        ("doctorName=Dr. Nobody", set()),
        ("status=confirmed", {"2"}),
        ("date=2030-01-21&patientEmail=juan.perez@email.com", {"1"}),
    ],
)
@pytest.mark.req("S4-30")
@pytest.mark.req("S4-31")
@pytest.mark.req("S4-32")
async def test_appointments_are_found_by_patient_doctor_day_and_status(desk: Desk, query: str, numbers: set[str]) -> None:
    response = await desk.ask("GET", f"/appointments?{query}")

    assert {one["id"] for one in (await response.json())["data"]} == numbers


@pytest.mark.parametrize("query", ["", "doctorName=Dra. López&", "patientEmail=juan.perez@email.com&", "status=scheduled&"])
async def test_pages_follow_one_another_by_their_cursor(desk: Desk, query: str) -> None:
    whole = (await (await desk.ask("GET", f"/appointments?{query}")).json())["data"]
    told: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        body = await (await desk.ask("GET", f"/appointments?{query}limit=1{cursor}")).json()
        told += body["data"]
        cursor = f"&cursor={body['nextCursor']}" if "nextCursor" in body else None

    assert sorted(one["id"] for one in told) == sorted(one["id"] for one in whole)


@pytest.mark.req("S4-03")
async def test_an_appointment_is_made_with_the_doctor_as_already_spelt(desk: Desk) -> None:
    response = await desk.ask("POST", "/appointments", json=NEW | {"notes": "first visit"})

    assert (response.status, response.headers["Location"]) == (201, "/appointments/6")
    assert (await response.json())["data"] == {
        "id": "6",
        "patientName": "Eva Ruiz",
        "patientEmail": "eva@email.com",
        "doctorName": "Dra. López",
        "date": "2030-01-18T13:00:00.000Z",
        "duration": 30,
        "type": "consultation",
        "notes": "first visit",
        "status": "scheduled",
    }


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"date": "2030-01-16T14:55:00Z"}, 422, "rule_broken"),
        ({"date": "2031-01-18T10:00:00Z"}, 422, "rule_broken"),
        ({"date": "2030-01-18T10:02:00Z"}, 422, "rule_broken"),
        ({"date": "2030-01-18T10:00:00"}, 400, "invalid_body"),
        ({"date": "2030-01-18"}, 400, "invalid_body"),
        ({"date": "0001-01-01T00:00:00+14:00"}, 400, "invalid_body"),
        ({"date": 1_900_000_000}, 400, "invalid_body"),
        ({"duration": 0}, 400, "invalid_body"),
        ({"duration": 7}, 400, "invalid_body"),
        ({"duration": 245}, 400, "invalid_body"),
        ({"type": "surgery"}, 400, "invalid_body"),
        ({"notes": "a" * 501}, 400, "invalid_body"),
        ({"status": "confirmed"}, 400, "unknown_member"),
        ({"date": "2030-01-21T11:45:00Z", "doctorName": "Dr. Rodríguez"}, 409, "slot_taken"),
    ],
)
async def test_an_appointment_that_cannot_be_is_not_made(desk: Desk, change: dict[str, object], status: int, code: str) -> None:
    assert await desk.code("POST", "/appointments", json=NEW | change) == (status, code)
    assert await desk.appointments.get("6") is None


async def test_one_key_makes_one_appointment_however_often_it_arrives(desk: Desk) -> None:
    headers = {"Idempotency-Key": "visit-of-eva"}
    answers = await asyncio.gather(*(desk.ask("POST", "/appointments", json=NEW, headers=headers) for _ in range(8)))
    told = [await response.json() for response in answers]
    reused = await desk.code("POST", "/appointments", json=NEW | {"duration": 60}, headers=headers)

    assert {response.status for response in answers} == {201}
    assert len({body["data"]["id"] for body in told}) == 1
    assert reused == (422, "idempotency_key_reused")


@pytest.mark.req("S4-03")
async def test_an_appointment_is_moved_and_frees_its_time(desk: Desk) -> None:
    moved = await desk.ask("PATCH", "/appointments/1", json={"date": "2030-01-22T12:00:00Z", "duration": 45, "doctorName": "Dra. López"})
    body = (await moved.json())["data"]
    again = NEW | {"doctorName": "Dr. Rodríguez", "date": APPOINTMENT_1["date"]}

    assert (body["date"], body["duration"], body["doctorName"]) == ("2030-01-22T12:00:00.000Z", 45, "Dra. López")
    assert (await desk.ask("POST", "/appointments", json=again)).status == 201


@pytest.mark.parametrize(
    ("number", "status", "answer"),
    [
        (1, "confirmed", 200),
        (1, "completed", 200),
        (1, "cancelled", 200),
        (2, "scheduled", 409),
        (2, "completed", 200),
        (5, "scheduled", 409),
        (5, "completed", 409),
    ],
)
async def test_a_status_follows_only_the_ones_before_it(desk: Desk, number: int, status: str, answer: int) -> None:
    assert (await desk.ask("PATCH", f"/appointments/{number}", json={"status": status})).status == answer


async def test_a_change_into_a_taken_time_changes_nothing(desk: Desk) -> None:
    taken = {"doctorName": "Dra. López", "date": "2030-01-21T19:00:00Z"}
    before = await desk.appointments.get("1")

    assert await desk.code("PATCH", "/appointments/1", json=taken) == (409, "slot_taken")
    assert await desk.appointments.get("1") == before


@pytest.mark.parametrize("date", ["2030-01-16T14:00:00Z", "2031-06-01T12:00:00Z", "2030-01-22T12:01:00Z"])
async def test_an_appointment_cannot_be_moved_to_where_none_can_be_made(desk: Desk, date: str) -> None:
    assert await desk.code("PATCH", "/appointments/1", json={"date": date}) == (422, "rule_broken")


async def test_a_change_of_what_has_changed_is_refused(desk: Desk) -> None:
    known = (await desk.ask("GET", "/appointments/1")).headers["ETag"]
    await desk.ask("PATCH", "/appointments/1", json={"notes": "late"})

    assert await desk.code("PATCH", "/appointments/1", json={"notes": "later"}, headers={"If-Match": known}) == (412, "changed_since")
    assert await desk.code("DELETE", "/appointments/1", headers={"If-Match": known}) == (412, "changed_since")


async def test_a_removed_appointment_frees_its_time(desk: Desk) -> None:
    removed = await desk.ask("DELETE", "/appointments/1")
    again = NEW | {"doctorName": "Dr. Rodríguez", "date": APPOINTMENT_1["date"]}

    assert await removed.json() == {"success": True, "data": {"id": "1"}, "message": "Deleted appointment 1 successfully"}
    assert await desk.code("GET", "/appointments/1") == (404, "not_found")
    assert (await desk.ask("POST", "/appointments", json=again)).status == 201


async def test_a_patient_sees_the_own_appointments_and_moves_and_cancels_them(desk: Desk) -> None:
    listed = (await (await desk.ask("GET", "/appointments", by=JUAN)).json())["data"]
    of_day = (await (await desk.ask("GET", "/appointments?date=2030-01-21", by=JUAN)).json())["data"]
    moved = await desk.ask("PATCH", "/appointments/1", json={"date": "2030-01-22T12:00:00Z", "notes": "late"}, by=JUAN)
    cancelled = await desk.ask("PATCH", "/appointments/1", json={"status": "cancelled"}, by=JUAN)

    assert {one["id"] for one in listed} == {"1", "5"}
    assert [one["id"] for one in of_day] == ["1"]
    assert (moved.status, cancelled.status) == (200, 200)


@pytest.mark.parametrize("by", [JUAN, NOBODY])
async def test_an_appointment_of_somebody_else_is_like_none(desk: Desk, by: str) -> None:
    answers = {
        await desk.code(method, f"/appointments/{number}", by=by, json={"status": "cancelled"} if method == "PATCH" else None)
        for method in ("GET", "PATCH", "DELETE")
        for number in (2, 99)
    }

    assert answers == {(404, "not_found")}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/appointments/1", {"status": "completed"}),
        ("PATCH", "/appointments/1", {"patientEmail": "eva@email.com"}),
        ("PATCH", "/appointments/1", {"duration": 240}),
        ("DELETE", "/appointments/1", None),
        ("POST", "/appointments", NEW),
    ],
)
async def test_a_patient_cannot_do_what_is_an_operators(desk: Desk, method: str, path: str, body: object) -> None:
    assert await desk.code(method, path, json=body, by=JUAN) == (403, "forbidden")


async def test_an_index_finds_what_was_made(desk: Desk) -> None:
    made = (await (await desk.ask("POST", "/appointments", json=NEW)).json())["data"]["id"]
    by_doctor = await desk.appointments.of_doctor("Dra. López", NOW, NOW + timedelta(days=2))
    by_patient = await desk.appointments.of_patient("eva@email.com")

    assert [one.id for one in by_doctor.records] == [one.id for one in by_patient.records] == [made]

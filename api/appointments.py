"""/appointments: what the tools do with appointments, for front ends."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from aiohttp import web

from api.answers import answer
from api.appointment_shapes import (
    APPOINTMENT,
    APPOINTMENT_CHANGES,
    DATE,
    DOCTOR,
    DURATION,
    NEW_APPOINTMENT,
    NOTES,
    PATIENT_EMAIL,
    PATIENT_NAME,
    STATUS,
    TYPE,
    WANTED_DATE,
    WANTED_DOCTOR,
    WANTED_EMAIL,
    WANTED_STATUS,
)
from api.authentication import PRINCIPAL
from api.errors import KeyReused, NotChangeable, NotFound, RuleBroken, SlotTaken
from api.idempotency import IDEMPOTENCY_KEY, request_id
from api.kinds import CURSOR, DEFAULT_LIMIT, ID, LIMIT, person_name
from api.operations import Operation, Shape, Success
from api.order_shapes import DELETED
from api.ownership import may_see, visible_email
from api.requests import GIVEN
from api.schema import ListOf, Values
from api.versions import CHANGE_REFUSALS, IF_MATCH, etag, unless_changed, versioned
from auth.principal import Principal
from session.errors import Forbidden
from storage import errors as storage_errors
from storage.appointments import Appointments, NewAppointment
from storage.listings import all_appointments, appointments_of_day
from storage.models import Appointment, AppointmentStatus, AppointmentType, appointment_json
from storage.records import Listing
from storage.rules import APPOINTMENT_STEPS, DEFAULT_DURATION_MINUTES, FURTHEST_DAYS, is_over, is_too_far
from storage.slots import MAX_DURATION_MINUTES, SLOT_MINUTES, is_on_grid


@dataclass(frozen=True, slots=True)
class Clinic:
    """What the operations on appointments work on."""

    appointments: Appointments
    now: Callable[[], datetime]
    """The time now, with a zone."""


CLINIC: Final = web.AppKey("clinic", Clinic)
_OWN_CHANGES: Final = frozenset({DATE.name, NOTES.name, STATUS.name})
"""What who is no operator can change."""


async def list_appointments(request: web.Request) -> web.Response:
    """Tell all appointments that the principal may see, or those of a day."""
    appointments, query = request.app[CLINIC].appointments, request[GIVEN].query
    email = visible_email(request[PRINCIPAL], query.get(WANTED_EMAIL))
    found: Listing[Appointment] = Listing((), None) if email == "" else await _page(appointments, query, email)
    message = f"Retrieved {len(found.records)} appointments successfully"
    return answer([appointment_json(one) for one in found.records], message, cursor=found.cursor)


async def get_appointment(request: web.Request) -> web.Response:
    """Tell one appointment."""
    one = await _find(request)
    return versioned(request, one.updated_at, lambda: appointment_json(one), f"Retrieved appointment {one.id} successfully")


async def create_appointment(request: web.Request) -> web.Response:
    """Make an appointment unless the doctor is busy."""
    clinic, body = request.app[CLINIC], request[GIVEN].body
    if not may_see(request[PRINCIPAL], body[PATIENT_EMAIL]):
        raise Forbidden("Appointments can be made for your own e-mail address only.")
    new = NewAppointment(
        patient_name=person_name(body[PATIENT_NAME]),
        patient_email=body[PATIENT_EMAIL].lower(),
        doctor_name=person_name(body[DOCTOR]),
        starts_at=body[DATE],
        duration_minutes=body.get(DURATION) or DEFAULT_DURATION_MINUTES,
        type=body.get(TYPE) or AppointmentType.CONSULTATION,
        notes=body.get(NOTES) or "",
    )
    mark = request_id(request)
    made = await clinic.appointments.outcome(mark)
    if made is None:
        _check_time(new.starts_at, new.duration_minutes, clinic.now())
        made = await _or_taken(clinic.appointments.create(new, mark))
    if not await _is_what_was_wanted(clinic.appointments, made, new):
        raise KeyReused
    headers = {"ETag": etag(made.updated_at), "Location": f"{request.path}/{made.id}"}
    return answer(appointment_json(made), f"Created appointment {made.id} successfully", status=201, headers=headers)


async def change_appointment(request: web.Request) -> web.Response:
    """Change an appointment, if it is as the client knows it and the doctor is free."""
    clinic, body = request.app[CLINIC], request[GIVEN].body

    async def change(before: Appointment) -> Appointment | None:
        return await _or_taken(clinic.appointments.change(_changed(before, body, request[PRINCIPAL], clinic.now()), before))

    after = await unless_changed(request, _find, change)
    return answer(appointment_json(after), f"Updated appointment {after.id} successfully", headers={"ETag": etag(after.updated_at)})


async def delete_appointment(request: web.Request) -> web.Response:
    """Remove an appointment and free its time, if it is as the client knows it."""
    await unless_changed(request, _find_to_remove, request.app[CLINIC].appointments.remove)
    appointment_id = request[GIVEN].path[ID]
    return answer({"id": appointment_id}, f"Deleted appointment {appointment_id} successfully")


async def _page(appointments: Appointments, query: Values, email: str | None) -> Listing[Appointment]:
    limit, cursor = query.get(LIMIT) or DEFAULT_LIMIT, query.get(CURSOR)
    day, doctor, status = query.get(WANTED_DATE), query.get(WANTED_DOCTOR), query.get(WANTED_STATUS)
    if doctor is not None:
        doctor = await appointments.known_doctor(doctor) or doctor
    if email is not None:
        found = await appointments.of_patient(email, limit=limit, cursor=cursor)
    elif day is not None:
        found = await appointments_of_day(appointments, day, doctor_name=doctor, limit=limit, cursor=cursor)
    elif doctor is not None:
        found = await appointments.of_doctor(doctor, limit=limit, cursor=cursor)
    elif status is not None:
        found = await appointments.with_status(status, limit=limit, cursor=cursor)
    else:
        found = await all_appointments(appointments, limit=limit, cursor=cursor)
    kept = (one for one in found.records if _is_wanted(appointments, one, day, doctor, status))
    return Listing(tuple(kept), found.cursor)


def _is_wanted(
    appointments: Appointments, one: Appointment, day: date | None, doctor: str | None, status: AppointmentStatus | None
) -> bool:
    is_that_day = day is None or one.starts_at.astimezone(appointments.zone).date() == day
    return is_that_day and doctor in (None, one.doctor_name) and status in (None, one.status)


async def _find(request: web.Request) -> Appointment:
    number = request[GIVEN].path[ID]
    one = await request.app[CLINIC].appointments.get(number)
    if one is None or not may_see(request[PRINCIPAL], one.patient_email):
        raise NotFound(f"There is no appointment {number}.")
    return one


async def _find_to_remove(request: web.Request) -> Appointment:
    appointment = await _find(request)
    if not request[PRINCIPAL].is_operator:
        raise Forbidden("An appointment can be cancelled; only an operator can remove it.")
    return appointment


def _changed(before: Appointment, body: Values, principal: Principal, now: datetime) -> Appointment:
    status = body.get(STATUS) or before.status
    is_own_way = body.names <= _OWN_CHANGES and (STATUS not in body or status is AppointmentStatus.CANCELLED)
    if not principal.is_operator and not is_own_way:
        raise Forbidden("You may move and cancel your appointment and change its notes; everything else is an operator's to change.")
    if not APPOINTMENT_STEPS[before.status]:
        raise NotChangeable(f"The appointment is {before.status.value} and cannot be changed any more.")
    if status is not before.status and status not in APPOINTMENT_STEPS[before.status]:
        raise NotChangeable(f"An appointment that is {before.status.value} cannot become {status.value}.")
    after = replace(before, status=status)
    if PATIENT_NAME in body:
        after = replace(after, patient_name=person_name(body[PATIENT_NAME]))
    if PATIENT_EMAIL in body:
        after = replace(after, patient_email=body[PATIENT_EMAIL].lower())
    if DOCTOR in body:
        after = replace(after, doctor_name=person_name(body[DOCTOR]))
    if TYPE in body:
        after = replace(after, type=body[TYPE])
    if NOTES in body:
        after = replace(after, notes=body[NOTES])
    after = replace(after, starts_at=body.get(DATE) or before.starts_at, duration_minutes=body.get(DURATION) or before.duration_minutes)
    if body.names & {DOCTOR.name, DATE.name, DURATION.name}:
        _check_time(after.starts_at, after.duration_minutes, now)
    return after


def _check_time(starts_at: datetime, minutes: int, now: datetime) -> None:
    if not is_on_grid(starts_at, minutes):
        raise RuleBroken(
            f"Appointments begin at multiples of {SLOT_MINUTES} minutes and take {SLOT_MINUTES} to {MAX_DURATION_MINUTES} in such steps."
        )
    if is_over(starts_at, now):
        raise RuleBroken("That time is over.")
    if is_too_far(starts_at, now):
        raise RuleBroken(f"That is more than {FURTHEST_DAYS} days ahead.")


async def _or_taken[T](writing: Coroutine[None, None, T]) -> T:
    try:
        return await writing
    except storage_errors.SlotTaken as error:
        raise SlotTaken from error


async def _is_what_was_wanted(appointments: Appointments, made: Appointment, new: NewAppointment) -> bool:
    doctor = await appointments.known_doctor(new.doctor_name)
    found = NewAppointment(
        made.patient_name, made.patient_email, made.doctor_name, made.starts_at, made.duration_minutes, made.type, made.notes
    )
    return found == replace(new, doctor_name=doctor or new.doctor_name)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/appointments",
        handler=list_appointments,
        summary="All appointments that you may see, or those of a day, a doctor or a patient",
        query=(WANTED_DATE, WANTED_DOCTOR, WANTED_EMAIL, WANTED_STATUS, LIMIT, CURSOR),
        success=Success(description="A page of appointments", data=ListOf(APPOINTMENT), shape=Shape.PAGE),
    ),
    Operation(
        method="POST",
        path="/appointments",
        handler=create_appointment,
        summary="Make an appointment",
        headers=(IDEMPOTENCY_KEY,),
        body=NEW_APPOINTMENT,
        success=Success(status=201, description="The appointment", data=APPOINTMENT, is_versioned=True),
        refusals={
            409: "The doctor has another appointment at that time",
            422: "The time is over, too far ahead or between the slots, or the Idempotency-Key belongs to another appointment",
        },
    ),
    Operation(
        method="GET",
        path="/appointments/{id}",
        handler=get_appointment,
        summary="One appointment",
        parts=(ID,),
        success=Success(description="The appointment", data=APPOINTMENT, is_versioned=True),
        refusals={404: "There is no such appointment that you may see"},
    ),
    Operation(
        method="PATCH",
        path="/appointments/{id}",
        handler=change_appointment,
        summary="Change an appointment; who is no operator can move and cancel it and change its notes",
        parts=(ID,),
        headers=(IF_MATCH,),
        body=APPOINTMENT_CHANGES,
        success=Success(description="The appointment as it is now", data=APPOINTMENT, is_versioned=True),
        refusals=CHANGE_REFUSALS,
    ),
    Operation(
        method="DELETE",
        path="/appointments/{id}",
        handler=delete_appointment,
        summary="Remove an appointment and free its time; operators alone can",
        parts=(ID,),
        headers=(IF_MATCH,),
        success=Success(description="The appointment is gone", data=DELETED),
        refusals=CHANGE_REFUSALS,
    ),
)

"""The tools on appointments: agendarTurno, cancelarTurno, modificarTurno, consultarTurno."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from storage.appointments import Appointments, NewAppointment
from storage.errors import SlotTaken
from storage.models import OPEN_APPOINTMENTS, Appointment, AppointmentStatus, AppointmentType, Json
from storage.rules import DEFAULT_DURATION_MINUTES, is_over, is_too_far
from storage.slots import MAX_DURATION_MINUTES, SLOT_MINUTES, is_on_grid
from tools.dates import parse_when
from tools.errors import InvalidArguments, ToolError
from tools.identity import Email, Identity, PersonName, RecordId
from tools.registry import Answer, ToolCall, tool
from tools.schema import Param

_APPOINTMENT_ID = Param("Appointment number, as digits", aliases=("id", "turnoId", "citaId", "appointmentNumber"))
_PATIENT = Param("Full name of the patient", aliases=("name", "nombre", "paciente", "customerName"))
_WHEN = "local date and time as YYYY-MM-DDTHH:MM, without zone. If today's date is not known, the user's words: 'mañana a las 10'"


@dataclass(frozen=True, slots=True)
class Calendar:
    """The clinic's time."""

    zone: ZoneInfo
    clock: Callable[[], datetime]
    """The time now, with a zone."""

    def parse(self, day: str | None, hour: str | None, keep: datetime | None = None) -> datetime:
        """Return the instant that is meant, in UTC.

        Raises:
            ToolError: not understood, over, or too far ahead.
        """
        now = self.clock()
        instant = parse_when(day, hour, now=now, zone=self.zone, keep=keep)
        if is_over(instant, now):
            raise ToolError("date_in_past", "That time is over. Ask the user for a day and time to come.")
        if is_too_far(instant, now):
            raise ToolError("date_too_far", "That is more than a year ahead. Ask the user for the day again.")
        return instant


@tool("agendarTurno", "Make a medical appointment (turno, cita). Ask for what is missing; do not make up names or addresses.")
async def make_appointment(
    call: ToolCall,
    appointments: Appointments,
    calendar: Calendar,
    *,
    patient_name: Annotated[PersonName, _PATIENT],
    patient_email: Annotated[Email, Param("E-mail address of the patient", aliases=("email", "correo", "mail"))],
    doctor_name: Annotated[PersonName, Param("Doctor, with title: Dr. Rodríguez", aliases=("doctor", "medico"))],
    date: Annotated[str, Param(f"Day and time: {_WHEN}", aliases=("fecha", "dateTime", "appointmentDate"))],
    time: Annotated[str | None, Param("Time of day as HH:MM, if date has none", aliases=("hora", "hour"))] = None,
    duration: Annotated[int | None, Param("Minutes, 30 if nothing is said", aliases=("duracion", "minutes"))] = None,
    type: Annotated[AppointmentType | None, Param("Kind of appointment, consultation if nothing is said", aliases=("tipo",))] = None,  # noqa: A002 - the name on the wire
) -> Answer:
    """Make an appointment unless the doctor is busy."""
    if (done := await appointments.outcome(call.request_id)) is not None:
        return _answer(done, calendar, f"Appointment {done.id} is made.")
    starts_at = calendar.parse(date, time)
    minutes = duration or DEFAULT_DURATION_MINUTES
    _check_grid(starts_at, minutes)
    wanted = NewAppointment(patient_name, patient_email, doctor_name, starts_at, minutes, type or AppointmentType.CONSULTATION)
    try:
        appointment = await appointments.create(wanted, call.request_id)
    except SlotTaken as error:
        raise _taken() from error
    return _answer(appointment, calendar, f"Appointment {appointment.id} is made.")


@tool("cancelarTurno", "Cancel a medical appointment (turno, cita). The patient has to be verified by name.")
async def cancel_appointment(
    call: ToolCall,
    appointments: Appointments,
    identity: Identity,
    calendar: Calendar,
    *,
    appointment_id: Annotated[RecordId, _APPOINTMENT_ID],
    patient_name: Annotated[PersonName, _PATIENT],
) -> Answer:
    """Cancel the appointment of a verified patient."""
    if (done := await appointments.outcome(call.request_id)) is not None:
        return _answer(done, calendar, f"Appointment {done.id} is cancelled.")
    appointment = await identity.appointment(call, appointments, appointment_id, patient_name)
    cancelled = await appointments.cancel(appointment_id, call.request_id)
    if cancelled is None:
        raise _closed(await appointments.get(appointment_id) or appointment)
    return _answer(cancelled, calendar, f"Appointment {cancelled.id} is cancelled.")


@tool("modificarTurno", "Move a medical appointment (turno, cita) to another day or time. The patient has to be verified by name.")
async def move_appointment(
    call: ToolCall,
    appointments: Appointments,
    identity: Identity,
    calendar: Calendar,
    *,
    appointment_id: Annotated[RecordId, _APPOINTMENT_ID],
    patient_name: Annotated[PersonName, _PATIENT],
    new_date: Annotated[str | None, Param(f"New day, or day and time: {_WHEN}", aliases=("date", "fecha", "nuevaFecha"))] = None,
    new_time: Annotated[str | None, Param("New time of day as HH:MM, if newDate has none", aliases=("time", "hora", "nuevaHora"))] = None,
) -> Answer:
    """Move the appointment of a verified patient; what is not said, day or time, stays as it is."""
    if (done := await appointments.outcome(call.request_id)) is not None:
        return _answer(done, calendar, f"Appointment {done.id} is moved.")
    if new_date is None and new_time is None:
        raise InvalidArguments("Ask the user for the new day and time.", "missing_arguments")
    appointment = await identity.appointment(call, appointments, appointment_id, patient_name)
    if appointment.status not in OPEN_APPOINTMENTS:
        raise _closed(appointment)
    starts_at = calendar.parse(new_date, new_time, keep=appointment.starts_at)
    _check_grid(starts_at, appointment.duration_minutes)
    try:
        moved = await appointments.move(appointment_id, starts_at, call.request_id)
    except SlotTaken as error:
        raise _taken() from error
    if moved is None:
        raise _closed(await appointments.get(appointment_id) or appointment)
    return _answer(moved, calendar, f"Appointment {moved.id} is moved.")


@tool("consultarTurno", "Look up a medical appointment (turno, cita): day, time, state, doctor. The patient has to be verified by name.")
async def look_up_appointment(
    call: ToolCall,
    appointments: Appointments,
    identity: Identity,
    calendar: Calendar,
    *,
    appointment_id: Annotated[RecordId, _APPOINTMENT_ID],
    patient_name: Annotated[PersonName, _PATIENT],
) -> Answer:
    """Return the appointment of a verified patient."""
    appointment = await identity.appointment(call, appointments, appointment_id, patient_name)
    return _answer(appointment, calendar, f"Appointment {appointment.id} is {appointment.status.value}.")


def _answer(appointment: Appointment, calendar: Calendar, message: str) -> Answer:
    local = appointment.starts_at.astimezone(calendar.zone)
    told: dict[str, Json] = {
        "id": appointment.id,
        "patientName": appointment.patient_name,
        "doctorName": appointment.doctor_name,
        "date": local.isoformat(timespec="seconds"),
        "time": f"{local:%H:%M}",
        "type": appointment.type.value,
        "status": appointment.status.value,
        "duration": appointment.duration_minutes,
    }
    return {"appointment": told, "message": message}


def _check_grid(starts_at: datetime, minutes: int) -> None:
    if not is_on_grid(starts_at, minutes):
        raise InvalidArguments(
            f"Appointments begin at multiples of {SLOT_MINUTES} minutes and take {SLOT_MINUTES} to {MAX_DURATION_MINUTES}, "
            "in the same steps. Ask the user for another time or duration.",
            "invalid_time",
        )


def _taken() -> ToolError:
    return ToolError("slot_taken", "The doctor has another appointment at that time. Ask the user for another time.")


def _closed(appointment: Appointment) -> ToolError:
    if appointment.status is AppointmentStatus.CANCELLED:
        return ToolError("already_cancelled", f"Appointment {appointment.id} was cancelled before. Tell the user that it is cancelled.")
    return ToolError(
        "not_changeable", f"Appointment {appointment.id} is {appointment.status.value}. Tell the user that it cannot be changed."
    )

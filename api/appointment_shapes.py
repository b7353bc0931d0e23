"""What appointments look like in requests and answers."""

from dataclasses import replace
from typing import Final

from api.kinds import EMAIL, NAME
from api.schema import Choice, Day, Instant, Member, Record, Text, Told, Whole
from storage.models import AppointmentStatus, AppointmentType
from storage.rules import DEFAULT_DURATION_MINUTES
from storage.slots import MAX_DURATION_MINUTES, SLOT_MINUTES

MAX_NOTES: Final = 500

PATIENT_NAME = Member("patientName", NAME, "Full name of the patient.", is_required=True)
PATIENT_EMAIL = Member("patientEmail", EMAIL, "E-mail address of the patient, kept in small letters.", is_required=True)
DOCTOR = Member("doctorName", NAME, "Doctor, with title: Dr. Rodríguez.", is_required=True)
DATE = Member("date", Instant(), f"When it begins, at a multiple of {SLOT_MINUTES} minutes, not more than a year ahead.", is_required=True)
DURATION = Member(
    "duration", Whole(SLOT_MINUTES, MAX_DURATION_MINUTES, SLOT_MINUTES), f"Minutes; {DEFAULT_DURATION_MINUTES} where nothing is said."
)
TYPE = Member("type", Choice(AppointmentType), "What it is for; consultation where nothing is said.")
NOTES = Member("notes", Text(MAX_NOTES, shortest=0), "Notes.")
STATUS = Member("status", Choice(AppointmentStatus), "How it stands: scheduled, confirmed, completed, or cancelled.")
NEW_APPOINTMENT = Record("NewAppointment", (PATIENT_NAME, PATIENT_EMAIL, DOCTOR, DATE, DURATION, TYPE, NOTES))
APPOINTMENT_CHANGES = Record(
    "AppointmentChanges",
    (*(replace(one, is_required=False) for one in (PATIENT_NAME, PATIENT_EMAIL, DOCTOR, DATE)), DURATION, TYPE, NOTES, STATUS),
    least=1,
)

WANTED_DATE = Member("date", Day(), "Appointments of this day in the clinic's time zone alone.")
WANTED_DOCTOR = Member("doctorName", NAME, "Appointments of this doctor alone; needs date.")
WANTED_EMAIL = Member("patientEmail", EMAIL, "Appointments of this patient alone.")
WANTED_STATUS = Member("status", Choice(AppointmentStatus), "Appointments with this status alone.")

_WORD = Told({"type": "string"})
APPOINTMENT: Final = Record(
    "Appointment",
    (
        Member("id", _WORD, "Number of the appointment.", is_required=True),
        Member("patientName", _WORD, "Full name of the patient.", is_required=True),
        Member("patientEmail", _WORD, "E-mail address of the patient.", is_required=True),
        Member("doctorName", _WORD, "Doctor.", is_required=True),
        Member("date", Told({"type": "string", "format": "date-time"}), "When it begins, in UTC.", is_required=True),
        Member("duration", Told({"type": "integer"}), "Minutes.", is_required=True),
        replace(TYPE, is_required=True),
        Member("notes", _WORD, "Notes.", is_required=True),
        replace(STATUS, is_required=True),
    ),
)

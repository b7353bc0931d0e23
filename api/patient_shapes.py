"""What patients of the companion look like in requests and answers, with what belongs to them."""

from dataclasses import replace
from typing import Final

from api.kinds import NAME, RECORD_ID
from api.schema import Choice, Instant, ListOf, Member, Nullable, Record, Text, Told
from storage.patient_models import DayPart

MAX_USERS: Final = 50
_WORD = Told({"type": "string"})
_WHEN = Told({"type": "string", "format": "date-time"})
_WHEN_OR_NOT = Told({"type": ["string", "null"], "format": "date-time"})
_UPDATED = Member("updatedAt", _WHEN, "When it was changed last; the ETag is made of it.", is_required=True)
_NUMBER = Member("id", _WORD, "Unique among those of this patient.", is_required=True)
_ABOUT = Text(300, shortest=0, example="She visits every Sunday.")

PATIENT_ID: Final = Member("id", Text(64, pattern="^[A-Za-z0-9_-]+$", example="pt-001"), "Of the patient.", is_required=True)
PART_ID: Final = Member("partId", RECORD_ID, "Unique among those of this patient.", is_required=True)

PATIENT_NAME: Final = Member("name", NAME, "How the patient is called.", is_required=True)
PATIENT_ABOUT: Final = Member("about", Text(1_000, shortest=0), "Who the patient is, in words for the companion.")
TIME_ZONE: Final = Member(
    "timeZone",
    Text(64, pattern="^[A-Za-z0-9_+/-]+$", example="Europe/Madrid"),
    "IANA name of the zone in which the patient lives; UTC without it.",
)
USER_IDS: Final = Member("userIds", ListOf(Text(256), MAX_USERS), "Who may talk as this patient, beside operators: subjects of tokens.")
_PATIENT_MEMBERS = (PATIENT_NAME, PATIENT_ABOUT, TIME_ZONE, USER_IDS)
NEW_PATIENT: Final = Record("NewPatient", (PATIENT_ID, *_PATIENT_MEMBERS))
PATIENT_CHANGES: Final = Record("PatientChanges", (replace(PATIENT_NAME, is_required=False), *_PATIENT_MEMBERS[1:]), least=1)
PATIENT: Final = Record(
    "Patient",
    (
        Member("id", _WORD, "What initSession names.", is_required=True),
        Member("name", _WORD, "How the patient is called.", is_required=True),
        Member("about", _WORD, "Who the patient is.", is_required=True),
        Member("timeZone", _WORD, "Where the patient lives.", is_required=True),
        Member("userIds", ListOf(_WORD), "Who may talk as this patient, beside operators.", is_required=True),
        Member("createdAt", _WHEN, "When it was written first.", is_required=True),
        _UPDATED,
    ),
)

RELATIVE_NAME: Final = Member("name", NAME, "How this person is called.", is_required=True)
RELATION: Final = Member("relation", Text(60, example="daughter"), "What this person is to the patient.", is_required=True)
RELATIVE_ABOUT: Final = Member("about", _ABOUT, "In words for the companion.")
NEW_RELATIVE: Final = Record("NewRelative", (RELATIVE_NAME, RELATION, RELATIVE_ABOUT))
RELATIVE_CHANGES: Final = Record(
    "RelativeChanges", (replace(RELATIVE_NAME, is_required=False), replace(RELATION, is_required=False), RELATIVE_ABOUT), least=1
)
RELATIVE: Final = Record(
    "Relative",
    (
        _NUMBER,
        Member("name", _WORD, "How this person is called.", is_required=True),
        Member("relation", _WORD, "What this person is to the patient.", is_required=True),
        Member("about", _WORD, "In words for the companion.", is_required=True),
        _UPDATED,
    ),
)

DAY_PART: Final = Member("part", Choice(DayPart), "Part of the day.", is_required=True)
AT: Final = Member(
    "at",
    Nullable(Text(5, shortest=5, pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", example="08:00")),
    "Time of day where the patient lives; null for none.",
)
WHAT: Final = Member("what", Text(200, example="breakfast"), "What is to be done, in a few words.", is_required=True)
NEW_STEP: Final = Record("NewRoutineStep", (DAY_PART, WHAT, AT))
STEP_CHANGES: Final = Record("RoutineStepChanges", (replace(DAY_PART, is_required=False), replace(WHAT, is_required=False), AT), least=1)
STEP: Final = Record(
    "RoutineStep",
    (
        _NUMBER,
        DAY_PART,
        Member("at", _WORD, "Time of day, HH:MM; empty for none.", is_required=True),
        Member("what", _WORD, "What is to be done.", is_required=True),
        _UPDATED,
    ),
)

DUE_AT: Final = Member("dueAt", Instant(), "When it is to be done.", is_required=True)
DONE_AT: Final = Member("doneAt", Nullable(Instant()), "When it was done; null makes it open again.")
NEW_REMINDER: Final = Record("NewReminder", (WHAT, DUE_AT))
REMINDER_CHANGES: Final = Record(
    "ReminderChanges", (replace(WHAT, is_required=False), replace(DUE_AT, is_required=False), DONE_AT), least=1
)
REMINDER: Final = Record(
    "Reminder",
    (
        _NUMBER,
        Member("what", _WORD, "What is to be done.", is_required=True),
        Member("dueAt", _WHEN, "When it is to be done.", is_required=True),
        Member("doneAt", _WHEN_OR_NOT, "When it was done; null while it is open.", is_required=True),
        _UPDATED,
    ),
)

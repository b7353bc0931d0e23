"""Patients of the companion as the program knows them, and what is written down of each."""

from dataclasses import dataclass
from datetime import datetime, time
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from storage.models import Json, format_instant


class DayPart(StrEnum):
    """A part of a day."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"
    NIGHT = "night"


DAY_PART_BEGINS = ((time(5), DayPart.MORNING), (time(12), DayPart.AFTERNOON), (time(17), DayPart.EVENING), (time(22), DayPart.NIGHT))
"""The hour at which each part begins; the night lasts until the morning."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Somebody whom the companion talks to."""

    id: str
    """Letters, digits, hyphens and underscores, 64 at most."""
    name: str
    created_at: datetime
    updated_at: datetime
    about: str = ""
    """In words, for the companion: "He is 78 years old and lives at home."."""
    time_zone: str = "UTC"
    """IANA name of the zone in which the patient lives."""
    user_ids: tuple[str, ...] = ()
    """Who may talk as this patient, beside operators: subjects of tokens."""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which the patient lives."""
        return ZoneInfo(self.time_zone)


class PatientPart(Protocol):
    """What belongs to one patient."""

    @property
    def patient_id(self) -> str:
        """Whose it is."""

    @property
    def id(self) -> str:
        """Unique among those of its kind that this patient has."""

    @property
    def updated_at(self) -> datetime:
        """When it was changed last."""


@dataclass(frozen=True, slots=True)
class Relative:
    """Somebody whom a patient knows."""

    patient_id: str
    id: str
    name: str
    relation: str
    """What this person is to the patient: "daughter"."""
    updated_at: datetime
    about: str = ""
    """In words, for the companion: "She visits every Sunday."."""


@dataclass(frozen=True, slots=True)
class RoutineStep:
    """Something that a patient does every day."""

    patient_id: str
    id: str
    part: DayPart
    what: str
    """In words: "breakfast, and the blue tablet with it"."""
    updated_at: datetime
    at: str = ""
    """Time of day in the patient's zone, HH:MM; empty when it has none."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """Something that a patient wants to be reminded of."""

    patient_id: str
    id: str
    what: str
    due_at: datetime
    updated_at: datetime
    done_at: datetime | None = None


def day_part_at(local: time) -> DayPart:
    """Return the part of the day that a time of day lies in."""
    begun = [part for begins, part in DAY_PART_BEGINS if begins <= local]
    return begun[-1] if begun else DayPart.NIGHT


def patient_json(patient: Patient) -> dict[str, Json]:
    """Return what an operator sees of a patient."""
    return {
        "id": patient.id,
        "name": patient.name,
        "about": patient.about,
        "timeZone": patient.time_zone,
        "userIds": list(patient.user_ids),
        "createdAt": format_instant(patient.created_at),
        "updatedAt": format_instant(patient.updated_at),
    }


def relative_json(relative: Relative) -> dict[str, Json]:
    """Return what an operator sees of a relative."""
    return {
        "id": relative.id,
        "name": relative.name,
        "relation": relative.relation,
        "about": relative.about,
        "updatedAt": format_instant(relative.updated_at),
    }


def step_json(step: RoutineStep) -> dict[str, Json]:
    """Return what an operator sees of a step of the routine."""
    return {"id": step.id, "part": step.part.value, "at": step.at, "what": step.what, "updatedAt": format_instant(step.updated_at)}


def reminder_json(reminder: Reminder) -> dict[str, Json]:
    """Return what an operator sees of a reminder."""
    return {
        "id": reminder.id,
        "what": reminder.what,
        "dueAt": format_instant(reminder.due_at),
        "doneAt": format_instant(reminder.done_at) if reminder.done_at else None,
        "updatedAt": format_instant(reminder.updated_at),
    }

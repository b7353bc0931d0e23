"""What is known of a patient, in words for the model: before a conversation, and as results of the companion's tools."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from storage.patient_models import DayPart, Patient, Relative, Reminder, RoutineStep

SECTION_BYTES: Final = 4_000
"""How much a prompt is told of each kind, as every turn pays for it: thirty relatives or sixty steps. The tools know the rest."""


@dataclass(frozen=True, slots=True)
class Known:
    """What could be read of a patient before a conversation."""

    patient: Patient
    relatives: Sequence[Relative] | None = None
    """None where it could not be read in time."""
    steps: Sequence[RoutineStep] | None = None
    """In the order of the day."""
    reminders: Sequence[Reminder] | None = None
    """Those that are not done, in order."""


def describe(known: Known, now: datetime) -> str:
    """Return what the companion is told of a patient before it talks.

    Args:
        known: what could be read.
        now: with a zone.
    """
    name, local = known.patient.name, now.astimezone(known.patient.zone)
    paragraphs = [
        " ".join(part for part in (f"The person that you talk to is {name}.", known.patient.about) if part),
        f"When this conversation begins it is {_day(local)}, {local:%H:%M}, where {name} lives.",
    ]
    if known.relatives:
        paragraphs.append(_section(f"Whom {name} knows:", [relative_words(one) for one in known.relatives]))
    if known.steps:
        paragraphs.append(_section(f"The day of {name}:", [_part(one.part) + step_words(one) for one in known.steps]))
    if known.reminders:
        told = [reminder_words(one, known.patient, now) for one in known.reminders]
        paragraphs.append(_section(f"What {name} wants to be reminded of:", told))
    if None in (known.relatives, known.steps, known.reminders):
        paragraphs.append("Some of what is written down could not be read just now: look it up with the tools when you are asked.")
    return "\n\n".join(paragraphs)


def relative_words(relative: Relative) -> str:
    """Return who somebody is: "Sarah, daughter. She visits every Sunday."."""
    head = ", ".join(part for part in (relative.name, relative.relation) if part)
    return " ".join(part for part in (f"{head}.", relative.about) if part)


def step_words(step: RoutineStep) -> str:
    """Return a step of the routine: "08:00 breakfast"."""
    return " ".join(part for part in (step.at, step.what) if part)


def reminder_words(reminder: Reminder, patient: Patient, now: datetime) -> str:
    """Return a reminder with when it is due: "call Sarah, tomorrow at 17:00"."""
    return f"{reminder.what}, {when_words(reminder.due_at, patient, now)}"


def when_words(instant: datetime, patient: Patient, now: datetime) -> str:
    """Return when something is, where the patient lives: "today at 17:00"."""
    local, today = instant.astimezone(patient.zone), now.astimezone(patient.zone).date()
    near = {today: "today", today + timedelta(days=1): "tomorrow", today - timedelta(days=1): "yesterday"}
    return f"{near.get(local.date()) or f'on {_day(local)}'} at {local:%H:%M}"


def _section(head: str, notes: Sequence[str]) -> str:
    """Return a list under its head, cut where it gets too long."""
    lines, size = [head], 0
    for note in notes:
        size += len(note.encode())
        if size > SECTION_BYTES:
            lines.append("- and more, which the tools know")
            break
        lines.append(f"- {note}")
    return "\n".join(lines)


def _day(local: datetime) -> str:
    return f"{local:%A}, {local.day} {local:%B %Y}"


def _part(part: DayPart) -> str:
    return "At night: " if part is DayPart.NIGHT else f"In the {part.value}: "

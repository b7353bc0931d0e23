"""The tools of the companion: whom the patient knows, what is to be done now, reminders, and sending for help.

None of them takes whose records are meant: that is the session's patient, whatever the model says.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Annotated, Final

from publishing.events import Severity
from storage.errors import StorageUnavailable
from storage.models import Json, format_instant
from storage.names import fold
from storage.patient_models import DayPart, Patient, Relative, Reminder, day_part_at
from storage.patient_parts import part_id
from storage.patients import PatientBook
from storage.rules import is_over, is_too_far
from tools.companion import Companion
from tools.dates import parse_when
from tools.errors import InvalidArguments, ToolError
from tools.patient_words import relative_words, reminder_words, step_words, when_words
from tools.registry import Answer, ToolCall, tool
from tools.schema import Param, Parse

MAX_WHAT: Final = 200
"""Characters of a reminder, and of what people are told who are sent for."""
MAX_OPEN_REMINDERS: Final = 50
"""Of one patient: what a conversation adds is bounded."""
TOLD_AT_ONCE: Final = 10
_LIKENESS: Final = 0.75
"""How alike two names have to be for one to be heard as the other: "Sara" and "Sarah" are 0.89, "Maria" and "Mark" 0.67."""
_DONE_LATELY: Final = timedelta(days=1)
_TRIES: Final = 5
_UNSAID: Final = frozenset("my mi the el la a an who is quien es".split())  # noqa: SIM905 - words read best as a line
_NOW, _WHOLE_DAY = "now", "day"
_PART_WORDS: Final = {
    DayPart.MORNING.value: {"morning", "manana", "breakfast", "desayuno"},
    DayPart.AFTERNOON.value: {"afternoon", "noon", "midday", "lunch", "tarde", "mediodia", "almuerzo", "siesta"},
    DayPart.EVENING.value: {"evening", "tonight", "dinner", "supper", "cena", "noche"},
    DayPart.NIGHT.value: {"night", "bed", "bedtime", "madrugada"},
    _WHOLE_DAY: {"day", "today", "all", "everything", "dia", "hoy", "todo"},
}


class Urgency(StrEnum):
    """How soon somebody is needed."""

    NOW = "now"
    SOON = "soon"


def parse_part(text: str) -> str:
    """Return the part of the day that is meant: "this morning" is "morning"; "day" is all of it, and what names no part is "now"."""
    words = set(fold(text).split())
    return next((part for part, names in _PART_WORDS.items() if words & names), _NOW)


def parse_what(text: str) -> str:
    """Return a note without surplus spaces."""
    text = " ".join(text.split())
    if not fold(text) or len(text) > MAX_WHAT:
        raise InvalidArguments(f"The note has to be a text of 1 to {MAX_WHAT} characters. Say it shorter.", "invalid_text")
    return text


PartOfDay = Annotated[str, Parse(parse_part)]
What = Annotated[str, Parse(parse_what)]


@tool("whoIs", "Look up who somebody is to the person you talk to: a relative or friend, by name or by what they are to them (daughter).")
async def who_is(
    call: ToolCall,
    companion: Companion,
    *,
    name: Annotated[str, Param("Name, or what the person is: Sarah, daughter", aliases=("person", "relative", "relation", "nombre"))],
) -> Answer:
    """Tell who somebody is."""
    book, patient = await companion.patient(call)
    found, is_certain = find_relatives(await book.relatives.of_patient(patient.id), name)
    if not found:
        raise ToolError("relative_unknown", f"Nobody of that name is written down for {patient.name}. Say so kindly; do not guess.")
    told: list[Json] = [{"name": one.name, "relation": one.relation, "about": one.about} for one in found]
    words = " ".join(relative_words(one) for one in found)
    return {
        "relative": told[0],
        "relatives": told,
        "isCertain": is_certain,
        "message": words if is_certain else f"Perhaps this is meant: {words}",
    }


@tool("getRoutine", "Look up what the person you talk to does now, in a part of the day, or all day.")
async def get_routine(
    call: ToolCall,
    companion: Companion,
    *,
    part: Annotated[
        PartOfDay | None, Param("now, morning, afternoon, evening, night or day; now if nothing is said", aliases=("when", "partOfDay"))
    ] = None,
) -> Answer:
    """Tell what is in the routine."""
    book, patient = await companion.patient(call)
    local = companion.clock().astimezone(patient.zone)
    wanted = None if part == _WHOLE_DAY else day_part_at(local.time()) if part in (None, _NOW) else DayPart(part)
    steps = await book.day(patient.id, wanted)
    listed: list[Json] = [{"part": one.part.value, "at": one.at, "what": one.what} for one in steps[: 2 * TOLD_AT_ONCE]]
    name = wanted.value if wanted else _WHOLE_DAY
    words = "; ".join(step_words(one) for one in steps[: 2 * TOLD_AT_ONCE]) or "nothing is written down"
    return {"part": name, "now": f"{local:%H:%M}", "steps": listed, "summary": words, "message": f"In the {name}: {words}."}


@tool("listReminders", "Look up what the person you talk to wants to be reminded of: what is due, and what comes next.")
async def list_reminders(call: ToolCall, companion: Companion) -> Answer:
    """Tell the open reminders."""
    book, patient = await companion.patient(call)
    now = companion.clock()
    reminders = (await book.reminders.due(patient.id))[:TOLD_AT_ONCE]
    listed: list[Json] = [_reminder_json(one, patient, now) for one in reminders]
    words = "; ".join(reminder_words(one, patient, now) for one in reminders) or "nothing"
    return {"reminders": listed, "due": sum(one.due_at <= now for one in reminders), "message": f"To be reminded of: {words}."}


@tool("addReminder", "Write down something that the person you talk to wants to be reminded of. Ask for the time if none was said.")
async def add_reminder(
    call: ToolCall,
    companion: Companion,
    *,
    what: Annotated[What, Param("What to be reminded of, in a few words", aliases=("text", "reminder", "que"))],
    date: Annotated[str | None, Param("Day as YYYY-MM-DD, or the person's words: tomorrow", aliases=("day", "fecha", "dateTime"))] = None,
    time: Annotated[str | None, Param("Time of day as HH:MM", aliases=("hour", "hora", "at"))] = None,
) -> Answer:
    """Write a reminder down, once."""
    book, patient = await companion.patient(call)
    now = companion.clock()
    own_id = part_id(call.request_id)
    reminder = await book.reminders.get(patient.id, own_id)
    if reminder is None:
        due_at = _due(date, time, patient, now)
        if len(await book.reminders.due(patient.id)) >= MAX_OPEN_REMINDERS:
            raise ToolError("too_many_reminders", "There are too many reminders already. Say so, and offer to mark some as done.")
        reminder = await book.add_part(book.reminders, Reminder(patient.id, own_id, what, due_at, book.now()))
    if reminder is None:
        raise ToolError("no_patient", "The records of this person are not kept any more. Say that you cannot write it down.")
    return {"reminder": _reminder_json(reminder, patient, now), "message": f"It is written down: {reminder_words(reminder, patient, now)}."}


@tool("completeReminder", "Mark a reminder of the person you talk to as done.")
async def complete_reminder(
    call: ToolCall,
    companion: Companion,
    *,
    reminder: Annotated[str, Param("What the reminder says, a part of it, or its id", aliases=("what", "text", "recordatorio", "id"))],
) -> Answer:
    """Mark a reminder as done."""
    book, patient = await companion.patient(call)
    for _ in range(_TRIES):
        found = await _the_reminder(book, patient, reminder, companion.clock())
        if found.done_at is None:
            now = book.now()
            done = replace(found, done_at=now, updated_at=book.next_instant(found.updated_at))
            if not await book.reminders.change(done, found):
                continue
        return {"reminder": {"what": found.what}, "message": f"It is marked as done: {found.what}."}
    raise StorageUnavailable("other writers were faster each time")


@tool(
    "alertCaregivers",
    "Send for the people who look after the person you talk to: when something is wrong, or when the person asks for them.",
)
async def alert_caregivers(
    call: ToolCall,
    companion: Companion,
    *,
    reason: Annotated[What, Param("What is wrong, in a sentence", aliases=("message", "what", "motivo"))],
    urgency: Annotated[Urgency | None, Param("now if somebody has to come at once, else soon", aliases=("severity", "priority"))] = None,
) -> Answer:
    """Send for help; to whom it goes is not the model's choice."""
    severity = Severity.WARNING if urgency is Urgency.SOON else Severity.CRITICAL
    await companion.send_for_help(call, reason, severity)
    return {"sent": True, "message": "The people who look after them have been told. Say so calmly; say no time at which they will come."}


def find_relatives(relatives: Sequence[Relative], said: str) -> tuple[tuple[Relative, ...], bool]:
    """Return who is meant, and whether that is certain: a whole name, a first name or a relation is; a name that only sounds alike is not.

    Accents, case and hyphens do not count.
    """
    wanted = _words(said)
    if not wanted:
        return (), False
    exact = tuple(one for one in relatives if _words(one.name) == wanted)
    partly = tuple(one for one in relatives if wanted <= _words(one.name) | _words(one.relation))
    if exact or partly:
        return (exact or partly)[:TOLD_AT_ONCE], True
    alike = tuple(one for one in relatives if _are_alike(wanted, _words(one.name)))
    return alike[:TOLD_AT_ONCE], False


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", fold(text))) - _UNSAID


def _are_alike(some: frozenset[str], others: frozenset[str]) -> bool:
    return any(SequenceMatcher(None, one, other).ratio() >= _LIKENESS for one in some for other in others)


def _due(day: str | None, hour: str | None, patient: Patient, now: datetime) -> datetime:
    """Return when a reminder is due; a time without a day is the next one."""
    zone = patient.zone
    today = now.astimezone(zone).date()
    due_at = parse_when(day or today.isoformat(), hour, now=now, zone=zone)
    if is_over(due_at, now) and not day:
        due_at = parse_when((today + timedelta(days=1)).isoformat(), hour, now=now, zone=zone)
    if is_over(due_at, now):
        raise ToolError("date_in_past", "That time is over. Ask for a day and time to come.")
    if is_too_far(due_at, now):
        raise ToolError("date_too_far", "That is more than a year ahead. Ask for the day again.")
    return due_at


async def _the_reminder(book: PatientBook, patient: Patient, said: str, now: datetime) -> Reminder:
    """Return the reminder that is meant: an open one, or else one that was done not long ago, so that saying it twice does no harm."""
    wanted = _words(said)
    open_ones = await book.reminders.due(patient.id)
    matching = [one for one in open_ones if one.id == said or _words(one.what) == wanted]
    matching = matching or [one for one in open_ones if wanted and wanted <= _words(one.what)]
    if len(matching) > 1:
        choices = "; ".join(f"{reminder_words(one, patient, now)} (id {one.id})" for one in matching[:TOLD_AT_ONCE])
        raise ToolError("several_reminders", f"Several are meant: {choices}. Ask which one, and send its id.")
    if not matching:
        everything = await book.reminders.of_patient(patient.id)
        matching = [one for one in everything if one.done_at and now - one.done_at < _DONE_LATELY and wanted and wanted <= _words(one.what)]
    if not matching:
        raise ToolError("reminder_unknown", "There is no such reminder. Say which ones there are, and ask which is meant.")
    return matching[0]


def _reminder_json(reminder: Reminder, patient: Patient, now: datetime) -> dict[str, Json]:
    return {
        "id": reminder.id,
        "what": reminder.what,
        "dueAt": format_instant(reminder.due_at),
        "when": when_words(reminder.due_at, patient, now),
        "isDue": reminder.due_at <= now,
    }

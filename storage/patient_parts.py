"""What belongs to one patient: each kind in a table of its own, in the partition of its patient; nothing is found without naming whose."""

import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from storage import records
from storage.conditions import Absent, Condition, Equals
from storage.errors import ConditionFailed
from storage.models import format_instant, parse_instant
from storage.patient_models import DayPart, PatientPart, Relative, Reminder, RoutineStep
from storage.records import Reader
from storage.table import Key, Query, Table
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item

MOST_PARTS: Final = 100
"""Relatives, steps or open reminders of one patient that are ever read: nobody can be told more."""
DONE_REMINDER_LIFE: Final = timedelta(days=30)
"""How long a reminder is kept that is done."""
_EARLIEST: Final = "0001"
"""Sorts before every instant; a key attribute may not be empty."""
_LATEST: Final = "~"
"""Sorts after every instant."""


@dataclass(frozen=True, slots=True)
class PartKind[T: PatientPart]:
    """How a kind of part is stored."""

    name: str
    """First part of the sort key, in capitals."""
    to_item: Callable[[T], Item]
    """Without keys and the attributes that all parts have."""
    from_item: Callable[[str, str, Reader], T]
    """Of the patient's id, the part's own, and what was stored."""
    optional: tuple[str, ...] = ()
    """Attributes that may be absent."""


class PatientParts[T: PatientPart]:
    """Repository of one kind of what belongs to patients.

    Args:
        table: of this kind alone.
        kind: how it is stored.
    """

    def __init__(self, table: Table, kind: PartKind[T]) -> None:
        self.table = table
        self._kind = kind

    async def get(self, patient_id: str, part_id: str) -> T | None:
        """Return one of a patient's parts, or None."""
        item = await self.table.get(self._key(patient_id, part_id))
        return self._read(item) if item is not None else None

    async def of_patient(self, patient_id: str) -> tuple[T, ...]:
        """Return what there is of a patient, MOST_PARTS at most."""
        return await self._collect(Query(_partition(patient_id), limit=MOST_PARTS))

    async def due(self, patient_id: str, until: datetime | None = None) -> tuple[T, ...]:
        """Return the open reminders of a patient in order, those that are due until then or all; MOST_PARTS at most."""
        between = (_EARLIEST, format_instant(until) if until is not None else _LATEST)
        return await self._collect(Query(patient_id, "DueIndex", between, limit=MOST_PARTS))

    async def add(self, part: T) -> T:
        """Write a part under its own id; one that is there stays as it is, and is what comes back."""
        item = self._item(part)
        try:
            await self.table.put(item, Absent(PARTITION))
        except ConditionFailed:
            return await self.get(part.patient_id, part.id) or part
        return self._read(item)

    async def change(self, part: T, expected: T) -> bool:
        """Write a changed part if nobody has changed it since `expected` was read; False if somebody has."""
        update = records.whole_update(self._item(part), (*self._kind.optional, TTL_ATTRIBUTE))
        try:
            await self.table.update(self._key(part.patient_id, part.id), update, _is_still(expected))
        except ConditionFailed:
            return False
        return True

    async def remove(self, expected: T) -> bool:
        """Remove a part if nobody has changed it since `expected` was read; False if somebody has."""
        try:
            await self.table.delete(self._key(expected.patient_id, expected.id), _is_still(expected))
        except ConditionFailed:
            return False
        return True

    async def clear(self, patient_id: str) -> None:
        """Remove all that a patient has of this kind."""
        keys = [Key(_partition(patient_id), sort) async for sort in self._sort_keys(patient_id)]
        for key in keys:
            await self.table.delete(key)

    async def _sort_keys(self, patient_id: str) -> AsyncIterator[str]:
        async for item in records.pages(self.table, Query(_partition(patient_id))):
            yield Reader(item).text(SORT)

    async def _collect(self, query: Query) -> tuple[T, ...]:
        found: list[T] = []
        async for item in records.pages(self.table, query):
            found.append(self._read(item))
            if len(found) == MOST_PARTS:
                break
        return tuple(found)

    def _key(self, patient_id: str, part_id: str) -> Key:
        return Key(_partition(patient_id), f"{self._kind.name}#{part_id}")

    def _item(self, part: T) -> Item:
        key = self._key(part.patient_id, part.id)
        common = {
            PARTITION: key.partition,
            SORT: key.sort,
            "patientId": part.patient_id,
            "id": part.id,
            "updatedAt": format_instant(part.updated_at),
        }
        return records.without_nulls({**common, **self._kind.to_item(part)})

    def _read(self, item: Item) -> T:
        read = Reader(item)
        return self._kind.from_item(read.text("patientId"), read.text("id"), read)


def part_id(request_id: str) -> str:
    """Return the id of what a request adds: the same request again finds it there, and adds nothing."""
    return hashlib.sha256(request_id.encode(errors="surrogatepass")).hexdigest()[:16]


def _partition(patient_id: str) -> str:
    return f"PATIENT#{patient_id}"


def _is_still(part: PatientPart) -> Condition:
    return Equals("updatedAt", format_instant(part.updated_at))


def _relative_item(relative: Relative) -> Item:
    return {"name": relative.name, "relation": relative.relation, "about": relative.about}


def _relative(patient_id: str, own_id: str, read: Reader) -> Relative:
    return Relative(
        patient_id,
        own_id,
        name=read.text("name"),
        relation=read.text("relation", ""),
        about=read.text("about", ""),
        updated_at=parse_instant(read.text("updatedAt")),
    )


def _step_item(step: RoutineStep) -> Item:
    return {"part": step.part.value, "at": step.at, "what": step.what}


def _step(patient_id: str, own_id: str, read: Reader) -> RoutineStep:
    return RoutineStep(
        patient_id,
        own_id,
        part=DayPart(read.text("part")),
        what=read.text("what"),
        at=read.text("at", ""),
        updated_at=parse_instant(read.text("updatedAt")),
    )


def _reminder_item(reminder: Reminder) -> Item:
    done = reminder.done_at
    return {
        "what": reminder.what,
        "dueAt": format_instant(reminder.due_at),
        "doneAt": format_instant(done) if done else None,
        "openOf": None if done else reminder.patient_id,  # the key of DueIndex: what is done is not in it
        TTL_ATTRIBUTE: int((done + DONE_REMINDER_LIFE).timestamp()) if done else None,
    }


def _reminder(patient_id: str, own_id: str, read: Reader) -> Reminder:
    done = read.maybe_text("doneAt")
    return Reminder(
        patient_id,
        own_id,
        what=read.text("what"),
        due_at=parse_instant(read.text("dueAt")),
        done_at=parse_instant(done) if done else None,
        updated_at=parse_instant(read.text("updatedAt")),
    )


RELATIVES: Final = PartKind("RELATIVE", _relative_item, _relative)
ROUTINE: Final = PartKind("ROUTINE", _step_item, _step)
REMINDERS: Final = PartKind("REMINDER", _reminder_item, _reminder, ("doneAt", "openOf"))

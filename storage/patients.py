"""The patients of the companion, with what is written down of each."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from storage import records
from storage.conditions import Absent, AllOf, Condition, Equals, Update
from storage.errors import ConditionFailed
from storage.models import format_instant, parse_instant
from storage.patient_models import DayPart, Patient, PatientPart, Relative, Reminder, RoutineStep
from storage.patient_parts import RELATIVES, REMINDERS, ROUTINE, PatientParts
from storage.records import Listing, Reader
from storage.table import Database, Key, Query
from storage.tables import PARTITION, SORT, TableDefinition, patients_table, relatives_table, reminders_table, routine_table
from storage.values import Item, Value

_KIND: Final = "patient"
"""Partition of PatientIndex: there are as many patients as a household or a home has."""
_REMOVING: Final = "removing"
"""Attribute of a patient that is about to go."""


@dataclass(frozen=True, slots=True)
class PatientTables:
    """The tables of patients, under the names that this installation gives them."""

    patients: TableDefinition = field(default_factory=patients_table)
    relatives: TableDefinition = field(default_factory=relatives_table)
    routine: TableDefinition = field(default_factory=routine_table)
    reminders: TableDefinition = field(default_factory=reminders_table)

    def all(self) -> tuple[TableDefinition, ...]:
        """Return all of them, that of the patients first."""
        return self.patients, self.relatives, self.routine, self.reminders


class PatientBook:
    """Repository of patients and of what belongs to them.

    Args:
        database: has the tables.
        tables: which ones.
        clock: the time now, with a zone.
    """

    def __init__(self, database: Database, tables: PatientTables, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.table = database.table(tables.patients)
        self.relatives: PatientParts[Relative] = PatientParts(database.table(tables.relatives), RELATIVES)
        self.routine: PatientParts[RoutineStep] = PatientParts(database.table(tables.routine), ROUTINE)
        self.reminders: PatientParts[Reminder] = PatientParts(database.table(tables.reminders), REMINDERS)
        self._clock = clock

    async def get(self, patient_id: str) -> Patient | None:
        """Return a patient, or None."""
        item = await self.table.get(_key(patient_id))
        return from_item(item) if item is not None else None

    async def add(self, patient: Patient) -> bool:
        """Write a patient under its own id; False if that id is taken."""
        try:
            await self.table.put(_to_item(patient), Absent(PARTITION))
        except ConditionFailed:
            return False
        return True

    async def change(self, patient: Patient, expected: Patient) -> Patient | None:
        """Write a changed patient if nobody has changed it since `expected` was read.

        Returns:
            The patient as it was written; None if somebody has changed it.
        """
        changed = replace(patient, updated_at=self.next_instant(expected.updated_at))
        try:
            await self.table.update(
                _key(patient.id), records.whole_update(_to_item(changed), ()), AllOf((_is_still(expected), Absent(_REMOVING)))
            )
        except ConditionFailed:
            return None
        return changed

    async def remove(self, patient_id: str, expected: Patient | None = None) -> bool:
        """Remove a patient with all that belongs to it; what is not there any more is no reason to stop.

        The patient goes last, so that an attempt that fails can be made again; a part that was written meanwhile goes after it.

        Args:
            patient_id: names the patient.
            expected: as it was read; nobody changes it from now on. None removes it as it is.

        Returns:
            False if somebody has changed it since: nothing is removed then.
        """
        if expected is not None:
            try:
                await self.table.update(_key(patient_id), Update({_REMOVING: True}), _is_still(expected))
            except ConditionFailed:
                return False
        await self._clear(patient_id)
        await self.table.delete(_key(patient_id))
        await self._clear(patient_id)
        return True

    async def add_part[T: PatientPart](self, parts: PatientParts[T], part: T) -> T | None:
        """Write what belongs to a patient, under its own id; one that is there stays as it is, and is what comes back.

        Args:
            parts: the repository of its kind.
            part: names its patient.

        Returns:
            What is written now; None if there is no such patient, not even at the end: a later patient of the same id must not get it.
        """
        if await self.get(part.patient_id) is None:
            return None
        written = await parts.add(part)
        if await self.get(part.patient_id) is None:
            await parts.remove(written)
            return None
        return written

    async def all(self, *, limit: int = 100, cursor: str | None = None) -> Listing[Patient]:
        """Return a page of all patients, in the order of their ids."""
        page = await self.table.query(Query(_KIND, "PatientIndex", limit=limit, cursor=cursor))
        return Listing(tuple(from_item(item) for item in page.items), page.cursor)

    async def day(self, patient_id: str, part: DayPart | None = None) -> tuple[RoutineStep, ...]:
        """Return the routine of a part of a patient's day, or of all of it, in the order of the day."""
        steps = await self.routine.of_patient(patient_id)
        order = list(DayPart)
        wanted = [step for step in steps if part in (None, step.part)]
        return tuple(sorted(wanted, key=lambda step: (order.index(step.part), _time_order(step), step.id)))

    def now(self) -> datetime:
        """Return the time now as precisely as it is stored."""
        return records.to_milliseconds(self._clock())

    def next_instant(self, before: datetime) -> datetime:
        """Return when something is changed: later than when it was changed before."""
        return records.next_instant(before, self._clock())

    async def _clear(self, patient_id: str) -> None:
        await self.relatives.clear(patient_id)
        await self.routine.clear(patient_id)
        await self.reminders.clear(patient_id)


def _time_order(step: RoutineStep) -> str:
    """Return what sorts the steps of one part: the small hours belong to the end of the night, and a step without a time comes last."""
    if not step.at:
        return "99"
    return f"{int(step.at[:2]) + 24}{step.at[2:]}" if step.part is DayPart.NIGHT and step.at < "12" else step.at


def _is_still(expected: Patient) -> Condition:
    return Equals("updatedAt", format_instant(expected.updated_at))


def _key(patient_id: str) -> Key:
    return Key.twice(f"PATIENT#{patient_id}")


def _to_item(patient: Patient) -> Item:
    key = _key(patient.id)
    return {
        PARTITION: key.partition,
        SORT: key.sort,
        "kind": _KIND,
        "id": patient.id,
        "name": patient.name,
        "about": patient.about,
        "timeZone": patient.time_zone,
        "userIds": list(patient.user_ids),
        "createdAt": format_instant(patient.created_at),
        "updatedAt": format_instant(patient.updated_at),
    }


def from_item(item: Item) -> Patient:
    """Return a patient as it is stored.

    Raises:
        InvalidRequest: an attribute is missing, or of another type.
        ValueError: one has a value that is none of its kind.
    """
    read = Reader(item)
    return Patient(
        id=read.text("id"),
        name=read.text("name"),
        about=read.text("about", ""),
        time_zone=read.text("timeZone", "UTC"),
        user_ids=_texts(item.get("userIds")),
        created_at=parse_instant(read.text("createdAt")),
        updated_at=parse_instant(read.text("updatedAt")),
    )


def _texts(value: Value) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()

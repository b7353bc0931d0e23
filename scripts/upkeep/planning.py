"""What has to become of each record, with the records beside it that the server needs: a doctor's spelling, slots of time, the numbering.

A plan is made of the record as it is now, and changes nothing; `scripts/upkeep/migration.py` carries it out.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from scripts.upkeep.changes import RecordChange, changed
from scripts.upkeep.mending import Mended, instant_of, mend_appointment, mend_order
from storage.appointments import from_item
from storage.models import OPEN_APPOINTMENTS, Appointment
from storage.names import doctor_keys
from storage.readers import kind_of, unreadable
from storage.records import Reader, pages
from storage.slots import is_on_grid, slots_of, take
from storage.table import Key, Query, Table
from storage.tables import PARTITION, SORT
from storage.values import Item

_LONGEST_NUMBER: Final = 9
"""Digits: what is longer is no number that was given out one after another, a date for instance."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of one record: all of it, or nothing."""

    changes: tuple[RecordChange, ...] = ()
    problem: str = ""
    """Why the record stays unreadable, or what a person should look at; no contents."""
    is_readable: bool = True


class Planner(Protocol):
    """Plans for the records of one table."""

    async def prepare(self) -> None:
        """Read what is needed for all of them."""

    async def plan(self, item: Item) -> Plan:
        """Return what has to become of a record."""

    async def finish(self, highest: int) -> Plan:
        """Return what has to be done once all records are; the highest is the largest number that one of them has."""


def number_of(key: Key) -> int:
    """Return the number that a record has for an id, 0 for another kind of id."""
    text = key.partition.partition("#")[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER else 0


class OrdersPlanner:
    """Plans for orders.

    Args:
        table: of orders.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    async def prepare(self) -> None:
        """Need nothing."""

    async def plan(self, item: Item) -> Plan:
        """Return what has to become of an order."""
        return _plan_of("orders_table", item, mend_order(item))

    async def finish(self, highest: int) -> Plan:
        """Let the numbering go on behind the orders that others wrote."""
        return await _numbering(self._table, "ORDER", highest)


class AppointmentsPlanner:
    """Plans for appointments.

    Args:
        table: of appointments.
        zone: the clinic's.
        now: with a zone; slots that are over are not taken any more.
    """

    def __init__(self, table: Table, zone: ZoneInfo, now: datetime) -> None:
        self._table = table
        self._zone = zone
        self._now = now
        self._doctors: dict[str, str] = {}
        self._claimed: dict[str, str] = {}
        """Slots that were planned for, with their appointments: a plan that is not carried out sees its own overlaps too."""

    async def prepare(self) -> None:
        """Read how the doctors are spelt."""
        self._doctors = {}
        async for item in pages(self._table, Query("DOCTORS")):
            read = Reader(item)
            self._doctors[read.text(SORT)] = read.text("name")

    async def plan(self, item: Item) -> Plan:
        """Return what has to become of an appointment, with its doctor and its slots."""
        mended = mend_appointment(item, self._zone, self._zone.key)
        name = mended.item.get("doctorName")
        doctor: tuple[RecordChange, ...] = ()
        if isinstance(name, str) and name.strip() and not mended.problem:
            spelling, doctor = self._spelling(name)
            mended = replace(mended, item={**mended.item, "doctorName": spelling})
        plan = _plan_of("appointments_table", item, mended)
        if not plan.is_readable or str(item.get(PARTITION)) != f"APPOINTMENT#{mended.item.get('id')}":
            return plan
        slots, problem = await self._slots(item, from_item(mended.item))
        for change in doctor:
            self._doctors[change.key.sort] = str(mended.item["doctorName"])
        return Plan((*plan.changes, *doctor, *slots), problem)

    async def finish(self, highest: int) -> Plan:
        """Let the numbering go on behind the appointments that others wrote."""
        return await _numbering(self._table, "APPOINTMENT", highest)

    def _spelling(self, name: str) -> tuple[str, tuple[RecordChange, ...]]:
        """Return how a doctor is spelt, with the record that says so if there is none."""
        keys = doctor_keys(name)
        known = next((self._doctors[key] for key in keys if key in self._doctors), None)
        if known is not None:
            return known, ()
        key = Key("DOCTORS", keys[0])
        return name.strip(), (RecordChange(key, None, {PARTITION: key.partition, SORT: key.sort, "name": name.strip()}),)

    async def _slots(self, item: Item, appointment: Appointment) -> tuple[list[RecordChange], str]:
        """Return the slots that an appointment has to take, or to give back because others moved it; nothing where others hold them."""
        is_wanted = appointment.status in OPEN_APPOINTMENTS and appointment.ends_at > self._now
        if is_wanted and not is_on_grid(appointment.starts_at, appointment.duration_minutes):
            return [], f"appointment {appointment.id} does not lie on slots of five minutes: it keeps no one from booking its time"
        wanted = slots_of(appointment) if is_wanted else {}
        changes: list[RecordChange] = []
        records = await asyncio.gather(*(self._table.get(Key.twice(key)) for key in wanted))
        for (key, time), held in zip(wanted.items(), records, strict=True):
            holder = held.get("holder") if held is not None else self._claimed.get(key, appointment.id)
            if holder != appointment.id:
                return [], f"appointment {appointment.id} overlaps appointment {holder}: move one of them"
            if held is None:
                changes.append(RecordChange(Key.twice(key), None, take(key, time, appointment.id).item))
        self._claimed.update(dict.fromkeys(wanted, appointment.id))
        return [*changes, *await self._left(item, appointment, wanted)], ""

    async def _left(self, item: Item, appointment: Appointment, wanted: Mapping[str, datetime]) -> list[RecordChange]:
        """Return the slots that an appointment still holds at the time that it had before another program moved it."""
        before = instant_of(item.get("appointmentDate"), UTC)
        if before is None or before == appointment.starts_at or not is_on_grid(before, appointment.duration_minutes):
            return []
        keys = [Key.twice(key) for key in slots_of(replace(appointment, starts_at=before)) if key not in wanted]
        records = await asyncio.gather(*(self._table.get(key) for key in keys))
        pairs = zip(keys, records, strict=True)
        return [RecordChange(key, held, None) for key, held in pairs if held is not None and held.get("holder") == appointment.id]


PLANNERS: Final[Mapping[str, Callable[[Table, ZoneInfo, datetime], Planner]]] = {
    "orders_table": lambda table, _zone, _now: OrdersPlanner(table),
    "appointments_table": AppointmentsPlanner,
}
"""By the name of the table's definition. The records of the other tables are the server's own, or expire by themselves."""


def _plan_of(table: str, item: Item, mended: Mended) -> Plan:
    kind = kind_of(table, item)
    why = mended.problem or (unreadable(kind, mended.item) if kind is not None else None)
    if why:
        return Plan((), why, is_readable=False)
    change = changed(Key(str(item[PARTITION]), str(item[SORT])), item, mended.item)
    return Plan((change,) if change is not None else ())


async def _numbering(table: Table, kind: str, highest: int) -> Plan:
    key = Key.twice(f"COUNTER#{kind}")
    item = await table.get(key)
    last = int(Reader(item).number("last")) if item is not None else 0
    if highest <= last:
        return Plan()
    if item is None:
        return Plan((RecordChange(key, None, {PARTITION: key.partition, SORT: key.sort, "last": highest}),))
    return Plan((RecordChange(key, {"last": last}, {"last": highest}),))

"""The appointments of the clinic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from storage import records
from storage.conditions import Absent, AllOf, AnyOf, Condition, Equals, Update
from storage.errors import ConditionFailed, SlotTaken, StorageUnavailable
from storage.models import (
    OPEN_APPOINTMENTS,
    Appointment,
    AppointmentStatus,
    AppointmentType,
    format_instant,
    parse_instant,
)
from storage.names import doctor_keys
from storage.records import Listing, Reader
from storage.slots import give_back, is_on_grid, slots_of, take
from storage.table import Change, Delete, Key, Put, Query, Table, Write
from storage.tables import PARTITION, SORT
from storage.values import Item, Value

_TRIES = 20
"""How often to read again after somebody else was faster."""


@dataclass(frozen=True, slots=True)
class NewAppointment:
    """An appointment that somebody wants."""

    patient_name: str
    patient_email: str
    doctor_name: str
    starts_at: datetime
    """With a zone; kept as UTC."""
    duration_minutes: int
    type: AppointmentType = AppointmentType.CONSULTATION
    notes: str = ""


class Appointments:
    """Repository of appointments on one table.

    Args:
        table: the appointments table.
        zone: the clinic's time zone.
        clock: the time now, with a zone.
    """

    def __init__(self, table: Table, zone: ZoneInfo, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.table = table
        self.zone = zone
        self._clock = clock

    async def get(self, appointment_id: str) -> Appointment | None:
        """Return an appointment, or None."""
        item = await self.table.get(_key(appointment_id))
        return from_item(item) if item is not None else None

    async def add(self, appointment: Appointment) -> bool:
        """Write an appointment under its own id, with its slots if it is open; False if that id is taken.

        Raises:
            SlotTaken: the doctor has another appointment at that time.
        """
        appointment = replace(appointment, doctor_name=await self.doctor(appointment.doctor_name))
        slots = slots_of(appointment) if appointment.status in OPEN_APPOINTMENTS else {}
        writes: list[Write] = [Put(_to_item(appointment), Absent(PARTITION))]
        writes += [take(key, time, appointment.id) for key, time in slots.items()]
        try:
            await self.table.transact(writes)
        except ConditionFailed as error:
            if 0 in error.failed:
                return False
            raise SlotTaken(error.failed) from error
        return True

    async def outcome(self, request_id: str) -> Appointment | None:
        """Return the appointment as this request left it, whatever has become of it since; None when the request has changed nothing."""
        item = await records.request_outcome(self.table, request_id)
        return from_item(item) if item is not None else None

    async def create(self, new: NewAppointment, request_id: str) -> Appointment:
        """Make an appointment under a new number; the same request again changes nothing and returns what the first one did.

        Args:
            new: what is wanted.
            request_id: unique for what may happen once.

        Raises:
            SlotTaken: the doctor has another appointment at that time.
        """
        doctor = await self.doctor(new.doctor_name)
        for _ in range(_TRIES):
            appointment = await self._numbered(new, doctor)
            item = _to_item(appointment)
            writes: list[Write] = [records.request_record(request_id, item, appointment.created_at), Put(item, Absent(PARTITION))]
            writes += [take(key, time, appointment.id) for key, time in slots_of(appointment).items()]
            try:
                await self.table.transact(writes)
            except ConditionFailed as error:
                if (done := await self.outcome(request_id)) is not None:
                    return done
                if min(error.failed) > 1:
                    raise SlotTaken(error.failed) from error
                continue  # the number was taken past the counter
            return appointment
        raise StorageUnavailable("other writers were faster each time")

    async def cancel(self, appointment_id: str, request_id: str) -> Appointment | None:
        """Cancel an open appointment and free its time; the same request again changes nothing and returns what the first one did.

        Returns:
            The cancelled appointment; None if there is none, or it is over.
        """
        return await self._change(appointment_id, request_id, _cancelled)

    async def move(self, appointment_id: str, starts_at: datetime, request_id: str) -> Appointment | None:
        """Move an open appointment to another time; the same request again changes nothing and returns what the first one did.

        Returns:
            The moved appointment; None if there is none, or it is over.

        Raises:
            SlotTaken: the doctor has another appointment at that time; the appointment stays where it was.
        """
        return await self._change(appointment_id, request_id, lambda appointment: replace(appointment, starts_at=starts_at.astimezone(UTC)))

    async def change(self, appointment: Appointment, expected: Appointment) -> Appointment | None:
        """Write a changed appointment, with the time that it needs, if nobody has changed it since `expected` was read.

        Returns:
            The appointment as it was written; None if somebody has changed it.

        Raises:
            SlotTaken: the doctor has another appointment at that time; nothing was changed.
            InvalidRequest: it does not begin and end at borders of slots.
        """
        doctor = expected.doctor_name if appointment.doctor_name == expected.doctor_name else await self.doctor(appointment.doctor_name)
        changed = replace(appointment, doctor_name=doctor, updated_at=records.next_instant(expected.updated_at, self._clock()))
        writing = Change(_key(changed.id), records.whole_update(_to_item(changed), ()), _is_still(expected))
        try:
            await self.table.transact((writing, *_slot_writes(expected, changed)))
        except ConditionFailed as error:
            if 0 in error.failed:
                return None
            raise SlotTaken(error.failed) from error
        return changed

    async def remove(self, expected: Appointment) -> bool:
        """Remove an appointment and free its time if nobody has changed it since `expected` was read; False if somebody has."""
        gone = replace(expected, status=AppointmentStatus.CANCELLED)
        try:
            await self.table.transact((Delete(_key(expected.id), _is_still(expected)), *_slot_writes(expected, gone)))
        except ConditionFailed as error:
            if 0 in error.failed:
                return False
            raise
        return True

    async def doctor(self, name: str) -> str:
        """Return how this doctor's name is spelt, taking it as spelt here when it is new.

        "doctor Rodriguez" finds "Dr. Rodríguez", so that the index by doctor holds one spelling.
        """
        if (known := await self.known_doctor(name)) is not None:
            return known
        entry = {PARTITION: "DOCTORS", SORT: doctor_keys(name)[0], "name": name.strip()}
        try:
            await self.table.put(entry, Absent(PARTITION))
        except ConditionFailed:
            return await self.doctor(name)
        return name.strip()

    async def known_doctor(self, name: str) -> str | None:
        """Return how this doctor's name is spelt, or None for a doctor who never had an appointment."""
        for key in doctor_keys(name):
            if (item := await self.table.get(Key("DOCTORS", key))) is not None:
                return Reader(item).text("name")
        return None

    async def doctors(self, most: int = 1_000) -> list[str]:
        """Return the names of the doctors, as they are spelt."""
        names: list[str] = []
        async for item in records.pages(self.table, Query("DOCTORS")):
            names.append(Reader(item).text("name"))
            if len(names) == most:
                break
        return names

    async def with_status(self, status: AppointmentStatus, *, limit: int = 100, cursor: str | None = None) -> Listing[Appointment]:
        """Return a page of the appointments with a status."""
        return await self._page(Query(status.value, "StatusIndex", limit=limit, cursor=cursor))

    async def of_patient(self, patient_email: str, *, limit: int = 100, cursor: str | None = None) -> Listing[Appointment]:
        """Return a page of a patient's appointments."""
        return await self._page(Query(patient_email, "PatientEmailIndex", limit=limit, cursor=cursor))

    async def of_doctor(
        self,
        doctor_name: str,
        first: datetime | None = None,
        last: datetime | None = None,
        *,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Listing[Appointment]:
        """Return a page of a doctor's appointments in order, those that start between two times, both included, or all."""
        between = (format_instant(first), format_instant(last)) if first is not None and last is not None else None
        known = await self.known_doctor(doctor_name) or doctor_name.strip()
        return await self._page(Query(known, "DoctorDateIndex", between, limit=limit, cursor=cursor))

    async def everything(self, day: date | None = None) -> list[Appointment]:
        """Return every appointment, or those of one day in the clinic's zone, by time; by index queries instead of a scan."""
        found = [
            from_item(item) for status in AppointmentStatus async for item in records.pages(self.table, Query(status.value, "StatusIndex"))
        ]
        kept = [one for one in found if day is None or one.starts_at.astimezone(self.zone).date() == day]
        return sorted(kept, key=lambda one: (one.starts_at, one.id))

    async def raise_numbering(self, last: int) -> None:
        """Let numbering go on after `last`; for whoever writes appointments under ids of its own."""
        await records.raise_numbering(self.table, "APPOINTMENT", last)

    async def delete(self, appointment_id: str) -> None:
        """Remove an appointment and free its time; removing what is not there succeeds."""
        appointment = await self.get(appointment_id)
        if appointment is None:
            return
        if appointment.status in OPEN_APPOINTMENTS:
            await self._change(appointment_id, None, _cancelled)
        await self.table.delete(_key(appointment_id))

    async def _numbered(self, new: NewAppointment, doctor: str) -> Appointment:
        now = records.to_milliseconds(self._clock())
        return Appointment(
            id=await records.next_number(self.table, "APPOINTMENT"),
            patient_name=new.patient_name,
            patient_email=new.patient_email,
            doctor_name=doctor,
            starts_at=new.starts_at.astimezone(UTC),
            duration_minutes=new.duration_minutes,
            type=new.type,
            status=AppointmentStatus.SCHEDULED,
            time_zone=self.zone.key,
            created_at=now,
            updated_at=now,
            notes=new.notes,
        )

    async def _change(
        self, appointment_id: str, request_id: str | None, changed: Callable[[Appointment], Appointment]
    ) -> Appointment | None:
        for _ in range(_TRIES):
            before = await self.get(appointment_id)
            if before is None or before.status not in OPEN_APPOINTMENTS:
                return await self.outcome(request_id) if request_id is not None else None
            after = replace(changed(before), updated_at=records.next_instant(before.updated_at, self._clock()))
            noted = [records.request_record(request_id, _to_item(after), after.updated_at)] if request_id is not None else []
            try:
                await self.table.transact((*_change_writes(before, after), *noted))
            except ConditionFailed as error:
                if request_id is not None and (done := await self.outcome(request_id)) is not None:
                    return done
                if 0 not in error.failed:
                    raise SlotTaken(error.failed) from error
                continue  # somebody changed it since it was read
            return after
        raise StorageUnavailable("other writers were faster each time")

    async def _page(self, query: Query) -> Listing[Appointment]:
        page = await self.table.query(query)
        return Listing(tuple(from_item(item) for item in page.items), page.cursor)


def _cancelled(appointment: Appointment) -> Appointment:
    return replace(appointment, status=AppointmentStatus.CANCELLED)


def _change_writes(before: Appointment, after: Appointment) -> Sequence[Write]:
    instant = format_instant(after.starts_at)
    values: dict[str, Value] = {"status": after.status.value, "date": instant, "appointmentDate": instant}
    values["updatedAt"] = format_instant(after.updated_at)
    return [Change(_key(before.id), Update(set=values), _is_still(before)), *_slot_writes(before, after)]


def _slot_writes(before: Appointment, after: Appointment) -> list[Write]:
    """Return the writes that give back the time that is not needed any more and take what is needed now."""
    if after.status in OPEN_APPOINTMENTS and _time_of(after) == _time_of(before):
        return []
    is_holding = before.status in OPEN_APPOINTMENTS and is_on_grid(before.starts_at, before.duration_minutes)
    held = slots_of(before) if is_holding else {}  # what another program wrote may lie across slots, and then holds none
    wanted = slots_of(after) if after.status in OPEN_APPOINTMENTS else {}
    given = [give_back(key, before.id) for key in held if key not in wanted]
    return [*given, *(take(key, time, before.id) for key, time in wanted.items() if key not in held)]


def _time_of(appointment: Appointment) -> tuple[str, datetime, int]:
    return appointment.doctor_name, appointment.starts_at, appointment.duration_minutes


def _is_still(before: Appointment) -> Condition:
    """Return the condition that nobody has changed the appointment since it was read; other programs may note no time of change."""
    unchanged = AnyOf((Absent("updatedAt"), Equals("updatedAt", format_instant(before.updated_at))))
    return AllOf((Equals("status", before.status.value), Equals("appointmentDate", format_instant(before.starts_at)), unchanged))


def _key(appointment_id: str) -> Key:
    return Key.twice(f"APPOINTMENT#{appointment_id}")


def _to_item(appointment: Appointment) -> Item:
    key = _key(appointment.id)
    instant = format_instant(appointment.starts_at)
    return {
        PARTITION: key.partition,
        SORT: key.sort,
        "id": appointment.id,
        "patientName": appointment.patient_name,
        "patientEmail": appointment.patient_email,
        "doctorName": appointment.doctor_name,
        # The public attribute is `date`, the key of DoctorDateIndex `appointmentDate`: the same instant in both.
        "date": instant,
        "appointmentDate": instant,
        "timeZone": appointment.time_zone,
        "duration": appointment.duration_minutes,
        "type": appointment.type.value,
        "notes": appointment.notes,
        "status": appointment.status.value,
        "createdAt": format_instant(appointment.created_at),
        "updatedAt": format_instant(appointment.updated_at),
    }


def from_item(item: Item) -> Appointment:
    """Return an appointment as it is stored.

    Raises:
        InvalidRequest: an attribute is missing, or of another type.
        ValueError: one has a value that is none of its kind.
    """
    read = Reader(item)
    starts_at = parse_instant(read.text("date"))
    created_at = read.maybe_text("createdAt")
    updated_at = read.maybe_text("updatedAt")
    return Appointment(
        id=read.text("id"),
        patient_name=read.text("patientName"),
        patient_email=read.text("patientEmail"),
        doctor_name=read.text("doctorName"),
        starts_at=starts_at,
        duration_minutes=int(read.number("duration")),
        type=AppointmentType(read.text("type")),
        status=AppointmentStatus(read.text("status")),
        time_zone=read.text("timeZone", "UTC"),
        # Appointments written by other programs may carry neither.
        created_at=parse_instant(created_at) if created_at else starts_at,
        updated_at=parse_instant(updated_at) if updated_at else starts_at,
        notes=read.text("notes", ""),
    )

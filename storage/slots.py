"""A doctor's time in slots of five minutes: whoever holds the slots has the time.

Slots make double booking impossible without reading a calendar first: an appointment is written in one transaction with one record per
slot, each under the condition that nobody else holds it.
"""

from datetime import UTC, datetime, timedelta

from storage.conditions import Absent, AnyOf, Equals
from storage.errors import InvalidRequest
from storage.models import Appointment
from storage.names import doctor_keys
from storage.table import Delete, Key, Put
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item

SLOT_MINUTES = 5
"""Appointments start and end at multiples of this."""
MAX_DURATION_MINUTES = 240
"""48 slots: moving an appointment gives back 48 and takes 48; with the appointment and the note of the request that fits a transaction of
100 writes."""
_KEPT_AFTER = timedelta(days=1)


def is_on_grid(starts_at: datetime, duration_minutes: int) -> bool:
    """Tell whether an appointment begins and ends at borders of slots, and is not too long."""
    whole = starts_at.second == 0 and starts_at.microsecond == 0 and starts_at.minute % SLOT_MINUTES == 0
    return whole and duration_minutes % SLOT_MINUTES == 0 and 0 < duration_minutes <= MAX_DURATION_MINUTES


def slots_of(appointment: Appointment) -> dict[str, datetime]:
    """Return the keys of the slots that an appointment needs, with their beginnings.

    Raises:
        InvalidRequest: it does not begin and end at borders of slots.
    """
    starts_at = appointment.starts_at.astimezone(UTC)
    if not is_on_grid(starts_at, appointment.duration_minutes):
        raise InvalidRequest(f"an appointment takes multiples of {SLOT_MINUTES} minutes, {MAX_DURATION_MINUTES} at most")
    doctor = doctor_keys(appointment.doctor_name)[0]
    times = [starts_at + timedelta(minutes=at) for at in range(0, appointment.duration_minutes, SLOT_MINUTES)]
    return {f"SLOT#{doctor}#{time:%Y-%m-%dT%H:%M}": time for time in times}


def take(key: str, time: datetime, holder: str) -> Put:
    """Return the write that takes a slot, and fails if another appointment holds it."""
    expires = int((time + _KEPT_AFTER).timestamp())
    item: Item = {PARTITION: key, SORT: key, "holder": holder, TTL_ATTRIBUTE: expires}
    return Put(item, AnyOf((Absent(PARTITION), Equals("holder", holder))))


def give_back(key: str, holder: str) -> Delete:
    """Return the write that frees a slot; it may have expired, and never frees another appointment's."""
    return Delete(Key.twice(key), AnyOf((Absent(PARTITION), Equals("holder", holder))))

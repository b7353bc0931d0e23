"""Writes the example records, unless that would mix them with the records of real people."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from storage.appointments import Appointments
from storage.errors import InvalidRequest, TableMissing
from storage.examples import (
    Progress,
    Written,
    example_appointments,
    example_orders,
    example_patients,
    write_example_patients,
    write_examples,
)
from storage.models import AppointmentStatus, OrderStatus
from storage.orders import Orders
from storage.patients import PatientBook
from storage.records import Listing
from storage.table import Table

_LOOKED_AT = 100
"""Records of each status that are looked at: whoever has real records has them among these."""


class Strangers(Exception):
    """There are records of other people than those of the examples; the text names the tables."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where examples go."""

    orders: Orders
    appointments: Appointments
    patients: PatientBook
    now: datetime
    salt: bytes | None
    """Of the DNI hashes."""

    async def missing(self) -> list[Progress]:
        """Return the examples that are not there, or whose tables are not."""
        orders = [one.id for one in example_orders(self.now, self.salt)]
        appointments = [one.id for one in example_appointments(self.now, self.appointments.zone)]
        patients = [one.id for one in example_patients(self.now)]
        return [
            *await _missing("order", orders, self.orders.get),
            *await _missing("appointment", appointments, self.appointments.get),
            *await _missing("patient", patients, self.patients.get),
        ]

    async def write(self, *, reset: bool) -> AsyncIterator[Progress]:
        """Write the examples, yielding each as it is done.

        Args:
            reset: over those that are there.
        """
        async for done in write_examples(self.orders, self.appointments, now=self.now, salt=self.salt, reset=reset):
            yield done
        async for done in write_example_patients(self.patients, now=self.now, reset=reset):
            yield done

    async def refuse_strangers(self) -> None:
        """See that there are no records of real people.

        Raises:
            Strangers: there are, or some that cannot be read.
        """
        names = [table.definition.name for table, looks_known in self._looks() if not await looks_known()]
        if names:
            raise Strangers(f"there are records of other people in {', '.join(names)}")

    def _looks(self) -> list[tuple[Table, Callable[[], Awaitable[bool]]]]:
        return [
            (self.orders.table, self._knows_orders),
            (self.appointments.table, self._knows_appointments),
            (self.patients.table, self._knows_patients),
        ]

    async def _knows_orders(self) -> bool:
        known = {one.customer_email for one in example_orders(self.now, None)}
        found = [one for status in OrderStatus for one in await _page(partial(self.orders.with_status, status, limit=_LOOKED_AT))]
        return all(one is not None and one.customer_email in known for one in found)

    async def _knows_appointments(self) -> bool:
        known = {one.patient_email for one in example_appointments(self.now, self.appointments.zone)}
        found = [
            one for status in AppointmentStatus for one in await _page(partial(self.appointments.with_status, status, limit=_LOOKED_AT))
        ]
        return all(one is not None and one.patient_email in known for one in found)

    async def _knows_patients(self) -> bool:
        known = {one.id for one in example_patients(self.now)}
        return all(one is not None and one.id in known for one in await _page(partial(self.patients.all, limit=_LOOKED_AT)))


async def _missing(kind: str, ids: Sequence[str], get: Callable[[str], Awaitable[object]]) -> list[Progress]:
    found: list[Progress] = []
    for number, one in enumerate(ids, start=1):
        try:
            is_there = await get(one) is not None
        except TableMissing:
            is_there = False
        except (InvalidRequest, ValueError):  # somebody else's, and kept
            is_there = True
        if not is_there:
            found.append(Progress(kind, number, len(ids), Written.WRITTEN))
    return found


async def _page[T](read: Callable[[], Awaitable[Listing[T]]]) -> list[T | None]:
    """Return some records; one that is None stands for those that cannot be read, which no example is."""
    try:
        return list((await read()).records)
    except (InvalidRequest, ValueError):
        return [None]

"""Lists over several partitions of an index, in order and page by page: what a scan would give, by queries alone.

The orders of all statuses are merged by their creation, newest first; a page reads at most one page of each status beyond what it tells.
The appointments of a day are those of each doctor on that day. All appointments come status by status: their index has no other order.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from storage.appointments import Appointments
from storage.cursors import decode_position, encode_position
from storage.errors import BadCursor
from storage.models import Appointment, AppointmentStatus, Order, OrderStatus, format_instant, parse_instant
from storage.orders import Orders
from storage.records import Listing

READ_AT_ONCE: Final = 20
"""Records of one query: five answers may come at once, and each record takes the event loop 50 us (measured)."""
QUERIES_AT_ONCE: Final = 8

type Position = tuple[str, str]
"""Creation time and number of the last order that was told."""


def _rank(order: Order) -> Position:
    return format_instant(order.created_at), order.id


class _Source:
    """The orders of one status, newest first.

    Args:
        read: one page, by the cursor of the page before.
        after: where the page of the list before ended.
    """

    def __init__(self, read: Callable[[str | None], Awaitable[Listing[Order]]], after: Position | None) -> None:
        self._read = read
        self._after = after
        self._cursor: str | None = None
        self._is_read = False
        self._ready: deque[Order] = deque()

    async def head(self) -> Order | None:
        """Return the next order without taking it, None at the end."""
        while not self._is_read and not self._is_settled():
            page = await self._read(self._cursor)
            self._cursor, self._is_read = page.cursor, page.cursor is None
            found = (one for one in page.records if self._after is None or _rank(one) < self._after)
            self._ready = deque(sorted((*self._ready, *found), key=_rank, reverse=True))
        return self._ready[0] if self._ready else None

    def take(self) -> Order:
        """Take the next order."""
        return self._ready.popleft()

    def _is_settled(self) -> bool:
        """Tell whether all that was created in the same millisecond as the next order was read: the index leaves their order open."""
        return bool(self._ready) and self._ready[-1].created_at < self._ready[0].created_at


async def newest_orders(orders: Orders, *, limit: int, cursor: str | None = None) -> Listing[Order]:
    """Return a page of all orders, newest first.

    Raises:
        BadCursor: the cursor is none of this list.
    """
    after = decode_position("orders", cursor)
    until = _instant(after[0]) if after else None

    def reading(status: OrderStatus) -> Callable[[str | None], Awaitable[Listing[Order]]]:
        return lambda inner: orders.with_status(status, limit=READ_AT_ONCE, cursor=inner, until=until)

    sources = [_Source(reading(status), after) for status in OrderStatus]
    await asyncio.gather(*(source.head() for source in sources))
    found: list[Order] = []
    while True:
        heads = [(_rank(head), at) for at, source in enumerate(sources) if (head := await source.head()) is not None]
        if not heads:
            return Listing(tuple(found), None)
        if len(found) == limit:
            return Listing(tuple(found), encode_position("orders", _rank(found[-1])))
        found.append(sources[max(heads)[1]].take())


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except (ValueError, OverflowError):
        raise BadCursor("the cursor was made up") from None


async def all_appointments(appointments: Appointments, *, limit: int, cursor: str | None = None) -> Listing[Appointment]:
    """Return a page of all appointments, status by status; on a page they are in order of time.

    Raises:
        BadCursor: the cursor is none of this list.
    """
    position = decode_position("appointments", cursor) or (AppointmentStatus.SCHEDULED.value, "")
    statuses = list(AppointmentStatus)
    if position[0] not in statuses:
        raise BadCursor("the cursor was made up")
    at = statuses.index(AppointmentStatus(position[0]))
    inner: str | None = position[1] or None
    found: list[Appointment] = []
    for status in statuses[at:]:
        while True:
            if len(found) == limit:
                return Listing(_by_time(found), encode_position("appointments", (status.value, inner or "")))
            page = await appointments.with_status(status, limit=min(READ_AT_ONCE, limit - len(found)), cursor=inner)
            found += page.records
            inner = page.cursor
            if inner is None:
                break
    return Listing(_by_time(found), None)


async def appointments_of_day(
    appointments: Appointments, day: date, *, doctor_name: str | None = None, limit: int, cursor: str | None = None
) -> Listing[Appointment]:
    """Return a page of the appointments of one day in the clinic's zone, of one doctor or of all, in order of time.

    Raises:
        BadCursor: the cursor is none of this list.
    """
    after = decode_position(f"day {day}", cursor)
    doctors = [doctor_name] if doctor_name is not None else await appointments.doctors()
    turns = asyncio.Semaphore(QUERIES_AT_ONCE)

    async def of_doctor(name: str) -> list[Appointment]:
        async with turns:
            return await _whole_day(appointments, name, day)

    found = _by_time([one for each in await asyncio.gather(*(of_doctor(name) for name in doctors)) for one in each])
    left = [one for one in found if after is None or _moment(one) > after]
    told = tuple(left[:limit])
    return Listing(told, encode_position(f"day {day}", _moment(told[-1])) if len(left) > limit else None)


async def _whole_day(appointments: Appointments, doctor: str, day: date) -> list[Appointment]:
    try:
        first = datetime.combine(day, time(), appointments.zone).astimezone(UTC)
        last = datetime.combine(day + timedelta(days=1), time(), appointments.zone).astimezone(UTC) - timedelta(milliseconds=1)
    except OverflowError:  # the first and the last day of the calendar
        return []
    found: list[Appointment] = []
    cursor: str | None = None
    while True:
        page = await appointments.of_doctor(doctor, first, last, limit=READ_AT_ONCE, cursor=cursor)
        found += page.records
        cursor = page.cursor
        if cursor is None:
            return found


def _moment(appointment: Appointment) -> Position:
    return format_instant(appointment.starts_at), appointment.id


def _by_time(found: list[Appointment]) -> tuple[Appointment, ...]:
    return tuple(sorted(found, key=_moment))

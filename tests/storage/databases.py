"""Databases for tests, and a clock that stands still until it is moved."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from storage.appointments import Appointments
from storage.orders import Orders
from storage.table import Database
from storage.tables import appointments_table, orders_table

ZONE = ZoneInfo("America/Argentina/Buenos_Aires")
NOW = datetime(2030, 1, 16, 15, 0, tzinfo=UTC)
"""Wednesday noon in Buenos Aires, in the future: a real store removes what has expired by its own clock."""


class StandingClock:
    """The time, moved by hand."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        """Return seconds since 1970."""
        return self.now.timestamp()

    def advance(self, **amount: float) -> None:
        """Move on by so many seconds, minutes or hours."""
        self.now += timedelta(**amount)


async def repositories(database: Database, clock: StandingClock, prefix: str = "nova-sonic") -> tuple[Orders, Appointments]:
    """Create both tables and return their repositories."""
    orders, appointments = database.table(orders_table(f"{prefix}-orders")), database.table(appointments_table(f"{prefix}-appointments"))
    await orders.create()
    await appointments.create()
    return Orders(orders, clock), Appointments(appointments, ZONE, clock)

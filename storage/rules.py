"""What the shop and the clinic allow, whoever asks: an assistant's tool or the API."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from storage.models import AppointmentStatus, OrderStatus

MAX_ITEMS: Final = 20
MAX_QUANTITY: Final = 1000
MAX_PRICE: Final = Decimal(1_000_000)
MAX_ITEM_NAME: Final = 60
MAX_ITEM_DESCRIPTION: Final = 80
"""The bounds of an order keep what a tool tells of it below the executor's 8 KB."""
MAX_NAME: Final = 100
MAX_EMAIL: Final = 254
"""RFC 5321 4.5.3.1.3."""
CENT: Final = Decimal("0.01")
"""By how much a total that was said may differ from the sum of the items."""
DEFAULT_DURATION_MINUTES: Final = 30
FURTHEST_DAYS: Final = 366
"""A day further ahead is a slip of the tongue, of the model or of the pen."""

ORDER_STEPS: Final[Mapping[OrderStatus, frozenset[OrderStatus]]] = {
    OrderStatus.PENDING: frozenset({OrderStatus.PROCESSING, OrderStatus.CANCELLED}),
    OrderStatus.PROCESSING: frozenset({OrderStatus.SHIPPED, OrderStatus.CANCELLED}),
    OrderStatus.SHIPPED: frozenset({OrderStatus.DELIVERED}),
    OrderStatus.DELIVERED: frozenset(),
    OrderStatus.CANCELLED: frozenset(),
}
"""Which status may follow which."""
APPOINTMENT_STEPS: Final[Mapping[AppointmentStatus, frozenset[AppointmentStatus]]] = {
    AppointmentStatus.SCHEDULED: frozenset({AppointmentStatus.CONFIRMED, AppointmentStatus.COMPLETED, AppointmentStatus.CANCELLED}),
    AppointmentStatus.CONFIRMED: frozenset({AppointmentStatus.COMPLETED, AppointmentStatus.CANCELLED}),
    AppointmentStatus.COMPLETED: frozenset(),
    AppointmentStatus.CANCELLED: frozenset(),
}


def is_total_right(said: Decimal | None, computed: Decimal) -> bool:
    """Tell whether a total that was said, if any, is the sum of the items to the cent."""
    return said is None or abs(said - computed) <= CENT


def is_over(starts_at: datetime, now: datetime) -> bool:
    """Tell whether an appointment at this time would have begun."""
    return starts_at <= now


def is_too_far(starts_at: datetime, now: datetime) -> bool:
    """Tell whether nobody makes an appointment that far ahead."""
    return starts_at > now + timedelta(days=FURTHEST_DAYS)

"""Orders and appointments as the program knows them, and their public JSON."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None


class OrderStatus(StrEnum):
    """Where an order is."""

    PENDING = "pending"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class AppointmentType(StrEnum):
    """What an appointment is for."""

    CONSULTATION = "consultation"
    FOLLOW_UP = "follow-up"
    EMERGENCY = "emergency"
    ROUTINE = "routine"


class AppointmentStatus(StrEnum):
    """How an appointment stands."""

    SCHEDULED = "scheduled"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    COMPLETED = "completed"


CANCELLABLE_ORDERS = frozenset({OrderStatus.PENDING, OrderStatus.PROCESSING})
"""A shipped order is out of the shop's hands, a delivered one with the customer: neither can be cancelled, only returned."""
OPEN_APPOINTMENTS = frozenset({AppointmentStatus.SCHEDULED, AppointmentStatus.CONFIRMED})
"""The others are over: they can be neither cancelled nor moved."""


@dataclass(frozen=True, slots=True)
class OrderItem:
    """One line of an order."""

    id: str
    name: str
    quantity: int
    price: Decimal
    """For one piece, in the shop's currency, at most two decimal places."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """An order."""

    id: str
    customer_name: str
    customer_email: str
    items: tuple[OrderItem, ...]
    total: Decimal
    status: OrderStatus
    created_at: datetime
    updated_at: datetime
    estimated_delivery: datetime | None = None
    tracking_number: str | None = None
    dni_hash: str | None = field(default=None, repr=False)
    """HMAC of the customer's DNI; never leaves the program."""


@dataclass(frozen=True, slots=True)
class Appointment:
    """An appointment with a doctor."""

    id: str
    patient_name: str
    patient_email: str
    doctor_name: str
    starts_at: datetime
    """UTC."""
    duration_minutes: int
    type: AppointmentType
    status: AppointmentStatus
    time_zone: str
    """The clinic's, as an IANA name: the zone in which `starts_at` was meant."""
    created_at: datetime
    updated_at: datetime
    notes: str = ""

    @property
    def ends_at(self) -> datetime:
        """When it is over, UTC."""
        return self.starts_at + timedelta(minutes=self.duration_minutes)


def order_total(items: tuple[OrderItem, ...]) -> Decimal:
    """Return the sum of quantity times price, to the cent."""
    return sum((item.price * item.quantity for item in items), Decimal(0)).quantize(Decimal("0.01"))


def format_instant(instant: datetime) -> str:
    """Format as UTC with milliseconds, as JavaScript's toISOString does: 2024-01-15T00:00:00.000Z."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_instant(text: str) -> datetime:
    """Parse an ISO 8601 text with a zone; returns UTC.

    Raises:
        ValueError: it is not one, or names no zone.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("the time names no zone")
    return instant.astimezone(UTC)


def order_json(order: Order) -> dict[str, Json]:
    """Return what anybody who may see the order sees: the attributes of the public interface and no internal ones."""
    return {
        "id": order.id,
        "customerName": order.customer_name,
        "customerEmail": order.customer_email,
        "items": [_item_json(item) for item in order.items],
        "total": float(order.total),
        "status": order.status.value,
        "createdAt": format_instant(order.created_at),
        "updatedAt": format_instant(order.updated_at),
        "estimatedDelivery": format_instant(order.estimated_delivery) if order.estimated_delivery else None,
        "trackingNumber": order.tracking_number,
    }


def appointment_json(appointment: Appointment) -> dict[str, Json]:
    """Return what anybody who may see the appointment sees; `date` is UTC."""
    return {
        "id": appointment.id,
        "patientName": appointment.patient_name,
        "patientEmail": appointment.patient_email,
        "doctorName": appointment.doctor_name,
        "date": format_instant(appointment.starts_at),
        "duration": appointment.duration_minutes,
        "type": appointment.type.value,
        "notes": appointment.notes,
        "status": appointment.status.value,
    }


def _item_json(item: OrderItem) -> dict[str, Json]:
    return {
        "id": item.id,
        "name": item.name,
        "quantity": item.quantity,
        "price": float(item.price),
        "description": item.description,
    }

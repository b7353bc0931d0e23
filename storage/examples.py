"""Example orders, appointments and patients, for a first conversation and for tests. Writing them twice changes nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from storage.appointments import Appointments
from storage.errors import SlotTaken
from storage.models import Appointment, AppointmentStatus, AppointmentType, Order, OrderItem, OrderStatus, order_total
from storage.orders import Orders, hash_dni
from storage.patient_models import DayPart, Patient, Relative, Reminder, RoutineStep
from storage.patients import PatientBook

LOCAL_SALT = b"nova-sonic-local"
"""Salt of the DNI hashes where there is no secret to keep: the embedded database with these made-up people."""

_JUAN, _MARIA, _ANA, _LUIS = (
    ("Juan Pérez", "juan.perez@email.com", "12345678"),
    ("María García", "maria.garcia@email.com", "23456789"),
    ("Ana Martínez", "ana.martinez@email.com", None),
    ("Luis Fernández", "luis.fernandez@email.com", "34567890"),
)
_PRODUCT_A = OrderItem("1", "Producto A", 2, Decimal("25.99"), "Descripción del producto A")
_PRODUCT_B = OrderItem("2", "Producto B", 1, Decimal("15.50"), "Descripción del producto B")
_PRODUCT_C = OrderItem("1", "Producto C", 3, Decimal("9.90"), "Descripción del producto C")
_TRACKING = {1: "TRK123456789", 3: "TRK987654321", 4: "TRK456789123"}
_LONGEST_SEARCH_DAYS = 60
_RELATIVES = {
    "pt-001": (
        ("Sarah", "daughter", "She visits every Sunday afternoon, and can be called at any time."),
        ("Michael", "grandson", "He is Sarah's son, ten years old, and loves football."),
    ),
    "pt-002": (("Peter", "son", "They live together, and he comes home from work at five."),),
}
_ROUTINE = {
    "pt-001": (
        (DayPart.MORNING, "08:00", "breakfast, and the blue tablet with it"),
        (DayPart.MORNING, "09:30", "a walk in the garden"),
        (DayPart.AFTERNOON, "12:00", "lunch, and then a rest until two"),
        (DayPart.EVENING, "19:00", "listening to music"),
        (DayPart.EVENING, "21:00", "going to bed"),
    ),
    "pt-002": (
        (DayPart.MORNING, "07:30", "feeding Milo, the cat"),
        (DayPart.MORNING, "08:00", "breakfast with the newspaper"),
        (DayPart.EVENING, "18:00", "dinner with Peter"),
    ),
}
_REMINDERS = {"pt-001": (("call Sarah about Sunday", time(17)),), "pt-002": ()}


class Written(StrEnum):
    """What became of an example."""

    WRITTEN = "written"
    KEPT = "kept"
    """A record with this number was there already, and stays as it is."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One example that is done."""

    kind: str
    """order, appointment or patient."""
    number: int
    of: int
    outcome: Written


def example_orders(now: datetime, salt: bytes | None) -> tuple[Order, ...]:
    """Return five orders, one of each status; those that are not over are delivered in the days to come."""
    today = datetime.combine(now.astimezone(UTC).date(), time(), UTC)

    def order(number: int, customer: tuple[str, str, str | None], status: OrderStatus, *items: OrderItem, age: int) -> Order:
        name, email, dni = customer
        created = today - timedelta(days=age)
        is_over = status in (OrderStatus.DELIVERED, OrderStatus.CANCELLED)
        return Order(
            id=str(number),
            customer_name=name,
            customer_email=email,
            items=items,
            total=order_total(items),
            status=status,
            created_at=created,
            updated_at=created,
            estimated_delivery=(created if is_over else today) + timedelta(days=5),
            tracking_number=_TRACKING.get(number),
            dni_hash=hash_dni(dni, salt) if dni and salt else None,
        )

    return (
        order(1, _JUAN, OrderStatus.PENDING, _PRODUCT_A, _PRODUCT_B, age=0),
        order(2, _JUAN, OrderStatus.PROCESSING, _PRODUCT_C, age=1),
        order(3, _MARIA, OrderStatus.SHIPPED, replace(_PRODUCT_A, quantity=1), replace(_PRODUCT_B, quantity=2), age=3),
        order(4, _ANA, OrderStatus.DELIVERED, replace(_PRODUCT_C, quantity=1), age=20),
        order(5, _LUIS, OrderStatus.CANCELLED, replace(_PRODUCT_A, quantity=4), age=15),
    )


def example_appointments(now: datetime, zone: ZoneInfo) -> tuple[Appointment, ...]:
    """Return five appointments on working days; four to come, and none tomorrow at 10:00 or on a Friday at 15:00."""
    today = now.astimezone(zone).date()
    created = datetime.combine(today, time(), zone).astimezone(UTC) - timedelta(days=30)

    def appointment(
        number: int,
        patient: tuple[str, str, str | None],
        doctor: str,
        at: tuple[int, time],
        *,
        kind: AppointmentType = AppointmentType.CONSULTATION,
        status: AppointmentStatus = AppointmentStatus.SCHEDULED,
    ) -> Appointment:
        days, hour = at
        day = today + timedelta(days=days)
        day += timedelta(days={6: 2, 7: 1}.get(day.isoweekday(), 0))  # from the week-end to Monday
        return Appointment(
            id=str(number),
            patient_name=patient[0],
            patient_email=patient[1],
            doctor_name=doctor,
            starts_at=datetime.combine(day, hour, zone).astimezone(UTC),
            duration_minutes=30,
            type=kind,
            status=status,
            time_zone=zone.key,
            created_at=created,
            updated_at=created,
        )

    routine, follow_up = AppointmentType.ROUTINE, AppointmentType.FOLLOW_UP
    return (
        appointment(1, _JUAN, "Dr. Rodríguez", (3, time(9))),
        appointment(2, _LUIS, "Dra. López", (4, time(11, 30)), kind=follow_up, status=AppointmentStatus.CONFIRMED),
        appointment(3, _ANA, "Dra. López", (5, time(16)), kind=routine),
        appointment(4, _MARIA, "Dr. Rodríguez", (6, time(12))),
        appointment(5, _JUAN, "Dra. López", (-10, time(9, 30)), kind=routine, status=AppointmentStatus.COMPLETED),
    )


def example_patients(now: datetime) -> tuple[Patient, ...]:
    """Return the two patients of a first conversation."""
    written = now.astimezone(UTC).replace(microsecond=0)
    return (
        Patient("pt-001", "John", written, written, about="He is 78 years old and lives at home."),
        Patient("pt-002", "Rose", written, written, about="She is 82 years old and lives with her son Peter."),
    )


async def write_example_patients(book: PatientBook, *, now: datetime, reset: bool = False) -> AsyncIterator[Progress]:
    """Write the example patients with what belongs to them, yielding each as it is done; records that exist are kept.

    Args:
        book: repository.
        now: with a zone; a reminder is for the next day.
        reset: write them anew, without what was added to them.
    """
    patients = example_patients(now)
    for number, patient in enumerate(patients, start=1):
        if reset:
            await book.remove(patient.id)
        outcome = Written.WRITTEN if await book.add(patient) else Written.KEPT
        await _write_parts(book, patient, now)
        yield Progress("patient", number, len(patients), outcome)


async def _write_parts(book: PatientBook, patient: Patient, now: datetime) -> None:
    own, written = patient.id, patient.created_at
    for name, relation, about in _RELATIVES[own]:
        await book.add_part(book.relatives, Relative(own, name.lower(), name, relation, written, about))
    for number, (part, at, what) in enumerate(_ROUTINE[own], start=1):
        await book.add_part(book.routine, RoutineStep(own, str(number), part, what, written, at))
    tomorrow = now.astimezone(patient.zone).date() + timedelta(days=1)
    for number, (what, hour) in enumerate(_REMINDERS[own], start=1):
        due = datetime.combine(tomorrow, hour, patient.zone).astimezone(UTC)
        await book.add_part(book.reminders, Reminder(own, str(number), what, due, written))


async def write_examples(
    orders: Orders, appointments: Appointments, *, now: datetime, salt: bytes | None, reset: bool = False
) -> AsyncIterator[Progress]:
    """Write the examples, yielding each as it is done; records that exist are kept.

    Args:
        orders: repository.
        appointments: repository.
        now: with a zone; the examples lie around it.
        salt: of the DNI hashes; None leaves them out, and those orders are then verified by name alone.
        reset: write the examples anew over the records that have their numbers.
    """
    new_orders = example_orders(now, salt)
    for number, order in enumerate(new_orders, start=1):
        if reset:
            await orders.delete(order.id)
        outcome = Written.WRITTEN if await orders.add(order) else Written.KEPT
        yield Progress("order", number, len(new_orders), outcome)
    await orders.raise_numbering(len(new_orders))
    new_appointments = example_appointments(now, appointments.zone)
    if reset:
        for appointment in new_appointments:
            await appointments.delete(appointment.id)
    for number, appointment in enumerate(new_appointments, start=1):
        outcome = await _add(appointments, appointment)
        yield Progress("appointment", number, len(new_appointments), outcome)
    await appointments.raise_numbering(len(new_appointments))


async def _add(appointments: Appointments, wanted: Appointment) -> Written:
    """Write an appointment on the first day, from the one that is wanted, at which the doctor is free."""
    for days in range(_LONGEST_SEARCH_DAYS):
        try:
            added = await appointments.add(replace(wanted, starts_at=wanted.starts_at + timedelta(days=days)))
        except SlotTaken:
            continue
        return Written.WRITTEN if added else Written.KEPT
    raise SlotTaken

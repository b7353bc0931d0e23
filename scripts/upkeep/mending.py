"""What records of other programs lack, and how they become what this one writes. Pure functions; nothing is invented.

What the server compares or looks up has to be spelt as it spells it: instants in UTC with milliseconds, numbers as numbers, statuses in
small letters. A record that lacks what only its author can know stays as it is, and is named.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Final

from storage.models import AppointmentStatus, AppointmentType, OrderStatus, format_instant
from storage.names import fold
from storage.tables import PARTITION, SORT
from storage.values import Item, Value

_MILLISECONDS: Final = 100_000_000_000
"""A time above this counts milliseconds, as JavaScript's Date.now() does: in seconds it is the year 5138."""
_LONGEST: Final = 64
"""Of a text that may be a number or a time."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A record as it shall be."""

    item: Item
    problem: str = ""
    """Why it cannot be mended; then nothing of it is changed."""


type Mend = Callable[[Item], Mended]


def mend_order(item: Item) -> Mended:
    """Return an order as the server writes it."""
    record = dict(item)
    if problem := _mend_id(record, "ORDER#"):
        return Mended(item, problem)
    for name in ("createdAt", "updatedAt", "estimatedDelivery"):
        _mend_instant(record, name, UTC)
    if "createdAt" not in record and "updatedAt" in record:
        record["createdAt"] = record["updatedAt"]
    record.setdefault("updatedAt", record.get("createdAt"))
    _mend_number(record, "total")
    _mend_choice(record, "status", tuple(OrderStatus))
    lines = record.get("items")
    if isinstance(lines, list):
        record["items"] = [_line(line, at) if isinstance(line, Mapping) else line for at, line in enumerate(lines, start=1)]
    return Mended({name: value for name, value in record.items() if value is not None or name in item})


def mend_appointment(item: Item, zone: tzinfo, zone_name: str) -> Mended:
    """Return an appointment as the server writes it; its slots and its doctor's spelling are not part of the record alone.

    Args:
        item: the record.
        zone: of times that name none.
        zone_name: the clinic's, for records that name none.
    """
    record = dict(item)
    if problem := _mend_id(record, "APPOINTMENT#"):
        return Mended(item, problem)
    if "date" not in record and "appointmentDate" in record:
        record["date"] = record["appointmentDate"]
    if _is_day(record.get("date")):
        return Mended(item, "date names no time of day")
    for name in ("date", "createdAt", "updatedAt"):
        _mend_instant(record, name, zone)
    if "date" in record:
        record["appointmentDate"] = record["date"]  # the public attribute is the one that other programs know
    record.setdefault("timeZone", zone_name)
    _mend_number(record, "duration")
    _mend_choice(record, "status", tuple(AppointmentStatus))
    _mend_choice(record, "type", tuple(AppointmentType))
    record.setdefault("type", AppointmentType.CONSULTATION.value)
    return Mended(record)


def instant_of(value: Value, zone: tzinfo) -> datetime | None:
    """Return a time that is a text in ISO 8601, or seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, str) and len(value) <= _LONGEST:
            found = datetime.fromisoformat(value.strip())
            return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            return datetime.fromtimestamp(float(value) / (1_000 if value > _MILLISECONDS else 1), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _mend_id(record: dict[str, Value], prefix: str) -> str:
    partition, own = str(record.get(PARTITION, "")), record.get("id")
    if record.get(SORT) != partition:
        return "its sort key is not its partition key, so the server never finds it"
    if isinstance(own, int) and not isinstance(own, bool):
        own = str(own)
    record["id"] = partition.removeprefix(prefix) if own is None else own
    return "" if record["id"] == partition.removeprefix(prefix) else "its id is not the one in its key"


def _mend_instant(record: dict[str, Value], name: str, zone: tzinfo) -> None:
    instant = instant_of(record.get(name), zone)
    if instant is not None:
        record[name] = format_instant(instant)


def _mend_number(record: dict[str, Value], name: str) -> None:
    value = record.get(name)
    if isinstance(value, str) and len(value) <= _LONGEST:
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            return
        if number.is_finite():
            record[name] = int(number) if number == number.to_integral_value() else number


def _mend_choice(record: dict[str, Value], name: str, choices: tuple[str, ...]) -> None:
    value = record.get(name)
    if isinstance(value, str):
        plain = fold(value).replace("_", "-").replace(" ", "-")
        if plain in choices:
            record[name] = str(plain)


def _line(line: Mapping[str, Value], at: int) -> dict[str, Value]:
    record = dict(line)
    own = record.get("id")
    if own is None or (isinstance(own, int) and not isinstance(own, bool)):
        record["id"] = str(at if own is None else own)
    for name in ("quantity", "price"):
        _mend_number(record, name)
    return record


def _is_day(value: Value) -> bool:
    """Tell whether a text is a date without a time."""
    if not isinstance(value, str):
        return False
    try:
        datetime.strptime(value.strip(), "%Y-%m-%d")  # noqa: DTZ007 - only whether it is one matters
    except ValueError:
        return False
    return True

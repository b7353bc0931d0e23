"""Makes events of changes to tables, as DynamoDB Streams tells them. Pure: the Lambda and the server's own feed both stand on it.

A record of a stream has `eventName` (INSERT, MODIFY, REMOVE), `eventSourceARN` with the table's name, and under `dynamodb` the keys and the
NewImage in DynamoDB's JSON (DynamoDB Streams API reference, "Record"). Tables and records that nobody follows are passed over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from publishing.events import BookingEvent, Change, ConversationEvent, Event, Json, RecordEvent

type Image = Mapping[str, Json]

SOURCE: Final = "aws:dynamodb"
"""What a stream says where its records come from."""
_WHOLE: Final = Decimal(2**53)
"""Beyond it, JSON numbers are not exact in browsers."""


class BadRecord(Exception):
    """The record is none that a stream has."""


@dataclass(frozen=True, slots=True)
class FollowedTables:
    """The names of the tables whose changes are published; an empty one is not followed."""

    conversations: str = "NovaSonicConversations"
    bookings: str = "RestaurantBookings"
    orders: str = "nova-sonic-orders"
    appointments: str = "nova-sonic-appointments"


def event_of(record: Mapping[str, Any], tables: FollowedTables) -> Event | None:
    """Return the event of a record of a stream, None for one that nobody follows.

    Args:
        record: as the stream has it, parsed.
        tables: which tables are followed.

    Raises:
        BadRecord: it has no shape that can be read.
    """
    try:
        table = table_of(str(record["eventSourceARN"]))
        if not table or table not in {tables.conversations, tables.bookings, tables.orders, tables.appointments}:
            return None
        change = Change(record["eventName"])
        told = record["dynamodb"]
        image = {**decoded(told.get("Keys", {})), **decoded(told.get("NewImage") or told.get("OldImage") or {})}
        at = _time_of(image.get("timestamp"), told.get("ApproximateCreationDateTime"))
        source = str(record.get("eventSource", SOURCE))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError, InvalidOperation) as error:
        raise BadRecord(type(error).__name__) from error
    match table:
        case tables.conversations:
            return _conversation(change, image, at, source)
        case tables.bookings:
            return _booking(change, image, at, source)
        case tables.orders:
            return _record("order", change, image, at, source)
        case _:
            return _record("appointment", change, image, at, source)


def table_of(arn: str) -> str:
    """Return the table's name in the ARN of a stream: arn:aws:dynamodb:REGION:ACCOUNT:table/NAME/stream/LABEL."""
    parts = arn.split(":", 5)
    path = parts[-1].split("/") if len(parts) == 6 else []  # noqa: PLR2004 - the parts of an ARN
    return path[1] if len(path) >= 2 and path[0] == "table" else ""  # noqa: PLR2004 - the word table, and the name


def decoded(image: Mapping[str, Any]) -> dict[str, Json]:
    """Return an item in DynamoDB's JSON as plain values.

    Raises:
        ValueError: it is no such item.
    """
    return {str(name): _value(wire) for name, wire in image.items()}


def _value(wire: Mapping[str, Any]) -> Json:
    match wire:
        case {"S": str(text)} | {"B": str(text)}:
            return text
        case {"N": str(text)}:
            return _number(text)
        case {"BOOL": bool(flag)}:
            return flag
        case {"NULL": _}:
            return None
        case {"L": list(inner)}:
            return [_value(one) for one in inner]
        case {"M": dict(inner)}:
            return decoded(inner)
        case {"SS": list(inner)} | {"NS": list(inner)} | {"BS": list(inner)}:
            return [str(one) for one in inner]
        case _:
            raise ValueError("no attribute value")


def _number(text: str) -> int | float | str:
    number = Decimal(text)
    if not number.is_finite() or abs(number) > _WHOLE:
        return text
    return int(number) if number == number.to_integral_value() else float(number)


def _conversation(change: Change, image: Image, at: datetime, source: str) -> Event | None:
    conversation_id = _text(image, "conversation_id").partition("#")[0]  # a turn's record has its number behind it
    if not conversation_id or (change is Change.MODIFY and "startedAt" in image):  # of a conversation itself, with every turn
        return None
    username = _text(image, "username")
    told = image.get("conversation") if change is not Change.REMOVE else None
    return ConversationEvent(change=change, username=username, conversation_id=conversation_id, at=at, conversation=told, source=source)


def _booking(change: Change, image: Image, at: datetime, source: str) -> Event | None:
    booking_id = _text(image, "bookingId") or _text(image, "booking_id")
    if not booking_id:
        return None
    guests = next((image[name] for name in ("num_guests", "numGuests") if name in image), None)
    return BookingEvent(
        change=change,
        booking_id=booking_id,
        at=at,
        source=source,
        date=_text(image, "date"),
        name=_text(image, "name"),
        hour=_text(image, "hour"),
        guests=_whole(guests),
        status=_text(image, "status"),
        user_id=_text(image, "userId") or _text(image, "username"),
    )


def _record(kind: str, change: Change, image: Image, at: datetime, source: str) -> Event | None:
    prefix, separator, record_id = _text(image, "PK").partition("#")
    if prefix != kind.upper() or not separator:  # the tables hold counters and slots as well
        return None
    return RecordEvent(kind=kind, change=change, record_id=record_id, status=_text(image, "status"), at=at, source=source)


def _text(image: Image, name: str) -> str:
    value = image.get(name)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _whole(value: Json) -> int | None:
    match value:
        case bool():
            return None
        case int():
            return value
        case str() if value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004 - no table seats so many
            return int(value)
        case _:
            return None


def _time_of(written: Json, streamed: object) -> datetime:
    """Return when it happened: as the record says, else as the stream does (seconds since 1970, or text in ISO 8601)."""
    for found in (written, streamed):
        match found:
            case str():
                try:
                    at = datetime.fromisoformat(found)
                except ValueError:
                    continue
                return at if at.tzinfo else at.replace(tzinfo=UTC)
            case int() | float():
                return datetime.fromtimestamp(found / 1000 if found > 10**11 else found, UTC)
            case _:
                continue
    return datetime.fromtimestamp(0, UTC)

"""What the server takes each public record of a table for: for scripts that look whether it could read them all.

Beside those a table holds internal records, which are known by the prefixes of their keys (storage/tables.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from storage import appointments, audit, connections, orders, patients, preferences, voice_session_items
from storage.conversation_turns import STARTED_AT, conversation_from, turn_from
from storage.errors import InvalidRequest
from storage.patient_models import PatientPart
from storage.patient_parts import RELATIVES, REMINDERS, ROUTINE, PartKind
from storage.records import Reader
from storage.tables import PARTITION, SORT
from storage.values import Item


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record in a table."""

    name: str
    partition: str
    """What its partition key begins with."""
    sort: str = ""
    """What its sort key begins with."""
    read: Callable[[Item], object] | None = None
    """Raises InvalidRequest or ValueError; None for internal records, which live for a day or hold a counter."""
    carries: str = ""
    """An attribute that records of this kind alone have, where their keys do not tell."""

    def fits(self, item: Item) -> bool:
        """Tell whether a record is of this kind."""
        has_keys = str(item.get(PARTITION, "")).startswith(self.partition) and str(item.get(SORT, "")).startswith(self.sort)
        return has_keys and (not self.carries or self.carries in item)


def _part[T: PatientPart](name: str, kind: PartKind[T]) -> Kind:
    def read(item: Item) -> T:
        reader = Reader(item)
        return kind.from_item(reader.text("patientId"), reader.text("id"), reader)

    return Kind(name, "PATIENT#", f"{kind.name}#", read)


_COUNTED: Final = tuple(Kind("internal", prefix) for prefix in ("REQUEST#", "COUNTER#", "ATTEMPTS#", "MIGRATION#"))

KINDS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "orders_table": (Kind("order", "ORDER#", read=orders.from_item), *_COUNTED),
    "appointments_table": (
        Kind("appointment", "APPOINTMENT#", read=appointments.from_item),
        Kind("internal", "SLOT#"),
        Kind("internal", "DOCTORS"),
        *_COUNTED,
    ),
    "sessions_table": (Kind("parked session", "SESSION#"),),
    "connections_table": (
        Kind("audit entry", "", "AUDIT#", audit.from_item),
        Kind("connection", "CONNECTION#", "METADATA", connections.from_item),
        Kind("internal", "PROCESS#"),
    ),
    "voice_sessions_table": (
        Kind("voice session", "VOICE#", "METADATA", voice_session_items.from_item),
        Kind("preferences", "USER#", preferences.PREFERENCES, preferences.from_item),
        Kind("internal", "PROCESS#"),
    ),
    "conversations_table": (Kind("conversation", "", read=conversation_from, carries=STARTED_AT), Kind("turn", "", read=turn_from)),
    "patients_table": (Kind("patient", "PATIENT#", read=patients.from_item),),
    "relatives_table": (_part("relative", RELATIVES),),
    "routine_table": (_part("routine step", ROUTINE),),
    "reminders_table": (_part("reminder", REMINDERS),),
}
"""By the name of the table's definition; the first that fits counts."""


def kind_of(table: str, item: Item) -> Kind | None:
    """Return what kind of record this is, None for one that the server knows nothing of.

    Args:
        table: name of the table's definition, as in KINDS.
        item: the record.
    """
    return next((kind for kind in KINDS.get(table, ()) if kind.fits(item)), None)


def unreadable(kind: Kind, item: Item) -> str | None:
    """Return why the server could not read a record, without its contents; None if it can."""
    try:
        if kind.read is not None:
            kind.read(item)
    except InvalidRequest as error:
        return str(error)
    except (ValueError, ArithmeticError) as error:
        return f"a value is none of its kind ({type(error).__name__})"
    return None

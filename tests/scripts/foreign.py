"""Records as other programs write them: complete for a person, and in parts not what this program looks up or compares."""

from datetime import UTC, datetime, timedelta
from typing import Any

from config import Settings
from scripts.upkeep.store import Store
from storage.tables import TableDefinition, appointments_table, orders_table

NOW = datetime(2030, 1, 16, 15, 0, tzinfo=UTC)


def text(value: str) -> dict[str, str]:
    return {"S": value}


def number(value: float) -> dict[str, str]:
    return {"N": str(value)}


def order(at: int, **others: Any) -> dict[str, Any]:
    """Return an order whose times have no milliseconds, and whose numbers are texts."""
    line = {"id": number(1), "name": text("Producto A"), "quantity": text("2"), "price": text("25.99")}
    return {
        "PK": text(f"ORDER#{at}"),
        "SK": text(f"ORDER#{at}"),
        "id": number(at),
        "customerName": text("Juan Pérez"),
        "customerEmail": text("juan.perez@email.com"),
        "items": {"L": [{"M": line}]},
        "total": text("51.98"),
        "status": text("Pending"),
        "createdAt": text("2024-01-15T00:00:00Z"),
        "updatedAt": text("2024-01-15T00:00:00+00:00"),
        **others,
    }


def appointment(at: int, **others: Any) -> dict[str, Any]:
    """Return an appointment in the clinic's own time, for half an hour, that no index by day knows of."""
    start = NOW + timedelta(days=1, minutes=30 * at)
    return {
        "PK": text(f"APPOINTMENT#{at}"),
        "SK": text(f"APPOINTMENT#{at}"),
        "id": text(str(at)),
        "patientName": text("Ana Martínez"),
        "patientEmail": text("ana.martinez@email.com"),
        "doctorName": text("Dr. Rodríguez" if at % 2 else "doctor Rodriguez"),
        "date": text(f"{start - timedelta(hours=3):%Y-%m-%dT%H:%M:%S}"),
        "duration": number(30),
        "type": text("Follow_up"),
        "status": text("SCHEDULED"),
        **others,
    }


def without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def tables(settings: Settings) -> tuple[TableDefinition, TableDefinition]:
    return orders_table(settings.orders_table), appointments_table(settings.appointments_table)


async def fill(store: Store, settings: Settings, *, orders: int = 4, appointments: int = 3) -> None:
    """Make the two tables and write records of others into them."""
    of_orders, of_appointments = tables(settings)
    for definition in (of_orders, of_appointments):
        await store.database.table(definition).create()
    for at in range(1, orders + 1):
        await store.put_back(of_orders, order(at))
    for at in range(1, appointments + 1):
        await store.put_back(of_appointments, appointment(at))


async def everything(store: Store, definition: TableDefinition) -> list[dict[str, Any]]:
    """Return every record of a table, as it is on the wire, in order of its key."""
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = await store.scan(definition, after, 100)
        found += page.wires
        after = page.after
        if after is None:
            return sorted(found, key=lambda wire: (wire[definition.partition]["S"], wire[definition.sort]["S"]))

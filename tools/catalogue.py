"""All tools there are, made ready for an application, and their reference page."""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import orjson

from storage.appointments import Appointments
from storage.orders import Orders
from tools import appointments as appointment_tools
from tools import orders as order_tools
from tools import patients as patient_tools
from tools.appointments import Calendar
from tools.companion import Companion
from tools.executor import ExecutorLimits, ToolExecutor
from tools.identity import Identity
from tools.registry import Tool, ToolRegistry

TOOLS: tuple[Tool[...], ...] = (
    order_tools.look_up_order,
    order_tools.cancel_order,
    order_tools.place_order,
    appointment_tools.make_appointment,
    appointment_tools.cancel_appointment,
    appointment_tools.move_appointment,
    appointment_tools.look_up_appointment,
    patient_tools.who_is,
    patient_tools.get_routine,
    patient_tools.list_reminders,
    patient_tools.add_reminder,
    patient_tools.complete_reminder,
    patient_tools.alert_caregivers,
)


def build_tools(
    orders: Orders,
    appointments: Appointments,
    *,
    salt: bytes | None,
    zone: ZoneInfo,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    limits: ExecutorLimits | None = None,
    companion: Companion | None = None,
) -> ToolExecutor:
    """Return an executor for all tools.

    Args:
        orders: repository.
        appointments: repository.
        salt: the installation's secret for hashes of DNIs; None lets no DNI ever match.
        zone: the clinic's time zone.
        clock: the time now, with a zone.
        limits: bounds of the executor.
        companion: what the companion's tools work on; without it they know nobody.
    """
    identity = Identity(salt, clock, orders.table)
    companion = companion or Companion()
    registry = ToolRegistry(TOOLS, (orders, appointments, identity, Calendar(zone, clock), companion))
    return ToolExecutor(registry, limits, on_forget=(identity.forget, companion.forget))


def reference_page() -> str:
    """Return the text of docs/reference/tools.md; a test holds the page to it."""
    lines = [
        "# Tools",
        "",
        "What the assistant can do, as the model is told. `tools.catalogue.reference_page` writes this page: change the tool instead.",
        "",
        'Every result is a JSON object: `{"success": true, ..., "message": "..."}` or',
        '`{"success": false, "error": "<code>", "message": "<what to ask the user>"}`.',
        "Arguments may be spelt in camelCase or snake_case; numbers may be words, in Spanish or English.",
    ]
    for one in TOOLS:
        lines += ["", f"## {one.name}", "", one.description, "", "| argument | required | meaning |", "|---|---|---|"]
        lines += [f"| `{part.name}` | {'yes' if part.is_required else 'no'} | {part.description} |" for part in one.parameters]
        schema = orjson.dumps(orjson.loads(one.spec.input_schema), option=orjson.OPT_INDENT_2).decode()
        lines += ["", "```json", schema, "```"]
    return "\n".join(lines) + "\n"

"""The spoken conversations: a WAV as Chromium's microphone -> page -> server -> SDK -> emulator -> tool -> database, and back."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from playwright.async_api import Page

from tests.browser import Chromium, PageOptions, until
from tests.e2e.speech import Utterance, conversation, write_wav
from tests.e2e.stack import Stack

CLINIC = ZoneInfo("America/Argentina/Buenos_Aires")
REPLY_LIMIT_MS = 2_500
"""Far above what is measured (see docs/discussion/performance.md), so that only a stall fails the test."""

type Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One spoken request, and what it must lead to."""

    name: str
    language: str
    voice: str
    text: str
    tool: str
    arguments: Mapping[str, object]
    stored: Callable[[Stack], bool]
    """Whether the database holds what was asked for."""


def order_is(number: str, status: str) -> Callable[[Stack], bool]:
    """Check the status of an order."""
    return lambda stack: stack.record("orders", "ORDER", number).get("status") == status


def appointment_is(number: str, **members: str) -> Callable[[Stack], bool]:
    """Check members of an appointment."""
    return lambda stack: members.items() <= stack.record("appointments", "APPOINTMENT", number).items()


def starts_at(number: str, expected: datetime) -> Callable[[Stack], bool]:
    """Check when an appointment begins."""
    return lambda stack: datetime.fromisoformat(str(stack.record("appointments", "APPOINTMENT", number)["date"])) == expected


def tomorrow_at(hour: int) -> datetime:
    """Return tomorrow in the clinic's zone."""
    return datetime.now(CLINIC).replace(hour=hour, minute=0, second=0, microsecond=0) + timedelta(days=1)


def next_friday_at(hour: int) -> datetime:
    """Return the coming Friday in the clinic's zone, never today."""
    today = datetime.now(CLINIC).replace(hour=hour, minute=0, second=0, microsecond=0)
    return today + timedelta(days=(4 - today.weekday()) % 7 or 7)


SCENARIOS = [
    Scenario(
        "look up an order in Spanish",
        "es",
        "es-419",
        "Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho",
        "consultarOrder",
        {"orderId": "1", "dni": "12345678"},
        order_is("1", "pending"),
    ),
    Scenario(
        "look up an order in English",
        "en",
        "en-us",
        "I want to check order number one, my ID is one two three four five six seven eight",
        "consultarOrder",
        {"orderId": "1", "dni": "12345678"},
        order_is("1", "pending"),
    ),
    Scenario(
        "cancel an order",
        "es",
        "es",
        "Cancela el pedido número dos para Juan Pérez",
        "cancelarOrder",
        {"orderId": "2", "customerName": "Juan Pérez"},
        order_is("2", "cancelled"),
    ),
    Scenario(
        "place an order",
        "es",
        "es-419+f2",
        "Crea un pedido para María García con dos productos A, mi email es maría punto garcía arroba email punto com",
        "crearOrder",
        {"customerName": "María García", "customerEmail": "maria.garcia@email.com", "total": 51.98},
        order_is("6", "pending"),
    ),
    Scenario(
        "make an appointment",
        "es",
        "es-419",
        "Agenda una cita para mañana a las diez con el doctor Rodríguez, soy Juan Pérez, "
        "mi email es juan punto pérez arroba email punto com",
        "agendarTurno",
        {"patientName": "Juan Pérez", "patientEmail": "juan.perez@email.com", "doctorName": "Dr. Rodríguez"},
        starts_at("6", tomorrow_at(10)),
    ),
    Scenario(
        "cancel an appointment",
        "en",
        "en-gb",
        "Cancel appointment number three for Ana Martínez",
        "cancelarTurno",
        {"appointmentId": "3", "patientName": "Ana Martínez"},
        appointment_is("3", status="cancelled"),
    ),
    Scenario(
        "move an appointment",
        "es",
        "es+m3",
        "Modifica la cita número uno para el viernes a las quince, soy Juan Pérez",
        "modificarTurno",
        {"appointmentId": "1", "patientName": "Juan Pérez"},
        starts_at("1", next_friday_at(15)),
    ),
    Scenario(
        "look up an appointment",
        "en",
        "en-us+f3",
        "Check appointment number two for Luis Fernández",
        "consultarTurno",
        {"appointmentId": "2", "patientName": "Luis Fernández"},
        appointment_is("2", status="confirmed"),
    ),
]


async def state(page: Page) -> Json:
    """Return the page's own view of the conversation."""
    return cast("Json", await page.evaluate("() => window.novaSonicState"))


async def start(page: Page, language: str) -> None:
    """Choose the language and begin, as a person does."""
    await page.wait_for_selector("html[data-ready]")
    await page.select_option("#language", language)
    await page.click("#welcome-start")


async def finished_tool(page: Page, name: str) -> Json:
    """Wait until the tool has ended and its answer was heard to the end; return the transcript's entry."""
    condition = f"""(() => {{
        const {{ transcript, player }} = window.novaSonicState;
        const tool = transcript.find((entry) => entry.kind === "tool" && entry.name === {json.dumps(name)} && entry.output !== null);
        const answer = tool && transcript.find((entry) => entry.key > tool.key && entry.role === "assistant" && entry.finals.length);
        return Boolean(answer) && player.played > 0;
    }})()"""
    try:
        await until(page, condition, seconds=30)
    except TimeoutError:
        raise AssertionError(json.dumps((await state(page))["transcript"], ensure_ascii=False, indent=1)) from None
    entries = cast("list[Json]", (await state(page))["transcript"])
    return next(entry for entry in entries if entry["kind"] == "tool" and entry["name"] == name)


async def hold(scenario: Scenario, stack: Stack, chromium: Chromium, folder: Path) -> None:
    """Hold one conversation and check all of it: what was understood, what was stored, what was heard, and how soon."""
    wav = write_wav(folder / "microphone.wav", conversation([Utterance(scenario.voice, scenario.text)]))
    locale = {"es": "es-AR", "en": "en-US"}[scenario.language]

    async with chromium.open(stack.page, PageOptions(microphone=Path(f"{wav}%noloop"), locale=locale)) as page:
        await start(page, scenario.language)
        tool = await finished_tool(page, scenario.tool)
        seen = await state(page)

    said = cast("list[Json]", seen["transcript"])
    assert scenario.arguments.items() <= json.loads(str(tool["input"])).items()
    assert tool["errorCode"] is None
    assert scenario.stored(stack)
    assert any(entry.get("role") == "user" for entry in said)
    assert "[FINAL]" not in json.dumps(said)
    assert cast("dict[str, int]", seen["player"])["played"] > 12_000  # half a second of speech was really played
    assert min(cast("list[float]", seen["reply_ms"])) < REPLY_LIMIT_MS
    assert cast("dict[str, int]", seen["speech"])["missing"] == 0

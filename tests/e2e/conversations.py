"""The spoken conversations: a WAV as Chromium's microphone -> page -> server -> SDK -> emulator -> tool -> database, and back."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from playwright.async_api import Page

from tests.browser import PLAIN_MICROPHONE, Chromium, PageOptions, until
from tests.e2e.microphone import HERTZ, SentAudio, compare
from tests.e2e.speech import Utterance, conversation, write_wav
from tests.e2e.stack import Stack

CLINIC = ZoneInfo("America/Argentina/Buenos_Aires")
REPLY_LIMIT_MS = 5_000
"""Far above what is measured (see docs/discussion/performance.md), so that only a stall fails the test."""

type Json = dict[str, object]
type Product = Callable[[Path], AbstractAsyncContextManager[Stack]]
"""Runs a product of its own in a folder."""


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
        "es+m3",
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
        "es+m3",
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


async def ended(page: Page) -> Json:
    """End the conversation; return the server's counters."""
    message = "window.novaSonicState.messages.findLast(({ message }) => message.type === 'session.ended')"
    await page.click("#end")
    await until(page, f"Boolean({message})")
    return cast("Json", await page.evaluate(f"{message}.message.statistics"))


class NotHeardAsSaid(AssertionError):
    """The request did not arrive as it was said, through no fault of what is tested.

    Either the browser's pretended microphone had not played its file as it is, or not to the page; or a recogniser that is right in 95 of
    100 conversations (tests/speech/test_heard.py) took a word for another. A conversation that is held again must go well.
    """


def reply_limit_ms() -> float:
    """Return how long a reply may take: recognising and speaking share the processors with all that the machine does besides."""
    return REPLY_LIMIT_MS * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


async def hold(scenario: Scenario, stack: Stack, chromium: Chromium, folder: Path) -> None:
    """Hold one conversation and check all of it: what was heard, what was understood, what was stored, what was answered, and how soon.

    Raises:
        NotHeardAsSaid: something went wrong that may come of it; anything that is lost between page and server fails at once.
    """
    utterance = Utterance(scenario.voice, scenario.text)
    said = conversation([utterance])
    wav = write_wav(folder / "microphone.wav", said)
    locale = {"es": "es-AR", "en": "en-US"}[scenario.language]
    sent = SentAudio()

    async with chromium.open(
        stack.page, PageOptions(microphone=Path(f"{wav}%noloop"), locale=locale, init_script=PLAIN_MICROPHONE)
    ) as page:
        sent.watch(page)
        await start(page, scenario.language)
        try:
            tool: Json | AssertionError = await finished_tool(page, scenario.tool)
        except AssertionError as failure:
            tool = failure
        seen = await state(page)
        statistics = await ended(page)

    assert sent.is_complete
    assert (statistics["audio_in_ms"], statistics["audio_in_dropped_ms"]) == (1000 * sent.samples.size / HERTZ, 0)
    try:
        check(scenario, stack, tool, seen)
    except AssertionError as failure:
        hearing = compare(sent.samples, said)
        failure.add_note(f"{hearing}; what the page sent is in {sent.write_wav(folder / 'heard.wav')}")
        if hearing.spoils(1000 * utterance.pause_seconds) or not is_understood(scenario, tool):
            raise NotHeardAsSaid(str(hearing)) from failure
        raise


def is_understood(scenario: Scenario, tool: Json | AssertionError) -> bool:
    """Say whether the tool was called with what was said."""
    return not isinstance(tool, AssertionError) and scenario.arguments.items() <= json.loads(str(tool["input"])).items()


def check(scenario: Scenario, stack: Stack, tool: Json | AssertionError, seen: Json) -> None:
    """Check what a conversation led to.

    Raises:
        AssertionError: not to what was said.
    """
    if isinstance(tool, AssertionError):
        raise tool
    entries = cast("list[Json]", seen["transcript"])
    assert is_understood(scenario, tool), tool["input"]
    assert tool["errorCode"] is None
    assert scenario.stored(stack)
    assert any(entry.get("role") == "user" for entry in entries)
    assert "[FINAL]" not in json.dumps(entries)
    assert cast("dict[str, int]", seen["player"])["played"] > 12_000  # half a second of speech was really played
    assert min(cast("list[float]", seen["reply_ms"])) < reply_limit_ms()
    assert cast("dict[str, int]", seen["speech"])["missing"] == 0


async def hold_again_if_misheard(scenario: Scenario, stack: Stack, fresh: Product, chromium: Chromium, folder: Path) -> None:
    """Hold a conversation; when it was not heard as it was said, once more in front of a product without its traces."""
    try:
        await hold(scenario, stack, chromium, folder)
    except NotHeardAsSaid:
        async with fresh(folder) as other:
            await hold(scenario, other, chromium, folder)

"""What the tests of the demo brain share: a fixed day, the built-in scenario, tools, and a reply that writes down what happens."""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache

from nova_sonic_local.brains.demo import DemoFactory
from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.brains.interface import Prompt, Tool
from nova_sonic_local.brains.scenario import Scenario, load_scenario
from nova_sonic_local.speech.recogniser import is_available
from tests import needs

type Json = Mapping[str, object]

TODAY = dt.date(2025, 11, 19)
"""A Wednesday."""

_ORDER = (["orderId"], ["orderId", "dni", "customerName"])
_APPOINTMENT = (["appointmentId", "patientName"], ["appointmentId", "patientName"])
_MEMBERS = {
    "consultarOrder": _ORDER,
    "cancelarOrder": _ORDER,
    "crearOrder": (["customerName", "customerEmail", "items"], ["customerName", "customerEmail", "items", "total"]),
    "agendarTurno": (
        ["patientName", "patientEmail", "doctorName", "date"],
        ["patientName", "patientEmail", "doctorName", "date", "time", "duration", "type"],
    ),
    "cancelarTurno": _APPOINTMENT,
    "modificarTurno": (_APPOINTMENT[0], [*_APPOINTMENT[1], "newDate", "newTime"]),
    "consultarTurno": _APPOINTMENT,
}


def tool(name: str, required: Sequence[str], members: Sequence[str]) -> Tool:
    """Return a tool whose arguments are texts."""
    return Tool(name, "", {"type": "object", "properties": {member: {"type": "string"} for member in members}, "required": list(required)})


TOOLS = {name: tool(name, *members) for name, members in _MEMBERS.items()}


def today() -> dt.date:
    """Return the tests' day."""
    return TODAY


def recognition() -> None:
    """Leave the test out where speech cannot be recognised."""
    if not is_available():
        needs.missing("pocketsphinx")


def speech() -> None:
    """Leave the test out where nothing can be said or recognised."""
    recognition()
    needs.espeak()


@cache
def built_in() -> Scenario:
    """Return the built-in scenario."""
    return load_scenario()


@cache
def understanding(language: str) -> Understanding:
    """Return what the built-in scenario understands with all its tools."""
    return Understanding(built_in(), language, frozenset(TOOLS), today)


def prompt(voice_id: str = "carlos", system: str = "", tools: Mapping[str, Tool] = TOOLS, hertz: int = 16_000) -> Prompt:
    """Return a prompt with the tools of the built-in scenario."""
    return Prompt("amazon.nova-2-sonic-v1:0", voice_id, hertz, 24_000, system, tools=tools)


def factory(scenario: Scenario | None = None) -> DemoFactory:
    """Return a factory on the tests' day."""
    return DemoFactory(scenario or built_in(), today)


class NotedReply:
    """Writes down what the brain does; answers tool calls from a list."""

    def __init__(self, *results: Json) -> None:
        self.said: list[str] = []
        self.called: list[tuple[str, Json | str]] = []
        self.returns = asyncio.Event()
        """Cleared, tools run on."""
        self.returns.set()
        self._results = list(results)

    async def say(self, text: str) -> None:
        self.said.append(text)

    async def play(self, pcm: bytes, text: str = "") -> None:
        raise AssertionError("the demo brain leaves speaking to the engine")

    async def call_tools(self, calls: Sequence[tuple[str, Json | str]]) -> list[Json]:
        self.called.extend(calls)
        await self.returns.wait()
        return [self._results.pop(0) for _ in calls]

"""The parts that write down what outlives a conversation, opened as the settings ask; each is closed with the stack it was opened into.

That a store is away is no reason not to start: what is to be written waits, and conversations go on.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from api.health import Check
from api.operations import Operation
from config import Settings
from object_parts import open_objects
from publishing.interfaces import AlertSender, EventPublisher, Silent
from session.interfaces import Attendance, AudioAttendance
from storage.objects import ObjectStore
from storage.table import Database
from telemetry.counters import Counters


@dataclass(frozen=True, slots=True)
class RecordParts:
    """What listens to sessions for the records, and what plain HTTP offers of them."""

    attendances: list[Attendance] = field(default_factory=list)
    audio_attendances: list[AudioAttendance] = field(default_factory=list)
    operations: list[Sequence[Operation]] = field(default_factory=list)
    api_parts: dict[web.AppKey[Any], object] = field(default_factory=dict)
    """What the operations work on."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every part is built on."""

    settings: Settings
    database: Database | None
    """None where tools were given that work on none of ours."""
    resources: AsyncExitStack
    counters: Counters
    checks: dict[str, Check]
    """Of /ready."""
    publisher: EventPublisher = field(default_factory=Silent)
    alerts: AlertSender = field(default_factory=Silent)
    objects: ObjectStore | None = None
    """Recordings and other sound; None where the settings name no place for them."""


async def open_record_parts(ground: Ground) -> RecordParts:
    """Open everything that the settings ask for."""
    objects = await open_objects(ground.settings, ground.resources, ground.checks)
    ground, parts = replace(ground, objects=objects), RecordParts()
    return parts

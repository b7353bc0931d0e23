"""What is sent for an event, where it can be written: what cannot is counted and told, and stops nobody."""

import structlog

from publishing.events import Event
from publishing.routes import Message, messages
from telemetry.counters import Counters

log = structlog.get_logger()


def written(event: Event, namespace: str, counters: Counters) -> tuple[Message, ...]:
    """Return what is sent for an event; nothing for one that cannot be written, which is counted as `event_unwritable`."""
    try:
        return messages(event, namespace)
    except (TypeError, ValueError) as error:  # of a record that somebody else wrote, for instance
        log.warning("event.unwritable", kind=type(event).__name__, reason=type(error).__name__)
        counters.add("event_unwritable")
        return ()

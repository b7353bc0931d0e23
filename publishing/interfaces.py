"""What the rest of the program knows of publishing. Drivers fit by shape."""

from enum import StrEnum
from typing import Protocol

from publishing.events import Alert, Event


class EventsKind(StrEnum):
    """Where front ends follow events."""

    OFF = "off"
    """Nowhere."""
    LOCAL = "local"
    """At this process."""
    APPSYNC = "appsync"
    """At an Event API of AWS AppSync."""


class EventPublisher(Protocol):
    """Tells front ends what happens. An event that cannot be sent now waits; one that finds no room is lost, and counted."""

    def publish(self, event: Event) -> None:
        """Take an event. Returns at once, raises nothing, and may be called from the audio path."""


class AlertSender(Protocol):
    """Tells people who run the server, or look after somebody, that they should look."""

    def send(self, alert: Alert) -> None:
        """Take an alert. Returns at once and raises nothing."""


class Silent:
    """Publishes and sends nothing, where nobody wants to be told."""

    def publish(self, event: Event) -> None:
        """Forget an event."""

    def send(self, alert: Alert) -> None:
        """Forget an alert."""

"""Events and alerts on their way out of this process: they wait while the service is away, in order, and nobody waits for them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from observers.backlog import Backlog
from publishing.appsync import Outgoing
from publishing.errors import Refused
from publishing.events import Alert, Event
from publishing.routes import NAMESPACE
from publishing.sns import OutgoingAlert
from publishing.writing import written
from telemetry.counters import Counters

BATCH: Final = 25
"""Messages that are sent before the next are looked at: five requests where all are of one channel."""
SEND_SECONDS: Final = 20.0
"""Five requests, each of which may take 4 s."""
MESSAGE_BYTES: Final = 500
"""What a message takes beside its text while it waits."""
ALERTS: Final = 1_000
ALERT_BYTES: Final = 2_000


class EventOutbox:
    """Publishes through a service that may be away.

    Args:
        write: sends messages in order; may be called again with the same.
        counters: gets `event_written`, `event_lost`, `event_refused` and `event_unwritable`.
        namespace: first segment of every channel.
    """

    def __init__(self, write: Callable[[Sequence[Outgoing]], Awaitable[None]], counters: Counters, namespace: str = NAMESPACE) -> None:
        self._namespace = namespace
        self._counters = counters
        self.backlog = Backlog("event", write, counters, refusals=(Refused,), batch=BATCH, store_seconds=SEND_SECONDS)

    def publish(self, event: Event) -> None:
        """Take an event."""
        for message in written(event, self._namespace, self._counters):
            self.backlog.put(Outgoing(message), len(message.text) + MESSAGE_BYTES)

    def start(self) -> None:
        """Send from now on."""
        self.backlog.start()

    async def aclose(self) -> None:
        """Send what is left, in bounded time."""
        await self.backlog.aclose()


class AlertOutbox:
    """Sends alerts through a service that may be away.

    Args:
        write: sends alerts in order; may be called again with the same.
        counters: gets `alert_written`, `alert_lost` and `alert_refused`.
    """

    def __init__(self, write: Callable[[Sequence[OutgoingAlert]], Awaitable[None]], counters: Counters) -> None:
        self.backlog = Backlog("alert", write, counters, refusals=(Refused,), entries=ALERTS, batch=5, store_seconds=SEND_SECONDS)

    def send(self, alert: Alert) -> None:
        """Take an alert."""
        self.backlog.put(OutgoingAlert(alert), ALERT_BYTES)

    def start(self) -> None:
        """Send from now on."""
        self.backlog.start()

    async def aclose(self) -> None:
        """Send what is left, in bounded time."""
        await self.backlog.aclose()

"""Channels inside this process: what is published reaches whoever subscribes, at once, and nobody whom it does not concern.

A subscriber who does not take what it is sent loses the oldest of it, and is counted; nobody waits for anybody.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import orjson

from publishing.events import Event
from publishing.routes import MAX_SEGMENTS, NAMESPACE, Message, is_channel, segment
from publishing.writing import written
from telemetry.counters import Counters

WAITING_MESSAGES: Final = 1_000
WAITING_BYTES: Final = 1024 * 1024
"""Of one subscriber."""
POSTED_EVENTS: Final = 5
POSTED_BYTES: Final = 240_000
"""Of one request that publishes, as AppSync Events has it."""
WILDCARD: Final = "*"
FOR_OPERATORS: Final = frozenset({"alerts", "orders", "appointments"})
"""Topics that carry nothing for anybody else."""


class NotYours(Exception):
    """The channel is for others."""


class NoChannel(Exception):
    """This is the path of no channel."""


class BadEvents(Exception):
    """These events cannot be published; the message says why."""


class Subscription:
    """One client's interest in one channel, or in all beneath a path.

    Args:
        path: of the channel, without a slash at the beginning; may end in `/*`.
        viewer: segment of the user whose messages it receives; None for everybody's.
        wake: called when something came that was waited for.
    """

    __slots__ = ("_beneath", "_bytes", "_waiting", "dropped", "path", "viewer", "wake")

    def __init__(self, path: str, viewer: str | None, wake: Callable[[], None]) -> None:
        self.path = path
        self.viewer = viewer
        self.wake = wake
        self.dropped = 0
        """Messages that were lost since the last that was taken."""
        self._beneath = path.removesuffix(WILDCARD) if path.endswith(WILDCARD) else ""
        self._waiting: deque[str] = deque()
        self._bytes = 0

    def wants(self, message: Message) -> bool:
        """Tell whether a message is for this subscription."""
        if self.viewer is not None and (not message.owner or message.owner != self.viewer):
            return False
        return message.channel.startswith(self._beneath) if self._beneath else message.channel == self.path

    def put(self, text: str) -> int:
        """Add a message; return how many of the oldest were lost for it."""
        self._waiting.append(text)
        self._bytes += len(text)
        lost = 0
        while len(self._waiting) > WAITING_MESSAGES or (self._bytes > WAITING_BYTES and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft())
            lost += 1
        self.dropped += lost
        self.wake()
        return lost

    def take(self) -> str | None:
        """Take the oldest message that waits, or None."""
        if not self._waiting:
            return None
        text = self._waiting.popleft()
        self._bytes -= len(text)
        return text

    def take_dropped(self) -> int:
        """Return how many were lost since this was asked last."""
        dropped, self.dropped = self.dropped, 0
        return dropped


class LocalChannels:
    """Publishes within this process.

    Args:
        counters: gets `event_delivered`, `event_dropped` and `event_unwritable`.
        namespace: first segment of every channel.
    """

    def __init__(self, counters: Counters, namespace: str = NAMESPACE) -> None:
        self.namespace = namespace
        self._counters = counters
        self._subscriptions: dict[Subscription, None] = {}

    def publish(self, event: Event) -> None:
        """Give an event to its subscribers."""
        for message in written(event, self.namespace, self._counters):
            self.deliver(message)

    def deliver(self, message: Message) -> None:
        """Give a message to its subscribers."""
        for subscription in self._subscriptions:
            if subscription.wants(message):
                self._counters.add("event_delivered")
                if lost := subscription.put(message.text):
                    self._counters.add("event_dropped", lost)

    def post(self, path: str, texts: Sequence[str]) -> None:
        """Give events that somebody else made to the subscribers of a channel, as the service's own publish operation does.

        Args:
            path: of the channel, with or without a slash at the beginning.
            texts: the events, each as a string of JSON.

        Raises:
            NoChannel: there is no such channel.
            BadEvents: they are too many, too large, or no JSON.
        """
        path = path.removeprefix("/")
        parts = path.split("/")
        if not is_channel(path) or parts[0] != self.namespace or len(parts) == 1:
            raise NoChannel
        if not 1 <= len(texts) <= POSTED_EVENTS:
            raise BadEvents(f"there must be 1 to {POSTED_EVENTS} events")
        if sum(len(text.encode(errors="replace")) for text in texts) > POSTED_BYTES:
            raise BadEvents(f"the events are larger than {POSTED_BYTES} bytes")
        for text in texts:
            try:
                orjson.loads(text)
            except ValueError as error:
                raise BadEvents("an event is no JSON") from error
        owner = parts[2] if len(parts) > 2 and parts[1] not in FOR_OPERATORS else ""  # noqa: PLR2004 - namespace, topic, user
        for text in texts:
            self.deliver(Message(path, text, owner))

    def subscribe(self, path: str, viewer: str | None, wake: Callable[[], None]) -> Subscription:
        """Begin to listen.

        Args:
            path: of a channel, with or without a slash at the beginning; `/*` at its end listens to all beneath it.
            viewer: user who listens; None for an operator, who may receive everything.
            wake: called when something came; must return at once.

        Raises:
            NoChannel: there is no such channel.
            NotYours: it is for others.
        """
        path = path.removeprefix("/")
        parts = path.removesuffix(f"/{WILDCARD}").split("/")
        if not is_channel("/".join(parts)) or parts[0] != self.namespace or (path.endswith(WILDCARD) and len(parts) == MAX_SEGMENTS):
            raise NoChannel
        if viewer is not None and not _may_listen(parts, viewer, is_wide=path.endswith(WILDCARD)):
            raise NotYours
        subscription = Subscription(path, None if viewer is None else segment(viewer), wake)
        self._subscriptions[subscription] = None
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Stop listening."""
        self._subscriptions.pop(subscription, None)


def _may_listen(parts: list[str], viewer: str, *, is_wide: bool) -> bool:
    """Tell whether a user who is no operator may listen there: to a topic, of which only their own comes, or beneath their name."""
    match parts[1:]:
        case [topic]:
            return bool(viewer) and not is_wide and topic not in FOR_OPERATORS
        case [topic, user, *_]:
            return bool(viewer) and topic not in FOR_OPERATORS and user == segment(viewer)
        case _:
            return False

"""Which event goes to which channel, and who may receive it there: one table.

A channel is a path of at most five segments of letters, digits and hyphens, the first of which is the namespace (AppSync Events developer
guide, "Channel namespaces"). Channels that carry the events of many users are named as the front ends of the founding documents
know them, `restaurant-booking` and `conversations`; beside them each user has channels of their own, which a front end can be given
without showing it anybody else's.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Final

import orjson

from publishing.events import (
    Alert,
    BookingEvent,
    ConversationEvent,
    Event,
    NotesEvent,
    PipelineEvent,
    RecordEvent,
    ResponseEvent,
    SessionEvent,
    TranscriptionEvent,
)
from publishing.shapes import to_json

NAMESPACE: Final = "events"
"""What the front ends of the founding documents subscribe in: `events/conversations`."""
MAX_SEGMENTS: Final = 5
MAX_SEGMENT: Final = 50
NOBODY: Final = "anybody"
"""Stands for a user whom nobody asked."""
NO_USERNAME: Final = "(anybody)"
"""The same, as key of a conversation's record."""
_SEGMENT: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,48}[A-Za-z0-9])?")


class Audience(StrEnum):
    """Who may receive an event, beside operators."""

    OWNER = "owner"
    """The user whom it is about."""
    OPERATORS = "operators"
    """Nobody else."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Where events of one kind go. `{user}` and `{session}` stand for segments of the event's own."""

    audience: Audience
    shared: str = ""
    """Channel for the events of all users; empty for none."""
    own: str = ""
    """Channel of one user; empty for none."""


_OF_SESSION: Final = Rule(Audience.OWNER, own="voice-sessions/{user}/{session}")

TABLE: Final[Mapping[type[Event], Rule]] = {
    SessionEvent: _OF_SESSION,
    TranscriptionEvent: _OF_SESSION,
    ResponseEvent: _OF_SESSION,
    PipelineEvent: _OF_SESSION,
    NotesEvent: _OF_SESSION,
    ConversationEvent: Rule(Audience.OWNER, shared="conversations", own="conversations/{user}"),
    BookingEvent: Rule(Audience.OWNER, shared="restaurant-booking", own="restaurant-booking/{user}"),
    RecordEvent: Rule(Audience.OPERATORS, shared="{kind}s"),
    Alert: Rule(Audience.OPERATORS, shared="alerts"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """An event on one channel."""

    channel: str
    """With the namespace, without a slash at the beginning."""
    text: str
    """JSON."""
    owner: str
    """Segment of the user who may receive it, beside operators; empty for operators alone."""


def messages(event: Event, namespace: str = NAMESPACE) -> tuple[Message, ...]:
    """Return what is sent for an event.

    Raises:
        TypeError: a value of it cannot be written as JSON.
    """
    rule = TABLE[type(event)]
    user = _user_of(event)
    owner = segment(user) if user and rule.audience is Audience.OWNER else ""
    text = orjson.dumps(to_json(event)).decode()
    names = {"user": segment(user or NOBODY), "session": segment(_session_of(event)), "kind": getattr(event, "kind", "")}
    channels = [rule.shared] if rule.shared else []
    if rule.own and (user or not rule.shared):
        channels.append(rule.own)
    return tuple(Message(f"{namespace}/{channel.format_map(names)}", text, owner) for channel in channels)


def segment(name: str) -> str:
    """Return a name as a segment of a channel: itself where it can be one, else `x-` and the beginning of its SHA-256."""
    return name if _SEGMENT.fullmatch(name) else f"x-{sha256(name.encode(errors='replace')).hexdigest()[:40]}"


def is_channel(path: str) -> bool:
    """Tell whether a path, without a slash at the beginning, is one of a channel."""
    parts = path.split("/")
    return 1 <= len(parts) <= MAX_SEGMENTS and all(_SEGMENT.fullmatch(part) for part in parts)


def _user_of(event: Event) -> str:
    match event:
        case ConversationEvent():
            return "" if event.username == NO_USERNAME else event.username
        case RecordEvent() | Alert():
            return ""
        case _:
            return event.user_id


def _session_of(event: Event) -> str:
    return getattr(event, "session_id", "")

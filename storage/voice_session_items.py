"""Voice sessions as the program knows them, and as the table has them.

Each process that has a session, or had it, keeps its own counts in an attribute of its own (`leg-...`): they can be written again, late and
in any order. What is told of a session is their sum; `messageCount` and `totalDuration` repeat it for those who read the table themselves.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from storage.models import format_instant, parse_instant
from storage.records import ANYBODY, Reader, to_milliseconds, without_nulls
from storage.table import Key
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item, Value

METADATA: Final = "METADATA"
LEG_PREFIX: Final = "leg-"
ON_REQUEST: Final = "REQUEST"
"""Where sessions live that a program has asked for and no process talks in."""
PARKED: Final = "PARKED"
"""Where sessions live that one process has left to the next."""


class VoiceSessionStatus(StrEnum):
    """How a session stands."""

    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


class SessionEndedBy(StrEnum):
    """Who says that a session has ended."""

    OWNER = "owner"
    """The process that had it, or whoever asked for it: this is final."""
    REQUEST = "request"
    """Somebody wants it ended; its process ends it."""
    SWEEP = "sweep"
    """Nobody has heard of it or of its process for long; if its process has it after all, it says so."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened in a session."""

    user_turns: int = 0
    """Turns of the user that have a final text."""
    assistant_turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    interruptions: int = 0
    user_audio_ms: int = 0
    """Audio that the client sent."""
    assistant_audio_ms: int = 0
    """Speech of the model, with what nobody heard of it."""

    @property
    def messages(self) -> int:
        """Turns of both sides."""
        return self.user_turns + self.assistant_turns

    def __add__(self, other: "Counts") -> "Counts":
        mine, others = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + others[name] for name in mine})


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens used since a session began, in whatever process that was."""

    input_speech: int = 0
    input_text: int = 0
    output_speech: int = 0
    output_text: int = 0


@dataclass(frozen=True, slots=True)
class SessionEnding:
    """How a session came to its end."""

    at: datetime
    status: VoiceSessionStatus
    reason: str
    error_code: str | None = None
    """Code of the error that ended it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceSession:
    """One voice session."""

    session_id: str
    nova_sonic_session_id: str = ""
    """As the model calls it; empty until it has said something."""
    connection_id: str
    """Of the connection that has it, or had it last; empty where there is none."""
    user_id: str
    status: VoiceSessionStatus
    created_at: datetime
    updated_at: datetime
    audio_format: str | None = None
    """Media type of the caller's audio."""
    assistant: str | None = None
    language: str | None = None
    voice_id: str | None = None
    model_id: str | None = None
    counts: Counts = Counts()
    tokens: Tokens = Tokens()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What programs note of it."""
    ended_at: datetime | None = None
    end_reason: str | None = None
    error_code: str | None = None
    process: str | None = None
    """Which process has it, or had it last."""
    lives_on: str | None = None
    """That process, ON_REQUEST or PARKED; None once it has ended."""

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status is VoiceSessionStatus.ACTIVE

    @property
    def total_duration(self) -> Decimal | None:
        """Seconds from its beginning to its end; None while it lives."""
        return None if self.ended_at is None else seconds_between(self.created_at, self.ended_at)

    @property
    def message_count(self) -> int:
        """Turns of both sides so far."""
        return self.counts.messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What one process knows of a session that it has, or had."""

    session_id: str
    leg_id: str
    """Unique, also where a session comes back to a process that had it before."""
    process: str
    began_at: datetime
    """When this process began with it."""
    is_adopted: bool = False
    """Whether another process had it before."""
    connection_id: str = ""
    user_id: str = ""
    assistant: str = ""
    language: str = ""
    voice_id: str = ""
    model_id: str = ""
    audio_format: str = ""
    nova_sonic_session_id: str = ""
    counts: Counts = Counts()
    tokens: Tokens | None = None
    """None until the model has told them here."""
    is_parked: bool = False
    """Whether this process has left it to another."""
    ending: SessionEnding | None = None


def key_of(session_id: str) -> Key:
    """Return where a session is."""
    return Key(f"VOICE#{session_id}", METADATA)


def user_of(session: VoiceSession) -> str:
    """Return whose a session is; empty for somebody whom nobody asked."""
    return "" if session.user_id == ANYBODY else session.user_id


def seconds_between(first: datetime, last: datetime) -> Decimal:
    """Return the time between two instants in seconds, to the millisecond and never negative."""
    passed = to_milliseconds(last) - to_milliseconds(first)
    return max(Decimal(0), Decimal(passed // timedelta(milliseconds=1)) / 1000)


def claim_of(leg: Leg) -> int:
    """Return by what the process that has a session is told from those that had it before: the latest beginning wins."""
    return int(leg.began_at.timestamp() * 1000)


def leg_attributes(leg: Leg, now: datetime) -> dict[str, Value]:
    """Return what a process that has a session writes of it, without its end."""
    found: dict[str, Value] = {
        "sessionId": leg.session_id,
        "novaSonicSessionId": leg.nova_sonic_session_id,
        "connectionId": leg.connection_id or None,
        "userId": leg.user_id or ANYBODY,
        "status": VoiceSessionStatus.ACTIVE.value,
        "createdAt": None if leg.is_adopted else format_instant(leg.began_at),
        "updatedAt": format_instant(now),
        "audioFormat": leg.audio_format or None,
        "assistant": leg.assistant or None,
        "language": leg.language or None,
        "voiceId": leg.voice_id or None,
        "modelId": leg.model_id or None,
        "process": leg.process,
        "claimed": claim_of(leg),
        "tokens": None if leg.tokens is None else _written(leg.tokens),
        "liveOn": PARKED if leg.is_parked else leg.process,
        "liveSince": format_instant(now if leg.is_parked else leg.began_at),
        leg_name(leg.leg_id): _written(leg.counts),
    }
    return without_nulls(found)


def ending_attributes(ending: SessionEnding, by: SessionEndedBy, expires_at: int | None) -> dict[str, Value]:
    """Return what the end of a session changes."""
    found: dict[str, Value] = {
        "status": ending.status.value,
        "updatedAt": format_instant(ending.at),
        "endedAt": format_instant(ending.at),
        "endedBy": by.value,
        "endReason": ending.reason,
        "errorCode": ending.error_code,
        TTL_ATTRIBUTE: expires_at,
    }
    return without_nulls(found)


def created_item(session: VoiceSession) -> Item:
    """Return a session that a program asks for, as it is written first."""
    key = key_of(session.session_id)
    found: dict[str, Value] = {
        PARTITION: key.partition,
        SORT: key.sort,
        "sessionId": session.session_id,
        "novaSonicSessionId": session.nova_sonic_session_id,
        "connectionId": session.connection_id or None,
        "userId": session.user_id or ANYBODY,
        "status": session.status.value,
        "createdAt": format_instant(session.created_at),
        "updatedAt": format_instant(session.updated_at),
        "audioFormat": session.audio_format,
        "metadata": dict(session.metadata) or None,
        "liveOn": ON_REQUEST,
        "liveSince": format_instant(session.updated_at),
    }
    return without_nulls(found)


def from_item(item: Item) -> VoiceSession:
    """Return a session as the table has it.

    Raises:
        InvalidRequest: it was not written by this program.
    """
    read = Reader(item)
    ended_at = read.maybe_text("endedAt")
    return VoiceSession(
        session_id=read.text("sessionId"),
        nova_sonic_session_id=read.text("novaSonicSessionId", ""),
        connection_id=read.text("connectionId", ""),
        user_id=read.text("userId"),
        status=VoiceSessionStatus(read.text("status")),
        created_at=parse_instant(read.text("createdAt")),
        updated_at=parse_instant(read.text("updatedAt")),
        audio_format=read.maybe_text("audioFormat"),
        assistant=read.maybe_text("assistant"),
        language=read.maybe_text("language"),
        voice_id=read.maybe_text("voiceId"),
        model_id=read.maybe_text("modelId"),
        counts=counts_of(item),
        tokens=Tokens(**_numbers(item, "tokens", Tokens())),
        metadata=metadata_of(item),
        ended_at=parse_instant(ended_at) if ended_at else None,
        end_reason=read.maybe_text("endReason"),
        error_code=read.maybe_text("errorCode"),
        process=read.maybe_text("process"),
        lives_on=read.maybe_text("liveOn"),
    )


def metadata_of(item: Item) -> dict[str, str]:
    """Return what programs have noted."""
    noted = item.get("metadata")
    return {name: value for name, value in noted.items() if isinstance(value, str)} if isinstance(noted, Mapping) else {}


def leg_name(leg_id: str) -> str:
    """Return the attribute in which a process counts."""
    return LEG_PREFIX + leg_id


def leg_counts(item: Item, name: str) -> Counts:
    """Return what one process has counted; nothing where it has not."""
    return Counts(**_numbers(item, name, Counts()))


def counts_of(item: Item) -> Counts:
    """Return what all processes together have counted."""
    return sum((leg_counts(item, name) for name in item if name.startswith(LEG_PREFIX)), Counts())


def _written(counted: Counts | Tokens) -> dict[str, Value]:
    return {_camel(name): int(value) for name, value in asdict(counted).items()}


def written_counts(counts: Counts) -> Mapping[str, Value]:
    """Return counts as they stand in the attribute of a process."""
    return _written(counts)


def _numbers(item: Item, name: str, nothing: Counts | Tokens) -> dict[str, int]:
    if name not in item:
        return {}
    read = Reader(Reader(item).record(name))
    return {one: int(read.number(_camel(one))) for one in asdict(nothing)}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)

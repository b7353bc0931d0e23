"""What is published, as frozen values; `publishing/routes.py` says on which channels and for whom, `publishing/shapes.py` in which JSON.

Times are UTC. A user id is empty for somebody whom nobody asked. Texts are what somebody said: they are published, and never logged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

type Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


class SessionChange(StrEnum):
    """What happened to a voice session."""

    CREATED = "created"
    UPDATED = "updated"
    ENDED = "ended"
    ERROR = "error"


class SessionStatus(StrEnum):
    """The status of a voice session, as its record has it."""

    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """A voice session was created, changed, ended or failed."""

    change: SessionChange
    session_id: str
    user_id: str
    at: datetime
    status: SessionStatus
    connection_id: str = ""
    assistant: str = ""
    language: str = ""
    message_count: int | None = None
    """Final turns of both sides until now."""
    duration_ms: int | None = None
    """Since the session began; None while nobody asks."""
    reason: str | None = None
    """Why it ended."""
    error_code: str | None = None
    """Stable code of what went wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionEvent:
    """The user said something."""

    session_id: str
    user_id: str
    at: datetime
    turn: int
    """From 1 within the session; 0 where there are no turns, as for an uploaded file."""
    text: str
    language: str
    confidence: float | None = None
    """From 0 to 1; None where the model gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseEvent:
    """The assistant answered."""

    session_id: str
    user_id: str
    at: datetime
    turn: int
    text: str
    language: str
    is_interrupted: bool = False
    """Whether the user spoke over it: the text is what was heard."""


class Change(StrEnum):
    """What happened to a record, in the words of DynamoDB Streams."""

    INSERT = "INSERT"
    MODIFY = "MODIFY"
    REMOVE = "REMOVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationEvent:
    """The record of a conversation was written."""

    change: Change
    username: str
    """Whose conversation it is."""
    conversation_id: str
    at: datetime
    conversation: Json
    """What the record holds of the conversation, as it was written; None where it was removed."""
    source: str
    """Where the change was seen: the name of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingEvent:
    """The record of a booking in a restaurant was written."""

    change: Change
    booking_id: str
    at: datetime
    source: str
    """Where the change was seen: the name of the table."""
    date: str = ""
    """As the record has it: YYYY-MM-DD."""
    name: str = ""
    """In which name the table is booked."""
    hour: str = ""
    """As the record has it: HH:MM."""
    guests: int | None = None
    status: str = ""
    user_id: str = ""
    """Who booked; empty where the record does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordEvent:
    """An order or an appointment was written; nothing of the person whose it is."""

    change: Change
    kind: str
    """`order` or `appointment`."""
    record_id: str
    status: str
    at: datetime
    source: str


class PipelineStage(StrEnum):
    """The six stages of an uploaded recording."""

    RECEIVED = "received"
    STORED = "stored"
    TRANSCRIBED = "transcribed"
    ANSWERED = "answered"
    SYNTHESISED = "synthesised"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineEvent:
    """Uploaded audio came to a stage of its way, or failed on the way to it."""

    stage: PipelineStage
    session_id: str
    user_id: str
    at: datetime
    audio_id: str = ""
    """Names the upload, where a session has several."""
    duration_ms: int | None = None
    """How long the stage took."""
    error_code: str | None = None
    """Stable code of why the stage was not reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesEvent:
    """An artefact of a conversation was made: notes, a summary."""

    kind: str
    """`notes` or `summary`."""
    session_id: str
    user_id: str
    at: datetime
    notes_id: str
    """Names it where it is kept; what it says is not published."""


class Severity(StrEnum):
    """How urgent an alert is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Somebody should look at something."""

    code: str
    """Stable, of lower-case letters and underscores: `patient_needs_help`, `model_unavailable`."""
    message: str
    """For people. It is sent and shown to operators, and never logged: it may name a person."""
    at: datetime
    severity: Severity = Severity.WARNING
    session_id: str = ""
    details: Mapping[str, str] = field(default_factory=dict)
    """Ids and figures, by name."""


type Event = (
    SessionEvent | TranscriptionEvent | ResponseEvent | ConversationEvent | BookingEvent | RecordEvent | PipelineEvent | NotesEvent | Alert
)

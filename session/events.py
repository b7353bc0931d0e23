"""Commands that a client can give, and the events that everyone else receives: the vocabulary of the whole program.

Dialects translate frames into commands and events into frames; observers listen to events. Audio is LPCM, signed 16-bit little-endian,
mono. A turn is numbered from 1 within its session, user and assistant turns in one sequence; 0 means "no turn yet".
"""

from dataclasses import dataclass, field
from enum import StrEnum

from s2s.events import Endpointing, InferenceConfiguration, OutputEvent, Role, Stage, ToolSpec

# Commands


@dataclass(frozen=True, slots=True)
class HistoryTurn:
    """One turn of an earlier conversation that the model is told before it listens."""

    role: Role
    """USER or ASSISTANT."""
    text: str


@dataclass(frozen=True, slots=True)
class Start:
    """Begin a session. A field left at None is the assistant's choice; one that the assistant does not let clients set is ignored."""

    assistant: str | None = None
    language: str | None = None
    voice_id: str | None = None
    prompt: str | None = None
    inference: InferenceConfiguration | None = None
    endpointing: Endpointing | None = None
    input_hertz: int = 16_000
    output_hertz: int = 24_000
    history: tuple[HistoryTurn, ...] = ()
    context: str = ""
    """What the server knows of whom it talks to, never the client's own words; the model is told it after the prompt."""
    memory: tuple[HistoryTurn, ...] = ()
    """What the server remembers of the user's earlier conversations; the model is told it before `history`."""
    client_tools: tuple[ToolSpec, ...] = ()
    """Tools that the client runs: a call is told as ToolStarted and answered with SubmitToolResult."""
    preferred_voice_id: str = ""
    """What the user likes best, as the server knows: for when `voice_id` is None, and the model has it."""
    patient_id: str = ""
    """Whom the session is with, as the server has found out: tools look up and change what belongs to nobody else."""


@dataclass(frozen=True, slots=True)
class SendAudio:
    """The user's microphone: an even number of bytes at the session's input rate."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class SendText:
    """The user types instead of speaking; interrupts the assistant if it is speaking."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The user wants the assistant to be quiet, without saying anything."""


@dataclass(frozen=True, slots=True)
class ReportPlayback:
    """The client tells how much of an assistant turn was really heard."""

    turn: int
    heard_ms: int


@dataclass(frozen=True, slots=True)
class SubmitToolResult:
    """The client has run one of its own tools."""

    tool_use_id: str
    content: str
    """What it returned: JSON text of an object, or any other text."""


@dataclass(frozen=True, slots=True)
class Revise:
    """Go on with other wishes from the next quiet moment on."""

    start: Start
    """Voice, prompt, inference, endpointing and the client's tools count; everything else stays as the session began."""


@dataclass(frozen=True, slots=True)
class StopAudio:
    """The client closes its microphone for good; the session may go on by text."""


@dataclass(frozen=True, slots=True)
class End:
    """The client ends the session."""


type Command = Start | SendAudio | SendText | Interrupt | ReportPlayback | SubmitToolResult | Revise | StopAudio | End


# Session events


class EndReason(StrEnum):
    """Why a session ended."""

    CLIENT = "client"
    """The client said so, or closed its connection."""
    SERVER_LEAVING = "server_leaving"
    """The server was told to stop."""
    PARKED = "parked"
    """The same, and another server can go on with the session."""
    OPERATOR = "operator"
    """Somebody who runs the server ended it."""
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - the name of a reason
    """The token of the client has expired, and no new one came."""
    CLIENT_LOST = "client_lost"
    """The client lost its connection and did not come back in time."""
    IDLE = "idle"
    """Neither side said anything for too long; a SessionFailed event came before."""
    FAILED = "failed"
    """A SessionFailed event came before."""


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """The model's stream is open and the session listens."""

    session_id: str
    assistant: str
    language: str
    voice_id: str
    model_id: str
    input_hertz: int
    output_hertz: int


@dataclass(frozen=True, slots=True)
class UserSpeechStarted:
    """The model hears the user."""

    turn: int


@dataclass(frozen=True, slots=True)
class UserSpeechEnded:
    """The model takes the user's turn as finished."""

    turn: int


@dataclass(frozen=True, slots=True)
class TranscriptUpdated:
    """Text of a turn: SPECULATIVE is replaced by the FINAL of the same turn."""

    turn: int
    role: Role
    stage: Stage
    text: str
    """The text of this block; a turn may have several blocks of one stage, in order."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The assistant begins to speak."""

    turn: int
    output_hertz: int


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of the assistant's speech, delivered at the pace of playback."""

    turn: int
    pcm: bytes
    content_id: str = ""
    """The model's block that it belongs to."""


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """No more speech comes in this turn."""

    turn: int


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The user spoke over the assistant: clients throw away what they have not played of this turn."""

    turn: int
    heard_ms: int
    """How much of the turn was heard: as reported by the client, else by the pacing clock."""


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool runs."""

    turn: int
    tool_use_id: str
    name: str
    arguments: str
    """JSON text as the model wrote it."""


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool ended, and its result was given to the model."""

    turn: int
    tool_use_id: str
    name: str
    result: str
    """JSON text of an object."""
    error_code: str | None
    """None when the tool did what it was asked."""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class SessionStalled:
    """The model is away for longer than a second and is being looked for; SessionContinued or SessionFailed follows."""

    code: str
    """What the session would end with."""


class ContinueReason(StrEnum):
    """Why another stream carries a session."""

    RENEWED = "renewed"
    """As planned, before the old one ended."""
    RESUMED = "resumed"
    """The old one died."""


@dataclass(frozen=True, slots=True)
class SessionContinued:
    """Another stream of the model carries the session from now on."""

    reason: ContinueReason
    waited_ms: int
    """How long there was none."""


class Direction(StrEnum):
    """Which way audio goes."""

    UP = "up"
    """From the client."""
    DOWN = "down"
    """To the client."""


@dataclass(frozen=True, slots=True)
class AudioDropped:
    """Audio that was too much was thrown away since the last such event."""

    direction: Direction
    ms: int


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The server is leaving: SessionEnded follows when the turn is over, at the latest after this time."""

    time_left_ms: int


@dataclass(frozen=True, slots=True)
class ExchangeRefused:
    """The service does not accept what was said last; the session goes on without it."""

    code: str
    message: str
    retryable: bool = False
    ref: str = ""
    """Joins the message to the log."""


@dataclass(frozen=True, slots=True)
class UsageReported:
    """Tokens used since the session began."""

    input_speech: int
    input_text: int
    output_speech: int
    output_text: int


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """A model event as it came, for dialects that speak Nova's own events; never AudioOutput, which comes as SpeechChunk."""

    event: OutputEvent


@dataclass(frozen=True, slots=True)
class ToolAnswered:
    """The result as it was given to the model, for dialects that mirror the tool events."""

    tool_use_id: str
    content_name: str
    content: str


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """Something went wrong; `session/errors.py` has the catalogue."""

    code: str
    message: str
    """For the client: says what to do, carries no internals."""
    retryable: bool
    ref: str = ""
    """Joins the message to the log."""
    retry_after: int | None = None
    """Seconds after which trying again can help; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The last event of a session."""

    reason: EndReason
    close_code: int = 1000
    statistics: dict[str, int | float] = field(default_factory=dict)
    """The counters of the canonical log line."""


type SessionEvent = (
    SessionStarted
    | UserSpeechStarted
    | UserSpeechEnded
    | TranscriptUpdated
    | SpeechStarted
    | SpeechChunk
    | SpeechEnded
    | Interrupted
    | ToolStarted
    | ToolFinished
    | ToolAnswered
    | UsageReported
    | ModelOutput
    | SessionStalled
    | SessionContinued
    | AudioDropped
    | GoingAway
    | ExchangeRefused
    | SessionFailed
    | SessionEnded
)

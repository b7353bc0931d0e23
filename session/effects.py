"""What the session machine is told, and what it asks its runner to do.

Inputs are what happened (besides the client's commands), effects are what shall happen. A stream's inputs carry its generation: a session
may have several streams one after the other, and nothing that an old one still says may touch the new one.
"""

from dataclasses import dataclass, field

from s2s.errors import Remedy
from s2s.events import Endpointing, InferenceConfiguration, InputEvent, OutputEvent, ToolSpec, ToolUse
from session.events import Command, EndReason, SessionEvent, Start

FIRST_GENERATION = 1
"""Of a session's first stream, which takes what is sent without being asked to."""

# Inputs


@dataclass(frozen=True, slots=True)
class Begin:
    """The runner is ready: open the model's stream."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The service accepted the stream."""

    generation: int
    signed_for_seconds: float | None = None
    """Until the credentials that sign it expire; None for never."""


@dataclass(frozen=True, slots=True)
class ModelEvent:
    """The model sent an event."""

    generation: int
    event: OutputEvent


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """The stream ended in order, as our sessionEnd asked."""

    generation: int


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """The stream was refused or died."""

    generation: int
    code: str
    """Slug of the ModelError."""
    remedy: Remedy
    ref: str = ""
    """Of the log line that has the details."""
    crowd: int = 0
    """How many other sessions of the process lost their stream just before."""


@dataclass(frozen=True, slots=True)
class ToolDone:
    """A tool call ended, well or not."""

    tool_use_id: str
    content: str
    error_code: str | None
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Drain:
    """The server is leaving, or an operator wants this session ended: end when nobody speaks, at the latest after this time."""

    within_seconds: float
    is_parked: bool = False
    """Whether Park comes when nobody speaks: do not end without it before the latest time."""
    reason: EndReason = EndReason.SERVER_LEAVING


@dataclass(frozen=True, slots=True)
class Park:
    """Another process can go on with the session from now on: end it here."""


@dataclass(frozen=True, slots=True)
class ClientLost:
    """The client lost its connection and may come back: go on without it for a while."""

    grace_seconds: float
    undelivered_samples: int = 0
    """Of the speech of the latest turn, what was sent and has not arrived as far as is known."""


@dataclass(frozen=True, slots=True)
class ClientBack:
    """The client is back, on another connection."""

    undelivered_samples: int = 0
    """Of the speech of the latest turn, what had not arrived and is sent again now."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Our own bug: end the session and say so."""

    ref: str


@dataclass(frozen=True, slots=True)
class Overflowed:
    """The way to the model was full, and the oldest audio of the user was thrown away."""

    total_ms: float
    """Since the session began."""


@dataclass(frozen=True, slots=True)
class Stay:
    """Do not end after all, unless it was asked for another reason."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class Replan:
    """Open the next stream by another plan, and soon: the client has other wishes."""

    start: Start
    """What the client asks for now."""
    voice_id: str
    prompt: str
    inference: InferenceConfiguration
    endpointing: Endpointing | None
    client_tools: tuple[ToolSpec, ...]
    tools: tuple[ToolSpec, ...]
    """Specs of all tools."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that `next_deadline` asked for has come."""


type Input = (
    Command
    | Begin
    | StreamOpened
    | ModelEvent
    | StreamEnded
    | StreamFailed
    | ToolDone
    | Drain
    | ClientLost
    | ClientBack
    | Park
    | Broken
    | Overflowed
    | Stay
    | Replan
    | Tick
)

# Effects


@dataclass(frozen=True, slots=True)
class OpenStream:
    """Open a stream and send these events first."""

    generation: int
    opening: tuple[InputEvent, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Send what waits, and what is sent from now on, on this stream; None lets it wait."""

    generation: int | None
    first: "tuple[Send, ...]" = ()
    """What is sent before that: audio that another stream may have heard in part. What of it still waits is not sent twice."""


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close a stream in order; the session goes on without it."""

    generation: int


@dataclass(frozen=True, slots=True)
class KeepAudio:
    """Of what waits for the model keep the user's speech alone: the rest was worded for a stream that is gone."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send these events as one group."""

    events: tuple[InputEvent, ...]
    audio_ms: float = 0.0
    """How much audio the group carries; such a group may be dropped when the model stops reading."""
    is_filler: bool = False
    """Silence that keeps the stream alive: of use only while nothing else waits."""
    number: int = field(default=0, compare=False)
    """Of the user's audio, counted from 1 in the session; 0 for anything else."""
    generation: int | None = None
    """The one stream that understands the group, such as the result of a call; None for whichever carries the session."""


@dataclass(frozen=True, slots=True)
class StartTool:
    """Run a tool and come back with ToolDone."""

    use: ToolUse


@dataclass(frozen=True, slots=True)
class Emit:
    """Give the event to the observers and into the playback queue."""

    event: SessionEvent


@dataclass(frozen=True, slots=True)
class Flush:
    """Throw away the speech of this turn, and of older ones, that was not delivered yet."""

    turn: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The session is over: close the stream in order, stop the tools, end the downlink."""


type Effect = OpenStream | Route | CloseStream | KeepAudio | Send | StartTool | Emit | Flush | Finish

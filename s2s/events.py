"""The events of Nova Sonic's bidirectional stream, one frozen dataclass each.

Input events go to the model, output events come from it. The JSON of each is in `codec.py`, the order in which they are legal in
`protocol.py`. Audio is raw LPCM here (signed 16-bit little-endian, mono); base64 exists on the wires alone, so that a hostile chunk is
refused where it comes in. Source of all shapes: Amazon Nova user guide, "Using the bidirectional streaming API" (input and output events).
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Who speaks in a content block."""

    SYSTEM = "SYSTEM"
    SYSTEM_SPEECH = "SYSTEM_SPEECH"
    USER = "USER"
    ASSISTANT = "ASSISTANT"
    TOOL = "TOOL"


class ContentType(StrEnum):
    """What a content block carries."""

    TEXT = "TEXT"
    AUDIO = "AUDIO"
    TOOL = "TOOL"


class Stage(StrEnum):
    """How sure a text is: SPECULATIVE is what the assistant plans to say, FINAL is what was said."""

    SPECULATIVE = "SPECULATIVE"
    FINAL = "FINAL"


class StopReason(StrEnum):
    """Why a content block or completion ended."""

    PARTIAL_TURN = "PARTIAL_TURN"
    END_TURN = "END_TURN"
    INTERRUPTED = "INTERRUPTED"
    TOOL_USE = "TOOL_USE"


class Endpointing(StrEnum):
    """How quickly silence is taken as the end of the user's turn (HIGH is quickest). Models from Nova 2 on."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


@dataclass(frozen=True, slots=True)
class InferenceConfiguration:
    """Sampling parameters of a session."""

    max_tokens: int = 1024
    """Longest answer, in tokens, at least 1."""
    top_p: float = 0.9
    """Nucleus sampling, 0 to 1."""
    temperature: float = 0.7
    """0 to 1; 0 is the steadiest choice of tools."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it."""

    name: str
    """Matches ^[a-zA-Z0-9_-]+$, unique in a prompt."""
    description: str
    input_schema: str
    """JSON Schema of the arguments as JSON text: the service refuses an object here."""


# Input events


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Opens the session; always the first event of a stream."""

    inference: InferenceConfiguration = InferenceConfiguration()
    endpointing: Endpointing | None = None
    """None leaves the object out, as v1 requires."""


@dataclass(frozen=True, slots=True)
class PromptStart:
    """Opens the prompt: voice, output rate and tools, fixed for the life of the stream."""

    prompt_name: str
    voice_id: str
    output_hertz: int = 24_000
    """8000, 16000 or 24000 samples per second."""
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    """None or "auto" (the model decides), "any", or a tool's name."""


@dataclass(frozen=True, slots=True)
class TextContentStart:
    """Opens a text block: system prompt, history (not interactive), or a typed user turn (interactive)."""

    prompt_name: str
    content_name: str
    role: Role
    interactive: bool = False


@dataclass(frozen=True, slots=True)
class AudioContentStart:
    """Opens the one audio block that stays open for the whole stream."""

    prompt_name: str
    content_name: str
    input_hertz: int = 16_000
    """8000, 16000 or 24000 samples per second."""


@dataclass(frozen=True, slots=True)
class ToolContentStart:
    """Opens the block that carries the result of one tool call."""

    prompt_name: str
    content_name: str
    tool_use_id: str


@dataclass(frozen=True, slots=True)
class TextInput:
    """A piece of text of the open text block, at most 1 KB of UTF-8 by AWS's guidance."""

    prompt_name: str
    content_name: str
    content: str


@dataclass(frozen=True, slots=True)
class AudioInput:
    """A piece of the user's speech."""

    prompt_name: str
    content_name: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool call; JSON text of an object."""

    prompt_name: str
    content_name: str
    content: str


@dataclass(frozen=True, slots=True)
class ContentEnd:
    """Closes a block."""

    prompt_name: str
    content_name: str


@dataclass(frozen=True, slots=True)
class PromptEnd:
    """Closes the prompt, after all its blocks."""

    prompt_name: str


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Closes the session; always the last event of a stream."""


type ContentStart = TextContentStart | AudioContentStart | ToolContentStart
type InputEvent = SessionStart | PromptStart | ContentStart | TextInput | AudioInput | ToolResult | ContentEnd | PromptEnd | SessionEnd


# Output events


@dataclass(frozen=True, slots=True)
class CompletionStart:
    """The model starts to answer: once a stream, not once a turn."""

    session_id: str
    prompt_name: str
    completion_id: str


@dataclass(frozen=True, slots=True)
class ContentStarted:
    """The model opens a block."""

    session_id: str
    prompt_name: str
    completion_id: str
    content_id: str
    type: ContentType
    role: Role
    stage: Stage | None = None
    """TEXT blocks only."""
    output_hertz: int | None = None
    """AUDIO blocks only: samples per second."""


@dataclass(frozen=True, slots=True)
class TextOutput:
    """Transcript of the user, or text of the assistant."""

    session_id: str
    prompt_name: str
    completion_id: str
    content_id: str
    role: Role | None
    """None when the event carries none; the block's role counts."""
    content: str


@dataclass(frozen=True, slots=True)
class AudioOutput:
    """A piece of the assistant's speech, sent faster than it is played."""

    session_id: str
    prompt_name: str
    completion_id: str
    content_id: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The model calls a tool and waits for exactly one result."""

    session_id: str
    prompt_name: str
    completion_id: str
    content_id: str
    tool_name: str
    tool_use_id: str
    content: str
    """Arguments as JSON text, sometimes encoded twice."""


@dataclass(frozen=True, slots=True)
class ContentEnded:
    """The model closes a block."""

    session_id: str
    prompt_name: str
    completion_id: str
    content_id: str
    type: ContentType
    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class CompletionEnd:
    """The model is done, after promptEnd or not at all; no border of a turn."""

    session_id: str
    prompt_name: str
    completion_id: str
    stop_reason: StopReason


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens by kind."""

    input_speech: int = 0
    input_text: int = 0
    output_speech: int = 0
    output_text: int = 0


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Tokens used: `delta` since the last event, `total` since the stream opened."""

    session_id: str
    prompt_name: str
    completion_id: str
    delta: TokenCounts
    total: TokenCounts


@dataclass(frozen=True, slots=True)
class UserSpeechStart:
    """The model hears the user begin to speak (undocumented, seen on Nova 2 and 2.5)."""

    session_id: str
    prompt_name: str
    offset_ms: int
    """Milliseconds of input audio since the audio block opened."""


@dataclass(frozen=True, slots=True)
class UserSpeechEnd:
    """The model takes the user's turn as finished (undocumented, seen on Nova 2 and 2.5)."""

    session_id: str
    prompt_name: str
    offset_ms: int
    """Where the speech ended, in milliseconds of input audio."""
    detection_offset_ms: int
    """Where the end was detected, in milliseconds of input audio."""


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event this code does not know: kept as it came, never an error."""

    name: str
    body: str
    """The event's JSON text."""


type OutputEvent = (
    CompletionStart
    | ContentStarted
    | TextOutput
    | AudioOutput
    | ToolUse
    | ContentEnded
    | CompletionEnd
    | UsageEvent
    | UserSpeechStart
    | UserSpeechEnd
    | UnknownEvent
)

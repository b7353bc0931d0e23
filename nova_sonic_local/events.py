"""What a client may send, one frozen dataclass per input event, as the emulator understands it.

Source: Amazon Nova user guide, "Handling input events with the bidirectional API".
"""

from dataclasses import dataclass
from enum import StrEnum

from nova_sonic_local.brains.interface import Tool


class Endpointing(StrEnum):
    """How soon silence is the end of the user's turn."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class TextRole(StrEnum):
    """Whose text a TEXT block carries."""

    SYSTEM = "SYSTEM"
    SYSTEM_SPEECH = "SYSTEM_SPEECH"
    USER = "USER"
    ASSISTANT = "ASSISTANT"


@dataclass(frozen=True, slots=True)
class SessionStart:
    """Opens the session."""

    endpointing: Endpointing | None


@dataclass(frozen=True, slots=True)
class PromptStart:
    """Opens a prompt."""

    prompt: str
    voice_id: str
    output_hertz: int
    tools: tuple[Tool, ...]


@dataclass(frozen=True, slots=True)
class TextStart:
    """Opens a TEXT block."""

    prompt: str
    content: str
    role: TextRole
    interactive: bool


@dataclass(frozen=True, slots=True)
class AudioStart:
    """Opens the AUDIO block."""

    prompt: str
    content: str
    input_hertz: int


@dataclass(frozen=True, slots=True)
class ToolStart:
    """Opens the block of a tool result."""

    prompt: str
    content: str
    tool_use_id: str
    media_type: str


@dataclass(frozen=True, slots=True)
class TextInput:
    """Text of a TEXT block."""

    prompt: str
    content: str
    text: str


@dataclass(frozen=True, slots=True)
class AudioInput:
    """Speech of the AUDIO block: 16-bit little-endian mono."""

    prompt: str
    content: str
    pcm: bytes


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Result of a tool call, as text."""

    prompt: str
    content: str
    text: str


@dataclass(frozen=True, slots=True)
class ContentEnd:
    """Closes a block."""

    prompt: str
    content: str


@dataclass(frozen=True, slots=True)
class PromptEnd:
    """Closes a prompt."""

    prompt: str


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """Closes the session."""


@dataclass(frozen=True, slots=True)
class UnknownInput:
    """An event with a name that is not in the guide."""

    name: str


type InputEvent = (
    SessionStart
    | PromptStart
    | TextStart
    | AudioStart
    | ToolStart
    | TextInput
    | AudioInput
    | ToolResult
    | ContentEnd
    | PromptEnd
    | SessionEnd
    | UnknownInput
)

_NAMES: dict[type, str] = {
    SessionStart: "sessionStart",
    PromptStart: "promptStart",
    TextStart: "contentStart",
    AudioStart: "contentStart",
    ToolStart: "contentStart",
    TextInput: "textInput",
    AudioInput: "audioInput",
    ToolResult: "toolResult",
    ContentEnd: "contentEnd",
    PromptEnd: "promptEnd",
    SessionEnd: "sessionEnd",
}


def wire_name(event: InputEvent) -> str:
    """Return what the client calls an event."""
    return event.name if isinstance(event, UnknownInput) else _NAMES[type(event)]

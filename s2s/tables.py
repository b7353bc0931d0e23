"""The tables that a stream moves along.

* STREAM: the stream itself, from sessionStart to sessionEnd. One prompt per stream: the API allows several, nobody uses them.
* PROMPT: which kind of content block may open. System prompt first and once, then history, then the one audio block; only while that is
  open does a typed turn make sense, and a tool result needs a pending call.
* CONTENT: a block is opened, gets data, and is closed; an empty one must not be closed.
* DATA: which event carries data of which kind of block.

Source: Amazon Nova user guide, "Using the bidirectional streaming API"; docs/reference/protocol.md is drawn from here.
"""

from enum import Enum
from typing import Final

from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    InputEvent,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
)


class StreamState(Enum):
    """Where the stream is."""

    IDLE = "IDLE"
    SESSION_OPEN = "SESSION_OPEN"
    PROMPT_OPEN = "PROMPT_OPEN"
    PROMPT_CLOSED = "PROMPT_CLOSED"
    CLOSED = "CLOSED"


class PromptPhase(Enum):
    """What an open prompt is ready for."""

    EMPTY = "EMPTY"
    """Nothing but the system prompt."""
    HISTORY = "HISTORY"
    """Earlier turns, or the audio block."""
    LISTENING = "LISTENING"
    """The audio block is open."""
    DEAF = "DEAF"
    """The audio block is closed."""


class Block(Enum):
    """Kinds of content block."""

    SYSTEM = "SYSTEM"
    SYSTEM_SPEECH = "SYSTEM_SPEECH"
    HISTORY = "HISTORY"
    """TEXT of USER or ASSISTANT, not interactive."""
    TYPED_TURN = "TYPED_TURN"
    """TEXT of USER, interactive: the model answers in speech."""
    AUDIO = "AUDIO"
    TOOL = "TOOL"


class ContentState(Enum):
    """Where a content block is."""

    EMPTY = "EMPTY"
    FILLED = "FILLED"
    CLOSED = "CLOSED"


_CONTENT_EVENTS: Final = (TextContentStart, AudioContentStart, ToolContentStart, TextInput, AudioInput, ToolResult, ContentEnd)

STREAM: Final[dict[StreamState, dict[type[InputEvent], StreamState]]] = {
    StreamState.IDLE: {SessionStart: StreamState.SESSION_OPEN},
    StreamState.SESSION_OPEN: {PromptStart: StreamState.PROMPT_OPEN, SessionEnd: StreamState.CLOSED},
    StreamState.PROMPT_OPEN: {**dict.fromkeys(_CONTENT_EVENTS, StreamState.PROMPT_OPEN), PromptEnd: StreamState.PROMPT_CLOSED},
    StreamState.PROMPT_CLOSED: {SessionEnd: StreamState.CLOSED},
    StreamState.CLOSED: {},
}

PROMPT: Final[dict[PromptPhase, dict[Block, PromptPhase]]] = {
    PromptPhase.EMPTY: {Block.SYSTEM: PromptPhase.HISTORY},
    PromptPhase.HISTORY: {
        Block.SYSTEM_SPEECH: PromptPhase.HISTORY,
        Block.HISTORY: PromptPhase.HISTORY,
        Block.AUDIO: PromptPhase.LISTENING,
    },
    PromptPhase.LISTENING: {Block.TYPED_TURN: PromptPhase.LISTENING, Block.TOOL: PromptPhase.LISTENING},
    PromptPhase.DEAF: {Block.TOOL: PromptPhase.DEAF},
}

CONTENT: Final[dict[ContentState, dict[str, ContentState]]] = {
    ContentState.EMPTY: {"data": ContentState.FILLED},
    ContentState.FILLED: {"data": ContentState.FILLED, "end": ContentState.CLOSED},
    ContentState.CLOSED: {},
}
"""A TOOL block takes data once; every other block as often as one likes."""

DATA: Final[dict[type[TextInput | AudioInput | ToolResult], frozenset[Block]]] = {
    TextInput: frozenset({Block.SYSTEM, Block.SYSTEM_SPEECH, Block.HISTORY, Block.TYPED_TURN}),
    AudioInput: frozenset({Block.AUDIO}),
    ToolResult: frozenset({Block.TOOL}),
}

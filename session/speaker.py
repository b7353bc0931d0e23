"""Whose turn it is, as a table."""

from collections.abc import Mapping
from enum import Enum, StrEnum


class Speaker(StrEnum):
    """Whose turn it is."""

    LISTENING = "listening"
    USER_SPEAKING = "user_speaking"
    ASSISTANT_SPEAKING = "assistant_speaking"
    TOOL_RUNNING = "tool_running"


NOBODY_SPEAKS = frozenset({Speaker.LISTENING, Speaker.TOOL_RUNNING})


class Signal(StrEnum):
    """What changes whose turn it is."""

    USER_STARTED = "user_started"
    USER_STOPPED = "user_stopped"
    ASSISTANT_STARTED = "assistant_started"
    ASSISTANT_STOPPED = "assistant_stopped"
    TOOL_CALLED = "tool_called"
    TOOLS_ANSWERED = "tools_answered"
    INTERRUPTED = "interrupted"


TRANSITIONS: Mapping[tuple[Speaker, Signal], Speaker] = {
    (Speaker.LISTENING, Signal.USER_STARTED): Speaker.USER_SPEAKING,
    (Speaker.LISTENING, Signal.ASSISTANT_STARTED): Speaker.ASSISTANT_SPEAKING,
    (Speaker.LISTENING, Signal.TOOL_CALLED): Speaker.TOOL_RUNNING,
    (Speaker.USER_SPEAKING, Signal.USER_STOPPED): Speaker.LISTENING,
    (Speaker.USER_SPEAKING, Signal.ASSISTANT_STARTED): Speaker.ASSISTANT_SPEAKING,
    (Speaker.USER_SPEAKING, Signal.TOOL_CALLED): Speaker.TOOL_RUNNING,
    (Speaker.ASSISTANT_SPEAKING, Signal.USER_STARTED): Speaker.USER_SPEAKING,
    (Speaker.ASSISTANT_SPEAKING, Signal.ASSISTANT_STOPPED): Speaker.LISTENING,
    (Speaker.ASSISTANT_SPEAKING, Signal.INTERRUPTED): Speaker.LISTENING,
    (Speaker.ASSISTANT_SPEAKING, Signal.TOOL_CALLED): Speaker.TOOL_RUNNING,
    (Speaker.TOOL_RUNNING, Signal.USER_STARTED): Speaker.USER_SPEAKING,
    (Speaker.TOOL_RUNNING, Signal.ASSISTANT_STARTED): Speaker.ASSISTANT_SPEAKING,
    (Speaker.TOOL_RUNNING, Signal.TOOLS_ANSWERED): Speaker.LISTENING,
    (Speaker.TOOL_RUNNING, Signal.INTERRUPTED): Speaker.LISTENING,
}
"""Every pair that moves; any other pair leaves the speaker as it is."""


class Mute(Enum):
    """How much of the model's speech is not delivered."""

    NOTHING = "nothing"
    BLOCK = "block"
    """Until the next AUDIO block begins."""
    TURN = "turn"
    """Until the model ends its turn, or turns to something new: the user wants no more of this answer."""

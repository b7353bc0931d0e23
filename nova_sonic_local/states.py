"""The table of a stream's order: where it is, what may come next, and what the service says to anything else.

    NEW --sessionStart--> SESSION --promptStart--> PROMPT --TEXT SYSTEM--> HISTORY --AUDIO--> AUDIO_OPEN --contentEnd--> AUDIO_CLOSED
    AUDIO_OPEN, AUDIO_CLOSED --promptEnd--> PROMPT_DONE --sessionEnd--> DONE

HISTORY takes finished texts of USER and ASSISTANT; AUDIO_OPEN takes audioInput, typed turns and results of tool calls (Amazon Nova user
guide). What the table does not name gets the generic refusal.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from nova_sonic_local.refusals import Refusal


class State(Enum):
    """Where the stream is."""

    NEW = "new"
    SESSION = "session"
    PROMPT = "prompt"
    HISTORY = "history"
    AUDIO_OPEN = "audio_open"
    AUDIO_CLOSED = "audio_closed"
    PROMPT_DONE = "prompt_done"
    DONE = "done"


class Step(Enum):
    """What an event is to the order of a stream."""

    SESSION_START = "sessionStart"
    PROMPT_START = "promptStart"
    SYSTEM = "TEXT SYSTEM"
    STYLE = "TEXT SYSTEM_SPEECH"
    PAST = "TEXT USER, not interactive"
    TYPED = "TEXT USER, interactive"
    ASSISTANT = "TEXT ASSISTANT"
    AUDIO = "AUDIO"
    TOOL = "TOOL"
    AUDIO_INPUT = "audioInput"
    AUDIO_END = "contentEnd of the audio"
    PROMPT_END = "promptEnd"
    SESSION_END = "sessionEnd"


type Table = Mapping[State, Mapping[Step, State | Refusal]]

_LATE_TEXTS: Final = {
    Step.SYSTEM: Refusal.SECOND_SYSTEM,
    Step.STYLE: Refusal.HISTORY_AFTER_AUDIO,
    Step.PAST: Refusal.HISTORY_AFTER_AUDIO,
}

ORDER: Final[Table] = {
    State.NEW: {Step.SESSION_START: State.SESSION},
    State.SESSION: {Step.PROMPT_START: State.PROMPT},
    State.PROMPT: {
        Step.SYSTEM: State.HISTORY,
        **dict.fromkeys((Step.STYLE, Step.PAST, Step.TYPED, Step.ASSISTANT, Step.AUDIO, Step.TOOL), Refusal.FIRST_NOT_SYSTEM),
        Step.PROMPT_END: Refusal.NO_AUDIO,
    },
    State.HISTORY: {
        Step.SYSTEM: Refusal.SECOND_SYSTEM,
        **dict.fromkeys((Step.STYLE, Step.PAST, Step.TYPED, Step.ASSISTANT, Step.TOOL), State.HISTORY),
        Step.AUDIO: State.AUDIO_OPEN,
        Step.AUDIO_INPUT: Refusal.HISTORY_AFTER_AUDIO,
        Step.PROMPT_END: Refusal.NO_AUDIO,
    },
    State.AUDIO_OPEN: {
        **_LATE_TEXTS,
        **dict.fromkeys((Step.TYPED, Step.ASSISTANT, Step.TOOL, Step.AUDIO_INPUT), State.AUDIO_OPEN),
        Step.AUDIO_END: State.AUDIO_CLOSED,
        Step.PROMPT_END: State.PROMPT_DONE,
    },
    State.AUDIO_CLOSED: {
        **_LATE_TEXTS,
        **dict.fromkeys((Step.TYPED, Step.ASSISTANT, Step.TOOL), State.AUDIO_CLOSED),
        Step.PROMPT_END: State.PROMPT_DONE,
    },
    State.PROMPT_DONE: {Step.SESSION_END: State.DONE},
    State.DONE: {},
}
"""A TOOL block also needs a call that waits for it: there is none before the audio is open."""

LENIENT: Final[Table] = {
    State.NEW: {},
    State.SESSION: {Step.SESSION_END: State.DONE},
    State.PROMPT: {Step.PROMPT_START: State.PROMPT, Step.SESSION_END: State.DONE},
    State.HISTORY: {Step.PROMPT_START: State.HISTORY, Step.SESSION_END: State.DONE},
    State.AUDIO_OPEN: {Step.PROMPT_START: State.AUDIO_OPEN, Step.SESSION_END: State.DONE},
    State.AUDIO_CLOSED: {
        **dict.fromkeys((Step.PROMPT_START, Step.AUDIO_INPUT), State.AUDIO_CLOSED),
        Step.SESSION_END: State.DONE,
    },
    State.PROMPT_DONE: dict.fromkeys((Step.PROMPT_START, Step.AUDIO_INPUT, Step.AUDIO_END), State.PROMPT_DONE),
    State.DONE: {Step.AUDIO_INPUT: State.DONE},
}
"""What relaxed checks take as well: a second promptStart, a sessionEnd without promptEnd, and audio after its end. Nothing comes of it."""


def follow(state: State, step: Step, *, is_strict: bool) -> State | Refusal:
    """Return the state after a step, or why there is none."""
    after = ORDER[state].get(step, Refusal.INVALID_REQUEST)
    return after if is_strict else LENIENT[state].get(step, after)

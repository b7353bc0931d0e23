"""What of an assistant's conversations is kept, and given to the next one: `[records]` and `[memory]` of its file."""

from collections.abc import Mapping
from dataclasses import dataclass

from s2s.limits import HISTORY_MESSAGES

MEMORY_TURNS_LIMIT = HISTORY_MESSAGES
"""Most turns of earlier conversations: a stream is told no more of the past."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """What one assistant keeps."""

    is_conversation_recorded: bool = True
    """Whether turns are written down, where the server writes them down at all."""
    is_audio_recorded: bool = False
    """Whether the sound is recorded, where the server leaves that to its assistants."""
    memory_turns: int = 0
    """How many of the latest turns of a user's earlier conversations the next one is told."""


def parse_keeping(data: Mapping[str, object]) -> Keeping:
    """Read the tables `records` and `memory` of an assistant's file.

    Raises:
        TypeError: says which member is wrong.
    """
    is_recorded, is_heard = (_table(data, "records").get(name, default) for name, default in (("conversations", True), ("audio", False)))
    if not isinstance(is_recorded, bool):
        raise TypeError("records.conversations: true or false is expected")
    if not isinstance(is_heard, bool):
        raise TypeError("records.audio: true or false is expected")
    turns = _table(data, "memory").get("turns", 0)
    if isinstance(turns, bool) or not isinstance(turns, int) or not 0 <= turns <= MEMORY_TURNS_LIMIT:
        raise TypeError(f"memory.turns: a whole number from 0 to {MEMORY_TURNS_LIMIT} is expected")
    if turns and not is_recorded:
        raise TypeError("memory.turns: there is no memory of conversations that records.conversations leaves out")
    return Keeping(is_recorded, is_heard, turns)


def _table(data: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = data.get(name, {})
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: a table is expected")
    return value

"""What is kept of a conversation: one record of itself, and one for each turn with what was said and heard, and which tools were called.

Under its user a conversation has its own id as sort key, and each of its turns that id, a number sign and the turn's number with leading
zeros, so that one range is the whole conversation in order. What was said lies in the attribute `conversation`. Records are cut to a size
that any store takes, and say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from storage.errors import InvalidRequest
from storage.models import format_instant, parse_instant
from storage.records import ANYBODY, Reader, without_nulls
from storage.table import Key
from storage.tables import TTL_ATTRIBUTE
from storage.values import Item, Value

USERNAME, CONVERSATION_ID, STARTED_AT = "username", "conversation_id", "startedAt"
TEXT_BYTES: Final = 64 * 1024
"""Longest text of a turn, in UTF-8: an hour of speech. DynamoDB takes records of 400 KB, and pages of a hundred turns are read at once."""
ARGUMENTS_BYTES: Final = 2 * 1024
RESULT_BYTES: Final = 1024
CALLS_LIMIT: Final = 32
"""Tool calls that are kept of one turn, the first ones."""
_DIGITS: Final = 8
_AFTER_DIGITS: Final = "~"


class Speaker(StrEnum):
    """Whose turn it is."""

    USER = "USER"
    ASSISTANT = "ASSISTANT"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool."""

    tool_use_id: str
    name: str
    arguments: str
    """JSON text, without what proves who somebody is."""
    result: str | None = None
    """The beginning of what it returned, JSON text; None when it did not end within the conversation."""
    error_code: str | None = None
    """None when the tool did what it was asked."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn."""

    number: int
    """From 1, in one sequence for both sides."""
    role: Speaker
    text: str
    """What was said, as far as it was heard."""
    started_at: datetime
    ended_at: datetime | None = None
    """None while it goes on."""
    heard_ms: int | None = None
    """How much of the speech was heard; set when it was cut short."""
    calls: tuple[ToolCall, ...] = ()
    is_cut: bool = False
    """Whether something was too long to be kept whole."""
    is_refused: bool = False
    """Whether the model's service did not accept it."""

    @property
    def is_interrupted(self) -> bool:
        """Whether its end was not heard."""
        return self.heard_ms is not None

    def with_call(self, call: ToolCall) -> "Turn":
        """Return the turn with this call in the place of what is known of it; its arguments stay where the call comes without."""
        known = {one.tool_use_id: one for one in self.calls}
        before = known.get(call.tool_use_id, call)
        known[call.tool_use_id] = replace(call, arguments=call.arguments or before.arguments)
        return replace(self, calls=tuple(known.values()))


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is known of a conversation as a whole."""

    conversation_id: str
    """That of its session."""
    user_id: str
    """Empty for somebody whom nobody asked."""
    assistant: str
    language: str
    started_at: datetime
    last_at: datetime
    """When its latest turn was written down."""
    last_turn: int = 0
    """Number of its latest turn."""


def username_of(user_id: str) -> str:
    """Return the partition of a user.

    Raises:
        InvalidRequest: nobody can be called so.
    """
    if user_id == ANYBODY:
        raise InvalidRequest("this is no user")
    return user_id or ANYBODY


def conversation_key(user_id: str, conversation_id: str) -> Key:
    """Return the key of a conversation's own record."""
    return Key(username_of(user_id), _plain(conversation_id))


def turn_key(user_id: str, conversation_id: str, number: int) -> Key:
    """Return the key of a turn's record."""
    return Key(username_of(user_id), f"{_plain(conversation_id)}#{number:0{_DIGITS}}")


def turns_range(conversation_id: str) -> tuple[str, str]:
    """Return the sort keys between which all turns of a conversation lie, and nothing else."""
    return f"{_plain(conversation_id)}#", f"{_plain(conversation_id)}#{_AFTER_DIGITS}"


def is_turn(item: Item) -> bool:
    """Tell whether a record is one of a turn."""
    return "#" in Reader(item).text(CONVERSATION_ID)


def _plain(conversation_id: str) -> str:
    if "#" in conversation_id or not conversation_id:
        raise InvalidRequest("this is no conversation")
    return conversation_id


def conversation_item(conversation: Conversation, kept: timedelta) -> dict[str, Value]:
    """Return the record of a conversation, which is kept for so long after its latest turn."""
    key = conversation_key(conversation.user_id, conversation.conversation_id)
    about: Item = {"assistant": conversation.assistant, "language": conversation.language, "lastTurn": conversation.last_turn}
    return {
        USERNAME: key.partition,
        CONVERSATION_ID: key.sort,
        STARTED_AT: format_instant(conversation.started_at),
        "timestamp": format_instant(conversation.last_at),
        "conversation": about,
        TTL_ATTRIBUTE: int((conversation.last_at + kept).timestamp()),
    }


def conversation_from(item: Item) -> Conversation:
    """Return the conversation of a record.

    Raises:
        InvalidRequest: names the attribute that is wrong.
    """
    read = Reader(item)
    about, username = Reader(read.record("conversation")), read.text(USERNAME)
    return Conversation(
        conversation_id=read.text(CONVERSATION_ID),
        user_id="" if username == ANYBODY else username,
        assistant=about.text("assistant"),
        language=about.text("language"),
        started_at=parse_instant(read.text(STARTED_AT)),
        last_at=parse_instant(read.text("timestamp")),
        last_turn=int(about.number("lastTurn")),
    )


def turn_item(user_id: str, conversation_id: str, turn: Turn, kept: timedelta) -> dict[str, Value]:
    """Return the record of a turn, cut to size, which is kept for so long after its beginning."""
    key, fitting = turn_key(user_id, conversation_id, turn.number), fitted(turn)
    said: dict[str, Value] = {
        "turn": fitting.number,
        "role": fitting.role.value,
        "text": fitting.text,
        "startedAt": format_instant(fitting.started_at),
        "endedAt": format_instant(fitting.ended_at) if fitting.ended_at else None,
        "interrupted": fitting.is_interrupted,
        "heardMs": fitting.heard_ms,
        "tools": [_call_item(call) for call in fitting.calls] or None,
        "cut": fitting.is_cut or None,
        "refused": fitting.is_refused or None,
    }
    return {
        USERNAME: key.partition,
        CONVERSATION_ID: key.sort,
        "timestamp": format_instant(turn.started_at),
        "conversation": without_nulls(said),
        TTL_ATTRIBUTE: int((turn.started_at + kept).timestamp()),
    }


def turn_from(item: Item) -> Turn:
    """Return the turn of a record.

    Raises:
        InvalidRequest: names the attribute that is wrong.
    """
    said = Reader(item).record("conversation")
    read = Reader(said)
    ended_at = read.maybe_text("endedAt")
    return Turn(
        number=int(read.number("turn")),
        role=Speaker(read.text("role")),
        text=read.text("text"),
        started_at=parse_instant(read.text("startedAt")),
        ended_at=parse_instant(ended_at) if ended_at else None,
        heard_ms=int(read.number("heardMs")) if "heardMs" in said else None,
        calls=tuple(_call_from(call) for call in read.parts("tools")) if "tools" in said else (),
        is_cut=said.get("cut") is True,
        is_refused=said.get("refused") is True,
    )


def fitted(turn: Turn) -> Turn:
    """Return a turn that fits one record, marked when something of it had to go; a text that is no Unicode is mended."""
    text, is_cut = _cut(turn.text, TEXT_BYTES)
    is_cut |= len(turn.calls) > CALLS_LIMIT
    calls = []
    for call in turn.calls[:CALLS_LIMIT]:
        arguments, is_shorter = _cut(call.arguments, ARGUMENTS_BYTES)
        result, _ = _cut(call.result or "", RESULT_BYTES)  # a summary, always
        kept = None if call.result is None else result
        calls.append(replace(call, name=_cut(call.name, 64)[0], arguments=arguments, result=kept))
        is_cut |= is_shorter
    return replace(turn, text=text, calls=tuple(calls), is_cut=turn.is_cut or is_cut)


def _cut(text: str, limit_bytes: int) -> tuple[str, bool]:
    encoded = text.encode(errors="replace")
    return encoded[:limit_bytes].decode(errors="ignore"), len(encoded) > limit_bytes


def _call_item(call: ToolCall) -> Mapping[str, Value]:
    item: dict[str, Value] = {"toolUseId": call.tool_use_id, "name": call.name, "arguments": call.arguments}
    return without_nulls({**item, "result": call.result, "errorCode": call.error_code})


def _call_from(read: Reader) -> ToolCall:
    known = read.text("toolUseId"), read.text("name"), read.text("arguments")
    return ToolCall(*known, read.maybe_text("result"), read.maybe_text("errorCode"))

"""How conversations look in JSON, as plain text, and in the OpenAPI document."""

from typing import Final

from api.kinds import MAX_USER, RECORD_ID
from api.schema import Choice, Instant, ListOf, Member, Record, Text, Told, Whole
from storage.conversation_turns import Conversation, Speaker, ToolCall, Turn
from storage.models import Json, format_instant

_YES_OR_NO: Final = Told({"type": "boolean"})
_WORDS: Final = Told({"type": "string"})
_COUNT: Final = Whole(0, 10**9)


def conversation_json(conversation: Conversation) -> dict[str, Json]:
    """Return a conversation without its turns."""
    return {
        "conversationId": conversation.conversation_id,
        "userId": conversation.user_id,
        "assistant": conversation.assistant,
        "language": conversation.language,
        "startedAt": format_instant(conversation.started_at),
        "lastAt": format_instant(conversation.last_at),
        "lastTurn": conversation.last_turn,
    }


def turn_json(turn: Turn) -> dict[str, Json]:
    """Return a turn."""
    told: dict[str, Json] = {"turn": turn.number, "role": turn.role.value, "text": turn.text, "startedAt": format_instant(turn.started_at)}
    told |= {"endedAt": format_instant(turn.ended_at)} if turn.ended_at else {}
    told |= {"interrupted": turn.is_interrupted}
    told |= {"heardMs": turn.heard_ms} if turn.heard_ms is not None else {}
    told |= {"tools": [_call_json(call) for call in turn.calls]} if turn.calls else {}
    told |= {"cut": True} if turn.is_cut else {}
    return told | ({"refused": True} if turn.is_refused else {})


def _call_json(call: ToolCall) -> dict[str, Json]:
    told: dict[str, Json] = {"name": call.name, "arguments": call.arguments}
    told |= {"result": call.result} if call.result is not None else {}
    return told | ({"errorCode": call.error_code} if call.error_code is not None else {})


def conversation_text(conversation: Conversation) -> str:
    """Return the first lines of a conversation as plain text."""
    began = format_instant(conversation.started_at)
    return f"Conversation {conversation.conversation_id} with {conversation.assistant} ({conversation.language}), {began}\n\n"


def turn_text(turn: Turn) -> str:
    """Return a turn as plain text: a line for what was said, and one for each tool."""
    notes = [note for note, is_so in (("interrupted", turn.is_interrupted), ("cut", turn.is_cut), ("refused", turn.is_refused)) if is_so]
    head = f"[{format_instant(turn.started_at)}] {turn.role.value}{f' ({", ".join(notes)})' if notes else ''}:"
    lines = [f"{head} {_one_line(turn.text)}"] if turn.text else [head]
    for call in turn.calls:
        outcome = f"error {call.error_code}" if call.error_code else "no result" if call.result is None else _one_line(call.result)
        lines.append(f"    {call.name} {_one_line(call.arguments)} -> {outcome}")
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


_CALL: Final = Record(
    "ConversationToolCall",
    (
        Member("name", _WORDS, "The tool.", is_required=True),
        Member("arguments", _WORDS, "JSON text, without what proves who somebody is.", is_required=True),
        Member("result", _WORDS, "The beginning of what it returned; absent when it did not end in the conversation."),
        Member("errorCode", _WORDS, "Absent when the tool did what it was asked."),
    ),
)
TURN: Final = Record(
    "ConversationTurn",
    (
        Member("turn", _COUNT, "Number within the conversation, of both sides in one sequence.", is_required=True),
        Member("role", Choice(Speaker), "Whose turn it is.", is_required=True),
        Member("text", _WORDS, "What was said, as far as it was heard.", is_required=True),
        Member("startedAt", Instant(), "When it began.", is_required=True),
        Member("endedAt", Instant(), "When it ended."),
        Member("interrupted", _YES_OR_NO, "Whether its end was not heard.", is_required=True),
        Member("heardMs", _COUNT, "Of an interrupted turn, how much speech was heard."),
        Member("tools", ListOf(_CALL), "Tools that were called in it."),
        Member("cut", _YES_OR_NO, "True when something was too long to be kept whole."),
        Member("refused", _YES_OR_NO, "True when the model's service did not accept it."),
    ),
)
_ABOUT: Final = (
    Member("conversationId", RECORD_ID, "That of its session.", is_required=True),
    Member("userId", Text(MAX_USER, shortest=0), "Whose it is; empty for somebody whom nobody asked.", is_required=True),
    Member("assistant", Text(64), "Who spoke with them.", is_required=True),
    Member("language", Text(16), "In which language.", is_required=True),
    Member("startedAt", Instant(), "When it began.", is_required=True),
    Member("lastAt", Instant(), "When its latest turn was written down.", is_required=True),
    Member("lastTurn", _COUNT, "Number of its latest turn.", is_required=True),
)
CONVERSATION: Final = Record("Conversation", _ABOUT)
WHOLE_CONVERSATION: Final = Record("WholeConversation", (*_ABOUT, Member("turns", ListOf(TURN), "In order.", is_required=True)))

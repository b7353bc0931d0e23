"""The items of a conversation as Realtime clients know it: what was said and called, each under an id, one after another."""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from s2s.wire import Json
from transports.dialects.realtime_wire import Generation, Ids, Writer

ITEMS_LIMIT: Final = 200
"""Items that can still be asked for: as many as the session remembers turns."""
SERVER_LABEL: Final = "assistant"
"""Whose tools those are that the server runs."""


class Kind(StrEnum):
    """What an item is."""

    MESSAGE = "message"
    FUNCTION_CALL = "function_call"
    """Of a tool of the client."""
    FUNCTION_OUTPUT = "function_call_output"
    SERVER_CALL = "mcp_call"
    """Of a tool that the server runs: this is how clients are told of calls that are none of theirs."""


class Content(StrEnum):
    """What a message consists of."""

    INPUT_TEXT = "input_text"
    INPUT_AUDIO = "input_audio"
    OUTPUT_TEXT = "output_text"
    OUTPUT_AUDIO = "output_audio"


_BETA_CONTENT: Final = {Content.OUTPUT_TEXT: "text", Content.OUTPUT_AUDIO: "audio"}
_SPOKEN: Final = (Content.INPUT_AUDIO, Content.OUTPUT_AUDIO)


@dataclass(slots=True)
class Item:
    """One item."""

    item_id: str
    kind: Kind = Kind.MESSAGE
    role: str = ""
    """Of a message."""
    content: Content = Content.INPUT_TEXT
    text: str = ""
    """Of a message what is said in it, of a call its arguments, of an output the output."""
    status: str = "completed"
    turn: int = 0
    """Of the session; 0 when the item belongs to none."""
    name: str = ""
    """Of the tool."""
    call_id: str = ""
    output: str | None = None
    """Of a tool that the server ran."""
    error: str = ""
    """Of the same, when it did not do what it was asked."""

    def told(self, generation: Generation) -> dict[str, Json]:
        """Return the item as the client is told of it."""
        common: dict[str, Json] = {"id": self.item_id, "object": "realtime.item", "type": self.kind.value}
        match self.kind:
            case Kind.MESSAGE:
                return common | {"status": self.status, "role": self.role, "content": self._content(generation)}
            case Kind.FUNCTION_CALL:
                return common | {"status": self.status, "name": self.name, "call_id": self.call_id, "arguments": self.text}
            case Kind.FUNCTION_OUTPUT:
                return common | {"status": self.status, "call_id": self.call_id, "output": self.text}
            case Kind.SERVER_CALL:
                error: Json = {"type": "tool_execution_error", "message": self.error} if self.error else None
                call: dict[str, Json] = {"server_label": SERVER_LABEL, "name": self.name, "arguments": self.text}
                return {**common, **call, "approval_request_id": None, "output": self.output, "error": error}

    def _content(self, generation: Generation) -> list[Json]:
        if self.status == "in_progress":
            return []
        kind = _BETA_CONTENT.get(self.content, self.content.value) if generation is Generation.BETA else self.content.value
        return [{"type": kind, "transcript" if self.content in _SPOKEN else "text": self.text}]


class Items:
    """The items of one connection.

    Args:
        ids: makes ids.
        writer: writes the events.
    """

    def __init__(self, ids: Ids, writer: Writer) -> None:
        self._ids = ids
        self._writer = writer
        self._kept: OrderedDict[str, Item] = OrderedDict()
        self.last_id: str | None = None
        """Of the conversation's end."""

    def get(self, item_id: str) -> Item | None:
        """Return an item, None if there is none or it is too old."""
        return self._kept.get(item_id)

    def of_turn(self, turn: int, content: Content) -> Item | None:
        """Return the message of a turn."""
        return next((item for item in reversed(self._kept.values()) if (item.turn, item.content) == (turn, content)), None)

    def new_id(self, wanted: str = "") -> str:
        """Return an id for an item: the one that is wanted, if it is free."""
        return wanted if wanted and wanted not in self._kept else self._ids.new("item")

    def add(self, item: Item) -> list[str]:
        """Append an item to the conversation."""
        previous, self.last_id = self.last_id, item.item_id
        self._kept[item.item_id] = item
        while len(self._kept) > ITEMS_LIMIT:
            self._kept.popitem(last=False)
        return self._writer.event("conversation.item.added", {"previous_item_id": previous, "item": item.told(self._writer.generation)})

    def done(self, item: Item) -> list[str]:
        """Tell that an item is complete."""
        ids = list(self._kept)
        at = ids.index(item.item_id) if item.item_id in self._kept else 0
        told: dict[str, Json] = {"previous_item_id": ids[at - 1] if at else None, "item": item.told(self._writer.generation)}
        return self._writer.event("conversation.item.done", told)

    def remove(self, item: Item) -> None:
        """Take an item out of the conversation."""
        self._kept.pop(item.item_id, None)
        if self.last_id == item.item_id:
            self.last_id = next(reversed(self._kept), None)

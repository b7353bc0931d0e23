"""The answer of a text model while it is being written: blocks of text and of tool calls, and where it has to stop."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import orjson

from nova_sonic_local.ids import Ids
from nova_sonic_local.models import CHARACTERS_PER_TOKEN
from nova_sonic_local.usage import text_tokens

_PIECE: Final = re.compile(r"\s*\S+")
"""One delta of text: a word with the space before it."""
_INPUT_CHARACTERS: Final = 24
"""One delta of the arguments of a tool."""

type Emit = Callable[[str, Mapping[str, object]], Awaitable[None]]


class Writing:
    """Collects what a brain says and calls; tells each step to who streams it.

    Args:
        emit: takes each event of the stream, by name.
        ids: makes the ids of tool calls.
        most_tokens: the answer stops here; None is nowhere.
        stops: texts before which it stops.
    """

    def __init__(self, emit: Emit, ids: Ids, most_tokens: int | None, stops: Sequence[str]) -> None:
        self.content: list[dict[str, object]] = []
        """The blocks of the message."""
        self.stop_reason = ""
        """Empty while it may go on."""
        self._emit = emit
        self._ids = ids
        self._room = None if most_tokens is None else most_tokens * CHARACTERS_PER_TOKEN
        self._stops = stops
        self._text = ""
        self._used = 0

    @property
    def tokens(self) -> int:
        """Tokens of everything that was written."""
        return text_tokens("x" * self._used)

    async def begin(self) -> None:
        """Begin the message."""
        await self._emit("messageStart", {"role": "assistant"})

    async def say(self, text: str) -> None:
        """Write a sentence, as far as there is room for it."""
        if self.stop_reason or not text:
            return
        text = f" {text}" if self._text else text
        ends = [end for stop in self._stops if (end := text.find(stop)) >= 0]
        if ends:
            text, self.stop_reason = text[: min(ends)], "stop_sequence"
        if self._room is not None and self._used + len(text) > self._room:
            text, self.stop_reason = text[: self._room - self._used], "max_tokens"
        self._text += text
        self._used += len(text)
        for piece in _PIECE.findall(text):
            await self._emit("contentBlockDelta", {"contentBlockIndex": len(self.content), "delta": {"text": piece}})

    async def call(self, calls: Sequence[tuple[str, Mapping[str, object] | str]]) -> None:
        """Write the calls of tools, which end the message."""
        if self.stop_reason:
            return
        await self._end_text()
        for name, arguments in calls:
            use_id = f"tooluse_{self._ids.new().replace('-', '')[:22]}"
            given = arguments if isinstance(arguments, str) else orjson.dumps(dict(arguments)).decode()
            index = len(self.content)
            await self._emit("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": use_id, "name": name}}})
            for start in range(0, len(given), _INPUT_CHARACTERS):
                piece = given[start : start + _INPUT_CHARACTERS]
                await self._emit("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}})
            await self._emit("contentBlockStop", {"contentBlockIndex": index})
            self.content.append({"toolUse": {"toolUseId": use_id, "name": name, "input": _parsed(given)}})
            self._used += len(given)
        self.stop_reason = "tool_use"

    async def end(self) -> None:
        """End the message."""
        await self._end_text()
        self.stop_reason = self.stop_reason or "end_turn"
        await self._emit("messageStop", {"stopReason": self.stop_reason})

    async def _end_text(self) -> None:
        if self._text:
            index = len(self.content)
            self.content.append({"text": self._text})
            self._text = ""
            await self._emit("contentBlockStop", {"contentBlockIndex": index})


def _parsed(text: str) -> object:
    """Return arguments as the value that they are; what is no JSON stays a text, as a model that is confused writes it."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text

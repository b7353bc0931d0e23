"""What a request of Converse asks: the conversation so far, the tools, and how long the answer may be.

The messages are those that users of Converse have reported publicly (langchain-aws issue 192, dify issues 12340 and 17545); where the
service's words are not known, ours say what is wrong. Pure.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from nova_sonic_local.brains.interface import PastTurn, Tool, ToolAnswer

MOST_TURNS: Final = 100
"""Turns of the user in one request."""
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_IGNORED = frozenset({"cachePoint", "reasoningContent"})
"""Blocks that change nothing of what is said."""
_MUST_START = "A conversation must start with a user message. Try again with a conversation that starts with a user message."
_MUST_ALTERNATE = (
    "A conversation must alternate between user and assistant roles. "
    "Make sure the conversation alternates between user and assistant roles and try again."
)
_NO_TOOLS = "The toolConfig field must be defined when using toolUse and toolResult content blocks."


class ConversationError(ValueError):
    """The request makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request."""

    system: str
    turns: Sequence[PastTurn]
    """The last one is to be answered."""
    tools: Mapping[str, Tool]
    most_tokens: int | None
    stops: Sequence[str]
    """Texts before which the answer ends."""
    characters: int
    """Of everything that was said, for the bill."""


def parse_conversation(body: bytes) -> Conversation:
    """Return what a request asks.

    Raises:
        ConversationError: it makes no sense, or asks for what is not emulated.
    """
    try:
        root = _object(orjson.loads(body or b"null"), "the request")
    except orjson.JSONDecodeError as error:
        raise ConversationError("The request body is not valid JSON.") from error
    tools = _tools(root.get("toolConfig"))
    system = "\n".join(_text(block, f"system.{index}") for index, block in enumerate(_blocks(root.get("system", []), "system")))
    turns = _Reader(has_tools=root.get("toolConfig") is not None).read(_list(root.get("messages"), "messages"))
    if len(turns) > MOST_TURNS:
        raise ConversationError(f"The conversation has more than {MOST_TURNS} turns of the user.")
    settings = _object(root.get("inferenceConfig", {}), "inferenceConfig")
    characters = len(system) + sum(len(turn.text) + sum(map(len, turn.said)) + len(str(turn.answers)) for turn in turns)
    return Conversation(system, turns, tools, _most_tokens(settings), _stops(settings), characters)


def _most_tokens(settings: Mapping[str, object]) -> int | None:
    value = settings.get("maxTokens")
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConversationError("inferenceConfig.maxTokens must be a whole number from 1.")
    return value


def _stops(settings: Mapping[str, object]) -> list[str]:
    stops = [stop for stop in _list(settings.get("stopSequences", []), "inferenceConfig.stopSequences") if isinstance(stop, str) and stop]
    if len(stops) != len(_list(settings.get("stopSequences", []), "inferenceConfig.stopSequences")):
        raise ConversationError("inferenceConfig.stopSequences must be a list of texts.")
    return stops


def _tools(config: object) -> dict[str, Tool]:
    if config is None:
        return {}
    tools: dict[str, Tool] = {}
    for index, entry in enumerate(_blocks(_object(config, "toolConfig").get("tools"), "toolConfig.tools")):
        place = f"toolConfig.tools.{index}.toolSpec"
        spec = _object(entry.get("toolSpec"), place)
        name, description = spec.get("name"), spec.get("description", "")
        schema = _object(_object(spec.get("inputSchema"), f"{place}.inputSchema").get("json"), f"{place}.inputSchema.json")
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name) or not isinstance(description, str):
            raise ConversationError(f"{place}.name must match [a-zA-Z0-9_-]+ and have 64 characters at most.")
        if name in tools:
            raise ConversationError(f"The tool {name} is already defined at toolConfig.tools.")
        tools[name] = Tool(name, description, schema)
    if not tools:
        raise ConversationError("toolConfig.tools must have at least one tool.")
    return tools


class _Reader:
    """Turns messages into turns.

    Args:
        has_tools: whether the request has a toolConfig.
    """

    def __init__(self, *, has_tools: bool) -> None:
        self._has_tools = has_tools
        self._turns: list[PastTurn] = []
        self._waiting: dict[str, ToolAnswer] = {}
        """Tools called in the message before, by id; without a result."""

    def read(self, messages: Sequence[object]) -> list[PastTurn]:
        """Return the turns."""
        for index, value in enumerate(messages):
            message = _object(value, f"messages.{index}")
            role = message.get("role")
            if role not in ("user", "assistant"):
                raise ConversationError(f"messages.{index}.role must be user or assistant.")
            if index == 0 and role != "user":
                raise ConversationError(_MUST_START)
            if role != ("user" if index % 2 == 0 else "assistant"):
                raise ConversationError(_MUST_ALTERNATE)
            place = f"messages.{index}.content"
            blocks = _blocks(message.get("content"), place)
            if not blocks:
                raise ConversationError(f"The content field in the Message object at messages.{index} is empty.")
            self._read_user(blocks, place) if role == "user" else self._read_assistant(blocks, place)
        if not self._turns:
            raise ConversationError(_MUST_START)
        if len(messages) % 2 == 0:
            raise ConversationError("The conversation must end with a user message: an answer that is already begun is not emulated.")
        return self._turns

    def _read_user(self, blocks: Sequence[Mapping[str, object]], place: str) -> None:
        texts: list[str] = []
        results: dict[str, ToolAnswer] = {}
        for number, block in enumerate(blocks):
            if "toolResult" in block:
                self._check_tools()
                use_id, result = _tool_result(block["toolResult"], f"{place}.{number}.toolResult")
                if use_id not in self._waiting or use_id in results:
                    raise ConversationError(f"The toolResult at {place}.{number} belongs to no toolUse of the previous turn.")
                results[use_id] = replace(self._waiting[use_id], result=result)
            else:
                texts.append(_text(block, f"{place}.{number}"))
        if missing := [use_id for use_id in self._waiting if use_id not in results]:
            raise ConversationError(f"Expected toolResult blocks at {place} for the following Ids: {', '.join(missing)}")
        if results:
            self._turns[-1].answers += [results[use_id] for use_id in self._waiting]
        self._waiting = {}
        if texts:
            self._turns.append(PastTurn("\n".join(texts)))

    def _read_assistant(self, blocks: Sequence[Mapping[str, object]], place: str) -> None:
        for number, block in enumerate(blocks):
            if "toolUse" in block:
                self._check_tools()
                use = _object(block["toolUse"], f"{place}.{number}.toolUse")
                use_id, name = use.get("toolUseId"), use.get("name")
                is_id = isinstance(use_id, str) and _TOOL_USE_ID.fullmatch(use_id) and use_id not in self._waiting
                if not isinstance(use_id, str) or not is_id or not isinstance(name, str):
                    raise ConversationError(f"{place}.{number}.toolUse must have a name, and a toolUseId of its own.")
                self._waiting[use_id] = ToolAnswer(use_id, name, use.get("input"), {})
            elif not _IGNORED & block.keys():
                self._turns[-1].said.append(_text(block, f"{place}.{number}"))

    def _check_tools(self) -> None:
        if not self._has_tools:
            raise ConversationError(_NO_TOOLS)


def _tool_result(value: object, place: str) -> tuple[str, dict[str, object]]:
    block = _object(value, place)
    use_id, status = block.get("toolUseId"), block.get("status", "success")
    if not isinstance(use_id, str) or status not in ("success", "error"):
        raise ConversationError(f"{place} must have a toolUseId, and a status of success or error.")
    result: dict[str, object] = {}
    for index, content in enumerate(_blocks(block.get("content"), f"{place}.content")):
        result |= _result_of(content, f"{place}.content.{index}")
    if status == "error":
        result.setdefault("success", False)
    return use_id, result


def _result_of(content: Mapping[str, object], place: str) -> dict[str, object]:
    """Return a part of a result by name; a text that is no JSON is a message."""
    if "json" in content:
        return dict(_object(content["json"], f"{place}.json"))
    text = content.get("text")
    if not isinstance(text, str):
        raise ConversationError(f"{place}: only text and json are emulated.")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) else {"message": text}


def _text(block: Mapping[str, object], place: str) -> str:
    text = block.get("text")
    if not isinstance(text, str):
        kind = next(iter(block), "nothing")
        raise ConversationError(f"{place}: text, toolUse and toolResult are emulated, {kind[:64]} is not.")
    if not text.strip():
        where = f"in the ContentBlock object at {place}"
        raise ConversationError(f"The text field {where} is blank. Add text to the text field, and try again.")
    return text


def _blocks(value: object, place: str) -> list[Mapping[str, object]]:
    blocks = [_object(block, f"{place}.{index}") for index, block in enumerate(_list(value, place))]
    return [block for block in blocks if not (_IGNORED & block.keys() and len(block) == 1)]


def _list(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise ConversationError(f"{place} must be a list.")
    return value


def _object(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ConversationError(f"{place} must be an object.")
    return value

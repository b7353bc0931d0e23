"""The conversation in the format of Converse: the user begins, roles alternate, each toolUse has its toolResult in the next message. Pure.

Source: Amazon Bedrock user guide, "Use a tool to complete an Amazon Bedrock model response".
"""

from collections.abc import Sequence
from typing import Any, Final

from cascade.interfaces import Message, ToolCall
from s2s.errors import CodecError
from s2s.events import Role
from s2s.limits import TOOL_RESULT_BYTES
from s2s.wire import load_json

MOST_MESSAGES: Final = 200
"""Of a stream; older ones go. A session opens the next stream long before."""
ARGUMENTS_BYTES: Final = 64 * 1024
_ROLES: Final = {Role.USER: "user", Role.ASSISTANT: "assistant"}


class Dialogue:
    """What was said on one stream, as the text model is told it."""

    def __init__(self) -> None:
        self._messages: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        """Messages of the assistant by the number of the answer."""

    def messages(self) -> tuple[Message, ...]:
        """Return the conversation so far."""
        return tuple({"role": message["role"], "content": list(message["content"])} for message in self._messages)

    def tell(self, role: Role, text: str) -> None:
        """Add what somebody said before the stream was opened."""
        if text and (self._messages or role is Role.USER):
            self._add(_ROLES[role], [{"text": text}])

    def user(self, text: str) -> None:
        """Add what the user says."""
        self._add("user", [{"text": text}])
        self._trim()

    def answer(self, number: int, text: str, calls: Sequence[ToolCall] = ()) -> None:
        """Add what the assistant says and calls."""
        content: list[dict[str, Any]] = [{"text": text}] if text else []
        content += [{"toolUse": {"toolUseId": call.tool_use_id, "name": call.name, "input": _arguments(call.arguments)}} for call in calls]
        if content and self._messages:
            self._answers[number] = self._add("assistant", content)

    def result(self, tool_use_id: str, content: str) -> None:
        """Add the result of a call, the JSON text of an object, before anything that the user has said meanwhile."""
        block = {"toolResult": {"toolUseId": tool_use_id, "content": [{"json": _parsed(content, TOOL_RESULT_BYTES * 4)}]}}
        last = self._messages[-1]["content"] if self._messages and self._messages[-1]["role"] == "user" else None
        if last is None:
            self._add("user", [block])
        else:
            last.insert(sum("toolResult" in one for one in last), block)

    def cut(self, number: int, heard: str) -> None:
        """Leave of an answer what was heard of it; its calls stay."""
        message = self._answers.get(number)
        if message is None:
            self.answer(number, heard)
            return
        calls = [block for block in message["content"] if "toolUse" in block]
        message["content"] = [*([{"text": heard}] if heard else []), *calls]
        if not message["content"]:
            self._remove(message)

    def _add(self, role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        if self._messages and self._messages[-1]["role"] == role:
            self._messages[-1]["content"] += content
        else:
            self._messages.append({"role": role, "content": content})
        return self._messages[-1]

    def _remove(self, message: dict[str, Any]) -> None:
        at = next(index for index, one in enumerate(self._messages) if one is message)
        del self._messages[at]
        if 0 < at < len(self._messages) and self._messages[at - 1]["role"] == self._messages[at]["role"]:
            self._messages[at - 1]["content"] += self._messages.pop(at)["content"]

    def _trim(self) -> None:
        """Begin with a later message of the user, which holds no result of a call that is told no more."""
        if len(self._messages) <= MOST_MESSAGES:
            return
        for at in range(len(self._messages) - MOST_MESSAGES, len(self._messages)):
            message = self._messages[at]
            if message["role"] == "user" and not any("toolResult" in block for block in message["content"]):
                del self._messages[:at]
                kept = {id(one) for one in self._messages}
                self._answers = {number: one for number, one in self._answers.items() if id(one) in kept}
                return


def _arguments(text: str) -> object:
    given = _parsed(text, ARGUMENTS_BYTES)
    return given if isinstance(given, dict) else {}


def _parsed(text: str, limit_bytes: int) -> object:
    try:
        return load_json(text, limit_bytes)
    except CodecError:
        return {}

"""Tools that the client has and the model may call: what is accepted of them, and the calls that wait for the client. Pure.

The call goes to the client as ToolStarted and comes back as SubmitToolResult. Until then it is a call that runs, like any other, so that
everything that holds of those holds of it as well: one answer, whatever becomes of the stream. A client that does not answer in time has
not answered: the model is told so, and what comes later is refused.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from s2s.events import ToolSpec
from s2s.limits import TOOL_NAME, TOOL_RESULT_BYTES, clean_text
from session.effects import ToolDone
from session.errors import NotAllowed, TooLarge, UnknownCall

ANSWER_SECONDS: Final = 30.0
"""How long a client may take for a call unless the settings say otherwise."""
TOOLS_LIMIT: Final = 32
"""Tools of one client: each is read by the model with every turn."""
DESCRIPTION_CHARACTERS: Final = 1_024
SCHEMA_BYTES: Final = 8 * 1024
SCHEMA_DEPTH: Final = 12
"""Deepest nesting of a schema: an object in a list in an object takes six."""
TIMEOUT_CODE: Final = "client_timeout"
_TIMEOUT: Final = json.dumps(
    {
        "success": False,
        "error": TIMEOUT_CODE,
        "message": "The application did not answer in time. It may have done it or not. Say so, and offer to try again.",
    }
)


def check_client_tools(tools: Sequence[ToolSpec], taken: Collection[str] = ()) -> None:
    """Refuse tools that no session is opened with.

    Args:
        tools: of the client.
        taken: names of the assistant's own tools.

    Raises:
        NotAllowed: too many, a name that is wrong, twice there or the assistant's own, or a schema that is no object of JSON.
        TooLarge: a description or schema.
    """
    if len(tools) > TOOLS_LIMIT:
        raise NotAllowed(f"A client can have {TOOLS_LIMIT} tools at most.")
    names = set(taken)
    for tool in tools:
        if TOOL_NAME.fullmatch(tool.name) is None:
            raise NotAllowed(f"{tool.name[:40]!r} is no name for a tool: 1 to 64 letters, digits, - and _.")
        if tool.name in names:
            raise NotAllowed(f"There is a tool {tool.name!r} already.")
        names.add(tool.name)
        if len(tool.description) > DESCRIPTION_CHARACTERS:
            raise TooLarge(f"The description of {tool.name!r} has more than {DESCRIPTION_CHARACTERS} characters.")
        if len(tool.input_schema.encode(errors="replace")) > SCHEMA_BYTES:
            raise TooLarge(f"The schema of {tool.name!r} has more than {SCHEMA_BYTES} bytes.")
        if not _is_schema(tool.input_schema):
            raise NotAllowed(f"The schema of {tool.name!r} is no JSON object, or is nested more than {SCHEMA_DEPTH} levels deep.")


class ClientCalls:
    """The calls of one session that wait for its client.

    Args:
        tools: of the client.
        seconds: how long it may take.
    """

    def __init__(self, tools: Sequence[ToolSpec], seconds: float) -> None:
        self._names = frozenset(tool.name for tool in tools)
        self._seconds = seconds
        self._called_at: dict[str, float] = {}
        """By toolUseId, in the order of the calls."""

    @property
    def deadline(self) -> float:
        """When the oldest call has waited for too long."""
        return next(iter(self._called_at.values()), float("inf")) + self._seconds

    def revise(self, tools: Sequence[ToolSpec]) -> None:
        """Take note of other tools; those that there were may still be called by the stream that knows them."""
        self._names |= {tool.name for tool in tools}

    def owns(self, name: str) -> bool:
        """Tell whether the client runs this tool."""
        return name in self._names

    def called(self, tool_use_id: str, now: float) -> None:
        """Take note of a call."""
        self._called_at[tool_use_id] = now

    def answered(self, tool_use_id: str, content: str, now: float) -> ToolDone:
        """Return what a result means.

        Raises:
            UnknownCall: no such call waits.
            TooLarge: the call goes on waiting.
        """
        if tool_use_id not in self._called_at:
            raise UnknownCall
        content = _as_object(content)
        if len(content.encode()) > TOOL_RESULT_BYTES:
            raise TooLarge(f"A result can have {TOOL_RESULT_BYTES} bytes at most.")
        return ToolDone(tool_use_id, content, None, self._let_go(tool_use_id, now))

    def overdue(self, now: float) -> Iterator[ToolDone]:
        """Return what is to be said of the calls that have waited for too long."""
        while now >= self.deadline:
            tool_use_id = next(iter(self._called_at))
            yield ToolDone(tool_use_id, _TIMEOUT, TIMEOUT_CODE, self._let_go(tool_use_id, now))

    def _let_go(self, tool_use_id: str, now: float) -> int:
        return round((now - self._called_at.pop(tool_use_id)) * 1_000)


def _is_schema(text: str) -> bool:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(schema, dict) and _depth_of(schema, SCHEMA_DEPTH) <= SCHEMA_DEPTH


def _depth_of(value: object, limit: int) -> int:
    """Return how deeply a value is nested, or more than the limit."""
    members = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    if members is None:
        return 0
    if limit == 0:
        return 1
    return 1 + max((_depth_of(each, limit - 1) for each in members), default=0)


def _as_object(content: str) -> str:
    """Return a result as the service takes it, the JSON text of an object: anything else becomes the member `result` of one."""
    content = clean_text(content)
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = content
    return content if isinstance(value, dict) else json.dumps({"result": value}, ensure_ascii=False)

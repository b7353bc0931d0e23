"""Tools: plain async functions, what the model is told about them, and what they need.

A tool's positional parameters are what it needs, found by their types among the services that the application gives; its keyword-only
parameters are the arguments that the model sends:

    @tool("consultarOrder", "Look up an order ...")
    async def look_up_order(call: ToolCall, desk: OrderDesk, *, order_id: Annotated[RecordId, Param("Order number")]) -> Answer:
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_type_hints

import orjson

from s2s.events import ToolSpec
from storage.models import Json
from tools.arguments import bind, decode_arguments
from tools.schema import Parameter, object_schema, parameters_of

type Answer = dict[str, Json]
"""Members of the result beside "success"."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """Who calls, and which call it is."""

    session_id: str
    tool_use_id: str
    request_id: str
    """32 characters, the same whenever this call is made again: what makes a repeated call harmless."""
    caller: str = ""
    """Whom attempts are counted for over sessions, `user:eva` or `address:192.0.2.7`; empty for nobody in particular."""
    patient_id: str = ""
    """Whose records the call may reach, as the session has it; empty in a session with no patient."""


@dataclass(frozen=True, slots=True)
class Tool[**P]:
    """A function with what the model is told about it. Calling it calls the function."""

    name: str
    description: str
    function: Callable[P, Awaitable[Answer]]
    needs: tuple[type, ...]
    parameters: tuple[Parameter, ...]

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Call the function as it is: no parsing, no time-out."""
        return await self.function(*args, **kwargs)

    @property
    def spec(self) -> ToolSpec:
        """The tool as the model is told of it."""
        return ToolSpec(self.name, self.description, orjson.dumps(object_schema(self.parameters)).decode())


def tool[**P](name: str, description: str) -> Callable[[Callable[P, Awaitable[Answer]]], Tool[P]]:
    """Make a tool of an async function.

    Raises:
        TypeError: the name or a parameter cannot be told to the model.
    """
    if _NAME.fullmatch(name) is None:
        raise TypeError(f"{name!r} is no name for a tool")

    def make(function: Callable[P, Awaitable[Answer]]) -> Tool[P]:
        hints = get_type_hints(function, include_extras=True)
        signature = inspect.signature(function).parameters.values()
        needs = tuple(hints[one.name] for one in signature if one.kind is one.POSITIONAL_OR_KEYWORD)
        told = [one for one in signature if one.kind is one.KEYWORD_ONLY]
        required = frozenset(one.name for one in told if one.default is one.empty)
        return Tool(name, description, function, needs, parameters_of({one.name: hints[one.name] for one in told}, required))

    return make


class ToolRegistry:
    """The tools of one application, with what they need.

    Args:
        tools: no two of one name.
        services: what the tools' functions are given, each found by its class.

    Raises:
        TypeError: two tools share a name, or one needs what is not there.
    """

    def __init__(self, tools: Sequence[Tool[...]], services: Sequence[object]) -> None:
        self._services: Mapping[type, object] = {type(service): service for service in services}
        self._tools = {one.name: one for one in tools}
        if len(self._tools) != len(tools):
            raise TypeError("two tools share a name")
        for one in tools:
            lacking = [need.__name__ for need in one.needs if need is not ToolCall and need not in self._services]
            if lacking:
                raise TypeError(f"{one.name} needs {', '.join(lacking)}")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tools, in the order they were given."""
        return tuple(self._tools)

    def spec(self, name: str) -> ToolSpec:
        """Return a tool as the model is told of it.

        Raises:
            KeyError: there is no such tool.
        """
        return self._tools[name].spec

    def arguments(self, name: str, text: str) -> Mapping[str, object]:
        """Check the model's arguments and return them as the tool's function takes them.

        Raises:
            KeyError: there is no such tool.
            InvalidArguments: they cannot be used.
        """
        return bind(self._tools[name].parameters, decode_arguments(text))

    async def run(self, name: str, call: ToolCall, arguments: Mapping[str, object]) -> Answer:
        """Call a tool with arguments that `arguments` returned; raises what the tool raises."""
        found = self._tools[name]
        needs = [call if need is ToolCall else self._services[need] for need in found.needs]
        return await found.function(*needs, **arguments)

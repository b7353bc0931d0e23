"""Tools as a Realtime client declares them, and as Nova Sonic takes them.

Schemas that libraries generate from types carry keywords that the service refuses; those that say nothing about what an argument is are
left out, and a choice between something and null becomes that something.
"""

from collections.abc import Sequence
from typing import Final

import orjson

from s2s.events import ToolSpec
from s2s.wire import Json, Members
from session.client_tools import DESCRIPTION_CHARACTERS, SCHEMA_DEPTH, check_client_tools
from session.errors import NotAllowed, SessionError
from transports.dialects.realtime_wire import noted

_LEFT_OUT: Final = frozenset({"$schema", "$id", "additionalProperties", "default", "title", "strict"})
_GROUPS: Final = ("properties", "patternProperties")
_CHOICES: Final = ("anyOf", "oneOf", "allOf")
_EMPTY: Final[dict[str, Json]] = {"type": "object", "properties": {}}


def read_tools(session: Members, taken: Sequence[str]) -> tuple[ToolSpec, ...]:
    """Return the tools of a session.

    Args:
        session: with the member `tools`.
        taken: names of the assistant's own tools.

    Raises:
        CodecError: they are no list of objects, or a member is missing.
        NotAllowed: there is one that cannot be had.
        TooLarge: one is too long.
    """
    tools = tuple(_tool(each, f"session.tools[{number}]") for number, each in enumerate(session.parts("tools")))
    try:
        check_client_tools(tools, taken)
    except SessionError as error:
        raise noted(error, "session.tools") from None
    return tools


def _tool(tool: Members, param: str) -> ToolSpec:
    if tool.text("type", "function") != "function":
        raise noted(NotAllowed("Only tools of the type function can be had."), f"{param}.type")
    schema = tool.part("parameters").values or _EMPTY
    plain = plain_schema(schema, SCHEMA_DEPTH)
    description = tool.text("description", "")[: DESCRIPTION_CHARACTERS + 1]
    return ToolSpec(tool.text("name"), description, orjson.dumps(plain).decode())


def plain_schema(schema: dict[str, Json], levels: int) -> dict[str, Json]:
    """Return a JSON Schema without what the service refuses and nobody misses.

    Args:
        schema: any; what is nested more deeply than so many levels stays as it is.
        levels: how deeply to look.
    """
    if not levels:
        return schema
    plain: dict[str, Json] = {}
    for keyword, value in schema.items():
        if keyword in _LEFT_OUT:
            continue
        if keyword in _GROUPS and isinstance(value, dict):
            plain[keyword] = {name: _plain(each, levels - 1) for name, each in value.items()}
        elif keyword in _CHOICES and isinstance(value, list):
            choices = [_plain(each, levels - 1) for each in value if not _is_null(each)]
            if len(choices) == 1 and isinstance(choices[0], dict):
                plain = {**choices[0], **plain}
            else:
                plain[keyword] = choices
        elif keyword == "items":
            plain[keyword] = _plain(value, levels - 1)
        elif keyword == "type" and isinstance(value, list):
            kinds = [kind for kind in value if kind != "null"]
            plain[keyword] = kinds[0] if len(kinds) == 1 else kinds
        else:
            plain[keyword] = value
    return plain


def _plain(value: Json, levels: int) -> Json:
    return plain_schema(value, levels) if isinstance(value, dict) else value


def _is_null(value: Json) -> bool:
    return isinstance(value, dict) and value.get("type") == "null"

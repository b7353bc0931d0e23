"""The tools of a promptStart, with the checks that the service makes.

Duplicate names, names outside the pattern and schemas that are not strings are on record with their texts. So are JSON Schema constructs
that were refused (reports on livekit/agents and strands-agents): `anyOf` with null, `default`, `additionalProperties`, `title`.
"""

import re
from collections.abc import Iterator

import orjson

from nova_sonic_local.brains.interface import Tool
from nova_sonic_local.members import Members, refuse
from nova_sonic_local.refusals import Refusal, Refused

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_UNSUPPORTED = frozenset({"default", "additionalProperties", "title", "$schema", "$ref", "$defs"})
_MAX_DEPTH = 20


def parse_tools(configuration: Members | None, *, has_schema_checks: bool) -> tuple[Tool, ...]:
    """Return the tools of a toolConfiguration.

    Args:
        configuration: None when promptStart has none.
        has_schema_checks: refuse schemas with constructs that made trouble in practice.

    Raises:
        Refused: the service would not take them.
    """
    if configuration is None:
        return ()
    tools: dict[str, Tool] = {}
    for index, item in enumerate(configuration.items("tools")):
        tool = _parse_tool(Members(item).nested("toolSpec"), index, has_schema_checks=has_schema_checks)
        if tool.name in tools:
            refuse(Refusal.TOOL_NAMED_TWICE)
        tools[tool.name] = tool
    _check_choice(configuration.optional("toolChoice"), tools)
    return tuple(tools.values())


def _parse_tool(spec: Members, index: int, *, has_schema_checks: bool) -> Tool:
    name = spec.text("name")
    if not _NAME.fullmatch(name):
        raise Refused(Refusal.TOOL_NAME, index=str(index), name=name)
    text = spec.nested("inputSchema").raw("json")
    if not isinstance(text, str):
        refuse(Refusal.UNPARSABLE)
    try:
        schema = orjson.loads(text)
    except orjson.JSONDecodeError:
        refuse(Refusal.UNPARSABLE)
    if not isinstance(schema, dict) or (has_schema_checks and not all(map(_is_supported, _subschemas(schema)))):
        refuse()
    return Tool(name, spec.text("description", ""), schema)


def _subschemas(schema: dict[str, object], depth: int = 0) -> Iterator[dict[str, object]]:
    if depth > _MAX_DEPTH:
        refuse()
    yield schema
    nested: list[object] = []
    for keyword in ("properties", "patternProperties"):
        group = schema.get(keyword)
        nested += group.values() if isinstance(group, dict) else ()
    for keyword in ("anyOf", "oneOf", "allOf"):
        group = schema.get(keyword)
        nested += group if isinstance(group, list) else ()
    nested.append(schema.get("items"))
    for item in nested:
        if isinstance(item, dict):
            yield from _subschemas(item, depth + 1)


def _is_supported(schema: dict[str, object]) -> bool:
    choices = schema.get("anyOf")
    has_null = isinstance(choices, list) and any(isinstance(choice, dict) and choice.get("type") == "null" for choice in choices)
    return not has_null and not _UNSUPPORTED & schema.keys()


def _check_choice(choice: Members | None, tools: dict[str, Tool]) -> None:
    if choice is None:
        return
    if choice.names() == ["tool"]:
        if choice.nested("tool").text("name") not in tools:
            refuse()
    elif choice.names() not in (["auto"], ["any"]):
        refuse()

"""Schemas from type hints, in the part of JSON Schema that Nova Sonic takes.

A parameter is `Annotated[type, Param("what it is")]`; its type may be str, int, bool, Decimal, a StrEnum, a frozen dataclass, a tuple of
one of these (`tuple[Line, ...]`), and any of them `| None`. snake_case becomes camelCase. The model service refuses anyOf with null,
default, additionalProperties and title ("Invalid input request", reported in the issues of aws-samples and livekit/agents), so none of
them is ever written.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Union, get_args, get_origin, get_type_hints

from storage.models import Json

type Parser = Callable[[str], str]

_PLAIN: dict[object, str] = {str: "string", int: "integer", bool: "boolean", Decimal: "number"}
_DROPPED = frozenset({"title", "default", "additionalProperties", "$schema", "$id", "examples", "nullable"})


@dataclass(frozen=True, slots=True)
class Param:
    """What a parameter means."""

    description: str
    aliases: tuple[str, ...] = ()
    """Other names that models use for it; camelCase and snake_case need not be listed."""


@dataclass(frozen=True, slots=True)
class Parse:
    """Normalises the text of a parameter, and raises InvalidArguments with what to ask instead."""

    parser: Parser


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter as the model sees it and as the function takes it."""

    name: str
    """On the wire: camelCase."""
    keyword: str
    """In the function: snake_case."""
    type: object
    """Without Annotated and None."""
    description: str
    is_required: bool
    parsers: tuple[Parser, ...] = ()
    aliases: tuple[str, ...] = ()


def parameters_of(hints: Mapping[str, object], required: frozenset[str]) -> tuple[Parameter, ...]:
    """Return the parameters that these annotations describe.

    Args:
        hints: annotations by name, with Annotated kept.
        required: the names without a default.

    Raises:
        TypeError: a type that no schema is written for.
    """
    return tuple(_parameter(name, hint, required=name in required) for name, hint in hints.items())


def fields_of(cls: type) -> tuple[Parameter, ...]:
    """Return the fields of a dataclass as parameters."""
    hints = get_type_hints(cls, include_extras=True)
    names = [field.name for field in fields(cls)]
    required = frozenset(f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)
    return parameters_of({name: hints[name] for name in names}, required)


def object_schema(parameters: Sequence[Parameter]) -> dict[str, Json]:
    """Return the schema of an object with these members."""
    properties: dict[str, Json] = {one.name: {**_type_schema(one.type), "description": one.description} for one in parameters}
    return {"type": "object", "properties": properties, "required": [one.name for one in parameters if one.is_required]}


def normalise_schema(schema: Json) -> Json:
    """Reduce a schema from elsewhere to the part that the model service takes; what it drops, the server still checks."""
    if isinstance(schema, list):
        return [normalise_schema(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    result: dict[str, Json] = {}
    for name, value in schema.items():
        if name in ("anyOf", "oneOf") and isinstance(value, list):
            kept = [part for part in value if part != {"type": "null"}]
            first = normalise_schema(kept[0]) if kept else {}
            result |= first if isinstance(first, dict) else {}
        elif name == "type" and isinstance(value, list):
            result[name] = next((part for part in value if part != "null"), "string")
        elif name == "properties" and isinstance(value, dict):
            # The names in here are the tool's own: one may well be called "title".
            result[name] = {member: normalise_schema(part) for member, part in value.items()}
        elif name not in _DROPPED:
            result[name] = normalise_schema(value)
    return result


def wire_name(keyword: str) -> str:
    """Return the camelCase form of a snake_case name."""
    first, *rest = keyword.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _parameter(name: str, hint: object, *, required: bool) -> Parameter:
    metadata: tuple[object, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        metadata = tuple(extras)
    plain, more = _without_none(hint)
    metadata += more
    _type_schema(plain)
    notes = [one for one in metadata if isinstance(one, Param)]
    return Parameter(
        name=wire_name(name),
        keyword=name,
        type=plain,
        description=notes[0].description if notes else "",
        is_required=required,
        parsers=tuple(one.parser for one in metadata if isinstance(one, Parse)),
        aliases=notes[0].aliases if notes else (),
    )


def _without_none(hint: object) -> tuple[object, tuple[object, ...]]:
    """Return X of `X | None`, and its metadata if X is Annotated itself."""
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        if len(parts) != 1:
            raise TypeError(f"{hint} has more than one type")
        hint = parts[0]
    if get_origin(hint) is Annotated:
        inner, *metadata = get_args(hint)
        return inner, tuple(metadata)
    return hint, ()


def _type_schema(kind: object) -> dict[str, Json]:
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _type_schema(get_args(kind)[0])}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"type": "string", "enum": [member.value for member in kind]}
    if isinstance(kind, type) and is_dataclass(kind):
        return object_schema(fields_of(kind))
    raise TypeError(f"no schema is written for {kind}")

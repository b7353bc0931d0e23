"""Inputs and effects as JSON values: a dataclass is a list of its name and its fields, audio is its length in bytes.

Fields at the end that have their default are left out, so that a new field with a default leaves old traces as they are. Texts pass through
a function on their way, which may mask them; those that hold nobody's words are named below.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeAliasType, get_args, get_origin, get_type_hints

from s2s.events import TextInput, ToolSpec
from s2s.limits import TextProfile
from s2s.wire import Json

type Conceal = Callable[[str], str]
"""What becomes of a text that may hold somebody's words; it keeps the length."""

PLAIN_FIELDS = frozenset(
    {
        "session_id", "prompt_name", "completion_id", "content_id", "content_name", "tool_use_id", "answered", "names_seed", "ref",
        "assistant", "language", "voice_id", "preferred_voice_id", "model_id", "tools", "tool_choice", "hidden_markers", "code",
        "error_code", "message",
    }
)  # fmt: skip
"""Fields whose texts are ids, slugs, choices of the operator, or sentences of ours. Any other text is somebody's words."""
AUDIO_LIMIT_BYTES = 16 * 1024 * 1024
"""Longest audio of one event: what the service's largest event can hold."""


class TraceError(ValueError):
    """A trace cannot be read, or a value cannot be recorded."""


def unchanged(text: str) -> str:
    """Return the text: nothing is masked."""
    return text


def encode(value: object, conceal: Conceal = unchanged) -> Json:
    """Return a value as JSON.

    Args:
        value: an input, an effect, an origin, or what these consist of.
        conceal: gets every text that may hold somebody's words.

    Raises:
        TraceError: it is none of these.
    """
    if isinstance(value, Enum):
        return str(value.value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, bytes):
        return len(value)
    if is_dataclass(value) and not isinstance(value, type):
        return _encode_fields(value, unchanged if isinstance(value, ToolSpec | TextProfile) else conceal)
    if isinstance(value, Mapping):
        return {str(key): encode(each, conceal) for key, each in value.items()}
    if isinstance(value, Sequence):
        return list(_encode_all(value, conceal))
    raise TraceError(f"{type(value).__name__} cannot be recorded")


def decode(value: Json, kind: object) -> Any:
    """Return what `encode` was given; audio is silence of its length.

    Args:
        value: from a trace.
        kind: the type that is expected, as written in an annotation.

    Raises:
        TraceError: the value is of another type.
    """
    try:
        return _decode(value, kind)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise TraceError(f"not {kind}: {str(value)[:80]}: {error}") from None


def _encode_fields(value: Any, conceal: Conceal) -> list[Json]:
    row: list[Json] = [type(value).__name__]
    kept = 1
    for name, default in _shape(value.__class__):
        each = getattr(value, name)
        row.append(encode(each, unchanged if name in PLAIN_FIELDS else conceal))
        if default is MISSING or each != default:
            kept = len(row)
    return row[:kept]


def _encode_all(values: Sequence[object], conceal: Conceal) -> Iterator[Json]:
    """Encode a list; a text that was cut into events is concealed as a whole, because the cut may be in the middle of a word."""
    texts: dict[str, str] = {}
    for value in values:
        if isinstance(value, TextInput):
            texts[value.content_name] = texts.get(value.content_name, "") + value.content
    left = {name: conceal(text) for name, text in texts.items()}
    for value in values:
        if isinstance(value, TextInput):
            text = left[value.content_name]
            left[value.content_name] = text[len(value.content) :]
            yield _encode_fields(replace(value, content=text[: len(value.content)]), unchanged)
        else:
            yield encode(value, conceal)


@cache
def _shape(kind: type[Any]) -> tuple[tuple[str, object], ...]:
    """Return the fields of a dataclass, each with its default."""
    return tuple((field.name, field.default if field.default_factory is MISSING else field.default_factory()) for field in fields(kind))


@cache
def _kinds(kind: type[Any]) -> tuple[object, ...]:
    """Return the types of the fields of a dataclass."""
    hints = get_type_hints(kind)
    return tuple(hints[field.name] for field in fields(kind))


def _members(kind: object) -> Iterator[object]:
    """Return the types that an alias or a union stands for."""
    if isinstance(kind, TypeAliasType):
        yield from _members(kind.__value__)
    elif isinstance(kind, UnionType):
        for each in get_args(kind):
            yield from _members(each)
    else:
        yield kind


def _decode(value: Json, kind: object) -> Any:
    for member in _members(kind):
        if member is NoneType:
            if value is None:
                return None
        elif is_dataclass(member) and isinstance(member, type):
            if isinstance(value, list) and value[:1] == [member.__name__]:
                return member(*(_decode(each, own) for each, own in zip(value[1:], _kinds(member)[: len(value) - 1], strict=True)))
        elif get_origin(member) is tuple and isinstance(value, list):
            return tuple(_decode(each, get_args(member)[0]) for each in value)
        elif isinstance(member, type) and (found := _decode_simple(value, member)) is not None:
            return found
    raise TraceError("no such value")


def _decode_simple(value: Json, kind: type) -> Any:
    if issubclass(kind, Enum):
        return kind(value) if any(value == each.value for each in kind) else None
    if kind is bytes and isinstance(value, int) and value <= AUDIO_LIMIT_BYTES:
        return bytes(value)
    if kind is float and isinstance(value, int | float):
        return float(value)
    return value if kind in (bool, int, str) and type(value) is kind else None

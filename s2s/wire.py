"""JSON as it comes from strangers: bounded, exact, and read member by member.

orjson is fast and refuses NaN, infinite numbers, lone surrogates and broken UTF-8, but it keeps the last of two equal members and says
nothing. Two readers that keep different ones can be made to disagree, so such a document is refused here (RFC 8259 section 4).
"""

import json
from enum import StrEnum
from typing import Self

import orjson
import pybase64

from s2s.audio import is_whole
from s2s.errors import CodecError, Flaw
from s2s.limits import EVENT_DEPTH

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None


class UnknownValue(Exception):
    """A member has a well-formed value that this code does not know."""


def load_json(data: bytes | str, limit_bytes: int) -> Json:
    """Parse one JSON text.

    Args:
        data: UTF-8 bytes, or text.
        limit_bytes: longest accepted input.

    Raises:
        CodecError: not JSON, too large, nested too deeply, or with a member twice.
    """
    if len(data) > limit_bytes:
        raise CodecError(Flaw.TOO_LARGE, f"an event has at most {limit_bytes} bytes")
    try:
        value: Json = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise CodecError(Flaw.NOT_JSON, f"not JSON: {error.msg}") from None
    quotes = data.count('"') if isinstance(data, str) else data.count(b'"')
    # Every string of the tree has two quotes. More than that are escaped quotes, or a member that was there twice: look closely.
    if _count_strings(value, EVENT_DEPTH) * 2 != quotes:
        _refuse_duplicates(data)
    return value


def dump_json(value: Json) -> bytes:
    """Write compact JSON.

    Raises:
        CodecError: a text holds a lone surrogate, or a whole number is beyond 64 bits.
    """
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise CodecError(Flaw.BAD_MEMBER, f"cannot be written as JSON: {error}") from None


def decode_pcm(text: str | bytes) -> bytes:
    """Decode base64 to whole samples.

    Raises:
        CodecError: not base64 (RFC 4648 section 4, padded, no line ends), or half a sample.
    """
    try:
        pcm = pybase64.b64decode(text, validate=True)
    except ValueError:
        raise CodecError(Flaw.BAD_AUDIO, "audio is not base64") from None
    if not is_whole(pcm):
        raise CodecError(Flaw.BAD_AUDIO, "audio has half a sample")
    return pcm


def encode_pcm(pcm: bytes) -> bytes:
    """Encode whole samples as base64.

    Raises:
        CodecError: half a sample.
    """
    if not is_whole(pcm):
        raise CodecError(Flaw.BAD_AUDIO, "audio has half a sample")
    return pybase64.b64encode(pcm)


def event_body(data: bytes | str, limit_bytes: int) -> tuple[str, "Members"]:
    """Read the envelope `{"event": {"<name>": {...}}}`; members beside `event` are ignored.

    Returns:
        The event's name and its members.

    Raises:
        CodecError: not JSON, or another shape.
    """
    document = load_json(data, limit_bytes)
    event = document.get("event") if isinstance(document, dict) else None
    if not isinstance(event, dict) or len(event) != 1:
        raise CodecError(Flaw.NOT_AN_EVENT, 'expected {"event": {"<name>": {...}}} with exactly one name')
    name, body = next(iter(event.items()))
    if not isinstance(body, dict):
        raise CodecError(Flaw.NOT_AN_EVENT, "an event's body is an object")
    return name, Members(name, body)


class Members:
    """The members of a JSON object, with errors that say where.

    Args:
        path: where the object is, for messages.
        values: the object.
    """

    __slots__ = ("_path", "values")

    def __init__(self, path: str, values: dict[str, Json]) -> None:
        self._path = path
        self.values = values

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; without a default it must be there."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def whole(self, key: str, default: int) -> int:
        """Return a whole number."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.wrong(key, "a whole number")
        return value

    def number(self, key: str, default: float) -> float:
        """Return a number."""
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.wrong(key, "a number")
        return value

    def flag(self, key: str) -> bool:
        """Return a boolean; False when it is absent."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value is True

    def part(self, key: str) -> Self:
        """Return an object; an empty one when it is absent."""
        value = self.values.get(key)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return type(self)(f"{self._path}.{key}", value)

    def parts(self, key: str) -> list[Self]:
        """Return a list of objects; an empty one when it is absent."""
        value = self.values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        found = []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                raise self.wrong(f"{key}[{index}]", "an object")
            found.append(type(self)(f"{self._path}.{key}[{index}]", item))
        return found

    def one_of[E: StrEnum](self, key: str, kinds: type[E]) -> E:
        """Return a member of an enumeration.

        Raises:
            UnknownValue: a string that the enumeration does not have.
            CodecError: no string.
        """
        value = self.text(key)
        try:
            return kinds(value)
        except ValueError:
            raise UnknownValue(f"{self._path}.{key}: not one of {', '.join(kinds)}") from None

    def json_text(self, key: str) -> str:
        """Return JSON as text: a string as it is, anything else written out (some clients do not encode twice)."""
        value = self.values.get(key)
        if value is None:
            raise self.wrong(key, "a string")
        return value if isinstance(value, str) else dump_json(value).decode()

    def wrong(self, key: str, expected: str) -> CodecError:
        """Return the error for a member."""
        return CodecError(Flaw.BAD_MEMBER, f"{self._path}.{key}: expected {expected}")


def _count_strings(value: Json, levels: int) -> int:
    if isinstance(value, str):
        return 1
    if not isinstance(value, dict | list):
        return 0
    if levels == 0:
        raise CodecError(Flaw.TOO_LARGE, f"nested deeper than {EVENT_DEPTH} levels")
    count = len(value) if isinstance(value, dict) else 0
    for item in value.values() if isinstance(value, dict) else value:
        count += 1 if isinstance(item, str) else _count_strings(item, levels - 1)
    return count


def _refuse_duplicates(data: bytes | str) -> None:
    try:
        json.loads(data, object_pairs_hook=_unique)
    except ValueError:  # a whole number too long for Python, which orjson reads as a float
        raise CodecError(Flaw.NOT_JSON, "not JSON: number too long") from None


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise CodecError(Flaw.NOT_JSON, "the same member twice")
    return members

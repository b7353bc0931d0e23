"""The values of parameters and bodies: each kind reads a value strictly, and says the same in JSON Schema.

One source for both, so that what the OpenAPI document promises is what is accepted.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, Protocol

from api.errors import InvalidBody, RequestError, UnknownMember

type Schema = dict[str, object]

PLAIN: Final = r"^[^\x00-\x1f\x7f]*$"
"""No control characters."""
_PLAIN_SCHEMA: Final = "^[^\\u0000-\\u001f\\u007f]*$"
_CENTS: Final = 2
_INSTANT: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"


class BadValue(ValueError):
    """A value is not of its kind; the message says what it has to be and shows nothing of it."""


class Kind[T](Protocol):
    """What a value may be."""

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema (2020-12)."""

    def read(self, value: object) -> T:
        """Return the value as the program knows it.

        Raises:
            BadValue: it is not of this kind.
        """


@dataclass(frozen=True, slots=True)
class Text:
    """A text of so many characters, none of them a control character, that fits a pattern from end to end."""

    longest: int
    shortest: int = 1
    pattern: str | None = None
    """In the syntax that Python and ECMAScript share, with ^ and $."""
    example: str | None = None

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        pattern = self.pattern or _PLAIN_SCHEMA
        found: Schema = {"type": "string", "minLength": self.shortest, "maxLength": self.longest, "pattern": pattern}
        return found | ({"example": self.example} if self.example else {})

    def read(self, value: object) -> str:
        """Return the text."""
        if not isinstance(value, str) or not self.shortest <= len(value) <= self.longest:
            raise BadValue(f"has to be a text of {self.shortest} to {self.longest} characters")
        if re.fullmatch(PLAIN, value) is None or value.endswith("\n"):
            raise BadValue("may have no control characters")
        if self.pattern is not None and re.search(self.pattern, value) is None:
            raise BadValue(f"has to match {self.pattern}")
        return value


@dataclass(frozen=True, slots=True)
class Choice[E: StrEnum]:
    """One of the values of an enumeration."""

    values: type[E]

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"type": "string", "enum": [one.value for one in self.values]}

    def read(self, value: object) -> E:
        """Return the member of the enumeration."""
        if not isinstance(value, str) or value not in {one.value for one in self.values}:
            raise BadValue(f"has to be one of {', '.join(self.values)}")
        return self.values(value)


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    lowest: int
    highest: int
    step: int = 1

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        found: Schema = {"type": "integer", "minimum": self.lowest, "maximum": self.highest}
        return found | ({"multipleOf": self.step} if self.step > 1 else {})

    def read(self, value: object) -> int:
        """Return the number; of a query it comes as digits."""
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(self.highest)):
            value = int(value)
        if isinstance(value, float) and value.is_integer():  # JSON has one kind of number: 2.0 is whole
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not self.lowest <= value <= self.highest or value % self.step:
            every = f" in steps of {self.step}" if self.step > 1 else ""
            raise BadValue(f"has to be a whole number from {self.lowest} to {self.highest}{every}")
        return value


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of money, to the cent."""

    highest: int

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"type": "number", "minimum": 0, "maximum": self.highest, "multipleOf": 0.01}

    def read(self, value: object) -> Decimal:
        """Return the amount."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= self.highest:
            raise BadValue(f"has to be a number from 0 to {self.highest}")
        amount = Decimal(repr(value))  # the shortest decimal number that is this float: what the client wrote
        if amount != round(amount, _CENTS):
            raise BadValue("has to be an amount to the cent")
        return round(amount, _CENTS)


@dataclass(frozen=True, slots=True)
class Instant:
    """A time with a zone (RFC 3339), kept as UTC."""

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"type": "string", "format": "date-time", "example": "2030-01-20T13:00:00.000Z"}

    def read(self, value: object) -> datetime:
        """Return the instant."""
        wrong = BadValue("has to be a time with a zone, as 2030-01-20T13:00:00Z")
        if not isinstance(value, str) or re.fullmatch(_INSTANT, value) is None:
            raise wrong
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            raise wrong from None


@dataclass(frozen=True, slots=True)
class Day:
    """A day, without a zone."""

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"type": "string", "format": "date", "example": "2030-01-20"}

    def read(self, value: object) -> date:
        """Return the day."""
        wrong = BadValue("has to be a day, as 2030-01-20")
        if not isinstance(value, str) or re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is None:
            raise wrong
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise wrong from None


@dataclass(frozen=True, slots=True)
class Nullable[T]:
    """A value, or null."""

    kind: Kind[T]

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"anyOf": [self.kind.schema, {"type": "null"}]}

    def read(self, value: object) -> T | None:
        """Return the value, or None."""
        return None if value is None else self.kind.read(value)


@dataclass(frozen=True, slots=True)
class ListOf[T]:
    """A list."""

    kind: Kind[T]
    longest: int | None = None
    shortest: int = 0

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        found: Schema = {"type": "array", "items": self.kind.schema}
        found |= {"minItems": self.shortest} if self.shortest else {}
        return found | ({"maxItems": self.longest} if self.longest is not None else {})

    def read(self, value: object) -> tuple[T, ...]:
        """Return the values."""
        longest = len(value) if self.longest is None and isinstance(value, list) else self.longest or 0
        if not isinstance(value, list) or not self.shortest <= len(value) <= longest:
            raise BadValue(f"has to be a list of {self.shortest} to {self.longest}")
        return tuple(self.kind.read(one) for one in value)


@dataclass(frozen=True, slots=True)
class Member[T]:
    """A named value: of a body, a query, a path, or a header."""

    name: str
    kind: Kind[T]
    doc: str
    is_required: bool = False


class Values:
    """The values of some members.

    Args:
        values: by the member's name.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __contains__(self, member: Member[object]) -> bool:
        return member.name in self._values

    def __getitem__[T](self, member: Member[T]) -> T:
        return self._values[member.name]  # type: ignore[return-value]  # read() of the member's own kind put it there

    def get[T](self, member: Member[T]) -> T | None:
        """Return a value, or None where there is none."""
        return self[member] if member.name in self._values else None

    @property
    def names(self) -> frozenset[str]:
        """Of the values that are there."""
        return frozenset(self._values)


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these members and no others."""

    name: str
    """In the OpenAPI document."""
    members: tuple[Member[object], ...]
    least: int = 0
    """Members that have to be there, whichever they are."""

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        members = {one.name: one.kind.schema | {"description": one.doc} for one in self.members}
        required = [one.name for one in self.members if one.is_required]
        found: Schema = {"title": self.name, "type": "object", "properties": members, "additionalProperties": False}
        found |= {"required": required} if required else {}
        return found | ({"minProperties": self.least} if self.least else {})

    def read(self, value: object) -> Values:
        """Return the values of the members.

        Raises:
            UnknownMember: there is another.
            InvalidBody: one is missing or cannot be used.
            BadValue: it is no object.
        """
        if not isinstance(value, dict):
            raise BadValue("has to be an object")
        if not value.keys() <= {one.name for one in self.members}:
            raise UnknownMember(f"{self.name} has only {', '.join(one.name for one in self.members)}.")
        if len(value) < self.least:
            raise InvalidBody(f"{self.name} has to have at least {self.least} member.")
        return Values(read_members(self.members, value, InvalidBody))


def read_members(members: Sequence[Member[object]], given: Mapping[str, object], error: type[RequestError]) -> dict[str, object]:
    """Return the values of members as the program knows them.

    Args:
        members: what may be there.
        given: as it came, by name.
        error: to raise of what is missing or cannot be used.
    """
    values: dict[str, object] = {}
    for member in members:
        if member.name in given:
            try:
                values[member.name] = member.kind.read(given[member.name])
            except BadValue as reason:
                raise error(f"{member.name} {reason}.") from None
        elif member.is_required:
            raise error(f"{member.name} is missing.")
    return values


@dataclass(frozen=True, slots=True)
class Told:
    """A value that is told and never read."""

    schema: Schema

    def read(self, value: object) -> object:
        """Return the value as it is."""
        return value


@dataclass(frozen=True, slots=True)
class Anything:
    """An object that is told and never read."""

    name: str
    doc: str

    @property
    def schema(self) -> Schema:
        """The same as JSON Schema."""
        return {"title": self.name, "type": "object", "description": self.doc}

    def read(self, value: object) -> object:
        """Return the value as it is."""
        return value

"""Typed access to the members of a JSON object; anything unexpected is the service's generic refusal."""

from collections.abc import Iterable
from typing import NoReturn

from nova_sonic_local.refusals import Refusal, Refused


def refuse(refusal: Refusal = Refusal.INVALID_REQUEST) -> NoReturn:
    """Raise a refusal."""
    raise Refused(refusal)


class Members:
    """A JSON object.

    Args:
        value: what was parsed.
        refusal: what to say when it is no object, or a member is missing or of the wrong type.
    """

    def __init__(self, value: object, refusal: Refusal = Refusal.INVALID_REQUEST) -> None:
        if not isinstance(value, dict):
            raise Refused(refusal)
        self._members: dict[str, object] = value
        self._refusal = refusal

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def __len__(self) -> int:
        return len(self._members)

    def names(self) -> list[str]:
        """Return the names of the members."""
        return list(self._members)

    def raw(self, name: str) -> object:
        """Return a member of any type, None when it is missing."""
        return self._members.get(name)

    def text(self, name: str, default: str | None = None) -> str:
        """Return a string."""
        value = self._members.get(name, default)
        if not isinstance(value, str):
            raise Refused(self._refusal)
        return value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a whole number."""
        value = self._members.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise Refused(self._refusal)
        return value

    def number(self, name: str, default: float) -> float:
        """Return a number."""
        value = self._members.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Refused(self._refusal)
        return float(value)

    def flag(self, name: str) -> bool:
        """Return a boolean, False when it is missing."""
        value = self._members.get(name, False)
        if not isinstance(value, bool):
            raise Refused(self._refusal)
        return value

    def nested(self, name: str) -> "Members":
        """Return an object."""
        return Members(self._members.get(name), self._refusal)

    def optional(self, name: str) -> "Members | None":
        """Return an object, or None when it is missing."""
        return self.nested(name) if name in self._members else None

    def items(self, name: str) -> list[object]:
        """Return an array."""
        value = self._members.get(name)
        if not isinstance(value, list):
            raise Refused(self._refusal)
        return value

    def allow_only(self, names: Iterable[str]) -> None:
        """Refuse any other member."""
        if not self._members.keys() <= set(names):
            raise Refused(self._refusal)

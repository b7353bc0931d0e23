"""Who is authenticated, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do beside talking and looking at what is their own."""

    OPERATOR = "operator"
    """See and change everything, end anybody's session."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who was authenticated, or whom nobody asked."""

    user_id: str
    """Stable and unique: the subject of the token. Empty for anybody."""
    email: str | None = None
    """Verified by who issued the token; None where nobody did."""
    roles: frozenset[Role] = frozenset()
    expires_at: float | None = None
    """Seconds since 1970 until when this is true; None for always."""

    @property
    def is_operator(self) -> bool:
        """Whether this is somebody who runs the server."""
        return Role.OPERATOR in self.roles

"""What plain HTTP needs of others."""

from collections.abc import Sequence
from typing import Protocol


class Origins(Protocol):
    """Knows which pages may use the server."""

    def allows(self, origins: Sequence[str], hosts: Sequence[str]) -> bool:
        """Return whether a request with these headers Origin and Host may be served."""

    def serves(self, hosts: Sequence[str]) -> bool:
        """Return whether a request with these headers Host came by a name that is the server's."""

    @property
    def allows_all(self) -> bool:
        """Whether every page may use it."""

"""The sessions that are talked in here, as far as the service ends them."""

from typing import Final

from session.events import EndReason
from session.registry import SessionRegistry

END_SECONDS: Final = 15.0
"""How long a session may take to come to the end of a sentence."""


class RegisteredSessions:
    """Ends sessions of a registry, which is named once it is there: what is written down is opened before it."""

    def __init__(self) -> None:
        self._registry: SessionRegistry | None = None

    def belong_to(self, registry: SessionRegistry) -> None:
        """End the sessions of this registry from now on."""
        self._registry = registry

    def end(self, session_id: str, reason: str) -> bool:
        """End a session when nobody speaks, at the latest in a quarter of a minute; False if it is not talked in here.

        Args:
            session_id: of the session.
            reason: `operator` if somebody else than its user wants it.
        """
        runner = None if self._registry is None else self._registry.find(session_id)
        if runner is None or runner.is_over:
            return False
        runner.drain(END_SECONDS, reason=EndReason.OPERATOR if reason == EndReason.OPERATOR else EndReason.CLIENT)
        return True

"""The history that a client replays into a new stream, and its limits."""

from nova_sonic_local.events import TextRole
from nova_sonic_local.members import refuse
from nova_sonic_local.models import TextLimits
from nova_sonic_local.refusals import Refusal


class History:
    """Finished turns, oldest first.

    Args:
        limits: what the service takes.
    """

    def __init__(self, limits: TextLimits) -> None:
        self.messages: list[tuple[str, str]] = []
        self._limits = limits
        self._bytes = 0

    def add(self, role: TextRole, text: str) -> None:
        """Add a turn.

        Raises:
            Refused: it is too long now.
        """
        self.messages.append((role.value, text))
        self._bytes += len(text.encode())
        if self._bytes > self._limits.history_total or len(self.messages) > self._limits.history_messages:
            refuse(Refusal.HISTORY_TOO_LONG)

    def check(self, *, is_strict: bool) -> None:
        """Check the finished history: it begins with USER and, if strict, alternates (Amazon Nova user guide, "Managing chat history").

        Raises:
            Refused: it does not.
        """
        roles = [role for role, _text in self.messages]
        if is_strict and roles != ["USER" if index % 2 == 0 else "ASSISTANT" for index in range(len(roles))]:
            refuse()

"""What a client said in earlier conversations. Where that is kept is the business of who implements this."""

from dataclasses import replace
from typing import Protocol

from auth.principal import Principal
from session.events import HistoryTurn, Start


class Memory(Protocol):
    """Recalls earlier conversations."""

    async def recall(self, assistant: str | None, user_id: str) -> tuple[HistoryTurn, ...]:
        """Return what a user and an assistant said before, in order; nothing when that cannot be known soon. Never raises.

        Args:
            assistant: as the client names it; None for the default.
            user_id: of whom; empty for anybody.
        """


class NoMemory:
    """Remembers nothing."""

    async def recall(self, assistant: str | None, user_id: str) -> tuple[HistoryTurn, ...]:  # noqa: ARG002 - it is none, whoever asks
        """Return nothing."""
        return ()


async def remember(start: Start, memory: Memory, principal: Principal) -> Start:
    """Return how a session begins, with what is remembered of the client.

    Nothing is remembered of somebody who only says who they are, and nothing of a session with a patient: the same account may be with
    another one each time.
    """
    is_known = principal.expires_at is not None and bool(principal.user_id)
    if start.patient_id or not is_known:
        return start
    recalled = await memory.recall(start.assistant, principal.user_id)
    return replace(start, memory=recalled) if recalled else start

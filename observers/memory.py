"""What a user and an assistant said in earlier conversations, for the next one to know; a slow store begins it without, and is counted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from s2s.events import Role
from session.assistant import AssistantProfile
from session.events import HistoryTurn
from storage.conversation_turns import Speaker, Turn
from storage.conversations import Conversations
from storage.errors import StorageError
from telemetry.counters import Counters

log = structlog.get_logger()

RECALL_SECONDS: Final = 1.0
"""How long a conversation waits for it: who has just begun one expects to be heard."""
WRITTEN_SECONDS: Final = 0.3
"""Of these, how long it waits for what was said a moment ago to be written down."""
MEMORY_BYTES: Final = 8 * 1024
"""Most text of earlier conversations, in UTF-8: histories were refused from 10 KB on, and this conversation needs room as well."""
_ROLES: Final = {Speaker.USER: Role.USER, Speaker.ASSISTANT: Role.ASSISTANT}


class ConversationMemory:
    """Recalls earlier conversations.

    Args:
        conversations: repository.
        assistants: profiles by the names that clients use.
        default_assistant: for clients that name none.
        counters: gets `conversation_recalled` and `conversation_not_recalled`.
        settled: waits until what a user said a moment ago is written down.
    """

    def __init__(
        self,
        conversations: Conversations,
        assistants: Mapping[str, AssistantProfile],
        default_assistant: str,
        counters: Counters,
        settled: Callable[[str], Awaitable[None]],
    ) -> None:
        self._conversations = conversations
        self._assistants = assistants
        self._default_assistant = default_assistant
        self._counters = counters
        self._settled = settled

    async def recall(self, assistant: str | None, user_id: str) -> tuple[HistoryTurn, ...]:
        """Return the latest turns that a user had with an assistant before; none for somebody whom nobody asked.

        Args:
            assistant: as the client names it; None for the default.
            user_id: of whom; empty for anybody.
        """
        profile = self._assistants.get(assistant or self._default_assistant)
        if profile is None or not profile.keeping.memory_turns or not user_id:
            return ()
        try:
            async with asyncio.timeout(RECALL_SECONDS):
                with suppress(TimeoutError):
                    async with asyncio.timeout(WRITTEN_SECONDS):
                        await self._settled(user_id)
                turns = await self._conversations.last_turns(user_id, profile.name, profile.keeping.memory_turns)
        except (TimeoutError, StorageError) as error:
            self._counters.add("conversation_not_recalled")
            log.warning("memory.not_recalled", reason=type(error).__name__)
            return ()
        self._counters.add("conversation_recalled", bool(turns))
        return _fitting(turns)


def _fitting(turns: Sequence[Turn]) -> tuple[HistoryTurn, ...]:
    """Return the newest turns that have room, in order."""
    kept: list[HistoryTurn] = []
    left = MEMORY_BYTES
    for turn in reversed(turns):
        left -= len(turn.text.encode())
        if left < 0:
            break
        kept.append(HistoryTurn(_ROLES[turn.role], turn.text))
    return tuple(reversed(kept))

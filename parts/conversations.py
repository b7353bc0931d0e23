"""What writes conversations down and recalls them, opened as the settings ask."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import structlog

from config import Settings
from observers.conversations import ConversationRecords
from observers.memory import ConversationMemory
from parts.database import make_own_table
from session.assistant import AssistantProfile
from storage.conversations import Conversations
from storage.errors import StorageError
from storage.table import Database
from storage.tables import conversations_table
from telemetry.counters import Counters
from transports.memory import Memory, NoMemory

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConversationParts:
    """What knows of conversations."""

    conversations: Conversations
    records: ConversationRecords | None
    """None where nothing is written down; what was written before can still be read and removed."""
    memory: Memory


async def open_conversations(
    settings: Settings,
    database: Database,
    assistants: Mapping[str, AssistantProfile],
    resources: AsyncExitStack,
    counters: Counters,
    *,
    clock: Callable[[], float],
) -> ConversationParts:
    """Return what the settings ask for. That the store is away is no reason not to start.

    Args:
        settings: as read.
        database: has the table.
        assistants: profiles by name.
        resources: close what is opened here.
        counters: of the process.
        clock: monotonic seconds, of the sessions.
    """
    table = database.table(conversations_table(settings.conversations_table))
    try:
        await make_own_table(settings, table)
    except StorageError as error:
        log.warning("conversations.not_stored", reason=str(error))
    conversations = Conversations(table, timedelta(days=settings.conversation_days))
    if not settings.is_conversation_recorded:
        return ConversationParts(conversations, None, NoMemory())
    left_out = {profile.name for profile in assistants.values() if not profile.keeping.is_conversation_recorded}
    records = ConversationRecords(conversations, counters, left_out=left_out, now=clock)
    resources.push_async_callback(records.aclose)
    records.start()
    memory = ConversationMemory(conversations, assistants, settings.assistant, counters, records.settled)
    return ConversationParts(conversations, records, memory)

"""What writes voice sessions down, opened as the settings ask."""

import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from config import Settings
from observers.voice_sessions import VoiceSessionRecords
from parts.database import make_own_table
from service.live_sessions import RegisteredSessions
from storage.errors import StorageError
from storage.table import Database
from storage.tables import voice_sessions_table
from storage.voice_sessions import VoiceSessions
from telemetry.counters import Counters

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class VoiceSessionParts:
    """What knows of voice sessions."""

    sessions: VoiceSessions
    records: VoiceSessionRecords
    live: RegisteredSessions
    """Needs to be told the registry of sessions before it ends any."""


async def open_voice_sessions(settings: Settings, database: Database, resources: AsyncExitStack, counters: Counters) -> VoiceSessionParts:
    """Return what writes every voice session down. That the store is away is no reason not to start."""
    table = database.table(voice_sessions_table(settings.voice_sessions_table))
    try:
        await make_own_table(settings, table)
    except StorageError as error:
        log.warning("voice_sessions.not_stored", reason=str(error))
    sessions, live = VoiceSessions(table, keep_days=settings.voice_session_days), RegisteredSessions()
    records = VoiceSessionRecords(sessions, counters, process=uuid.uuid4().hex)
    records.ends_with(live.end)
    resources.push_async_callback(records.aclose)
    records.start()
    return VoiceSessionParts(sessions, records, live)

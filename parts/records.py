"""The parts that write down what outlives a conversation, opened as the settings ask; each is closed with the stack it was opened into.

That a store is away is no reason not to start: what is to be written waits, and conversations go on.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from aiohttp import web

from api import audio, conversations, notes, voice_sessions
from api.health import Check
from api.operations import Operation
from api.patient_parts import PATIENT_BOOK
from api.patients import OPERATIONS as OF_PATIENTS
from api.recording_content import SHELF
from config import Settings
from observers.voice_sessions import VoiceSessionRecords
from parts.conversations import open_conversations
from parts.database import make_own_table
from parts.objects import open_objects
from parts.recordings import open_recordings
from parts.uploads import make_note_desk, open_uploads
from publishing.interfaces import AlertSender, EventPublisher, Silent
from service.audio_work import ModelAudioWork
from service.live_sessions import RegisteredSessions
from service.nova_sonic import RecordedNovaSonic
from service.session_cache import SessionCache
from session.interfaces import Attendance, AudioAttendance
from session.registry import SessionRegistry
from storage.errors import StorageError
from storage.objects import ObjectStore
from storage.patients import PatientBook
from storage.table import Database
from storage.tables import voice_sessions_table
from storage.voice_sessions import VoiceSessions
from telemetry.counters import Counters
from transports.memory import Memory, NoMemory

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RecordParts:
    """What listens to sessions for the records, and what plain HTTP offers of them."""

    attendances: list[Attendance] = field(default_factory=list)
    audio_attendances: list[AudioAttendance] = field(default_factory=list)
    operations: list[Sequence[Operation]] = field(default_factory=list)
    api_parts: dict[web.AppKey[Any], object] = field(default_factory=dict)
    """What the operations work on."""
    memory: Memory = field(default_factory=NoMemory)
    """Of earlier conversations, for the next ones."""
    at_registry: list[Callable[[SessionRegistry], None]] = field(default_factory=list)
    """What wants to know the live sessions, which are opened after all this."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What every part is built on."""

    settings: Settings
    database: Database | None
    """None where tools were given that work on none of ours."""
    resources: AsyncExitStack
    counters: Counters
    checks: dict[str, Check]
    """Of /ready."""
    publisher: EventPublisher = field(default_factory=Silent)
    alerts: AlertSender = field(default_factory=Silent)
    patients: PatientBook | None = None
    """Whom the companion talks to."""
    objects: ObjectStore | None = None
    """Recordings and other sound; None where the settings name no place for them."""
    clock: Callable[[], float] = time.monotonic
    """Of the sessions."""


async def open_record_parts(ground: Ground) -> RecordParts:
    """Open everything that the settings ask for."""
    objects = await open_objects(ground.settings, ground.resources)
    ground, parts = replace(ground, objects=objects), RecordParts()
    await _add_voice_sessions(ground, parts)
    _add_patients(ground, parts)
    await _add_recordings(ground, parts)
    return await _add_conversations(ground, parts)


async def _add_recordings(ground: Ground, parts: RecordParts) -> None:
    """Record conversations as sound, and offer what is recorded."""
    if ground.objects is not None:
        found = await open_recordings(ground.settings, ground.objects, ground.resources, ground.counters, ground.clock)
        parts.audio_attendances.extend(found.attendances)
        parts.operations.extend(found.operations)
        parts.api_parts[SHELF] = found.shelf


async def _add_conversations(ground: Ground, parts: RecordParts) -> RecordParts:
    """Write down what is said, give it to later conversations, and let people have it and remove it."""
    if ground.database is None:
        return parts
    opened = await open_conversations(ground.settings, ground.database, ground.resources, ground.counters)
    if opened.records is not None:
        parts.audio_attendances.append(opened.records)
    parts.operations.append(conversations.OPERATIONS)
    parts.api_parts[conversations.CONVERSATIONS] = opened.conversations
    return replace(parts, memory=opened.memory)


def _add_patients(ground: Ground, parts: RecordParts) -> None:
    """Let operators keep the records of patients."""
    if ground.patients is not None:
        parts.operations.append(OF_PATIENTS)
        parts.api_parts[PATIENT_BOOK] = ground.patients


async def _add_voice_sessions(ground: Ground, parts: RecordParts) -> RecordedNovaSonic | None:
    """Write every voice session down, and offer the service on what is written."""
    settings = ground.settings
    if settings.session_manager_function_arn:
        log.info("setting.not_needed", name="SESSION_MANAGER_FUNCTION_ARN", reason="the server looks after its sessions itself")
    if ground.database is None:
        return None
    table = ground.database.table(voice_sessions_table(settings.voice_sessions_table))
    try:
        await make_own_table(settings, table)
    except StorageError as error:
        log.warning("voice_sessions.not_stored", reason=str(error))
    sessions = VoiceSessions(table, keep_days=settings.voice_session_days)
    records = VoiceSessionRecords(sessions, ground.counters, process=uuid.uuid4().hex)
    live = RegisteredSessions()
    records.ends_with(live.end)
    ground.resources.push_async_callback(records.aclose)
    records.start()
    parts.audio_attendances.append(records)
    parts.at_registry.append(live.belong_to)
    parts.operations.append(voice_sessions.OPERATIONS)
    uploads = await open_uploads(
        settings, ground.resources, sessions=sessions, objects=ground.objects, publisher=ground.publisher, clock=ground.clock
    )
    parts.at_registry.append(uploads.surroundings.desk.belong_to)
    parts.operations.append(audio.OPERATIONS)
    parts.api_parts[audio.AUDIO] = uploads
    parts.operations.append(notes.OPERATIONS)
    parts.api_parts[notes.NOTES] = make_note_desk(settings, ground.database, sessions, ground.objects, ground.publisher)
    work = ModelAudioWork(uploads.surroundings, sessions)
    service = RecordedNovaSonic(sessions, live, SessionCache(time.monotonic, ground.counters), work)
    parts.api_parts[voice_sessions.VOICE] = service
    return service

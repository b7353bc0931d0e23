"""The parts that write down what outlives a conversation, opened as the settings ask; each is closed with the stack it was opened into.

That a store is away is no reason not to start: what is to be written waits, and conversations go on.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import structlog
from aiohttp import web

from api import audio, conversations, notes, preferences, voice_sessions
from api.audio import AudioOffer
from api.operations import Operation
from api.patient_parts import PATIENT_BOOK
from api.patients import OPERATIONS as OF_PATIENTS
from api.preferences import PreferenceDesk
from api.recording_content import SHELF
from config import Settings
from observers.preferences import PreferredVoices
from parts.cascade import ModelPlace, open_note_writer
from parts.connections import ConnectionParts
from parts.conversations import open_conversations
from parts.objects import open_objects
from parts.recordings import open_recordings
from parts.uploads import make_note_desk, open_audio_desk
from parts.voice_sessions import VoiceSessionParts, open_voice_sessions
from publishing.interfaces import EventPublisher
from s2s.models import capabilities
from service.announcements import Announcements
from service.audio_work import ModelAudioWork
from service.nova_sonic import RecordedNovaSonic
from service.pipeline import Surroundings
from service.session_cache import SessionCache
from session.assistant import AssistantProfile
from session.interfaces import Attendance, AudioAttendance
from session.registry import SessionRegistry
from storage.conversations import Conversations
from storage.objects import ObjectStore
from storage.patients import PatientBook
from storage.preferences import UserPreferences
from storage.table import Database
from telemetry.counters import Counters
from transports.memory import Memory, NoMemory
from transports.preferences import NoPreferences, Preferences

log = structlog.get_logger()


@dataclass(slots=True)
class RecordParts:
    """What listens to sessions for the records, and what plain HTTP offers of them."""

    attendances: list[Attendance] = field(default_factory=list)
    audio_attendances: list[AudioAttendance] = field(default_factory=list)
    operations: list[Sequence[Operation]] = field(default_factory=list)
    api_parts: dict[web.AppKey[Any], object] = field(default_factory=dict)
    """What the operations work on."""
    memory: Memory = field(default_factory=NoMemory)
    """Of earlier conversations, for the next ones."""
    preferences: Preferences = field(default_factory=NoPreferences)
    """Of users, for their next conversations."""
    at_registry: list[Callable[[SessionRegistry], None]] = field(default_factory=list)
    """What wants to know the live sessions, which are opened after all this."""

    def offer[T](self, operations: Sequence[Operation], key: web.AppKey[T], part: T) -> None:
        """Offer operations over plain HTTP, with what they work on."""
        self.operations.append(operations)
        self.api_parts[key] = part

    def belong_to(self, registry: SessionRegistry) -> None:
        """Let those who want to know it know the registry of the live sessions."""
        for tell in self.at_registry:
            tell(registry)


@dataclass(frozen=True, slots=True)
class Ground:
    """What every part is built on."""

    settings: Settings
    resources: AsyncExitStack
    counters: Counters
    clock: Callable[[], float]
    """Monotonic seconds, of the sessions."""
    assistants: Mapping[str, AssistantProfile]
    publisher: EventPublisher
    database: Database | None
    """None where tools were given that work on none of ours."""
    patients: PatientBook | None
    """Whom the companion talks to."""
    connections: ConnectionParts
    place: ModelPlace | None = None
    """Where the model's services are; None where the model was given."""


async def open_record_parts(ground: Ground) -> RecordParts:
    """Open everything that the settings ask for."""
    if ground.settings.session_manager_function_arn:
        log.info("setting.not_needed", name="SESSION_MANAGER_FUNCTION_ARN", reason="the server looks after its sessions itself")
    parts = RecordParts()
    objects = await open_objects(ground.settings, ground.resources)
    if ground.patients is not None:
        parts.offer(OF_PATIENTS, PATIENT_BOOK, ground.patients)
    if objects is not None:
        await _add_recordings(ground, parts, objects)
    if ground.database is not None:
        said = await _add_conversations(ground, parts, ground.database)
        sessions = await _add_voice_sessions(ground, parts, ground.database)
        _add_preferences(ground, parts, sessions)
        await _add_service(ground, parts, sessions, said=said, objects=objects)
    return parts


async def _add_recordings(ground: Ground, parts: RecordParts, objects: ObjectStore) -> None:
    """Record conversations as sound, and offer what is recorded."""
    found = await open_recordings(ground.settings, objects, ground.assistants, ground.resources, ground.counters, clock=ground.clock)
    parts.audio_attendances.extend(found.attendances)
    parts.operations.extend(found.operations)
    parts.api_parts[SHELF] = found.shelf


async def _add_conversations(ground: Ground, parts: RecordParts, database: Database) -> Conversations:
    """Write down what is said, give it to later conversations, and let people have it and remove it."""
    opened = await open_conversations(ground.settings, database, ground.assistants, ground.resources, ground.counters, clock=ground.clock)
    if opened.records is not None:
        parts.audio_attendances.append(opened.records)
    parts.offer(conversations.OPERATIONS, conversations.CONVERSATIONS, opened.conversations)
    parts.memory = opened.memory
    return opened.conversations


async def _add_voice_sessions(ground: Ground, parts: RecordParts, database: Database) -> VoiceSessionParts:
    """Write every voice session down."""
    opened = await open_voice_sessions(ground.settings, database, ground.resources, ground.counters)
    parts.audio_attendances.append(opened.records)
    parts.at_registry.append(opened.live.belong_to)
    return opened


def _add_preferences(ground: Ground, parts: RecordParts, voice: VoiceSessionParts) -> None:
    """Let users say with which voice they like to be answered, and answer them with it."""
    kept = UserPreferences(voice.sessions.table)
    parts.preferences = PreferredVoices(kept, ground.counters, ground.clock)
    parts.offer(preferences.OPERATIONS, preferences.DESK, PreferenceDesk(kept, capabilities(ground.settings.model_id)))


async def _add_service(
    ground: Ground, parts: RecordParts, voice: VoiceSessionParts, *, said: Conversations, objects: ObjectStore | None
) -> None:
    """Offer what can be done with voice sessions: the service, uploaded audio, and notes."""
    announcements = Announcements(ground.publisher, ground.connections.directory)
    voice.records.tells(announcements.ended)
    desk = await open_audio_desk(ground.settings, ground.resources, ground.clock)
    surroundings = Surroundings(desk, ground.publisher, objects, ground.connections.directory, parts.preferences.voice_of)
    uploads = AudioOffer(surroundings, voice.sessions, announcements)
    parts.at_registry.append(desk.belong_to)
    parts.offer(audio.OPERATIONS, audio.AUDIO, uploads)
    writer = open_note_writer(ground.settings, ground.resources, ground.place)
    parts.offer(notes.OPERATIONS, notes.NOTES, make_note_desk(voice.sessions, said, objects, ground.publisher, writer))
    work, cache = ModelAudioWork(surroundings, voice.sessions), SessionCache(ground.clock, ground.counters)
    service = RecordedNovaSonic(voice.sessions, voice.live, cache, work, announcements=announcements)
    parts.offer(voice_sessions.OPERATIONS, voice_sessions.VOICE, service)

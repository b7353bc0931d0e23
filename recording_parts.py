"""What records conversations as sound, opened as the settings ask."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from config import Settings
from observers.recording import Order, RecordingDesk
from observers.recording_encoders import Studio, choose_studio
from observers.recording_upkeep import RecordingUpkeep
from parts import load_assistants
from session.interfaces import AudioAttendance
from storage.objects import ObjectStore
from storage.recordings import RecordAudio, Recordings
from telemetry.counters import Counters

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RecordingParts:
    """What listens, and what there is to be listened to."""

    attendances: tuple[AudioAttendance, ...]
    recordings: Recordings


async def open_recordings(
    settings: Settings, store: ObjectStore, resources: AsyncExitStack, counters: Counters, clock: Callable[[], float]
) -> RecordingParts:
    """Return what records the conversations that the settings name, and look after what was recorded before."""
    recordings = Recordings(store)
    upkeep = RecordingUpkeep(recordings, counters, keep_days=None if settings.audio_bucket else settings.recording_days)
    resources.push_async_callback(upkeep.aclose)
    upkeep.start()
    wanted = recorded_assistants(settings)
    if wanted is not None and not wanted:
        return RecordingParts((), recordings)
    desk = RecordingDesk(
        recordings,
        await _open_studio(settings),
        Order(wanted, settings.recordings_at_once, settings.recording_part_seconds),
        counters,
        clock=clock,
    )
    resources.push_async_callback(desk.aclose)
    desk.start()
    return RecordingParts((desk,), recordings)


def recorded_assistants(settings: Settings) -> frozenset[str] | None:
    """Return the names of the assistants whose conversations are recorded as sound; None for all."""
    if settings.record_audio is RecordAudio.ALL:
        return None
    if settings.record_audio is RecordAudio.OFF:
        return frozenset()
    return frozenset(profile.name for profile in load_assistants().values() if profile.keeping.is_audio_recorded)


async def _open_studio(settings: Settings) -> Studio:
    studio = await asyncio.to_thread(choose_studio, settings.recording_format)
    if studio.format is not settings.recording_format:
        wanted = settings.recording_format.value
        log.warning("recording.format_replaced", wanted=wanted, instead=studio.format.value, reason="PyAV is not installed")
    return studio

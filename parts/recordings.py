"""What records conversations as sound, opened as the settings ask."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import structlog

from api.operations import Operation
from api.recording_content import CONTENT_OPERATIONS, RecordingShelf
from api.recordings import OPERATIONS
from config import Settings
from observers.recording import Order, RecordingDesk
from observers.recording_press import ProcessPress
from observers.recording_upkeep import RecordingUpkeep
from session.assistant import AssistantProfile
from session.interfaces import AudioAttendance
from storage.object_folder import FolderStore
from storage.objects import ObjectStore
from storage.recordings import RecordAudio, Recordings
from telemetry.counters import Counters

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RecordingParts:
    """What listens, and what there is to be listened to."""

    attendances: tuple[AudioAttendance, ...]
    operations: tuple[Sequence[Operation], ...]
    shelf: RecordingShelf


async def open_recordings(
    settings: Settings,
    store: ObjectStore,
    assistants: Mapping[str, AssistantProfile],
    resources: AsyncExitStack,
    counters: Counters,
    *,
    clock: Callable[[], float],
) -> RecordingParts:
    """Return what records the conversations that the settings name, and look after what was recorded before."""
    recordings = Recordings(store)
    upkeep = RecordingUpkeep(recordings, counters, keep_days=None if settings.audio_bucket else settings.recording_days)
    resources.push_async_callback(upkeep.aclose)
    upkeep.start()
    signer = store.signer if isinstance(store, FolderStore) else None
    offered = (OPERATIONS,) if signer is None else (OPERATIONS, CONTENT_OPERATIONS)
    shelf, wanted = RecordingShelf(recordings, signer), recorded_assistants(settings, assistants)
    if wanted is not None and not wanted:
        return RecordingParts((), offered, shelf)
    desk = RecordingDesk(
        recordings,
        _press(settings),
        Order(wanted, settings.recordings_at_once, settings.recording_part_seconds),
        counters,
        clock=clock,
    )
    resources.push_async_callback(desk.aclose)
    await desk.start()
    return RecordingParts((desk,), offered, shelf)


def recorded_assistants(settings: Settings, assistants: Mapping[str, AssistantProfile]) -> frozenset[str] | None:
    """Return the names of the assistants whose conversations are recorded as sound; None for all."""
    if settings.record_audio is RecordAudio.ALL:
        return None
    return frozenset(profile.name for profile in assistants.values() if is_recorded(settings, profile))


def is_recorded(settings: Settings, profile: AssistantProfile) -> bool:
    """Tell whether the conversations with an assistant are recorded as sound."""
    if settings.record_audio is RecordAudio.OFF or not (settings.local or settings.audio_bucket or settings.recordings_folder):
        return False
    return settings.record_audio is RecordAudio.ALL or profile.keeping.is_audio_recorded


def _press(settings: Settings) -> ProcessPress:
    press = ProcessPress(settings.recording_format)
    if press.format is not settings.recording_format:
        wanted = settings.recording_format.value
        log.warning("recording.format_replaced", wanted=wanted, instead=press.format.value, reason="PyAV is not installed")
    return press

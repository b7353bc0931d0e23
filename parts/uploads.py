"""What works on uploaded audio, opened as the settings ask."""

from collections.abc import Callable
from contextlib import AsyncExitStack

from api.notes import NoteDesk
from audio.decoding import AudioDecoding
from config import Settings
from publishing.interfaces import EventPublisher
from s2s.models import capabilities
from service.notes import NoteTaker, TextModel
from service.uploads import AudioDesk, UploadLimits
from storage.conversations import Conversations
from storage.objects import ObjectStore
from storage.voice_sessions import VoiceSessions


def make_note_desk(
    sessions: VoiceSessions,
    conversations: Conversations,
    objects: ObjectStore | None,
    publisher: EventPublisher,
    writer: TextModel | None = None,
) -> NoteDesk:
    """Return what makes notes of conversations.

    Args:
        sessions: tell whose a voice session is.
        conversations: what was said.
        objects: keep the notes; None keeps none.
        publisher: is told of them.
        writer: a text model; None takes the summary out of what was said.
    """
    return NoteDesk(NoteTaker(objects, conversations, publisher, writer), sessions)


async def open_audio_desk(settings: Settings, resources: AsyncExitStack, clock: Callable[[], float]) -> AudioDesk:
    """Return what works on uploaded audio; it needs to be told the registry of sessions before it does.

    Args:
        settings: as read.
        resources: close the decoders.
        clock: monotonic seconds, of the sessions.
    """
    decoding = AudioDecoding()
    resources.callback(decoding.close)
    await decoding.start()
    limits = UploadLimits(
        seconds=settings.upload_seconds,
        at_once=settings.uploads_at_once,
        at_once_per_user=settings.uploads_per_user,
        speed=settings.upload_speed,
    )
    return AudioDesk(capabilities(settings.model_id), decoding, limits, clock)

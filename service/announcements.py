"""Tells of voice sessions that change past those who talk in them: published for front ends, and pushed to the client's own connection.

What happens in a conversation is told by its own process as it happens. Here is told what nobody tells there: a session that is begun on
request, what programs note of any, uploaded recordings that are counted, and ends that come to a session which no process has.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from publishing.events import SessionChange, SessionEvent, SessionStatus
from publishing.interfaces import EventPublisher
from session.notices import Deliver, Recipient, SessionNoted
from storage.models import format_instant
from storage.voice_session_items import VoiceSession, user_of

DELIVER_SECONDS: Final = 1.0
"""For clients that take what they are told slowly; the one who asked for the change waits for it."""


class Announcements:
    """Tells of changes of voice sessions.

    Args:
        publisher: takes the events.
        deliver: reaches clients on their connections; None reaches none.
    """

    def __init__(self, publisher: EventPublisher, deliver: Deliver | None = None) -> None:
        self._publisher = publisher
        self._deliver = deliver

    async def created(self, session: VoiceSession) -> None:
        """Tell that a session was begun on request."""
        await self._tell(SessionChange.CREATED, session)

    async def updated(self, session: VoiceSession) -> None:
        """Tell that something was noted of a session, or counted in it."""
        await self._tell(SessionChange.UPDATED, session)

    async def ended(self, *sessions: VoiceSession) -> None:
        """Tell that sessions have ended which no process has."""
        await self._tell(SessionChange.ENDED, *sessions)

    async def _tell(self, change: SessionChange, *sessions: VoiceSession) -> None:
        for session in sessions:
            self._publisher.publish(_event(change, session))
        if self._deliver is not None:
            await self._push(self._deliver, change, sessions)

    async def _push(self, deliver: Deliver, change: SessionChange, sessions: Sequence[VoiceSession]) -> None:
        """Tell the clients, all at the same time: many who are slow take no longer than one."""
        with suppress(TimeoutError):  # a client that does not read can ask how its session stands
            async with asyncio.timeout(DELIVER_SECONDS), asyncio.TaskGroup() as tasks:
                for session in sessions:
                    to = Recipient(user_of(session), session.connection_id, session.session_id)
                    tasks.create_task(deliver.deliver(to, (_notice(change, session),)))


def _event(change: SessionChange, session: VoiceSession) -> SessionEvent:
    at = session.ended_at or session.updated_at
    return SessionEvent(
        change=change,
        session_id=session.session_id,
        user_id=user_of(session),
        at=session.updated_at if change is SessionChange.UPDATED else at,
        status=SessionStatus(session.status.value),
        connection_id=session.connection_id,
        assistant=session.assistant or "",
        language=session.language or "",
        message_count=session.message_count,
        duration_ms=round((at - session.created_at).total_seconds() * 1_000),
        reason=session.end_reason,
        error_code=session.error_code,
    )


def _notice(change: SessionChange, session: VoiceSession) -> SessionNoted:
    duration = session.total_duration
    return SessionNoted(
        session_id=session.session_id,
        change=change.value,
        status=session.status.value,
        updated_at=format_instant(session.updated_at),
        messages=session.message_count,
        metadata=session.metadata,
        audio_format=session.audio_format or "",
        seconds=None if duration is None else float(duration),
        reason=session.end_reason or "",
    )

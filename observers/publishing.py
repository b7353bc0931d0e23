"""Publishes what happens in each session: that it began, changed, ended or failed, what the user said, and what the assistant answered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from publishing.events import ResponseEvent, SessionChange, SessionStatus, TranscriptionEvent
from publishing.events import SessionEvent as PublishedSession
from publishing.interfaces import EventPublisher
from s2s.events import Role, Stage
from session.events import EndReason, Interrupted, SessionEnded, SessionEvent, SessionFailed, SessionStarted, TranscriptUpdated
from session.label import SessionLabel


@dataclass(slots=True)
class _Count:
    """What is told of a session beside its label."""

    messages: int = 0
    """Final turns until now."""
    last_turn: int = 0
    """Number of the last of them."""
    interrupted_turn: int = 0
    error_code: str | None = None


class SessionPublisher:
    """Publishes the events of one session.

    Args:
        label: of the session.
        publisher: takes the events.
        clock: the time now, UTC.
    """

    def __init__(self, label: SessionLabel, publisher: EventPublisher, clock: Callable[[], datetime]) -> None:
        self._label = label
        self._publisher = publisher
        self._clock = clock
        self._count = _Count()

    def on_event(self, event: SessionEvent) -> None:
        """Publish an event if it is one of those that are; speech, by far the most of them, costs a few comparisons of classes."""
        match event:
            case SessionStarted():
                self._tell(SessionChange.CREATED, SessionStatus.ACTIVE)
            case TranscriptUpdated(stage=Stage.FINAL):
                self._said(event)
            case Interrupted():
                self._count.interrupted_turn = event.turn
            case SessionFailed():
                self._count.error_code = event.code
                self._tell(SessionChange.ERROR, SessionStatus.ERROR)
            case SessionEnded():
                self._ended(event)
            case _:
                pass

    def _said(self, event: TranscriptUpdated) -> None:
        label, now = self._label, self._clock()
        if event.role is Role.USER:
            self._publisher.publish(
                TranscriptionEvent(
                    session_id=label.session_id,
                    user_id=label.user_id,
                    at=now,
                    turn=event.turn,
                    text=event.text,
                    language=label.language,
                )
            )
        else:
            self._publisher.publish(
                ResponseEvent(
                    session_id=label.session_id,
                    user_id=label.user_id,
                    at=now,
                    turn=event.turn,
                    text=event.text,
                    language=label.language,
                    is_interrupted=event.turn == self._count.interrupted_turn,
                )
            )
        if event.turn != self._count.last_turn:  # a turn may have several blocks of text
            self._count.last_turn = event.turn
            self._count.messages += 1
            self._tell(SessionChange.UPDATED, SessionStatus.ACTIVE)

    def _ended(self, event: SessionEnded) -> None:
        if event.reason is EndReason.PARKED:  # another process goes on with it
            self._tell(SessionChange.UPDATED, SessionStatus.ACTIVE, event.reason.value)
            return
        status = SessionStatus.ERROR if event.reason is EndReason.FAILED else SessionStatus.COMPLETED
        self._tell(SessionChange.ENDED, status, event.reason.value)

    def _tell(self, change: SessionChange, status: SessionStatus, reason: str | None = None) -> None:
        label, count, now = self._label, self._count, self._clock()
        is_whole = not label.is_adopted  # else another process knows what came before
        self._publisher.publish(
            PublishedSession(
                change=change,
                session_id=label.session_id,
                user_id=label.user_id,
                at=now,
                status=status,
                connection_id=label.connection_id,
                assistant=label.assistant,
                language=label.language,
                message_count=count.messages if is_whole else None,
                duration_ms=round((now - label.began_at).total_seconds() * 1000) if is_whole else None,
                reason=reason,
                error_code=count.error_code,
            )
        )


class PublishingAttendance:
    """Publishes the events of every session.

    Args:
        publisher: takes the events.
        clock: the time now, UTC.
    """

    def __init__(self, publisher: EventPublisher, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._publisher = publisher
        self._clock = clock

    def attend(self, session: SessionLabel) -> SessionPublisher:
        """Return what publishes the events of a session."""
        return SessionPublisher(session, self._publisher, self._clock)

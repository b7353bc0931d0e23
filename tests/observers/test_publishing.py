"""What is published of sessions: their life, what was said and answered, and nothing of anybody else."""

from datetime import UTC, datetime, timedelta

import pytest

from observers.publishing import PublishingAttendance
from publishing.events import Event, ResponseEvent, TranscriptionEvent
from publishing.events import SessionEvent as PublishedSession
from publishing.shapes import to_json
from s2s.events import Role, Stage
from session.events import (
    EndReason,
    Interrupted,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    TranscriptUpdated,
    UserSpeechStarted,
)
from session.label import SessionLabel

BEGAN = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
STARTED = SessionStarted("s-1", "carlos", "es", "carlos", "amazon.nova-2-sonic-v1:0", 16_000, 24_000)


class Notes:
    """Takes events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)


def label(*, session_id: str = "s-1", user_id: str = "ana", is_adopted: bool = False) -> SessionLabel:
    model = "amazon.nova-2-sonic-v1:0"
    return SessionLabel(session_id, user_id, "c-1", "carlos", "es", "carlos", model, 16_000, 24_000, BEGAN, is_adopted)


def final(turn: int, role: Role, text: str) -> TranscriptUpdated:
    return TranscriptUpdated(turn, role, Stage.FINAL, text)


def told(*events: SessionEvent, is_adopted: bool = False) -> list[Event]:
    """Return what is published when each of these events comes a second after the one before."""
    notes, now = Notes(), BEGAN

    def clock() -> datetime:
        return now

    observer = PublishingAttendance(notes, clock).attend(label(is_adopted=is_adopted))
    for event in events:
        observer.on_event(event)
        now += timedelta(seconds=1)
    return notes.events


def changes(events: list[Event]) -> list[tuple[str, str, int | None]]:
    return [(one.change.value, one.status.value, one.message_count) for one in events if isinstance(one, PublishedSession)]


@pytest.mark.req("S0-16")
def test_a_session_is_created_updated_and_ended() -> None:
    events = told(
        STARTED,
        final(1, Role.USER, "Hola."),
        TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "Buenas tardes."),
        final(2, Role.ASSISTANT, "Buenas "),
        final(2, Role.ASSISTANT, "tardes."),
        SessionEnded(EndReason.CLIENT),
    )

    assert changes(events) == [
        ("created", "ACTIVE", 0),
        ("updated", "ACTIVE", 1),
        ("updated", "ACTIVE", 2),
        ("ended", "COMPLETED", 2),
    ]
    last = to_json(events[-1])
    assert (last["totalDuration"], last["reason"], last["userId"], last["connectionId"]) == (5_000, "client", "ana", "c-1")


@pytest.mark.req("S0-16")
def test_a_session_that_fails_says_with_which_code() -> None:
    failed = SessionFailed("model_unavailable", "Try again.", retryable=True)
    events = told(STARTED, failed, SessionEnded(EndReason.FAILED))

    assert changes(events) == [("created", "ACTIVE", 0), ("error", "ERROR", 0), ("ended", "ERROR", 0)]
    assert to_json(events[1])["errorCode"] == "model_unavailable"
    assert "Try again." not in str(to_json(events[1]))


@pytest.mark.req("S0-25")
def test_what_the_user_said_is_published_when_it_is_final() -> None:
    events = told(STARTED, UserSpeechStarted(1), final(1, Role.USER, "¿Qué tal?"))
    said = [one for one in events if isinstance(one, TranscriptionEvent)]

    assert [(one.turn, one.text, one.confidence, one.user_id) for one in said] == [(1, "¿Qué tal?", None, "ana")]


@pytest.mark.req("S0-26")
def test_what_the_assistant_answered_is_published_when_it_is_final() -> None:
    events = told(
        STARTED,
        TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "Bien, gracias."),
        final(2, Role.ASSISTANT, "Bien."),
        Interrupted(4, 300),
        final(4, Role.ASSISTANT, "Pues"),
    )
    answered = [one for one in events if isinstance(one, ResponseEvent)]

    assert [(one.turn, one.text, one.is_interrupted) for one in answered] == [(2, "Bien.", False), (4, "Pues", True)]


def test_speech_itself_is_not_published() -> None:
    assert told(SpeechChunk(2, b"\0\0"), UserSpeechStarted(1)) == []


def test_a_session_that_another_process_goes_on_with_has_not_ended() -> None:
    events = told(STARTED, SessionEnded(EndReason.PARKED))

    assert changes(events) == [("created", "ACTIVE", 0), ("updated", "ACTIVE", 0)]


def test_of_a_session_that_another_process_began_no_figures_are_made_up() -> None:
    events = told(final(5, Role.USER, "Sigo."), SessionEnded(EndReason.CLIENT), is_adopted=True)

    assert changes(events) == [("updated", "ACTIVE", None), ("ended", "COMPLETED", None)]
    assert "totalDuration" not in to_json(events[-1])


@pytest.mark.parametrize("reason", [one for one in EndReason if one not in (EndReason.FAILED, EndReason.PARKED)])
def test_every_other_end_completes_a_session(reason: EndReason) -> None:
    assert changes(told(SessionEnded(reason)))[0][:2] == ("ended", "COMPLETED")


def test_each_session_has_its_own_user_and_count() -> None:
    notes = Notes()
    attendance = PublishingAttendance(notes, lambda: BEGAN)
    first, second = attendance.attend(label()), attendance.attend(label(session_id="s-2", user_id="eve"))
    first.on_event(final(1, Role.USER, "uno"))
    second.on_event(final(1, Role.USER, "dos"))

    found = [(one.session_id, one.user_id) for one in notes.events if isinstance(one, TranscriptionEvent | PublishedSession)]
    assert found == [("s-1", "ana")] * 2 + [("s-2", "eve")] * 2
    assert {one.message_count for one in notes.events if isinstance(one, PublishedSession)} == {1}

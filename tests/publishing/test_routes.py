"""Which event goes where, in which shape, and who may receive it: one row for each kind of event."""

import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import get_args

import pytest

from publishing.events import (
    Alert,
    BookingEvent,
    Change,
    ConversationEvent,
    Event,
    NotesEvent,
    PipelineEvent,
    PipelineStage,
    RecordEvent,
    ResponseEvent,
    SessionChange,
    SessionEvent,
    SessionStatus,
    Severity,
    TranscriptionEvent,
)
from publishing.routes import MAX_SEGMENT, TABLE, is_channel, messages, segment

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
TOLD = "2026-11-22T09:30:00.000Z"
OF_SESSION = {"sessionId": "s-1", "userId": "ana", "timestamp": TOLD}

SESSION = SessionEvent(
    change=SessionChange.ENDED,
    session_id="s-1",
    user_id="ana",
    at=AT,
    status=SessionStatus.COMPLETED,
    connection_id="c-1",
    assistant="carlos",
    language="es",
    message_count=4,
    duration_ms=61_000,
    reason="client",
)
BARE_SESSION = SessionEvent(change=SessionChange.CREATED, session_id="s-1", user_id="", at=AT, status=SessionStatus.ACTIVE)
TRANSCRIPTION = TranscriptionEvent(session_id="s-1", user_id="ana", at=AT, turn=1, text="¿Qué tal?", language="es")
RESPONSE = ResponseEvent(session_id="s-1", user_id="ana", at=AT, turn=2, text="Bien.", language="es", is_interrupted=True)
CONVERSATION = ConversationEvent(
    change=Change.INSERT, username="ana", conversation_id="s-1", at=AT, conversation=[{"role": "USER"}], source="aws:dynamodb"
)
BOOKING = BookingEvent(
    change=Change.MODIFY,
    booking_id="b-1",
    at=AT,
    source="aws:dynamodb",
    date="2026-12-01",
    name="Ana",
    hour="20:30",
    guests=4,
    status="CONFIRMED",
)
PIPELINE = PipelineEvent(stage=PipelineStage.STORED, session_id="s-1", user_id="ana", at=AT, audio_id="a-1", duration_ms=12)
NOTES = NotesEvent(kind="summary", session_id="s-1", user_id="ana", at=AT, notes_id="n-1")
RECORD = RecordEvent(change=Change.INSERT, kind="order", record_id="ORD-7", status="pending", at=AT, source="aws:dynamodb")
ALERT = Alert(code="patient_needs_help", message="John asks for help", at=AT, severity=Severity.CRITICAL, details={"patientId": "pt-001"})

OWN = "events/voice-sessions/ana/s-1"
ROWS: list[tuple[Event, list[str], str, dict[str, object]]] = [
    (
        SESSION,
        [OWN],
        "ana",
        {
            "type": "SESSION",
            **OF_SESSION,
            "eventName": "ended",
            "status": "COMPLETED",
            "connectionId": "c-1",
            "assistant": "carlos",
            "language": "es",
            "messageCount": 4,
            "totalDuration": 61_000,
            "reason": "client",
        },
    ),
    (
        BARE_SESSION,
        ["events/voice-sessions/anybody/s-1"],
        "",
        {"type": "SESSION", **OF_SESSION, "userId": "", "eventName": "created", "status": "ACTIVE"},
    ),
    (
        TRANSCRIPTION,
        [OWN],
        "ana",
        {"type": "TRANSCRIPTION", **OF_SESSION, "turn": 1, "text": "¿Qué tal?", "language": "es", "confidence": None},
    ),
    (RESPONSE, [OWN], "ana", {"type": "RESPONSE", **OF_SESSION, "turn": 2, "text": "Bien.", "language": "es", "interrupted": True}),
    (
        CONVERSATION,
        ["events/conversations", "events/conversations/ana"],
        "ana",
        {
            "type": "CONVERSATION",
            "username": "ana",
            "conversation_id": "s-1",
            "timestamp": TOLD,
            "conversation": [{"role": "USER"}],
            "source": "aws:dynamodb",
            "eventName": "INSERT",
        },
    ),
    (
        BOOKING,
        ["events/restaurant-booking"],
        "",
        {
            "type": "BOOKING",
            "bookingId": "b-1",
            "date": "2026-12-01",
            "name": "Ana",
            "hour": "20:30",
            "numGuests": 4,
            "status": "CONFIRMED",
            "timestamp": TOLD,
            "source": "aws:dynamodb",
            "eventName": "MODIFY",
        },
    ),
    (PIPELINE, [OWN], "ana", {"type": "AUDIO", **OF_SESSION, "stage": "stored", "audioId": "a-1", "duration": 12}),
    (NOTES, [OWN], "ana", {"type": "NOTES", **OF_SESSION, "kind": "summary", "notesId": "n-1"}),
    (
        RECORD,
        ["events/orders"],
        "",
        {
            "type": "ORDER",
            "orderId": "ORD-7",
            "status": "pending",
            "timestamp": TOLD,
            "source": "aws:dynamodb",
            "eventName": "INSERT",
        },
    ),
    (
        ALERT,
        ["events/alerts"],
        "",
        {
            "type": "ALERT",
            "code": "patient_needs_help",
            "severity": "critical",
            "message": "John asks for help",
            "timestamp": TOLD,
            "details": {"patientId": "pt-001"},
        },
    ),
]


@pytest.mark.req("S0-40")
@pytest.mark.req("S1-17")
@pytest.mark.req("S1-18")
@pytest.mark.parametrize(
    ("event", "channels", "owner", "shape"), ROWS, ids=[f"{type(row[0]).__name__}-{at}" for at, row in enumerate(ROWS)]
)
def test_an_event_has_its_channels_its_audience_and_its_shape(
    event: Event, channels: list[str], owner: str, shape: dict[str, object]
) -> None:
    found = messages(event)

    assert channels == [message.channel for message in found]
    assert {owner} == {message.owner for message in found}
    assert all(shape == json.loads(message.text) for message in found)


def test_the_table_has_a_row_for_every_kind_of_event() -> None:
    kinds = set(get_args(Event.__value__))

    assert kinds == set(TABLE)
    assert kinds == {type(row[0]) for row in ROWS}


@pytest.mark.parametrize("kind", [kind for kind in get_args(Event.__value__) if "user_id" not in {field.name for field in fields(kind)}])
def test_what_names_no_user_is_for_operators_unless_its_rule_says_whose_it_is(kind: type[Event]) -> None:
    assert kind in {ConversationEvent, RecordEvent, Alert}


@pytest.mark.parametrize("name", ["ana", "8f14e45f-ceea-467f-a8a9-0f3a3f8b1d2e", "7", "A-b-9", "a" * MAX_SEGMENT])
def test_a_name_that_can_be_a_segment_is_one(name: str) -> None:
    assert name == segment(name)


@pytest.mark.parametrize("name", ["", "ana@example.com", "a/b", "../x", "-a", "a-", "ñandú", "a b", "*", "a" * (MAX_SEGMENT + 1), "\ud800"])
def test_any_other_name_becomes_a_segment_of_its_own(name: str) -> None:
    made = segment(name)

    assert re.fullmatch(r"x-[0-9a-f]{40}", made)
    assert made != segment(f"{name}x")


@pytest.mark.parametrize("user", ["ana", "ana@example.com", "a/../b", "x" * 500, "ñ"])
def test_every_user_makes_a_channel_that_the_service_takes(user: str) -> None:
    event = SessionEvent(change=SessionChange.CREATED, session_id="5f/..", user_id=user, at=AT, status=SessionStatus.ACTIVE)

    assert all(is_channel(message.channel) for message in messages(event))


def test_a_text_that_is_not_unicode_is_refused() -> None:
    event = TranscriptionEvent(session_id="s-1", user_id="ana", at=AT, turn=1, text="\ud800", language="es")

    with pytest.raises(TypeError):
        messages(event)

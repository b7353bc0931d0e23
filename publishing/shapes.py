"""The JSON of each event, as front ends receive it.

Nothing is in it that its shape does not ask for. Members without a value are left out where the shape says that they may be.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import assert_never

from publishing.events import (
    Alert,
    BookingEvent,
    ConversationEvent,
    Event,
    Json,
    NotesEvent,
    PipelineEvent,
    RecordEvent,
    ResponseEvent,
    SessionEvent,
    TranscriptionEvent,
)

type JsonObject = dict[str, Json]


def to_json(event: Event) -> JsonObject:
    """Return the JSON object of an event."""
    match event:
        case SessionEvent():
            return _session(event)
        case TranscriptionEvent() | ResponseEvent():
            return _said(event)
        case ConversationEvent():
            return _conversation(event)
        case BookingEvent():
            return _booking(event)
        case RecordEvent():
            return _record(event)
        case PipelineEvent() | NotesEvent():
            return _made(event)
        case Alert():
            return _alert(event)
        case _:
            assert_never(event)


def timestamp(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds: 2026-11-22T09:30:00.000Z."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _session(event: SessionEvent) -> JsonObject:
    told: JsonObject = {"type": "SESSION", "eventName": event.change.value, "sessionId": event.session_id, "userId": event.user_id}
    told |= {"status": event.status.value, "timestamp": timestamp(event.at)}
    return told | _present(
        {
            "connectionId": event.connection_id or None,
            "assistant": event.assistant or None,
            "language": event.language or None,
            "messageCount": event.message_count,
            "totalDuration": event.duration_ms,
            "reason": event.reason,
            "errorCode": event.error_code,
        }
    )


def _said(event: TranscriptionEvent | ResponseEvent) -> JsonObject:
    told: JsonObject = {"sessionId": event.session_id, "userId": event.user_id, "turn": event.turn, "text": event.text}
    told |= {"language": event.language, "timestamp": timestamp(event.at)}
    if isinstance(event, TranscriptionEvent):
        return {"type": "TRANSCRIPTION", **told, "confidence": event.confidence}
    return {"type": "RESPONSE", **told, "interrupted": event.is_interrupted}


def _conversation(event: ConversationEvent) -> JsonObject:
    return {
        "type": "CONVERSATION",
        "username": event.username,
        "conversation_id": event.conversation_id,
        "timestamp": timestamp(event.at),
        "conversation": event.conversation,
        "source": event.source,
        "eventName": event.change.value,
    }


def _booking(event: BookingEvent) -> JsonObject:
    return {
        "type": "BOOKING",
        "bookingId": event.booking_id,
        "date": event.date,
        "name": event.name,
        "hour": event.hour,
        "numGuests": event.guests,
        "status": event.status,
        "timestamp": timestamp(event.at),
        "source": event.source,
        "eventName": event.change.value,
    }


def _record(event: RecordEvent) -> JsonObject:
    told: JsonObject = {"type": event.kind.upper(), f"{event.kind}Id": event.record_id, "status": event.status}
    return told | {"timestamp": timestamp(event.at), "source": event.source, "eventName": event.change.value}


def _made(event: PipelineEvent | NotesEvent) -> JsonObject:
    told: JsonObject = {"sessionId": event.session_id, "userId": event.user_id, "timestamp": timestamp(event.at)}
    if isinstance(event, NotesEvent):
        return {"type": "NOTES", **told, "kind": event.kind, "notesId": event.notes_id}
    more = {"audioId": event.audio_id or None, "duration": event.duration_ms, "errorCode": event.error_code}
    return {"type": "AUDIO", **told, "stage": event.stage.value} | _present(more)


def _alert(event: Alert) -> JsonObject:
    told: JsonObject = {"type": "ALERT", "code": event.code, "severity": event.severity.value, "message": event.message}
    details: JsonObject = dict(event.details)
    return told | {"timestamp": timestamp(event.at), "details": details} | _present({"sessionId": event.session_id or None})


def _present(maybe: Mapping[str, Json]) -> JsonObject:
    return {name: value for name, value in maybe.items() if value is not None}

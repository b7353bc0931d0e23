"""Settings of what outlives a conversation: records, recordings, events and alerts."""

# ruff: noqa: RUF009 - the calls in the dataclass make fields, one each
import re
from dataclasses import dataclass
from pathlib import Path

import setting_values as read
from publishing.interfaces import EventsKind
from storage.recordings import RecordAudio, RecordingFormat

MODEL_ID = re.compile(r"[a-zA-Z0-9:/._-]{1,2048}")  # Bedrock API reference, InvokeModelWithBidirectionalStream, modelId


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """What an operator can choose of them."""

    voice_sessions_table: str = read.setting(
        "VOICE_SESSIONS_TABLE_NAME", "Table of the voice sessions that are and were.", read.table_name, "airium-voice-sessions"
    )
    voice_session_days: int = read.setting(
        "VOICE_SESSION_DAYS",
        "How long the record of a voice session is kept after its end; 0 keeps it for ever.",
        read.number(0, 3_650),
        0,
        unit="days",
    )
    websocket_api_id: str = read.setting(
        "WEBSOCKET_API_ID",
        "Id of an API Gateway in front of the server, for front ends: /config tells it. The server itself needs none.",
        read.text,
        "",
    )
    session_manager_function_arn: str = read.setting(
        "SESSION_MANAGER_FUNCTION_ARN",
        "Known from installations on Lambda and not needed: the server looks after its sessions itself, and says so in the log.",
        read.text,
        "",
    )
    conversations_table: str = read.setting(
        "CONVERSATIONS_TABLE", "Table of what was said in conversations.", read.table_name, "NovaSonicConversations"
    )
    is_conversation_recorded: bool = read.setting(
        "RECORD_CONVERSATIONS",
        "yes writes down every turn of a conversation as text; no writes down none. An assistant can be left out in its own file.",
        read.yes_or_no,
        True,
        shown="yes",
    )
    conversation_days: int = read.setting(
        "CONVERSATION_DAYS", "How long what was said in a conversation is kept.", read.number(1, 3_650), 90, unit="days"
    )
    patients_table: str = read.setting("PATIENTS_TABLE", "Table of the companion's patients.", read.table_name, "buddy-patients")
    relatives_table: str = read.setting("RELATIVES_TABLE", "Table of the relatives of patients.", read.table_name, "buddy-relatives")
    routine_table: str = read.setting("ROUTINE_TABLE", "Table of what patients do every day.", read.table_name, "buddy-routine")
    reminders_table: str = read.setting(
        "REMINDERS_TABLE", "Table of what patients want to be reminded of.", read.table_name, "buddy-reminders"
    )
    alerts_per_session: int = read.setting(
        "COMPANION_ALERTS_PER_SESSION",
        "How often the companion may send for the people who look after a patient within one conversation.",
        read.number(0, 20),
        3,
    )
    audio_bucket: str = read.setting(
        "AUDIO_STORAGE_BUCKET",
        "S3 bucket of recordings and other sound, like airium-audio-storage-{account}-{region}; without it they are in RECORDINGS_DIR.",
        read.bucket,
        "",
    )
    audio_kms_key: str = read.setting(
        "AUDIO_STORAGE_KMS_KEY",
        "KMS key that S3 encrypts them with: its id, ARN or alias; without it S3 does so with keys of its own (SSE-S3).",
        read.text,
        "",
    )
    s3_endpoint: str | None = read.setting(
        "AWS_ENDPOINT_URL_S3", "Endpoint of S3 instead of the region's own.", read.endpoint, None, shown=""
    )
    recordings_folder: Path | None = read.setting(
        "RECORDINGS_DIR",
        "Folder of recordings and other sound, where AUDIO_STORAGE_BUCKET names no bucket; with --local it is .local/recordings.",
        read.path,
        None,
        shown="",
    )
    recordings_keys: tuple[bytes, ...] = read.setting(
        "RECORDINGS_KEY",
        "Secret that links into that folder are signed with: 32 bytes in base64. Of several, split by commas, the first signs and all are "
        "known. With --local it is a file in .local/.",
        read.keys,
        (),
        shown="",
        secret=True,
    )
    record_audio: RecordAudio = read.setting(
        "RECORD_AUDIO",
        "Which conversations are recorded as sound: off, none; assistant, those of assistants whose file says so; all.",
        read.choice(RecordAudio),
        RecordAudio.ASSISTANT,
    )
    recording_format: RecordingFormat = read.setting(
        "RECORDING_FORMAT",
        "How: webm or ogg, Opus at 48 kbit/s; flac; or wav, which it is where PyAV is not installed.",
        read.choice(RecordingFormat),
        RecordingFormat.WEBM,
    )
    recording_part_seconds: int = read.setting(
        "RECORDING_PART_SECONDS",
        "How often what was recorded is stored: a crash loses this much, and about five seconds.",
        read.number(1, 60),
        5,
        unit="seconds",
    )
    recordings_at_once: int = read.setting(
        "RECORDINGS_AT_ONCE", "Conversations that are recorded at once; those beyond are not, and are counted.", read.number(1, 10_000), 50
    )
    recording_days: int = read.setting(
        "RECORDING_DAYS",
        "How long recordings are kept in RECORDINGS_DIR; in a bucket, its lifecycle rule says so.",
        read.number(1, 3_650),
        30,
        unit="days",
    )
    events: EventsKind = read.setting(
        "EVENTS",
        "Where front ends follow what happens: off, nowhere; local, at this process; appsync, at an Event API of AWS AppSync. "
        "With --local it is local.",
        read.choice(EventsKind),
        EventsKind.OFF,
    )
    events_endpoint: str = read.setting(
        "EVENTS_ENDPOINT",
        "HTTP endpoint of the Event API, like https://abc.appsync-api.us-east-1.amazonaws.com; needed with EVENTS=appsync.",
        read.guarded_endpoint,
        "",
    )
    events_api_key: str | None = read.setting(
        "EVENTS_API_KEY",
        "API key of the Event API; without it requests are signed with the server's AWS credentials.",
        read.text,
        None,
        shown="",
        secret=True,
    )
    events_namespace: str = read.setting(
        "EVENTS_NAMESPACE", "Channel namespace, the first part of every channel's path.", read.segment, "events"
    )
    alert_topic: str = read.setting(
        "ALERT_TOPIC_ARN", "SNS topic that alerts are sent to; without it they are in the log and at GET /alerts.", read.topic_arn, ""
    )
    alert_after_failures: int = read.setting(
        "ALERT_AFTER_FAILURES",
        "Conversations that fail with one code within five minutes until an alert is raised.",
        read.number(1, 10_000),
        5,
    )
    alert_quiet_seconds: int = read.setting(
        "ALERT_QUIET_SECONDS", "How long the same alert is not raised again.", read.number(1, 86_400), 900, unit="seconds"
    )
    upload_seconds: int = read.setting(
        "UPLOAD_SECONDS", "How long the sound of an uploaded recording may be.", read.number(1, 600), 120, unit="seconds"
    )
    uploads_at_once: int = read.setting(
        "UPLOADS_AT_ONCE",
        "Uploads that are worked on at once; each takes a conversation's place. Those beyond are refused with too_many.",
        read.number(0, 1_000),
        8,
    )
    uploads_per_user: int = read.setting("UPLOADS_PER_USER", "Of these, how many of one user.", read.number(1, 1_000), 2)
    upload_speed: int = read.setting(
        "UPLOAD_SPEED",
        "How many times as fast as it was spoken the model is given an uploaded recording; it takes what it can.",
        read.number(1, 100),
        4,
    )
    text_model_id: str = read.setting(
        "TEXT_MODEL_ID",
        "Text model on Bedrock that writes notes of conversations, and with MODEL_ID=cascade answers in them: an id, inference profile or "
        "ARN. Without it notes are taken out of what was said.",
        read.matching(MODEL_ID, "a Bedrock model id"),
        "",
    )
    transcribe_endpoint: str | None = read.setting(
        "AWS_ENDPOINT_URL_TRANSCRIBE_STREAMING",
        "Endpoint of Transcribe Streaming instead of the region's own; used with MODEL_ID=cascade.",
        read.endpoint,
        None,
        shown="",
    )
    polly_endpoint: str | None = read.setting(
        "AWS_ENDPOINT_URL_POLLY",
        "Endpoint of Polly instead of the region's own; used with MODEL_ID=cascade.",
        read.endpoint,
        None,
        shown="",
    )

"""The tables of messages agree with what the dialects read and write: every vector of the dialects' own tests is held against them."""

import json
from collections.abc import Callable, Sequence
from typing import Any, get_args

import orjson
import pytest

from s2s.events import AudioOutput, OutputEvent, Role, Stage, UnknownEvent
from scripts.asyncapi import TABLES, key_of, messages_of
from session.events import (
    EndReason,
    ExchangeRefused,
    GoingAway,
    Interrupted,
    ModelOutput,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SpeechChunk,
    SpeechEnded,
    ToolAnswered,
    TranscriptUpdated,
)
from tests.transports import raw_client, test_binary_dialect, test_companion_dialect, test_notices, test_nova_output, voice_talk
from tests.transports.documented import closed, matching, problems
from transports.dialects import binary_messages, companion_messages, nova_messages, voice_messages
from transports.dialects.auth_messages import accepted, is_auth
from transports.dialects.binary import BinaryDialect
from transports.dialects.interface import Reply, Told
from transports.dialects.messages import Message, Sender, Table
from transports.dialects.nova_events import NovaEventsDialect

pytestmark = [pytest.mark.req("S4-86")]

EVERY = [pytest.param(table, message, id=f"{table.key}-{key_of(message)}") for table in TABLES for message in messages_of(table)]


def vectors_of(test: Callable[..., object]) -> Sequence[tuple[Any, Any]]:
    """Return the rows that a test is run with."""
    (rows,) = [mark.args[1] for mark in test.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]  # pytest's own
    return list(rows)


def named(table: Table, frames: Sequence[str | bytes]) -> set[str]:
    """Return the names of all messages among the server's frames."""
    return {name for frame in frames for name in matching(table, Sender.SERVER, frame)}


@pytest.mark.parametrize(("table", "message"), EVERY)
def test_an_example_is_its_own_message_and_no_other(table: Table, message: Message) -> None:
    example = message.example
    frame = example if isinstance(example, bytes) else orjson.dumps(example).decode()

    assert matching(table, message.sender, frame) == [message.name]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.key)
def test_names_are_unique(table: Table) -> None:
    keys = [key_of(message) for message in messages_of(table)]

    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("message", "action"), vectors_of(test_binary_dialect.test_a_control_message_becomes_its_action))
def test_what_the_pages_dialect_takes_is_documented(message: dict[str, object], action: object) -> None:
    assert matching(binary_messages.TABLE, Sender.CLIENT, json.dumps(message)) == [message["type"]], action


WHOLE_FLOATS = ('"turn":1e9', '"input_hertz":16000.0')
"""JSON Schema takes them for whole numbers."""


def test_what_the_pages_dialect_refuses_is_documented_as_nothing() -> None:
    taken = []
    for frame, _ in vectors_of(test_binary_dialect.test_a_hostile_frame_is_refused_with_its_error):
        try:
            document = orjson.loads(frame) if isinstance(frame, str) and not any(part in frame for part in WHOLE_FLOATS) else None
        except orjson.JSONDecodeError:
            continue
        if isinstance(document, dict) and matching(binary_messages.TABLE, Sender.CLIENT, frame):
            taken.append(frame[:100])

    assert taken == []


EVENTS = [event for event, _ in vectors_of(test_binary_dialect.test_an_event_becomes_its_message)]
FAILURES = [event for event in EVENTS if isinstance(event, SessionFailed | ExchangeRefused)]
UNTOLD = {SpeechChunk, ModelOutput, ToolAnswered}
"""Speech is a binary frame; the others are the raw dialect's."""


def test_every_message_of_the_pages_dialect_is_documented() -> None:
    resumable = BinaryDialect(lambda: 0)
    resumable.begin(resume_seconds=30)
    answers: list[Told] = [row for row, _ in vectors_of(test_binary_dialect.test_what_belongs_to_no_session_is_told_and_not_counted)]
    frames = [frame for event in EVENTS for token in ("", "x7") for frame in resumable.encode(event, token)]
    frames += [frame for answer in answers for frame in resumable.answer(answer)]
    frames += resumable.encode(SpeechChunk(2, b"\1\0"))

    assert {type(event) for event in EVENTS} | UNTOLD == set(get_args(SessionEvent.__value__))
    assert problems(binary_messages.TABLE, Sender.SERVER, frames) == []


def test_every_event_of_the_raw_dialects_clients_is_documented() -> None:
    frames = [
        *raw_client.opening(),
        raw_client.session_start("HIGH"),
        *raw_client.text_block("H", "ASSISTANT", "Hello", interactive=False),
        *raw_client.text_block("T", "SYSTEM_SPEECH", "slowly"),
        raw_client.audio(b"\1\0"),
        *raw_client.goodbye(),
        raw_client.event("init", promptName="P", textContentName="S", audioContentName="A"),
        raw_client.event("ping", timestamp=1),
        raw_client.event("APP_CUSTOM_state_update", publicIpAddress="192.0.2.1"),
        json.dumps({"body": raw_client.goodbye()[0]}),
    ]

    assert problems(nova_messages.TABLE, Sender.CLIENT, frames) == []


def test_every_event_for_the_raw_dialects_clients_is_documented() -> None:
    dialect = NovaEventsDialect(lambda: 1_700_000_000_123)
    outputs: list[OutputEvent] = [
        row for row, _ in vectors_of(test_nova_output.test_the_models_event_goes_out_under_the_clients_prompt_name)
    ]
    told: list[SessionEvent] = [ModelOutput(event) for event in outputs if not isinstance(event, UnknownEvent)]
    told += [ModelOutput(test_nova_output.SPEECH_START), SpeechChunk(2, bytes(1_920)), ModelOutput(test_nova_output.SPEECH_END)]
    told += [ToolAnswered("u1", "n1", "{}"), *FAILURES]
    frames = [frame for event in told for frame in dialect.encode(event)]

    assert {type(event) for event in outputs} | {AudioOutput} == set(get_args(OutputEvent.__value__))
    assert problems(nova_messages.TABLE, Sender.SERVER, frames) == []


def test_every_message_of_the_voice_dialect_is_documented() -> None:
    talk = voice_talk.started("webm", sessionId="mine")
    typed = TranscriptUpdated(1, Role.USER, Stage.FINAL, "Hola")
    spoken = TranscriptUpdated(3, Role.USER, Stage.FINAL, "Chau")
    planned = TranscriptUpdated(2, Role.ASSISTANT, Stage.SPECULATIVE, "Hola.")
    events = [typed, planned, SpeechChunk(2, b"\1\0"), SpeechEnded(2), Interrupted(2, 5), spoken, GoingAway(500), *FAILURES]
    said: list[dict[str, object]] = [
        {"type": "ping"},
        {"action": "ping"},
        {"type": "connection_init", "data": {}},
        {"type": "text_message", "data": {"content": "Hola"}},
        {"type": "voice_data", "audioData": voice_talk.b64(voice_talk.PCM)},
        {"type": "voice_interrupt"},
        {"type": "voice_end", "data": {"sessionId": "mine"}, "timestamp": "2026-01-01T00:00:00Z"},
    ]
    replies = [action.frame for message in said for action in talk.decode(json.dumps(message)) if isinstance(action, Reply)]
    told = [frame for event in (*events, voice_talk.ENDED) for frame in talk.encode(event)]
    began = voice_talk.dialect("webm")
    voice_talk.say(began, "voice_start", audioFormat="pcm")
    noted = [frame for notice in (*test_notices.RECORDING, test_notices.NOTED) for frame in talk.notify(notice)]
    sent = [*replies, *told, *noted, *began.encode(voice_talk.STARTED), *began.encode(voice_talk.ENDED)]
    start = json.dumps({"type": "voice_start", "audioFormat": "pcm", "sampleRate": 24_000, "language": "en"})

    assert problems(voice_messages.TABLE, Sender.CLIENT, [start, *map(json.dumps, said)]) == []
    assert problems(voice_messages.TABLE, Sender.SERVER, sent) == []
    assert named(voice_messages.TABLE, sent) == {
        message.name for message in voice_messages.TABLE.messages if message.sender is Sender.SERVER
    }


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"voice_data"}',
        '{"type":"voice_data","data":{"audioData":7}}',
        '{"type":"voice_start","sampleRate":44100}',
        '{"type":"text_message","data":{"content":""}}',
        '{"type":"fly"}',
    ],
)
def test_what_the_voice_dialect_refuses_is_documented_as_nothing(frame: str) -> None:
    assert matching(voice_messages.TABLE, Sender.CLIENT, frame) == []


def test_every_message_of_the_companion_is_documented() -> None:
    talk = test_companion_dialect.started(transcripts=True)
    said: list[dict[str, object]] = [
        {"action": "initSession", "patientId": "pt-001", "transcripts": True},
        {"action": "textInput", "text": "Who is Sarah?"},
        {"action": "audioInput", "audio": test_companion_dialect.AUDIO},
        {"action": "ping"},
        {"action": "endSession"},
    ]
    replies = [action.frame for message in said[1:] for action in talk.decode(json.dumps(message)) if isinstance(action, Reply)]
    asked = TranscriptUpdated(1, Role.USER, Stage.FINAL, "Who is Sarah?")
    events = [asked, test_companion_dialect.answer(), SpeechChunk(2, b"\1\0"), *FAILURES, SessionEnded(EndReason.CLIENT)]
    begun = talk.encode(test_companion_dialect.STARTED)
    sent = [*begun, *replies, *(frame for event in events for frame in talk.encode(event))]

    assert problems(companion_messages.TABLE, Sender.CLIENT, [json.dumps(message) for message in said]) == []
    assert problems(companion_messages.TABLE, Sender.SERVER, sent) == []
    assert named(companion_messages.TABLE, sent) == {
        message.name for message in companion_messages.TABLE.messages if message.sender is Sender.SERVER
    }


def test_the_messages_of_the_gate_are_documented() -> None:
    (auth,) = [message for message in messages_of(nova_messages.TABLE) if message.name == "auth"]

    assert is_auth(json.dumps(auth.example))
    assert problems(nova_messages.TABLE, Sender.SERVER, [accepted("u-17", None), accepted("u-17", 1.5)]) == []


def test_a_member_that_is_not_documented_is_seen() -> None:
    pong = {"type": "pong", "t": 1, "secret": 2}

    assert matching(binary_messages.TABLE, Sender.SERVER, json.dumps(pong)) == []
    assert closed({"type": "object", "properties": {"a": {}}}) == {"type": "object", "properties": {"a": {}}, "additionalProperties": False}

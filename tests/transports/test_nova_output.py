"""The raw dialect: session events, into Nova's events under the client's names."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import (
    CompletionEnd,
    CompletionStart,
    ContentEnded,
    ContentStarted,
    ContentType,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextOutput,
    TokenCounts,
    ToolUse,
    UnknownEvent,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from session.events import (
    ContinueReason,
    EndReason,
    ExchangeRefused,
    Interrupted,
    ModelOutput,
    SessionContinued,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStalled,
    SessionStarted,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolAnswered,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UsageReported,
    UserSpeechEnded,
    UserSpeechStarted,
)
from tests.transports.raw_client import opening
from transports.dialects.nova_events import NovaEventsDialect

IDS = ("S", "internal", "K")
SPEECH_START = ContentStarted(*IDS, "X", ContentType.AUDIO, Role.ASSISTANT, None, 24_000)
SPEECH_END = ContentEnded(*IDS, "X", ContentType.AUDIO, StopReason.END_TURN)


def live() -> NovaEventsDialect:
    dialect = NovaEventsDialect(lambda: 1_700_000_000_123)
    for frame in opening():
        dialect.decode(frame)
    return dialect


def told(dialect: NovaEventsDialect, *events: SessionEvent) -> list[tuple[str, dict[str, Any]]]:
    """Return (name, body) of all frames, having checked what holds for each of them."""
    result = []
    for event in events:
        for frame in dialect.encode(event):
            assert isinstance(frame, str), "pages cannot read binary frames"
            message = json.loads(frame)
            assert set(message) == {"event", "timestamp"}
            assert message["timestamp"] == 1_700_000_000_123
            assert len(message["event"]) == 1
            result.append(next(iter(message["event"].items())))
    return result


def pcm_of(frames: Sequence[tuple[str, dict[str, Any]]]) -> list[bytes]:
    return [base64.b64decode(body["content"], validate=True) for name, body in frames if name == "audioOutput"]


@pytest.mark.req("S4-38", "S4-39", "S4-43", "S4-44")
@pytest.mark.parametrize(
    ("event", "name"),
    [
        (CompletionStart(*IDS), "completionStart"),
        (ContentStarted(*IDS, "T", ContentType.TEXT, Role.USER, Stage.FINAL), "contentStart"),
        (TextOutput(*IDS, "T", Role.USER, "Hola"), "textOutput"),
        (ToolUse(*IDS, "T", "consultarOrder", "u1", '{"orderId":"1"}'), "toolUse"),
        (ContentEnded(*IDS, "T", ContentType.TEXT, StopReason.PARTIAL_TURN), "contentEnd"),
        (CompletionEnd(*IDS, StopReason.END_TURN), "completionEnd"),
        (UsageEvent(*IDS, TokenCounts(1), TokenCounts(2)), "usageEvent"),
        (UserSpeechStart("S", "internal", 0), "userSpeechStart"),
        (UserSpeechEnd("S", "internal", 10, 20), "userSpeechEnd"),
        (UnknownEvent("newEvent", '{"promptName":"internal","x":[1]}'), "newEvent"),
    ],
)
def test_the_models_event_goes_out_under_the_clients_prompt_name(event: OutputEvent, name: str) -> None:
    ((sent, body),) = told(live(), ModelOutput(event))

    assert sent == name
    assert body["promptName"] == "P"


def test_an_unknown_event_without_names_stays_as_it_is() -> None:
    (frame,) = live().encode(ModelOutput(UnknownEvent("odd", "[1,2]")))

    assert json.loads(frame)["event"] == {"odd": [1, 2]}


@pytest.mark.req("S4-43")
def test_blocks_carry_all_that_pages_insist_on() -> None:
    start, text, end = told(
        live(),
        ModelOutput(ContentStarted(*IDS, "T", ContentType.TEXT, Role.ASSISTANT, Stage.SPECULATIVE)),
        ModelOutput(TextOutput(*IDS, "T", None, "Hola")),
        ModelOutput(ContentEnded(*IDS, "T", ContentType.TEXT, StopReason.PARTIAL_TURN)),
    )

    assert start[1]["role"] == text[1]["role"] == "ASSISTANT"
    assert json.loads(start[1]["additionalModelFields"]) == {"generationStage": "SPECULATIVE"}
    assert {start[1]["contentId"], text[1]["contentId"], end[1]["contentId"]} == {"T"}
    assert (end[1]["type"], end[1]["stopReason"]) == ("TEXT", "PARTIAL_TURN")


@pytest.mark.req("S4-41")
def test_speech_keeps_the_ids_of_its_block() -> None:
    dialect = live()

    start, speech, end = told(dialect, ModelOutput(SPEECH_START), SpeechChunk(2, bytes(1920), "X"), ModelOutput(SPEECH_END))

    assert start[1]["audioOutputConfiguration"]["sampleRateHertz"] == 24_000
    assert {key: speech[1][key] for key in ("sessionId", "promptName", "completionId", "contentId")} == {
        "sessionId": "S",
        "promptName": "P",
        "completionId": "K",
        "contentId": "X",
    }
    assert (end[1]["type"], end[1]["stopReason"]) == ("AUDIO", "END_TURN")


@pytest.mark.req("S4-41", "S4-74")
@given(st.lists(st.binary(min_size=0, max_size=20_000).map(lambda pcm: pcm[: len(pcm) // 2 * 2]), max_size=6))
def test_no_sample_of_speech_is_lost_and_every_frame_can_be_joined(chunks: list[bytes]) -> None:
    dialect = live()

    frames = told(dialect, ModelOutput(SPEECH_START), *(SpeechChunk(2, pcm, "X") for pcm in chunks), ModelOutput(SPEECH_END))

    sent, spoken = b"".join(pcm_of(frames)), b"".join(chunks)
    assert all(len(pcm) % 6 == 0 and pcm for pcm in pcm_of(frames))
    assert sent[: len(spoken)] == spoken
    assert sent[len(spoken) :] in {b"", bytes(2), bytes(4)}
    assert all(len(body["content"]) <= 10_240 for name, body in frames if name == "audioOutput")
    assert [name for name, _ in frames][-1] == "contentEnd"


def test_an_interruption_throws_away_what_was_left_of_a_frame() -> None:
    dialect = live()

    frames = told(
        dialect,
        ModelOutput(SPEECH_START),
        SpeechChunk(2, b"\1\0" * 4, "X"),
        Interrupted(2, 100),
        ModelOutput(SPEECH_END),
    )

    assert pcm_of(frames) == [b"\1\0" * 3]


def test_speech_outside_any_block_is_still_delivered() -> None:
    assert pcm_of(told(live(), SpeechChunk(2, bytes(6), "Y"))) == [bytes(6)]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{ "interrupted" : true }', '{ "interrupted" : true }'),
        ("{not json", " {not json"),
        ("Hola {x}", "Hola {x}"),
        ("", ""),
    ],
)
def test_text_that_only_looks_like_json_cannot_break_a_page(text: str, sent: str) -> None:
    ((_, body),) = told(live(), ModelOutput(TextOutput(*IDS, "T", Role.ASSISTANT, text)))

    assert body["content"] == sent


@pytest.mark.req("S4-45")
def test_a_tools_result_is_mirrored_as_three_events() -> None:
    start, result, end = told(live(), ToolAnswered("u1", "N", '{"status":"shipped"}'))

    assert [start[0], result[0], end[0]] == ["contentStart", "toolResult", "contentEnd"]
    assert {body["contentName"] for _, body in (start, result, end)} == {"N"}
    assert {body["promptName"] for _, body in (start, result, end)} == {"P"}
    assert start[1]["toolResultInputConfiguration"]["toolUseId"] == "u1"
    assert (start[1]["type"], start[1]["role"]) == ("TOOL", "TOOL")
    assert result[1]["content"] == '{"status":"shipped"}'
    assert (end[1]["type"], end[1]["stopReason"]) == ("TOOL", "TOOL_USE")


@pytest.mark.req("S4-06")
@pytest.mark.parametrize("kind", [SessionFailed, ExchangeRefused])
def test_an_error_has_its_one_shape(kind: type[SessionFailed | ExchangeRefused]) -> None:
    frames = told(live(), kind("model_busy", "Later.", retryable=True, ref="r1"))

    assert frames == [("error", {"code": "model_busy", "message": "Later.", "retryable": True, "ref": "r1"})]


def test_an_error_says_when_to_try_again_where_that_is_known() -> None:
    frames = told(live(), SessionFailed("too_many", "Wait.", retryable=True, ref="r1", retry_after=7))

    assert frames == [("error", {"code": "too_many", "message": "Wait.", "retryable": True, "ref": "r1", "retry_after": 7})]


@pytest.mark.parametrize(
    "event",
    [
        SessionStarted("s1", "carlos", "es", "carlos", "m", 16_000, 24_000),
        UserSpeechStarted(1),
        UserSpeechEnded(1),
        TranscriptUpdated(1, Role.USER, Stage.FINAL, "x"),
        SpeechStarted(2, 24_000),
        SpeechEnded(2),
        Interrupted(2, 5),
        ToolStarted(1, "u", "n", "{}"),
        ToolFinished(1, "u", "n", "{}", None, 1),
        UsageReported(1, 2, 3, 4),
        SessionStalled("model_lost"),
        SessionContinued(ContinueReason.RESUMED, 70),
        SessionEnded(EndReason.CLIENT),
    ],
)
def test_what_the_models_events_tell_already_is_not_told_twice(event: SessionEvent) -> None:
    assert told(live(), event) == []

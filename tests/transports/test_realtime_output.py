"""What a session tells becomes the events of a Realtime conversation, each in its place; the library's own types check every one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.events import CompletionStart, Role, Stage
from session.events import (
    AudioDropped,
    ContinueReason,
    Direction,
    EndReason,
    ExchangeRefused,
    GoingAway,
    Interrupted,
    ModelOutput,
    SendText,
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
from tests.transports.realtime_talk import WEATHER, Json, RealtimeTalk, kinds, message
from transports.dialects.realtime_wire import Generation

HERTZ = 24_000
SPEECH = b"\1\0" * 100
INVISIBLE: list[SessionEvent] = [
    SessionStarted("s", "carlos", "es", "carlos", "nova", HERTZ, HERTZ),
    SessionStalled("model_lost"),
    SessionContinued(ContinueReason.RESUMED, 300),
    AudioDropped(Direction.UP, 20),
    GoingAway(1_000),
    ModelOutput(CompletionStart("s", "p", "c")),
    ToolAnswered("call-1", "n", "{}"),
]


def talking(generation: Generation = Generation.PRESENT, **session: object) -> RealtimeTalk:
    """Return a client in conversation."""
    talk = RealtimeTalk(generation=generation)
    talk.says("session.update", session={"tools": [WEATHER], **session})
    talk.speaks()
    talk.told.clear()
    return talk


def planned(turn: int, text: str) -> TranscriptUpdated:
    """Return what the assistant is about to say."""
    return TranscriptUpdated(turn, Role.ASSISTANT, Stage.SPECULATIVE, text)


def said(turn: int, text: str) -> TranscriptUpdated:
    """Return what the user said."""
    return TranscriptUpdated(turn, Role.USER, Stage.FINAL, text)


def test_a_turn_of_the_user_is_an_item_with_its_transcript() -> None:
    talk = talking()
    for _ in range(4):
        talk.speaks(begun=False)
    told = talk.hears(UserSpeechStarted(1), UserSpeechEnded(1), said(1, "Hola."), said(1, "¿Y mi pedido?"))
    started, stopped, committed, added, _, *transcripts = told

    assert kinds(told) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        *["conversation.item.input_audio_transcription.delta", "conversation.item.input_audio_transcription.completed"] * 2,
    ]
    assert {event.get("item_id", event.get("item", {}).get("id")) for event in told} == {started["item_id"]}
    assert (started["audio_start_ms"], stopped["audio_end_ms"]) == (100, 100)
    assert (committed["previous_item_id"], added["item"]["role"]) == (None, "user")
    assert [event.get("delta", event.get("transcript")) for event in transcripts] == [
        *("Hola.", "Hola."),
        *(" ¿Y mi pedido?", "Hola. ¿Y mi pedido?"),
    ]


def test_a_text_without_the_borders_of_speech_makes_the_item_too() -> None:
    talk = talking()
    told = talk.hears(said(1, "Hola."), UserSpeechEnded(1), said(3, "Adiós."))

    assert kinds(told).count("input_audio_buffer.committed") == 2
    assert [event["transcript"] for event in told if "transcript" in event] == ["Hola.", "Adiós."]


def test_what_the_client_committed_is_the_item_of_what_is_heard_then() -> None:
    talk = talking()
    (committed, *_) = talk.answers("input_audio_buffer.commit")
    told = talk.hears(UserSpeechStarted(1), UserSpeechEnded(1), said(1, "Hola."))

    assert kinds(told)[:2] == ["input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped"]
    assert "input_audio_buffer.committed" not in kinds(told)
    assert {event["item_id"] for event in told} == {committed["item_id"]}


def test_a_typed_turn_is_told_once_as_the_item_that_the_client_made() -> None:
    talk = talking()
    talk.says("conversation.item.create", item=message(" Hola.\x00 "))

    assert talk.says("response.create") == [SendText(" Hola.\x00 ")]
    assert talk.hears(said(1, "Hola.")) == []
    assert talk.hears(said(3, "Hola.")) != []


def test_an_answer_is_a_response_with_one_message() -> None:
    talk = talking()
    told = talk.hears(
        planned(2, "Hola."),
        SpeechStarted(2, HERTZ),
        SpeechChunk(2, SPEECH),
        planned(2, "¿Qué tal?"),
        SpeechChunk(2, SPEECH),
        UsageReported(10, 20, 30, 40),
        SpeechEnded(2),
        TranscriptUpdated(2, Role.ASSISTANT, Stage.FINAL, "Hola. ¿Qué tal?"),
    )

    assert kinds(told) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    done = told[-1]["response"]
    assert (done["status"], done["output"][0]["status"]) == ("completed", "completed")
    assert done["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hola. ¿Qué tal?"}]
    assert base64.b64decode(told[5]["delta"]) == SPEECH
    assert (done["usage"]["input_tokens"], done["usage"]["output_tokens"], done["usage"]["total_tokens"]) == (30, 70, 100)
    assert {event["response_id"] for event in told if "response_id" in event} == {done["id"]}


def test_usage_is_that_of_the_response_alone() -> None:
    talk = talking()
    talk.hears(SpeechStarted(2, HERTZ), UsageReported(10, 20, 30, 40), SpeechEnded(2))
    told = talk.hears(SpeechStarted(4, HERTZ), UsageReported(11, 22, 33, 44), SpeechEnded(4))

    assert told[-1]["response"]["usage"]["input_token_details"]["text_tokens"] == 2
    assert told[-1]["response"]["usage"]["total_tokens"] == 10


@pytest.mark.parametrize(("asks", "reason"), [(False, "turn_detected"), (True, "client_cancelled")])
def test_an_interrupted_answer_is_cancelled(asks: bool, reason: str) -> None:  # noqa: FBT001 - a parameter
    talk = talking()
    talk.hears(planned(2, "Hola."), SpeechStarted(2, HERTZ), SpeechChunk(2, SPEECH))
    if asks:
        talk.says("response.cancel")
    told = talk.hears(Interrupted(2, 300), UserSpeechStarted(3))

    assert kinds(told)[-2:] == ["response.done", "input_audio_buffer.speech_started"]
    assert told[-2]["response"]["status_details"] == {"type": "cancelled", "reason": reason}
    assert told[-2]["response"]["output"][0]["status"] == "incomplete"
    assert talk.hears(Interrupted(2, 200), SpeechEnded(2)) == []


def test_an_answer_that_was_planned_and_never_spoken_ends_with_the_next_one() -> None:
    talk = talking()
    told = [*talk.hears(planned(2, "Hola.")), *talk.hears(SpeechStarted(4, HERTZ), SpeechEnded(4))]

    assert [event["response"]["status"] for event in told if event["type"] == "response.done"] == ["incomplete", "completed"]


def test_a_call_of_the_clients_tool_is_a_response_of_its_own() -> None:
    talk = talking()
    told = talk.hears(ToolStarted(2, "call-1", "getWeather", '{"place":"Lima"}'), ToolFinished(2, "call-1", "getWeather", "{}", None, 5))

    assert kinds(told) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    (call,) = told[-1]["response"]["output"]
    assert (call["type"], call["name"], call["call_id"]) == ("function_call", "getWeather", "call-1")
    assert (call["arguments"], call["status"], told[1]["item"]["arguments"]) == ('{"place":"Lima"}', "completed", "")


@pytest.mark.parametrize(("error", "kind"), [(None, "response.mcp_call.completed"), ("not_found", "response.mcp_call.failed")])
def test_a_call_of_the_servers_tool_is_shown_as_one_that_is_none_of_the_clients(error: str | None, kind: str) -> None:
    talk = talking()
    told = talk.hears(ToolStarted(2, "call-1", "lookUp", "{}"), ToolFinished(2, "call-1", "lookUp", '{"found":1}', error, 5))

    assert kinds(told) == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        kind,
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    (call,) = told[-1]["response"]["output"]
    assert (call["type"], call["name"], call["output"]) == ("mcp_call", "lookUp", '{"found":1}')
    assert (call["error"] or {}).get("message") == error


def test_what_is_said_while_a_tool_runs_belongs_to_the_same_response() -> None:
    talk = talking()
    told = talk.hears(ToolStarted(2, "call-1", "lookUp", "{}"), planned(2, "Un momento."), SpeechStarted(2, HERTZ), SpeechEnded(2))
    later = talk.hears(ToolFinished(2, "call-1", "lookUp", "{}", None, 5))

    assert "response.done" not in kinds(told)
    assert [item["type"] for item in later[-1]["response"]["output"]] == ["mcp_call", "message"]
    assert [event["output_index"] for event in told if "output_index" in event][-1] == 1


def test_a_result_that_comes_after_an_interruption_is_still_told() -> None:
    talk = talking()
    talk.hears(ToolStarted(2, "call-1", "lookUp", "{}"), SpeechStarted(2, HERTZ), Interrupted(2, 10))
    talk.hears(SpeechStarted(4, HERTZ))
    told = talk.hears(ToolFinished(2, "call-1", "lookUp", "{}", None, 5), ToolFinished(2, "call-9", "x", "{}", None, 5))

    assert kinds(told) == ["response.mcp_call.completed", "response.output_item.done", "conversation.item.done"]
    assert kinds(talk.hears(SpeechEnded(4)))[-1] == "response.done"


def test_with_words_alone_no_speech_is_told() -> None:
    talk = talking(output_modalities=["text"])
    told = talk.hears(planned(2, "Hola."), SpeechStarted(2, HERTZ), SpeechChunk(2, SPEECH), SpeechEnded(2))

    assert kinds(told)[3:7] == [
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
    ]
    assert told[-1]["response"]["output"][0]["content"] == [{"type": "output_text", "text": "Hola."}]


def test_the_telephone_is_given_samples_of_its_own() -> None:
    talk = talking(audio={"output": {"format": {"type": "audio/pcmu"}}})
    told = talk.hears(SpeechChunk(2, b"\x84\x82\x7c\x7d"))

    assert base64.b64decode(told[-1]["delta"]) == b"\x00\x80"


def test_clients_of_the_beta_get_its_names_and_nothing_that_it_does_not_have() -> None:
    talk = talking(Generation.BETA)
    told = talk.hears(
        UserSpeechStarted(1),
        UserSpeechEnded(1),
        said(1, "Hola."),
        ToolStarted(2, "call-1", "lookUp", "{}"),
        ToolFinished(2, "call-1", "lookUp", "{}", None, 5),
        planned(2, "Hola."),
        SpeechChunk(2, SPEECH),
        SpeechEnded(2),
    )

    assert kinds(told)[3] == "conversation.item.created"
    assert not [kind for kind in kinds(told) if "mcp" in kind or "output_audio" in kind or kind.endswith(("item.added", "item.done"))][2:]
    assert {"response.audio.delta", "response.audio_transcript.delta", "response.audio.done"} <= set(kinds(told))
    assert told[-1]["response"]["output"][0]["content"] == [{"type": "audio", "transcript": "Hola."}]


def test_metadata_of_a_response_comes_back_with_the_answer() -> None:
    talk = talking()
    talk.says("conversation.item.create", item=message("Hola."))
    talk.says("response.create", response={"metadata": {"topic": "greeting"}})
    told = talk.hears(SpeechStarted(2, HERTZ), SpeechEnded(2), SpeechStarted(4, HERTZ))

    assert [event["response"]["metadata"] for event in told if event["type"] == "response.created"] == [{"topic": "greeting"}, None]


def test_a_failure_is_an_error_and_the_end_of_the_response() -> None:
    talk = talking()
    told = talk.hears(
        SpeechStarted(2, HERTZ), SessionFailed("model_lost", "Lost.", retryable=True, ref="r"), SessionEnded(EndReason.FAILED, 1_011)
    )
    error = next(event["error"] for event in told if event["type"] == "error")

    assert (error["type"], error["code"], error["retryable"], error["ref"]) == ("server_error", "model_lost", True, "r")
    assert told[-1]["response"]["status"] == "failed"
    assert told[-1]["response"]["status_details"]["error"]["code"] == "model_lost"


def test_a_refused_exchange_ends_the_response_and_not_the_conversation() -> None:
    talk = talking()
    told = talk.hears(SpeechStarted(2, HERTZ), ExchangeRefused("content_blocked", "No."))

    assert told[-1]["response"]["status_details"] == {"type": "incomplete", "reason": "content_filter"}
    assert kinds(talk.hears(SpeechStarted(4, HERTZ)))[0] == "response.created"


def test_a_session_that_ends_in_the_middle_of_an_answer_ends_the_answer() -> None:
    talk = talking()
    told = talk.hears(SpeechStarted(2, HERTZ), SessionEnded(EndReason.SERVER_LEAVING, 1_012))

    assert told[-1]["response"]["status"] == "cancelled"


@pytest.mark.parametrize("event", INVISIBLE, ids=lambda event: type(event).__name__)
def test_what_concerns_the_server_alone_is_not_told(event: SessionEvent) -> None:
    assert talking().hears(event) == []


TURNS = st.integers(1, 4)
EVENTS = st.one_of(
    TURNS.map(UserSpeechStarted),
    TURNS.map(UserSpeechEnded),
    TURNS.map(lambda turn: said(turn, "Hola.")),
    TURNS.map(lambda turn: planned(turn, "Hola.")),
    TURNS.map(lambda turn: SpeechStarted(turn, HERTZ)),
    TURNS.map(lambda turn: SpeechChunk(turn, SPEECH)),
    TURNS.map(SpeechEnded),
    TURNS.map(lambda turn: Interrupted(turn, 10)),
    st.builds(ToolStarted, TURNS, st.sampled_from("abc"), st.sampled_from(["lookUp", "getWeather"]), st.just("{}")),
    st.builds(ToolFinished, TURNS, st.sampled_from("abc"), st.just("lookUp"), st.just("{}"), st.none(), st.just(1)),
    st.just(UsageReported(1, 1, 1, 1)),
    st.just(ExchangeRefused("content_blocked", "No.")),
    st.sampled_from(INVISIBLE),
)


@given(st.lists(EVENTS, max_size=30), st.sampled_from(Generation))
def test_whatever_a_session_tells_is_well_formed_in_its_order(events: list[SessionEvent], generation: Generation) -> None:
    talk = talking(generation)
    talk.hears(*events, SessionEnded(EndReason.CLIENT))
    open_responses: list[str] = []
    items: set[str] = set()
    ids = [event["event_id"] for event in talk.told]
    for event in talk.told:
        check_order(event, open_responses, items)

    assert open_responses == []
    assert ids == sorted(set(ids))


def check_order(event: Json, open_responses: list[str], items: set[str]) -> None:
    """Check that an event is of something that was told before."""
    match event["type"]:
        case "response.created":
            assert not open_responses
            open_responses.append(event["response"]["id"])
        case "response.done":
            open_responses.remove(event["response"]["id"])
        case "conversation.item.added" | "conversation.item.created":
            assert event["item"]["id"] not in items
            items.add(event["item"]["id"])
        case "response.output_audio.delta" | "response.audio.delta":
            assert event["item_id"] in items
            assert event["response_id"] in open_responses

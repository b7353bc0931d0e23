"""The session machine: life cycle, commands, tools, keep-alive, drain."""

from dataclasses import replace

import pytest

from s2s.errors import Remedy
from s2s.events import AudioInput, InputEvent, StopReason, TextInput, TokenCounts, ToolContentStart, ToolResult, ToolUse
from session.client_input import TEXT_LIMIT_BYTES
from session.departure import DRAIN_CHECK_SECONDS
from session.effects import (
    Begin,
    Broken,
    Drain,
    Effect,
    Emit,
    Finish,
    Flush,
    Input,
    ModelEvent,
    OpenStream,
    Park,
    Send,
    StartTool,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.errors import InvalidAudio, NotAllowed, SessionError, TooLarge, WrongOrder
from session.events import (
    End,
    EndReason,
    GoingAway,
    Interrupt,
    Interrupted,
    ModelOutput,
    ReportPlayback,
    SendAudio,
    SendText,
    SessionEnded,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    SpeechEnded,
    Start,
    StopAudio,
    ToolAnswered,
    ToolFinished,
    ToolStarted,
    UsageReported,
)
from session.life_cycle import LIFE_CYCLE, State, Step
from session.machine import TOOLS_LIMIT
from session.queues import EVENTS_LIMIT
from session.silence import LONG_SILENCE_EVERY_SECONDS, SILENCE_AFTER_SECONDS, SILENCE_EVERY_SECONDS
from session.turns import ANSWER_SECONDS
from tests.session.doubles import MODEL_ID, PLAN, Conversation, Nova, make_machine

PIECE = bytes(1_024)
"""32 ms of the microphone."""
STARTED = SessionStarted("session-1", "carlos", "es", "carlos", MODEL_ID, 16_000, 24_000)


def opened(talk: Conversation | None = None) -> Conversation:
    """Return a conversation whose stream is open."""
    talk = talk or Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    return talk


def sends(effects: list[Effect]) -> list[Send]:
    return [effect for effect in effects if isinstance(effect, Send)]


def ending(effects: list[Effect]) -> SessionEnded:
    """Return the last event, and see that the end of a session is one."""
    *_, emitted, finish = effects

    assert any(isinstance(effect, Flush) for effect in effects[:2])
    assert finish == Finish()
    assert isinstance(emitted, Emit)
    assert isinstance(emitted.event, SessionEnded)
    return emitted.event


def answers(talk: Conversation, ms: float = 2_000.0) -> None:
    """Let the user ask and the model answer."""
    nova = Nova()
    talk.says(*nova.hears(), *nova.heard_out(), *nova.user("¿Está?"), *nova.plans("Sí, está."), *nova.speaks(ms, pieces=20))


# Life cycle


def test_a_session_begins_with_an_open_stream() -> None:
    talk = Conversation()
    (open_stream,) = talk.give(Begin())

    assert isinstance(open_stream, OpenStream)
    assert open_stream.generation == 1
    assert talk.give(StreamOpened(1)) == [Emit(STARTED)]
    assert talk.machine.state is State.ACTIVE


def test_the_client_ends_the_session() -> None:
    talk = opened()
    answers(talk)
    ended = ending(talk.give(End()))

    assert (ended.reason, ended.close_code) == (EndReason.CLIENT, 1_000)
    assert talk.playback.waiting_ms == 0
    assert talk.machine.state is State.CLOSED


@pytest.mark.parametrize(
    ("given", "code", "close_code"),
    [
        (StreamFailed(1, "model_access_denied", Remedy.FATAL_CONFIG, "ref-1"), "model_refused", 1_011),
        (Broken("ref-1"), "internal", 1_011),
    ],
)
@pytest.mark.req("S0-38")
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "connecting"])
def test_a_failure_that_nothing_cures_ends_the_session_at_once(given: Input, code: str, close_code: int, *, is_open: bool) -> None:
    talk = Conversation()
    talk.give(Begin())
    if is_open:
        talk.give(StreamOpened(1))
        answers(talk, 30_000)
    effects = talk.give(given)
    ended = ending(effects)

    assert isinstance(effects[1], Emit)
    assert isinstance(effects[1].event, SessionFailed)
    assert (effects[1].event.code, effects[1].event.ref) == (code, "ref-1")
    assert (ended.reason, ended.close_code) == (EndReason.FAILED, close_code)
    talk.listen(0.0)
    assert talk.heard[-1] == ended


def test_the_end_of_the_stream_that_was_asked_for_ends_the_session() -> None:
    assert ending(opened().give(StreamEnded(1))).reason is EndReason.CLIENT


@pytest.mark.parametrize(
    "given",
    [
        StreamOpened(1),
        StreamEnded(0),
        StreamFailed(0, "model_lost", Remedy.RESUME),
        ModelEvent(0, Nova().hears()[0]),
        ToolDone("never called", "{}", None, 0),
    ],
)
def test_what_another_generation_says_or_says_twice_is_ignored(given: Input) -> None:
    talk = opened()

    assert talk.give(given) == []
    assert talk.machine.state is State.ACTIVE


@pytest.mark.parametrize(
    "given",
    [
        Begin(),
        End(),
        SendAudio(b"odd"),
        SendText("Hola."),
        Interrupt(),
        StopAudio(),
        Start(),
        ReportPlayback(1, 1),
        StreamOpened(1),
        ModelEvent(1, Nova().hears()[0]),
        StreamEnded(1),
        StreamFailed(1, "model_lost", Remedy.RESUME),
        ToolDone("tool-1", "{}", None, 0),
        Drain(1.0),
        Broken("ref-1"),
        Tick(),
    ],
)
def test_after_the_end_nothing_has_any_effect(given: Input) -> None:
    talk = opened()
    talk.give(End())

    assert talk.give(given) == []
    assert talk.machine.next_deadline() is None


def test_the_life_cycle_leads_to_the_end_from_everywhere() -> None:
    for state in set(State) - {State.CLOSED}:
        assert LIFE_CYCLE[state, Step.OVER] is State.CLOSED
    assert not any(state is State.CLOSED for state, _ in LIFE_CYCLE)


# Commands


def test_audio_goes_to_the_model() -> None:
    talk = opened()
    (send,) = sends(talk.give(SendAudio(PIECE)))

    assert send.audio_ms == 32.0
    assert [event.pcm for event in send.events if isinstance(event, AudioInput)] == [PIECE]
    assert not send.is_filler


def test_audio_before_the_stream_is_open_waits_for_it() -> None:
    talk = Conversation()
    talk.give(Begin())

    assert len(sends(talk.give(SendAudio(PIECE)))) == 1


@pytest.mark.req("S2-28")
@pytest.mark.parametrize(
    ("command", "error"),
    [
        (SendAudio(b""), InvalidAudio),
        (SendAudio(bytes(1_023)), InvalidAudio),
        (SendAudio(bytes(64_002)), TooLarge),
        (SendText(" \x00\n "), WrongOrder),
        (SendText("ñ" * (TEXT_LIMIT_BYTES // 2 + 1)), TooLarge),
        (Start(), WrongOrder),
    ],
)
def test_a_command_that_cannot_be_used_changes_nothing(command: Input, error: type[SessionError]) -> None:
    talk = opened()
    talk.now = 0.3
    before = talk.machine.next_deadline()

    with pytest.raises(error):
        talk.give(command)
    assert talk.machine.next_deadline() == before
    assert talk.machine.turns.number == 0
    assert ending(talk.give(End())).statistics["audio_in_ms"] == 0


def test_a_typed_turn_is_sent_as_one_group_with_its_priming() -> None:
    talk = opened()
    (send,) = sends(talk.give(SendText("¿Está\u00a0mi\tpedido?\x07")))

    assert isinstance(send.events[0], AudioInput)
    assert [event.content for event in send.events if isinstance(event, TextInput)] == ["¿Está\u00a0mi\tpedido?"]


def test_a_typed_turn_interrupts_the_answer() -> None:
    talk = opened()
    answers(talk)
    talk.listen(0.5)
    talk.give(SendText("Otra cosa."))

    assert Interrupted(2, 500) in talk.told
    assert talk.playback.waiting_ms == 0


def test_the_start_of_the_session_is_told_before_what_was_typed_meanwhile() -> None:
    talk = Conversation()
    talk.give(Begin())
    effects = talk.give(SendText("Hola."))

    assert len(effects) == len(sends(effects)) == 1
    talk.give(StreamOpened(1))
    assert [type(event).__name__ for event in talk.told] == ["SessionStarted", "TranscriptUpdated"]


def test_a_model_that_takes_no_text_is_not_given_any() -> None:
    talk = opened(Conversation(replace(PLAN, takes_text=False)))

    with pytest.raises(NotAllowed):
        talk.give(SendText("Hola."))


def test_interrupt_silences_the_answer() -> None:
    talk = opened()
    answers(talk)
    talk.listen(1.0)

    assert talk.give(Interrupt())[1] == Emit(Interrupted(2, 1_000))


def test_the_listeners_report_is_what_was_heard() -> None:
    talk = opened()
    answers(talk)
    talk.listen(1.0)
    talk.give(ReportPlayback(2, 700))

    assert talk.give(Interrupt())[1] == Emit(Interrupted(2, 700))


# What the model says


def test_the_models_events_are_passed_on_but_for_audio_and_markers() -> None:
    talk = opened()
    nova = Nova()
    told = talk.says(*nova.plans("Hola. [FINAL]"), *nova.opens_audio(), *nova.audio(20))

    assert "[FINAL]" not in str(told)
    outputs = [type(event.event).__name__ for event in told if isinstance(event, ModelOutput)]
    assert outputs == ["ContentStarted", "TextOutput", "ContentEnded", "ContentStarted"]
    assert isinstance(told[-1], SpeechChunk)


def test_the_model_interrupts_before_another_word_is_delivered() -> None:
    talk = opened()
    answers(talk, 10_000)
    talk.listen(1.0)
    talk.says(*Nova().hears())
    before = len(talk.heard)
    talk.listen(0.0)

    names = [type(event).__name__ for event in talk.heard[before:]]
    assert "SpeechChunk" not in names
    assert names[-2:] == ["Interrupted", "UserSpeechStarted"]


def test_tokens_are_told_and_counted() -> None:
    talk = opened()
    told = talk.says(*Nova().usage(TokenCounts(10, 20, 30, 40)))

    assert told[-1] == UsageReported(10, 20, 30, 40)
    statistics = ending(talk.give(End())).statistics
    assert (statistics["input_tokens"], statistics["output_tokens"]) == (30, 70)


@pytest.mark.req("S0-10")
def test_the_last_event_carries_what_was_counted() -> None:
    talk = opened()
    talk.give(SendAudio(PIECE))
    answers(talk, 1_000)
    talk.listen(0.2)
    talk.give(Interrupt())
    talk.says(*Nova().calls("tool-1"))
    talk.give(ToolDone("tool-1", '{"error":"x"}', "not_found", 5))
    talk.says(*Nova().calls("tool-1"))

    assert ending(talk.give(End())).statistics == {
        "audio_in_ms": 32,
        "audio_out_ms": 1_000,
        "audio_in_dropped_ms": 0,
        "audio_in_lost_ms": 0,
        "audio_out_dropped_ms": 0,
        "audio_out_flushed_ms": 500,
        "turns": 3,
        "interruptions": 1,
        "resumptions": 0,
        "tool_calls": 1,
        "tool_errors": 1,
        "duplicate_tool_calls": 1,
        "input_tokens": 0,
        "output_tokens": 0,
    }


def test_a_client_that_does_not_read_loses_its_session() -> None:
    talk = opened()
    for _ in range(EVENTS_LIMIT + 1):
        talk.playback.put(SpeechEnded(1), 0.0)
    effects = talk.give(ModelEvent(1, Nova().hears()[0]))

    assert isinstance(effects[1], Emit)
    assert isinstance(effects[1].event, SessionFailed)
    assert effects[1].event.code == "client_stalled"
    assert ending(effects).close_code == 1_013


# Tools


def tool_uses(effects: list[Effect]) -> list[ToolUse]:
    return [effect.use for effect in effects if isinstance(effect, StartTool)]


def results(effects: list[Effect]) -> list[InputEvent]:
    return [event for send in sends(effects) for event in send.events if isinstance(event, ToolContentStart | ToolResult)]


@pytest.mark.req("S4-45")
def test_a_tool_is_started_and_its_result_is_sent_as_one_group() -> None:
    talk = opened()
    told = talk.says(*Nova().calls("tool-1", '{"orderId":"1"}'))
    effects = talk.give(ToolDone("tool-1", '{"success":true}', None, 12))

    assert ToolStarted(1, "tool-1", "lookUp", '{"orderId":"1"}') in told
    assert [use.tool_use_id for use in tool_uses(talk.effects)] == ["tool-1"]
    assert len(sends(effects)) == 1
    assert [type(event).__name__ for event in sends(effects)[0].events] == ["ToolContentStart", "ToolResult", "ContentEnd"]
    assert effects[1] == Emit(ToolFinished(1, "tool-1", "lookUp", '{"success":true}', None, 12))
    assert isinstance(effects[2], Emit)
    assert isinstance(effects[2].event, ToolAnswered)
    assert (effects[2].event.tool_use_id, effects[2].event.content) == ("tool-1", '{"success":true}')


@pytest.mark.req("S4-45")
def test_parallel_tools_are_answered_once_each_in_any_order() -> None:
    talk = opened()
    nova = Nova()
    talk.says(*nova.calls("tool-1"), *nova.calls("tool-2"))
    first, second = talk.give(ToolDone("tool-2", "{}", None, 1)), talk.give(ToolDone("tool-1", "{}", None, 1))

    assert [event.tool_use_id for event in results([*first, *second]) if isinstance(event, ToolContentStart)] == ["tool-2", "tool-1"]
    assert talk.give(ToolDone("tool-1", "{}", None, 1)) == []


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "running"])
def test_a_call_that_comes_twice_runs_once(*, is_answered: bool) -> None:
    talk = opened()
    nova = Nova()
    talk.says(*nova.calls("tool-1"))
    if is_answered:
        talk.give(ToolDone("tool-1", "{}", None, 1))
    speaker = talk.machine.turns.speaker
    told = talk.says(*nova.calls("tool-1"))

    assert len(tool_uses(talk.effects)) == 1
    assert not any(isinstance(event, ToolStarted) for event in told)
    assert talk.machine.turns.speaker is speaker


def test_too_many_tools_at_once_are_refused_and_answered_all_the_same() -> None:
    talk = opened()
    nova = Nova()
    for number in range(TOOLS_LIMIT + 1):
        talk.says(*nova.calls(f"tool-{number}"))
    refused = [event for event in talk.told if isinstance(event, ToolFinished)]

    assert len(tool_uses(talk.effects)) == TOOLS_LIMIT
    assert [(event.tool_use_id, event.error_code) for event in refused] == [(f"tool-{TOOLS_LIMIT}", "too_many_calls")]


# Keep-alive


def silences(talk: Conversation, until: float) -> list[tuple[float, float]]:
    """Fire the timer until then; return when how much silence was sent."""
    found = []
    while (deadline := talk.machine.next_deadline()) is not None and deadline <= until:
        talk.now = deadline
        found += [(round(talk.now, 6), round(send.audio_ms, 3)) for send in sends(talk.give(Tick())) if send.is_filler]
    talk.now = until
    return found


def test_a_client_that_sends_nothing_is_silent_for_the_model() -> None:
    talk = opened()

    assert silences(talk, 0.85) == [(0.5, 500.0), (0.6, 100.0), (0.7, 100.0), (0.8, 100.0)]


def test_silence_has_whole_samples_of_the_length_it_stands_for() -> None:
    talk = opened()
    talk.now = 0.5003
    (send,) = sends(talk.give(Tick()))

    assert [len(event.pcm) for event in send.events if isinstance(event, AudioInput)] == [2 * round(0.5003 * 16_000)]


@pytest.mark.parametrize("gap", [0.032, 0.267, 0.499])
def test_the_jitter_of_a_real_microphone_is_not_filled(gap: float) -> None:
    talk = opened()
    found = []
    for number in range(1, 100):
        found += silences(talk, number * gap)
        talk.give(SendAudio(PIECE))

    assert found == []


def test_speech_after_silence_restores_the_patience() -> None:
    talk = opened()
    silences(talk, 0.7)
    talk.give(SendAudio(PIECE))

    assert talk.machine.next_deadline() == pytest.approx(0.7 + SILENCE_AFTER_SECONDS)


def test_a_recorder_that_hands_over_a_second_at_a_time_is_given_as_long_for_the_next() -> None:
    talk = opened()
    talk.now = 1.0
    talk.give(SendAudio(bytes(32_000)))

    assert silences(talk, 2.4) == []
    assert [round(missing_ms) for _, missing_ms in silences(talk, 2.5)] == [1_500]


def test_a_closed_microphone_is_silent_at_once() -> None:
    talk = opened()
    talk.now = 1.0
    talk.give(SendAudio(PIECE))
    talk.give(StopAudio())

    assert silences(talk, 1.25) == [(1.1, 100.0), (1.2, 100.0)]


def test_a_typed_session_lives_on_silence() -> None:
    talk = opened()
    talk.give(StopAudio())
    talk.give(SendText("Hola."))
    talk.says(*Nova().plans("Hola."))

    assert sum(duration_ms for _, duration_ms in silences(talk, 60.0)) == pytest.approx(60_000, abs=1_000 * LONG_SILENCE_EVERY_SECONDS)


def test_after_a_standstill_no_more_than_two_seconds_are_made_up_for() -> None:
    talk = opened()
    talk.now = 100.0
    (send,) = sends(talk.give(Tick()))

    assert send.audio_ms == 2_000.0


def test_no_silence_is_sent_before_the_stream_is_open() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.now = 9.0

    assert talk.machine.next_deadline() is None
    assert talk.give(Tick()) == []


def test_a_timer_that_fires_early_does_nothing_and_is_wanted_again() -> None:
    talk = opened()
    talk.now = SILENCE_AFTER_SECONDS - 1e-6

    assert talk.give(Tick()) == []
    assert talk.machine.next_deadline() == SILENCE_AFTER_SECONDS


# Drain


def leaves_at(talk: Conversation, until: float = 60.0) -> float:
    """Fire the timer until the session has ended; return when."""
    while talk.machine.state is not State.CLOSED:
        deadline = talk.machine.next_deadline()

        assert deadline is not None
        assert deadline <= until
        talk.listen(max(0.0, deadline - talk.now))
        before = len(talk.effects)
        talk.give(Tick())
        assert len(talk.effects) > before or talk.machine.next_deadline() != deadline, "the timer would spin"
    return talk.now


@pytest.mark.req("S4-85")
def test_an_idle_session_leaves_at_once() -> None:
    ended = ending(opened().give(Drain(30.0)))

    assert (ended.reason, ended.close_code) == (EndReason.SERVER_LEAVING, 1_012)


def test_an_operator_ends_a_session_when_what_is_being_said_was_heard_without_sending_its_client_elsewhere() -> None:
    talk = opened()
    answers(talk, 2_000)
    talk.give(Drain(15.0, reason=EndReason.OPERATOR))
    left_at = leaves_at(talk)
    ended = talk.told[-1]

    assert left_at == pytest.approx(2.0, abs=DRAIN_CHECK_SECONDS)
    assert isinstance(ended, SessionEnded)
    assert (ended.reason, ended.close_code) == (EndReason.OPERATOR, 1_000)
    assert not any(isinstance(event, GoingAway) for event in talk.told)


def test_an_operator_ends_a_session_that_is_still_connecting_at_once() -> None:
    talk = Conversation()
    talk.give(Begin())

    assert ending(talk.give(Drain(15.0, reason=EndReason.OPERATOR))).reason is EndReason.OPERATOR


def test_a_session_that_is_to_be_parked_waits_for_that_and_ends_by_itself_when_its_time_is_over() -> None:
    talk = opened()
    talk.give(Drain(30.0, is_parked=True))

    assert [event for event in talk.told if isinstance(event, GoingAway)] == [GoingAway(30_000)]
    assert leaves_at(talk) == pytest.approx(30.0, abs=DRAIN_CHECK_SECONDS)


def test_a_session_that_cannot_be_parked_after_all_leaves_at_its_quiet_moment() -> None:
    talk = opened()
    talk.give(Drain(30.0, is_parked=True))
    ended = ending(talk.give(Drain(20.0)))

    assert ended.reason is EndReason.SERVER_LEAVING
    assert len([event for event in talk.told if isinstance(event, GoingAway)]) == 1


def test_a_session_that_is_parked_ends_at_once_whatever_goes_on() -> None:
    talk = opened()
    answers(talk, 2_000)
    ended = ending(talk.give(Park()))

    assert (ended.reason, ended.close_code) == (EndReason.PARKED, 1_012)


def test_a_session_that_is_still_connecting_leaves_at_once() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(SendText("Hola."))

    assert ending(talk.give(Drain(30.0))).reason is EndReason.SERVER_LEAVING


@pytest.mark.req("S4-85")
def test_what_is_being_said_is_heard_to_the_end() -> None:
    talk = opened()
    answers(talk, 2_000)
    talk.give(Drain(30.0))

    assert talk.machine.state is State.DRAINING
    assert leaves_at(talk) == pytest.approx(2.0, abs=DRAIN_CHECK_SECONDS)
    assert talk.playback.flushed_ms == 0


def test_a_question_is_answered_before_the_session_leaves() -> None:
    talk = opened()
    nova = Nova()
    talk.says(*nova.hears())
    talk.give(Drain(30.0))
    talk.says(*nova.heard_out())
    talk.listen(0.7)
    talk.says(*nova.user("¿Está?"))
    talk.listen(0.8)
    talk.says(*nova.plans("Sí."), *nova.speaks(500))

    assert leaves_at(talk) == pytest.approx(2.0, abs=DRAIN_CHECK_SECONDS)
    assert any(isinstance(event, SpeechChunk) for event in talk.heard)


def test_a_cough_does_not_hold_the_session_for_ever() -> None:
    talk = opened()
    talk.says(*Nova().hears(), *Nova().heard_out())
    talk.give(Drain(60.0))

    assert leaves_at(talk) == pytest.approx(ANSWER_SECONDS, abs=DRAIN_CHECK_SECONDS)


@pytest.mark.parametrize("filler", [True, False], ids=["after a filler sentence", "in silence"])
def test_a_tool_finishes_and_its_result_is_told_before_the_session_leaves(*, filler: bool) -> None:
    talk = opened()
    nova = Nova()
    talk.says(*(nova.speaks(100, StopReason.PARTIAL_TURN) if filler else []), *nova.calls("tool-1"))
    talk.give(Drain(30.0))
    talk.listen(9.0)
    talk.give(ToolDone("tool-1", "{}", None, 1))
    talk.listen(1.0)
    talk.says(*nova.plans("Está en camino."), *nova.speaks(500))

    assert leaves_at(talk) == pytest.approx(10.5, abs=DRAIN_CHECK_SECONDS)


def test_the_session_leaves_in_time_whatever_happens() -> None:
    talk = opened()
    talk.says(*Nova().calls("tool-1"))
    talk.give(Drain(0.25))

    assert leaves_at(talk) == pytest.approx(0.25)


def test_while_it_drains_the_stream_is_kept_alive() -> None:
    talk = opened()
    talk.says(*Nova().calls("tool-1"))
    talk.give(Drain(2.0))
    leaves_at(talk)
    fillers = [send for send in sends(talk.effects) if send.is_filler]

    assert sum(send.audio_ms for send in fillers) == pytest.approx(2_000, abs=1_000 * SILENCE_EVERY_SECONDS + 1)


def test_audio_that_comes_before_the_stream_is_asked_for_goes_out_under_its_names() -> None:
    machine, _ = make_machine()

    (early,) = machine.handle(SendAudio(bytes(640)), 0.0)
    (opening,) = machine.handle(Begin(), 0.0)

    assert isinstance(early, Send)
    assert isinstance(early.events[0], AudioInput)
    assert isinstance(opening, OpenStream)
    assert opening.opening[-1].prompt_name == early.events[0].prompt_name  # type: ignore[union-attr]  # an AudioContentStart
    assert opening.opening[-1].content_name == early.events[0].content_name  # type: ignore[union-attr]

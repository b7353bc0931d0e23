"""A conversation in which nobody says anything ends; one in which somebody does, or an open microphone hears, does not."""

from dataclasses import replace

import pytest

from bench.replay import Replay
from s2s.errors import Remedy
from session.effects import Begin, ClientLost, Finish, Input, StreamFailed, StreamOpened, Tick
from session.events import (
    EndReason,
    Interrupt,
    ReportPlayback,
    SendAudio,
    SendText,
    SessionEnded,
    SessionFailed,
    StopAudio,
    SubmitToolResult,
)
from session.idleness import LOOKS
from session.life_cycle import State
from tests.session.doubles import PLAN, Conversation, Nova
from tests.session.recorded import Recorded, origin_of
from tests.session.test_client_tools import WEATHER

LIMIT = 300.0
NOISE = b"\0\0" * 319 + b"\1\0"
"""Of a microphone that is open in a silent room."""
IDLE_PLAN = replace(PLAN, idle_seconds=LIMIT, client_tools=(WEATHER,), client_tool_seconds=10 * LIMIT)


def begun(seconds: float = LIMIT) -> Conversation:
    """Return a conversation that has begun and says nothing."""
    talk = Conversation(replace(IDLE_PLAN, idle_seconds=seconds))
    talk.give(Begin())
    talk.give(StreamOpened(1))
    talk.give(StopAudio())
    return talk


def wait(talk: Conversation, seconds: float) -> bool:
    """Let the time pass as the runner does, tick by tick; return whether the conversation lives."""
    until = talk.now + seconds
    while (deadline := talk.machine.next_deadline()) is not None and deadline <= until:
        talk.listen(max(0.0, deadline - talk.now))
        talk.give(Tick())
    talk.listen(until - talk.now)
    return talk.machine.state is not State.CLOSED


def test_a_conversation_ends_after_the_limit_and_says_why() -> None:
    talk = begun()

    assert wait(talk, LIMIT - 0.001)
    assert not wait(talk, 0.001)
    failed = [event for event in talk.told if isinstance(event, SessionFailed)]
    ended = [event for event in talk.told if isinstance(event, SessionEnded)]
    assert [(event.code, event.retryable) for event in failed] == [("session_idle", False)]
    assert [(event.reason, event.close_code) for event in ended] == [(EndReason.IDLE, 4408)]
    assert isinstance(talk.effects[-1], Finish)


def test_without_a_limit_it_lasts() -> None:
    assert wait(begun(0.0), 400.0)


@pytest.mark.parametrize("said", [SendAudio(NOISE), SendText("Hola")])
def test_what_somebody_says_counts(said: Input) -> None:
    talk = begun()
    wait(talk, LIMIT - 1.0)
    talk.give(said)

    assert wait(talk, 2.0)


@pytest.mark.parametrize("given", [Interrupt(), ReportPlayback(1, 0), Tick(), StopAudio(), SendAudio(bytes(640))])
def test_what_a_program_does_by_itself_does_not(given: Input) -> None:
    talk = begun()
    wait(talk, LIMIT - 1.0)
    talk.give(given)

    assert not wait(talk, 1.0)


def test_what_the_assistant_says_counts() -> None:
    talk, nova = begun(), Nova()
    wait(talk, LIMIT - 1.0)
    talk.says(*nova.start(), *nova.plans("Hola."), *nova.speaks(400), *nova.said("Hola."))

    assert wait(talk, LIMIT - 1.0)
    assert not wait(talk, 2.0)


def test_an_open_microphone_counts_for_as_long_as_it_is_open() -> None:
    talk = begun()
    for _ in range(600):
        talk.give(SendAudio(NOISE * 50))

        assert wait(talk, 1.0)
    assert wait(talk, LIMIT - 1.0)
    assert not wait(talk, LIMIT / LOOKS + 1.0)


def test_nobody_is_idle_while_a_tool_of_the_client_runs() -> None:
    talk, nova = begun(), Nova()
    talk.says(*nova.start(), *nova.calls("call-1", "{}", WEATHER.name))

    assert wait(talk, 3 * LIMIT)
    talk.give(SubmitToolResult("call-1", "{}"))
    assert wait(talk, LIMIT - 1.0)
    assert not wait(talk, 2.0)


def test_nobody_is_idle_while_there_is_something_to_hear() -> None:
    talk, nova = begun(2.0), Nova()
    talk.says(*nova.start(), *nova.plans("Hola."), *nova.speaks(20_000, pieces=40), *nova.said("Hola."))

    assert wait(talk, 20.0)
    assert not wait(talk, 4.1)


def test_a_stream_that_is_renewed_is_nobody_who_speaks() -> None:
    talk = begun(1_000.0)
    wait(talk, 900.0)
    talk.give(StreamFailed(1, "model_lost", Remedy.RESUME))

    assert not wait(talk, 100.0)


def test_a_client_that_is_away_for_too_long_is_lost_and_not_idle() -> None:
    talk = begun()
    wait(talk, LIMIT - 1.0)
    talk.give(ClientLost(0.5, 0))
    wait(talk, 2.0)
    ended = [event for event in talk.told if isinstance(event, SessionEnded)]

    assert [event.reason for event in ended] == [EndReason.CLIENT_LOST]


@pytest.mark.parametrize(("pcm", "lives"), [(NOISE, True), (bytes(640), False)])
def test_a_trace_in_which_audio_is_silence_replays_as_it_was(pcm: bytes, *, lives: bool) -> None:
    call = Recorded(origin_of(IDLE_PLAN))
    call.begin()
    for _ in range(round(LIMIT) + 10):
        call.give(SendAudio(pcm * 50))
        call.listen(1.0)
    replay = Replay(call.data.splitlines(keepends=True))
    replay.run()

    assert (call.machine.state is not State.CLOSED) is lives
    assert replay.first is None


def test_one_that_still_waits_for_its_stream_is_not_idle() -> None:
    talk = Conversation(IDLE_PLAN)
    talk.give(Begin())
    talk.now = 2 * LIMIT
    talk.give(Tick())
    talk.give(StreamOpened(1))

    assert wait(talk, LIMIT - 1.0)

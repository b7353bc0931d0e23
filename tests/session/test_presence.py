"""A session whose client is away for a while: it goes on, and nothing counts as heard that did not arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.errors import Remedy
from s2s.events import ToolResult
from session.continuation import RENEW_SECONDS
from session.effects import (
    Begin,
    ClientBack,
    ClientLost,
    Effect,
    Emit,
    Finish,
    Input,
    OpenStream,
    Send,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.events import (
    End,
    EndReason,
    Interrupt,
    Interrupted,
    ReportPlayback,
    SendAudio,
    SessionContinued,
    SessionEnded,
    SpeechChunk,
    ToolFinished,
)
from session.life_cycle import State
from session.presence import Presence
from session.queues import LEAD_MS, PlaybackQueue
from tests.session.doubles import OUTPUT_HERTZ, Conversation, Nova

pytestmark = [pytest.mark.req("S4-12")]
GRACE = 30.0


def samples(ms: float) -> int:
    """Return how many samples of speech this is."""
    return round(ms * OUTPUT_HERTZ / 1_000)


def opened() -> tuple[Conversation, Nova]:
    """Return a conversation that has begun."""
    talk, nova = Conversation(), Nova()
    talk.give(Begin())
    talk.give(StreamOpened(1, None))
    talk.listen(0.0)
    talk.heard.clear()
    return talk, nova


def spoken_to(ms: float, heard_seconds: float) -> tuple[Conversation, Nova]:
    """Return one in which the assistant has said so much and so much of it was heard."""
    talk, nova = opened()
    talk.says(*nova.plans("Yes."), *nova.speaks(ms, pieces=round(ms / 100)))
    talk.listen(heard_seconds)
    return talk, nova


def tick_through(talk: Conversation, seconds: float) -> list[Effect]:
    """Let the time pass with nobody listening."""
    until, effects = talk.now + seconds, []
    while (deadline := talk.machine.next_deadline()) is not None and deadline <= until:
        talk.now = max(talk.now, deadline)
        effects += talk.give(Tick())
    talk.now = until
    return effects


def delivered_ms(talk: Conversation) -> float:
    return sum(len(event.pcm) for event in talk.heard if isinstance(event, SpeechChunk)) / 2 / OUTPUT_HERTZ * 1_000


def test_nobody_is_away_who_was_never_lost() -> None:
    presence = Presence(PlaybackQueue(OUTPUT_HERTZ))

    assert not presence.is_away
    assert not presence.is_given_up(1e9)


def test_the_session_ends_when_the_time_is_over_and_not_before() -> None:
    talk, _ = opened()
    talk.give(ClientLost(GRACE))
    before = tick_through(talk, GRACE - 0.01)
    after = tick_through(talk, 0.01)

    assert not any(isinstance(effect, Finish) for effect in before)
    assert [effect.event.reason for effect in after if isinstance(effect, Emit) and isinstance(effect.event, SessionEnded)] == [
        EndReason.CLIENT_LOST
    ]
    assert talk.machine.state is State.CLOSED


def test_a_client_that_comes_back_in_time_has_all_of_it_again_the_next_time() -> None:
    talk, _ = opened()
    for _ in range(3):
        talk.give(ClientLost(GRACE))
        tick_through(talk, GRACE - 0.01)
        talk.give(ClientBack())
    tick_through(talk, 10 * GRACE)

    assert talk.machine.state is State.ACTIVE


def test_a_second_loss_without_a_return_gives_no_more_time() -> None:
    talk, _ = opened()
    talk.give(ClientLost(GRACE))
    tick_through(talk, GRACE / 2)
    talk.give(ClientLost(GRACE))
    tick_through(talk, GRACE / 2)

    assert talk.machine.state is State.CLOSED


def test_the_model_hears_silence_meanwhile() -> None:
    talk, _ = opened()
    talk.give(SendAudio(bytes(3_200)))
    talk.give(ClientLost(GRACE))
    effects = tick_through(talk, 10.0)

    assert sum(effect.audio_ms for effect in effects if isinstance(effect, Send)) == pytest.approx(10_000, abs=200)
    assert all(effect.is_filler for effect in effects if isinstance(effect, Send))


def test_speech_waits_and_is_heard_from_where_the_listener_stopped() -> None:
    talk, _ = spoken_to(3_000, heard_seconds=1.0)
    before = delivered_ms(talk)
    talk.give(ClientLost(GRACE, samples(200)))
    tick_through(talk, 20.0)
    talk.listen(5.0)

    assert delivered_ms(talk) == before
    talk.give(ClientBack(samples(200)))
    talk.listen(0.0)
    assert delivered_ms(talk) - before <= LEAD_MS - 200 + 1
    talk.listen(3.0)
    assert delivered_ms(talk) == pytest.approx(3_000)


def test_what_did_not_arrive_was_not_heard() -> None:
    talk, _ = spoken_to(3_000, heard_seconds=1.0)
    sent = delivered_ms(talk)
    talk.give(ClientLost(GRACE, samples(500)))
    tick_through(talk, 5.0)

    assert talk.playback.heard_ms(1, talk.now) == pytest.approx(sent - 500, abs=1)


def test_also_when_the_client_had_told_how_much_it_heard() -> None:
    talk, _ = spoken_to(3_000, heard_seconds=1.0)
    talk.give(ReportPlayback(1, 990))
    talk.listen(0.2)
    sent = delivered_ms(talk)
    talk.give(ClientLost(GRACE, samples(sent - 900)))
    tick_through(talk, 5.0)

    assert talk.playback.heard_ms(1, talk.now) == pytest.approx(900, abs=1)


def test_an_interruption_while_nobody_listens_ends_the_turn_at_what_arrived() -> None:
    talk, nova = spoken_to(3_000, heard_seconds=1.0)
    sent = delivered_ms(talk)
    talk.give(ClientLost(GRACE, samples(500)))
    told = talk.says(*nova.hears())
    talk.give(ClientBack(0))
    talk.heard.clear()
    talk.listen(5.0)

    assert [event.heard_ms for event in told if isinstance(event, Interrupted)] == [pytest.approx(sent - 500, abs=1)]
    assert delivered_ms(talk) == 0.0


def test_speech_that_did_not_arrive_can_still_be_interrupted() -> None:
    talk, nova = spoken_to(1_000, heard_seconds=2.0)
    talk.give(ClientLost(GRACE, samples(600)))
    tick_through(talk, 5.0)
    told = talk.says(*nova.hears())

    assert [event.heard_ms for event in told if isinstance(event, Interrupted)] == [pytest.approx(400, abs=1)]


def test_a_tool_that_ends_meanwhile_is_told_to_the_model_at_once_and_to_the_client_later() -> None:
    talk, nova = opened()
    talk.says(*nova.calls("u1"))
    talk.listen(0.0)
    talk.give(ClientLost(GRACE))
    talk.heard.clear()
    effects = talk.give(ToolDone("u1", '{"success":true}', None, 5))
    talk.listen(1.0)

    assert [event.content for group in effects if isinstance(group, Send) for event in group.events if isinstance(event, ToolResult)] == [
        '{"success":true}'
    ]
    assert talk.heard == []
    talk.give(ClientBack())
    talk.listen(0.0)
    assert [event.tool_use_id for event in talk.heard if isinstance(event, ToolFinished)] == ["u1"]


def test_the_stream_is_renewed_while_nobody_listens() -> None:
    talk, nova = opened()
    talk.now = RENEW_SECONDS / 2
    talk.says(*nova.hears(), *nova.heard_out())
    talk.now = RENEW_SECONDS - 10
    talk.give(ClientLost(GRACE))
    opening = [effect for effect in tick_through(talk, 15.0) if isinstance(effect, OpenStream)]
    talk.give(StreamOpened(2, None))
    talk.give(ClientBack())
    talk.listen(0.0)

    assert [effect.generation for effect in opening] == [2]
    assert any(isinstance(event, SessionContinued) for event in talk.heard)


def test_a_stream_that_dies_while_nobody_listens_is_replaced() -> None:
    talk, _ = opened()
    talk.give(ClientLost(GRACE))
    effects = [*talk.give(StreamFailed(1, "model_lost", Remedy.RESUME)), *tick_through(talk, 2.0)]

    assert any(isinstance(effect, OpenStream) for effect in effects)
    assert talk.machine.state is State.ACTIVE


def test_the_last_words_of_a_session_wait_for_its_client() -> None:
    talk, _ = opened()
    talk.give(ClientLost(GRACE))
    talk.give(End())
    talk.listen(1.0)

    assert talk.heard == []
    talk.give(ClientBack())
    talk.listen(0.0)
    assert isinstance(talk.heard[-1], SessionEnded)


STEPS = st.one_of(
    st.tuples(st.just("listen"), st.floats(0.0, 3.0)),
    st.tuples(st.just("says"), st.floats(20, 2_000)),
    st.tuples(st.just("lost"), st.floats(0.0, 3_000)),
    st.tuples(st.just("back"), st.floats(0.0, 3_000)),
    st.tuples(st.just("report"), st.floats(0.0, 5_000)),
    st.tuples(st.just("interrupt"), st.just(0.0)),
    st.tuples(st.just("tick"), st.floats(0.0, 5.0)),
)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_nothing_is_heard_that_did_not_arrive(steps: list[tuple[str, float]]) -> None:
    talk, nova = opened()
    missing = 0.0
    is_away = False
    for step, amount in steps:
        inputs: dict[str, Input] = {
            "lost": ClientLost(1e6, samples(amount)),
            "back": ClientBack(samples(amount)),
            "report": ReportPlayback(talk.machine.turns.number, round(amount)),
            "interrupt": Interrupt(),
        }
        if step in inputs:
            talk.give(inputs[step])
        elif step == "says":
            talk.says(*nova.speaks(amount))
        elif step == "listen":
            talk.listen(amount)
        else:
            tick_through(talk, amount)
        if step in ("lost", "back"):
            is_away, missing = step == "lost", amount if step == "lost" else 0.0
        before = len(talk.heard)
        if is_away:
            talk.listen(0.0)
            assert len(talk.heard) == before
        turn = talk.machine.turns.number
        of_turn = [event for event in talk.heard if isinstance(event, SpeechChunk) and event.turn == turn]
        arrived = sum(len(event.pcm) for event in of_turn) / 2 / OUTPUT_HERTZ * 1_000
        assert talk.playback.heard_ms(turn, talk.now) <= max(0.0, arrived - (missing if of_turn else 0.0)) + 1


def test_speech_that_waits_is_bounded() -> None:
    talk, nova = opened()
    talk.give(ClientLost(GRACE))
    for _ in range(40):
        talk.says(*nova.speaks(2_000))

    assert talk.playback.waiting_ms <= 30_000
    assert talk.playback.dropped_ms == pytest.approx(80_000 - talk.playback.waiting_ms, abs=1)

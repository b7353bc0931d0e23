"""Signs of life, by a clock that the test turns."""

from s2s.bedrock.http2.liveness import LATE_SECONDS, PING_ANSWER_SECONDS, PING_IDLE_SECONDS, Liveness, Verdict

KEEP = 30.0


def test_a_silent_peer_is_asked_and_then_given_up_within_three_seconds() -> None:
    liveness = Liveness(100.0, KEEP)
    asked_for_ping = liveness.begin(100.0)
    first = liveness.check(100.0, is_busy=True)
    asked = liveness.check(first[1], is_busy=True)
    given_up = liveness.check(asked[1], is_busy=True)

    assert not asked_for_ping
    assert (first[0], asked[0], given_up[0]) == (Verdict.WAIT, Verdict.PING, Verdict.DEAD)
    assert asked[1] == 100.0 + PING_IDLE_SECONDS + PING_ANSWER_SECONDS < 103.0


def test_a_peer_that_talks_is_not_asked() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.begin(0.0)
    for turn in range(1, 100):
        liveness.heard_at = float(turn)

        assert liveness.check(turn + 0.5, is_busy=True) == (Verdict.WAIT, turn + PING_IDLE_SECONDS)


def test_any_byte_answers() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.begin(0.0)
    liveness.check(PING_IDLE_SECONDS, is_busy=True)
    liveness.heard_at = 2.0

    assert liveness.check(2.9, is_busy=True) == (Verdict.WAIT, 2.0 + PING_IDLE_SECONDS)


def test_what_came_in_the_same_tick_of_the_clock_is_no_answer_and_what_comes_then_is() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.heard_at = 1.0
    liveness.ask(1.0)
    silent = liveness.check(1.0, is_busy=True)
    liveness.heard_at = 1.0

    assert silent == (Verdict.WAIT, 1.0 + PING_ANSWER_SECONDS)
    assert liveness.check(1.0, is_busy=True) == (Verdict.WAIT, 1.0 + PING_IDLE_SECONDS)


def test_a_check_that_comes_too_late_gives_the_peer_one_more_moment() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.begin(0.0)
    _, due = liveness.check(PING_IDLE_SECONDS, is_busy=True)
    late = liveness.check(due + 10.0, is_busy=True)

    assert late == (Verdict.WAIT, due + 10.0 + LATE_SECONDS)
    assert liveness.check(late[1] + 10.0, is_busy=True)[0] is Verdict.DEAD


def test_a_stream_on_a_connection_that_was_quiet_asks_at_once() -> None:
    liveness = Liveness(0.0, KEEP)
    asks = liveness.begin(20.0)
    _, due = liveness.check(20.0, is_busy=True)

    assert asks
    assert due == 20.0 + PING_ANSWER_SECONDS
    assert not liveness.begin(20.1)  # one question at a time


def test_asking_again_does_not_give_a_silent_peer_more_time() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.ask(1.0)
    liveness.ask(2.0)

    assert liveness.check(1.0 + PING_ANSWER_SECONDS, is_busy=False)[0] is Verdict.DEAD


def test_a_connection_without_streams_is_kept_for_a_while() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.begin(0.0)
    liveness.heard_at = 5.0
    first = liveness.check(6.0, is_busy=False)

    assert first == (Verdict.WAIT, 6.0 + KEEP)
    assert liveness.check(first[1], is_busy=False)[0] is Verdict.RETIRE


def test_a_new_stream_ends_the_waiting_for_retirement() -> None:
    liveness = Liveness(0.0, KEEP)
    liveness.heard_at = 29.0
    liveness.begin(29.0)
    busy = liveness.check(29.5, is_busy=True)
    idle = liveness.check(30.0, is_busy=False)

    assert (busy[0], idle) == (Verdict.WAIT, (Verdict.WAIT, 30.0 + KEEP))

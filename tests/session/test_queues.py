"""The two queues: bounds, pacing, flush, and what was heard."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s.events import Role, Stage, ToolResult
from session.effects import Send
from session.events import GoingAway, SessionEvent, SpeechChunk, SpeechEnded, TranscriptUpdated, UserSpeechStarted
from session.queues import (
    EVENTS_LIMIT,
    LEAD_MS,
    PIECE_MS,
    PLAYBACK_LIMIT_MS,
    UPLINK_HIGH_GROUPS,
    UPLINK_HIGH_MS,
    UPLINK_LIMIT_BYTES,
    PlaybackQueue,
    UplinkQueue,
)
from tests.session.doubles import OUTPUT_HERTZ, chunk, drained, speech_ms

SILENCE = Send((), 100.0, is_filler=True)
RESULT = Send(())


# The uplink


def test_groups_leave_in_the_order_in_which_they_came() -> None:
    queue = UplinkQueue()
    groups = [Send((), 32.0), RESULT, Send((), 20.0)]
    for group in groups:
        queue.put(group)

    assert len(queue) == 3
    assert queue.audio_ms == 52.0
    assert [queue.pop(), queue.pop(), queue.pop(), queue.pop()] == [*groups, None]
    assert queue.audio_ms == 0.0


def test_what_one_stream_alone_understands_is_for_no_other() -> None:
    queue = UplinkQueue()
    result, later = Send((), generation=2), Send((), generation=2)
    for group in (Send((), 32.0), result, later):
        queue.put(group)

    assert queue.pop_bound(3) is None
    assert queue.pop_bound(2) is result
    assert queue.pop() == Send((), 32.0)
    assert queue.pop() is None
    queue.forget(2)
    assert queue.pop_bound(2) is None


@pytest.mark.parametrize("leaves", [lambda queue: queue.pop_bound(2), lambda queue: queue.forget(2), UplinkQueue.keep_audio])
def test_what_one_stream_alone_understands_counts_as_words_that_wait(leaves: Callable[[UplinkQueue], object]) -> None:
    queue = UplinkQueue()
    queue.put(Send((ToolResult("p", "c", "x" * UPLINK_LIMIT_BYTES + "x"),), generation=2))

    assert queue.is_high
    assert queue.is_full_of_words
    leaves(queue)
    assert queue.is_low


def test_too_much_audio_drops_the_oldest_audio_and_nothing_else() -> None:
    queue = UplinkQueue(limit_ms=100.0)
    newest = Send((), 70.0)
    queue.put(RESULT)
    queue.put(Send((), 60.0))
    queue.put(newest)

    assert queue.dropped_ms == 60.0
    assert [queue.pop(), queue.pop(), queue.pop()] == [RESULT, newest, None]


def test_audio_raises_the_high_watermark_and_takes_it_back() -> None:
    queue = UplinkQueue()
    for _ in range(11):
        queue.put(Send((), UPLINK_HIGH_MS / 10))

    assert (queue.is_high, queue.is_low) == (True, False)
    for _ in range(7):
        queue.pop()
    assert (queue.is_high, queue.is_low) == (False, True)


def test_groups_without_audio_raise_the_high_watermark_too() -> None:
    queue = UplinkQueue()
    for _ in range(UPLINK_HIGH_GROUPS + 1):
        queue.put(RESULT)

    assert (queue.is_high, queue.is_low) == (True, False)


def test_filler_waits_only_where_nothing_else_waits() -> None:
    queue = UplinkQueue()
    queue.put(SILENCE)
    queue.put(SILENCE)
    queue.put(Send((), 32.0))
    queue.put(SILENCE)

    assert [queue.pop(), queue.pop(), queue.pop()] == [SILENCE, Send((), 32.0), None]


def test_filler_that_is_dropped_is_no_audio_of_the_user_that_was_lost() -> None:
    queue = UplinkQueue(limit_ms=1_000.0)
    queue.put(Send((), 900.0, is_filler=True, number=1))
    pieces = [Send((), 400.0, number=number) for number in (2, 3, 4)]
    for piece in pieces[:2]:
        queue.put(piece)
    before = queue.dropped_ms
    queue.put(pieces[2])

    assert (before, queue.dropped_ms) == (0.0, 400.0)
    queue.put_first(pieces)
    assert [queue.pop() for _ in range(4)] == [*pieces, None]
    assert queue.dropped_ms == 0.0


def test_no_rounding_keeps_filler_away_from_an_empty_queue() -> None:
    queue = UplinkQueue()
    for _ in range(3):
        queue.put(Send((), 0.1))
    for _ in range(3):
        queue.pop()
    queue.put(SILENCE)

    assert queue.pop() == SILENCE


def test_clear_empties_the_queue() -> None:
    queue = UplinkQueue()
    queue.put(Send((), 32.0))
    queue.clear()

    assert len(queue) == 0
    assert queue.audio_ms == 0.0
    assert queue.pop() is None


# The playback


def test_speech_is_delivered_at_most_300_ms_ahead_of_the_listener() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(100):
        queue.put(chunk(1, 32), 0.0)
    now, delivered = 10.0, 0.0
    while queue.waiting_ms:
        delivered += speech_ms(drained(queue, now))
        ahead = delivered - (now - 10.0) * 1_000

        assert ahead <= LEAD_MS + 1e-6
        assert ahead > LEAD_MS - 33 or not queue.waiting_ms
        now = queue.ready_at() or now


@pytest.mark.parametrize("hertz", [8_000, 16_000, 24_000])
def test_one_huge_piece_is_paced_like_many_and_loses_nothing(hertz: int) -> None:
    queue = PlaybackQueue(hertz)
    pcm = bytes(index % 251 for index in range(2 * hertz * 5 + 2))
    queue.put(SpeechChunk(1, pcm, "block"), 0.0)
    now = 0.0
    pieces: list[SpeechChunk] = []
    while queue.waiting_ms:
        pieces += [event for event in drained(queue, now) if isinstance(event, SpeechChunk)]
        assert sum(len(piece.pcm) for piece in pieces) / 2 / hertz - now <= LEAD_MS / 1_000 + 1e-9
        now = queue.ready_at() or now

    assert b"".join(piece.pcm for piece in pieces) == pcm
    assert {(piece.turn, piece.content_id) for piece in pieces} == {(1, "block")}
    assert all(len(piece.pcm) % 6 == 0 for piece in pieces[:-1])


def test_pop_gives_exactly_at_the_moment_that_ready_at_names() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(30):
        queue.put(chunk(1, 33.3), 0.0)
    drained(queue, 0.1)
    ready_at = queue.ready_at()

    assert ready_at is not None
    assert queue.pop(math.nextafter(ready_at, 0.0)) is None
    assert queue.pop(ready_at) is not None


def test_events_keep_their_place_among_the_speech() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    text = TranscriptUpdated(1, Role.ASSISTANT, Stage.FINAL, "Hola.")
    for event in (chunk(1, 96), chunk(1, 96), chunk(1, 96), chunk(1, 96), text):
        queue.put(event, 0.0)
    first = drained(queue, 0.0)

    assert text not in first
    assert drained(queue, 0.1)[-1] == text


def test_who_leaves_says_so_before_what_is_still_to_be_said() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    told: list[SessionEvent] = [SpeechEnded(1), *(chunk(2, 96) for _ in range(50)), SpeechEnded(2), GoingAway(20_000)]
    for event in told:
        queue.put(event, 0.0)

    assert drained(queue, 0.0)[:2] == [SpeechEnded(1), GoingAway(20_000)]
    assert queue.waiting_ms > 4_000


def test_an_event_with_no_speech_before_it_is_ready_at_once() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)

    assert queue.ready_at() is None
    assert queue.pop(0.0) is None
    queue.put(UserSpeechStarted(1), 0.0)
    assert queue.ready_at() == 0.0
    assert queue.pop(0.0) == UserSpeechStarted(1)


def test_a_pause_of_the_model_does_not_let_the_clock_run_ahead() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 96), 0.0)
    drained(queue, 0.0)
    for _ in range(10):
        queue.put(chunk(1, 96), 60.0)

    assert speech_ms(drained(queue, 60.0)) == pytest.approx(288)


@pytest.mark.req("S4-78")
def test_flush_throws_away_the_speech_and_keeps_the_rest_in_order() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    text = TranscriptUpdated(1, Role.ASSISTANT, Stage.SPECULATIVE, "Hola.")
    for event in (chunk(1, 300), text, chunk(2, 300), SpeechEnded(2), chunk(3, 96)):
        queue.put(event, 0.0)
    queue.flush(2, 0.0)

    assert drained(queue, 0.0) == [text, SpeechEnded(2), chunk(3, 96)]
    assert queue.flushed_ms == pytest.approx(600)


def test_after_a_flush_the_next_turn_does_not_wait_for_the_old_one() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(10):
        queue.put(chunk(1, 96), 0.0)
    drained(queue, 0.0)
    queue.flush(1, 0.05)
    queue.put(chunk(2, 96), 0.0)

    assert drained(queue, 0.05) == [chunk(2, 96)]


def test_speech_beyond_the_limit_is_dropped_and_counted() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ, limit_ms=200.0)
    for _ in range(3):
        queue.put(chunk(1, 96), 0.0)

    assert queue.waiting_ms == pytest.approx(192)
    assert queue.dropped_ms == pytest.approx(96)


def test_empty_speech_is_nothing() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 0), 0.0)
    delivered = drained(queue, 0.0)

    assert speech_ms(delivered) == 0
    assert not queue.is_playing(0.0)


def test_a_client_that_does_not_read_makes_the_queue_overfull() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(EVENTS_LIMIT):
        queue.put(SpeechEnded(1), 0.0)

    assert not queue.is_overfull(0.0)
    queue.put(SpeechEnded(1), 0.0)
    assert queue.is_overfull(0.0)


def test_small_pieces_that_are_too_much_do_not_make_it_overfull() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(3_500):
        queue.put(chunk(1, 10), 0.0)

    assert queue.dropped_ms == pytest.approx(35_000 - PLAYBACK_LIMIT_MS)
    assert not queue.is_overfull(0.0)


def test_it_is_playing_until_the_listener_has_heard_everything() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 96), 0.0)

    assert queue.is_playing(5.0)
    drained(queue, 5.0)
    assert queue.is_playing(5.09)
    assert not queue.is_playing(5.096001)


@settings(derandomize=True)
@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=40), st.sampled_from([8_000, 16_000, 24_000]))
def test_nothing_is_left_playing_whatever_the_lengths_were(samples: list[int], hertz: int) -> None:
    queue = PlaybackQueue(hertz)
    for count in samples:
        queue.put(SpeechChunk(1, bytes(2 * count)), 0.0)
    now = 1.0
    while (ready_at := queue.ready_at()) is not None:
        now = max(now, ready_at)
        assert drained(queue, now)

    assert queue.waiting_ms == 0
    assert not queue.is_playing(now + 1.0)
    assert queue.heard_ms(1, now + 1.0) == pytest.approx(sum(samples) / hertz * 1_000, abs=1)


# What was heard


@pytest.mark.req("S4-78")
def test_without_a_report_the_pacing_clock_tells_what_was_heard() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(10):
        queue.put(chunk(4, 96), 0.0)
    drained(queue, 2.0)

    assert queue.heard_ms(4, 2.0) == 0
    assert queue.heard_ms(4, 2.1) == 100
    assert queue.heard_ms(4, 9.0) == 288


@pytest.mark.req("S4-78")
def test_a_report_counts_more_than_the_clock() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(10):
        queue.put(chunk(4, 96), 0.0)
    drained(queue, 2.0)
    queue.report(4, 50, 2.2)

    assert queue.heard_ms(4, 2.25) == 100
    assert queue.heard_ms(4, 9.0) == 288


def test_a_report_of_another_turn_is_ignored() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(4, 96), 0.0)
    drained(queue, 2.0)
    queue.report(3, 5_000, 2.0)

    assert queue.heard_ms(4, 2.05) == 50


@pytest.mark.parametrize(("reported", "heard"), [(-5_000, 0), (1_000_000, 96)])
def test_a_report_that_cannot_be_true_is_cut_to_what_can(reported: int, heard: int) -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(4, 96), 0.0)
    drained(queue, 2.0)
    queue.report(4, reported, 2.0)

    assert queue.heard_ms(4, 2.05) == heard


def test_a_turn_that_waits_behind_another_was_not_heard() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for event in (chunk(1, 96), chunk(1, 96), chunk(2, 48)):
        queue.put(event, 0.0)

    assert queue.heard_ms(2, 0.0) == 0
    drained(queue, 0.0)
    assert queue.heard_ms(2, 0.0) == 0


def test_the_report_of_one_turn_does_not_count_for_the_next() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 96), 0.0)
    drained(queue, 0.0)
    queue.report(1, 96, 0.1)
    queue.put(chunk(2, PIECE_MS), 0.0)
    drained(queue, 1.0)

    assert queue.heard_ms(2, 1.01) == 10
    assert queue.heard_ms(1, 1.01) == 0

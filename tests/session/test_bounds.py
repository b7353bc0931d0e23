"""What may wait in a session is bounded, in bytes and in time, and what is dropped is counted."""

import asyncio
import itertools

import pytest

from s2s.events import Role, Stage, TextInput, UnknownEvent
from session.drops import Drops
from session.effects import Begin, Emit, Overflowed, Send, StreamOpened, Tick
from session.events import (
    AudioDropped,
    Direction,
    End,
    ModelOutput,
    SendAudio,
    SessionEnded,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    TranscriptUpdated,
)
from session.queues import (
    EVENTS_LIMIT,
    LEAD_MS,
    PIECE_MS,
    PLAYBACK_LIMIT_MS,
    STALE_MS,
    UNKNOWN_LIMIT_BYTES,
    UPLINK_HIGH_MS,
    UPLINK_LIMIT_BYTES,
    UPLINK_LIMIT_MS,
    WORDS_LIMIT_BYTES,
    PlaybackQueue,
    UplinkQueue,
)
from tests.session.doubles import OUTPUT_HERTZ, Conversation, Nova, chunk, drained, model_error, speech_ms
from tests.session.test_runner import session

BYTES_PER_SECOND = 2 * OUTPUT_HERTZ
SESSION_BYTES = 2_000_000
"""What a session may take at most."""


def pieces(queue: PlaybackQueue) -> int:
    return sum(isinstance(waiting.event, SpeechChunk) for waiting in queue._waiting)


# The listener's queue


@pytest.mark.parametrize("piece_ms", [1, 10, 32, 96, 1_000])
def test_speech_that_waits_takes_no_more_than_its_share_of_a_session_whatever_its_pieces_are(piece_ms: int) -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(60_000 // piece_ms):
        queue.put(chunk(1, piece_ms), 0.0)

    assert queue.waiting_ms <= PLAYBACK_LIMIT_MS
    assert queue.waiting_ms + queue.dropped_ms == pytest.approx(60_000)
    assert pieces(queue) <= PLAYBACK_LIMIT_MS / PIECE_MS * 2 + 1_000 / piece_ms
    assert queue.waiting_ms / 1_000 * BYTES_PER_SECOND < 0.7 * SESSION_BYTES


def test_pieces_that_are_joined_lose_no_sample_and_no_border() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    said = bytes(index % 251 for index in range(BYTES_PER_SECOND * 4))
    for at in range(0, len(said) // 2, 480):
        queue.put(SpeechChunk(1, said[at : at + 480], "first"), 0.0)
    queue.put(SpeechEnded(1), 0.0)
    for at in range(len(said) // 2, len(said), 480):
        queue.put(SpeechChunk(1, said[at : at + 480], "second"), 0.0)
    heard: list[SessionEvent] = []
    while (ready_at := queue.ready_at()) is not None:
        heard += drained(queue, ready_at)

    border = heard.index(SpeechEnded(1))
    parts = [b"".join(event.pcm for event in part if isinstance(event, SpeechChunk)) for part in (heard[:border], heard[border:])]
    assert parts == [said[: len(said) // 2], said[len(said) // 2 :]]
    assert {event.content_id for event in heard[border:] if isinstance(event, SpeechChunk)} == {"second"}


def test_a_listener_who_reads_hears_all_of_the_longest_answer_that_may_wait() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    heard = 0.0
    queue.put(chunk(1, PLAYBACK_LIMIT_MS), 5.0)
    while (ready_at := queue.ready_at()) is not None:
        heard += speech_ms(drained(queue, max(5.0, ready_at) + 0.02))

    assert heard == pytest.approx(PLAYBACK_LIMIT_MS)
    assert queue.dropped_ms == 0.0


def test_after_a_long_stall_the_listener_hears_nothing_that_is_older_than_the_limit() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    stamped = {}
    for second in range(60):
        pcm = second.to_bytes(2, "little") * OUTPUT_HERTZ
        stamped[pcm[:2]] = second
        for at in range(0, len(pcm), BYTES_PER_SECOND // 10):
            queue.put(SpeechChunk(1, pcm[at : at + BYTES_PER_SECOND // 10]), float(second))
    now, ages = 60.0, []
    while (ready_at := queue.ready_at()) is not None:
        now = max(now, ready_at)
        ages += [now - stamped[event.pcm[:2]] for event in drained(queue, now) if isinstance(event, SpeechChunk)]

    assert max(ages) <= STALE_MS / 1_000
    assert ages
    assert sum(ages[:1]) >= STALE_MS / 2_000 - 1.0  # and not everything was thrown away


def test_a_listener_who_is_too_slow_gets_one_gap_and_not_one_after_each_piece() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    delivered: list[int] = []
    for step in range(1_000):  # the model speaks in real time, the client takes half of it
        queue.put(SpeechChunk(1, step.to_bytes(2, "little") * round(OUTPUT_HERTZ / 10)), step / 10)
        if step % 2:
            event = queue.pop(step / 10)
            delivered += [int.from_bytes(event.pcm[:2], "little")] if isinstance(event, SpeechChunk) else []
    gaps = sum(after - before > 1 for before, after in itertools.pairwise(delivered))

    assert gaps > 1
    assert queue.dropped_ms / gaps > STALE_MS / 2 - 1_000


def test_what_was_heard_is_a_place_in_what_the_model_said_also_after_a_gap() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ, limit_ms=200.0, stale_ms=300.0)
    for at in (0.0, 0.1, 1.0, 1.0):
        queue.put(chunk(1, 96), at)
    drained(queue, 1.0)

    assert queue.dropped_ms == pytest.approx(192)
    assert queue.heard_ms(1, 1.0) == 0
    assert queue.heard_ms(1, 1.05) == 192 + 50
    assert queue.heard_samples(1, 1.05) == (192 + 50) * OUTPUT_HERTZ // 1_000


def test_the_end_of_an_answer_that_was_too_long_is_not_taken_as_heard() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ, limit_ms=100.0)
    queue.put(chunk(1, 96), 0.0)
    queue.put(chunk(1, 96), 0.0)
    drained(queue, 0.0)

    assert queue.heard_ms(1, 5.0) == 96
    assert queue.dropped_ms == pytest.approx(96)


def test_text_that_waits_makes_the_queue_overfull_once_it_has_waited_too_long() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(9):
        queue.put(TranscriptUpdated(1, Role.ASSISTANT, Stage.FINAL, "a" * (WORDS_LIMIT_BYTES // 8)), 0.0)

    assert not queue.is_overfull(STALE_MS / 1_000)
    assert queue.is_overfull(STALE_MS / 1_000 + 0.1)
    drained(queue, STALE_MS / 1_000 + 0.1)
    assert not queue.is_overfull(1_000.0)


def test_small_events_make_the_queue_overfull_by_their_number() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    for _ in range(EVENTS_LIMIT + 1):
        queue.put(SpeechEnded(1), 0.0)

    assert queue.is_overfull(0.0)


def test_an_unknown_event_that_no_client_could_take_is_left_out() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    small, large = (ModelOutput(UnknownEvent("new", "a" * size)) for size in (1_000, UNKNOWN_LIMIT_BYTES))
    queue.put(small, 0.0)
    queue.put(large, 0.0)

    assert drained(queue, 0.0) == [small]


# A listener who is away


def test_without_a_listener_nothing_is_delivered_and_nothing_grows_old() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 96), 0.0)
    queue.hold(1.0)
    queue.put(SpeechEnded(1), 2.0)

    assert (queue.pop(50.0), queue.ready_at()) == (None, None)
    queue.release(100.0)
    assert drained(queue, 100.0) == [chunk(1, 96), SpeechEnded(1)]


def test_speech_is_paced_again_from_where_the_listener_was() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 960), 0.0)
    first = speech_ms(drained(queue, 0.0))
    queue.hold(0.1)
    queue.release(20.1)
    after = speech_ms(drained(queue, 20.1))

    assert first == pytest.approx(288)
    assert after == pytest.approx(LEAD_MS, abs=PIECE_MS)


def test_what_did_not_arrive_was_not_heard_until_it_is_sent_again() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 960), 0.0)
    drained(queue, 0.0)
    drained(queue, 0.5)
    lost = round(0.2 * OUTPUT_HERTZ)
    queue.hold(2.0, lost)
    away = queue.heard_ms(1, 30.0)
    queue.release(30.0, lost)

    assert away == 576 - 200
    assert queue.heard_ms(1, 30.05) == 576 - 150
    assert speech_ms(drained(queue, 30.0)) == pytest.approx(96)  # 200 ms are on their way already


def test_a_report_is_taken_further_by_the_clock_for_a_moment_only() -> None:
    queue = PlaybackQueue(OUTPUT_HERTZ)
    queue.put(chunk(1, 4_800), 0.0)
    for tenth in range(60):
        drained(queue, tenth / 10)
    queue.report(1, 1_000, 1.5)

    assert queue.heard_ms(1, 2.0) == 1_500
    assert queue.heard_ms(1, 60.0) == 2_000


# The way up


def test_text_that_the_model_does_not_take_holds_the_client_back_long_before_it_fills_memory() -> None:
    queue = UplinkQueue()
    held_back = full = 0
    while not queue.is_full_of_words:
        queue.put(Send((TextInput("prompt", "content", "a" * 4_000),)))
        held_back += not queue.is_high
        full += 4_000

    assert held_back * 4_000 < full / 3
    assert full <= UPLINK_LIMIT_BYTES + 4_000
    while queue.pop() is not None:
        pass
    assert (queue.is_high, queue.is_low, queue.is_full_of_words) == (False, True, False)


def test_text_counts_no_more_once_it_was_thrown_away() -> None:
    queue = UplinkQueue()
    for throw_away in (queue.keep_audio, queue.clear):
        while not queue.is_high:
            queue.put(Send((TextInput("prompt", "content", "a" * 4_000),)))
        throw_away()

        assert queue.is_low


# What was dropped is told


def dropped(events: list[SessionEvent]) -> list[SessionEvent]:
    return [event for event in events if isinstance(event, AudioDropped)]


def test_audio_that_the_model_did_not_take_is_told_once_a_second_at_most_and_counted_in_the_end() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    for tenth in range(1, 22):
        talk.now = 5.0 + tenth / 10
        talk.give(Overflowed(tenth * 32.0))
    talk.now = 20.0
    talk.give(Tick())
    talk.give(Tick())
    talk.give(End())
    told = [AudioDropped(Direction.UP, 32), AudioDropped(Direction.UP, 320), AudioDropped(Direction.UP, 320)]

    assert dropped(talk.told) == told
    assert isinstance(talk.told[-1], SessionEnded)
    assert talk.told[-1].statistics["audio_in_dropped_ms"] == 672


def test_speech_that_did_not_fit_is_told_and_counted_in_the_end() -> None:
    talk = Conversation()
    talk.give(Begin())
    talk.give(StreamOpened(1))
    nova = Nova()
    talk.says(*nova.start(), *nova.plans("Hola."), *nova.speaks(PLAYBACK_LIMIT_MS + 10_000, pieces=round(PLAYBACK_LIMIT_MS / 100) + 100))
    talk.now = 1.5
    talk.give(Tick())
    talk.give(End())
    told = [event.ms for event in dropped(talk.told) if isinstance(event, AudioDropped) and event.direction is Direction.DOWN]

    assert sum(told) == 10_000
    assert len(told) == 2
    assert isinstance(talk.told[-1], SessionEnded)
    assert talk.told[-1].statistics["audio_out_dropped_ms"] == 10_000


def test_what_was_not_lost_after_all_is_not_told_again() -> None:
    drops = Drops()
    first = drops.due(100.0, 0.0, 0.0)
    back = drops.due(40.0, 0.0, 2.0)
    again = drops.due(90.0, 0.0, 4.0)
    more = drops.due(130.0, 0.0, 6.0)

    assert [first, back, again, more] == [[Emit(AudioDropped(Direction.UP, 100))], [], [], [Emit(AudioDropped(Direction.UP, 30))]]


async def test_a_client_that_speaks_on_while_the_model_is_away_is_told_what_was_thrown_away() -> None:
    async with session() as rig:
        rig.model.opens.clear()
        rig.stream.fail(model_error())
        await rig.settled()
        for _ in range(200):
            async with asyncio.timeout(0.05):
                await rig.runner.submit(SendAudio(bytes(3_200)))
            await asyncio.sleep(0.1)
        waits_ms = rig.runner._uplink.audio_ms
        rig.model.opens.set()
        await asyncio.sleep(2.0)
        told = [event.ms for event in rig.recorder.events if isinstance(event, AudioDropped) and event.direction is Direction.UP]

        assert waits_ms == UPLINK_LIMIT_MS
        assert sum(told) == 20_000 - UPLINK_LIMIT_MS
        assert len(told) <= (20_000 - UPLINK_LIMIT_MS) / 1_000 + 1


async def test_a_model_that_reads_nothing_holds_the_client_back_and_drops_nothing() -> None:
    async with session() as rig:
        rig.stream.reads.clear()
        taken = await rig.submits(SendAudio(bytes(3_200)), 0.05)
        waits_ms = rig.runner._uplink.audio_ms
        rig.stream.reads.set()

        assert taken * 100 <= UPLINK_HIGH_MS + 200
        assert waits_ms <= UPLINK_HIGH_MS + 200
        assert not dropped(rig.recorder.events)


async def test_a_client_that_reads_nothing_costs_a_session_no_more_than_its_limit() -> None:
    async with session() as rig:
        for _ in range(60):
            rig.says(*rig.nova.speaks(1_000, pieces=100))
            await asyncio.sleep(1.0)
        queue = rig.playback
        speech_bytes = sum(len(waiting.event.pcm) for waiting in queue._waiting if isinstance(waiting.event, SpeechChunk))

        assert speech_bytes <= PLAYBACK_LIMIT_MS / 1_000 * BYTES_PER_SECOND
        assert queue.waiting_ms + queue.dropped_ms == pytest.approx(60_000)
        assert not rig.runner.is_over
        told = [event.ms for event in rig.recorder.events if isinstance(event, AudioDropped)]
        assert sum(told) == pytest.approx(queue.dropped_ms, abs=1_100)

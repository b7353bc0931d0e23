"""What is kept for a client until it says that it has it."""

from hypothesis import given
from hypothesis import strategies as st

from transports.dialects.binary import Header, pack_audio, unpack_audio, without_samples
from transports.outbox import Outbox


def speech(turn: int, number: int, samples: int = 48) -> bytes:
    return pack_audio(Header(2, 0, turn, number, 0, 0), b"\1\1" * samples)


def test_frames_are_had_by_number_until_they_are_acknowledged() -> None:
    outbox = Outbox()
    for frame in ("a", "b", "c"):
        outbox.put(frame)
    outbox.acknowledge(2)

    assert [outbox.get(number) for number in range(4)] == [None, None, "c", None]
    assert (outbox.first, outbox.next) == (2, 3)
    assert [outbox.has(number) for number in range(5)] == [False, False, True, True, False]


def test_an_acknowledgement_that_comes_twice_or_late_changes_nothing() -> None:
    outbox = Outbox()
    outbox.put("a")
    outbox.put("b")
    outbox.acknowledge(1)
    outbox.acknowledge(1)
    outbox.acknowledge(0)

    assert (outbox.get(1), outbox.first) == ("b", 1)


def test_a_session_that_was_adopted_goes_on_counting() -> None:
    outbox = Outbox(first=40)
    outbox.put("a")

    assert (outbox.get(40), outbox.next) == ("a", 41)
    assert not outbox.has(39)


def test_beyond_the_limit_in_bytes_the_oldest_goes_and_is_not_had_any_more() -> None:
    outbox = Outbox(bytes_limit=10)
    for frame in ("aaaa", "bbbb", "cccc"):
        outbox.put(frame)

    assert [outbox.has(number) for number in range(4)] == [False, True, True, True]
    assert outbox.get(1) == "bbbb"


def test_beyond_the_limit_in_frames_the_oldest_goes() -> None:
    outbox = Outbox(frames_limit=2)
    for frame in ("a", "b", "c"):
        outbox.put(frame)

    assert (outbox.first, outbox.next) == (1, 3)


def test_withdrawn_speech_keeps_its_number_and_loses_its_samples() -> None:
    outbox = Outbox()
    outbox.put(speech(2, 0), 2, 96)
    outbox.put("interrupted")
    outbox.put(speech(4, 2), 4, 96)
    outbox.withdraw(3, without_samples)
    kept = [outbox.get(number) for number in range(3)]

    assert kept == [without_samples(speech(2, 0)), "interrupted", speech(4, 2)]
    assert isinstance(kept[0], bytes)
    assert unpack_audio(kept[0])[0].sequence == 0


def test_what_was_withdrawn_makes_room() -> None:
    outbox = Outbox(bytes_limit=250)
    outbox.put(speech(2, 0), 2, 96)
    outbox.put(speech(2, 1), 2, 96)
    outbox.withdraw(2, without_samples)
    outbox.put(speech(4, 2), 4, 96)

    assert outbox.first == 0


def test_undelivered_speech_is_counted_of_the_latest_turn_that_spoke() -> None:
    outbox = Outbox()
    outbox.put(speech(2, 0), 2, 96)
    outbox.put(speech(4, 1), 4, 96)
    outbox.put("usage")
    outbox.put(speech(4, 3), 4, 96)

    assert outbox.speech_bytes() == 192
    outbox.acknowledge(2)
    assert outbox.speech_bytes() == 96
    outbox.acknowledge(4)
    assert outbox.speech_bytes() == 0


@given(st.lists(st.tuples(st.sampled_from(("put", "acknowledge")), st.integers(0, 60)), max_size=80))
def test_whatever_happens_what_is_kept_is_one_piece_within_its_limits(steps: list[tuple[str, int]]) -> None:
    outbox = Outbox(bytes_limit=100, frames_limit=10)
    for step, amount in steps:
        if step == "put":
            outbox.put("x" * amount)
        else:
            outbox.acknowledge(min(amount, outbox.next))
        kept = [outbox.get(number) for number in range(outbox.first, outbox.next)]

        assert None not in kept
        assert len(kept) <= 10
        assert sum(len(frame) for frame in kept if frame is not None) <= 100
        assert outbox.get(outbox.first - 1) is None
        assert outbox.get(outbox.next) is None

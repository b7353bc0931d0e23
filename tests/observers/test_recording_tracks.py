"""Where the voices of a conversation are put on the time line."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from observers.recording_tracks import SETTLE_SECONDS, AssistantTrack, CallerTrack

HERTZ = 16_000
PIECE = 320
"""20 ms."""
CODES = 65_535


def coded(first: int, length: int) -> bytes:
    """Return samples that tell their place: none is silence."""
    return b"".join((1 + at % CODES).to_bytes(2, "little") for at in range(first, first + length))


def places(line: bytes) -> list[int]:
    """Return which sample of what was said is where; -1 for silence."""
    return [int.from_bytes(line[at : at + 2], "little") - 1 for at in range(0, len(line), 2)]


def whole(length: int) -> list[int]:
    """Return the places of so much sound without a gap."""
    return [at % CODES for at in range(length)]


def spoken(track: CallerTrack, arrivals: list[float], began: float = 0.0) -> list[int]:
    """Return the line after pieces of 20 ms that arrived then, taken a few seconds after as a recording does."""
    line = bytearray()
    for number, now in enumerate(arrivals):
        line += track.take(max(track.taken, round((now - began - SETTLE_SECONDS) * HERTZ)))
        track.add(coded(number * PIECE, PIECE), now)
    track.settle()
    return places(bytes(line) + track.take(track.end))


def test_sound_lies_where_its_end_is_when_it_arrives() -> None:
    line = spoken(CallerTrack(HERTZ, 10.0), [11.0, 11.02], 10.0)

    assert line[: HERTZ - PIECE] == [-1] * (HERTZ - PIECE)
    assert line[HERTZ - PIECE :] == list(range(2 * PIECE))


@given(st.lists(st.floats(0.0, 0.24), min_size=10, max_size=200))
def test_jitter_makes_no_holes(delays: list[float]) -> None:
    arrivals, latest = [], 0.0
    for number, delay in enumerate(delays):
        latest = max(latest, 1.0 + number * 0.02 + delay)
        arrivals.append(latest)
    track = CallerTrack(HERTZ, 0.0)
    line = spoken(track, arrivals)
    heard = [place for place in line if place >= 0]

    assert heard == whole(len(delays) * PIECE)
    assert -1 not in line[line.index(0) :]
    assert (track.gaps, track.dropped) == (0, 0)


def test_a_network_that_stood_still_and_brings_everything_at_once_makes_no_hole() -> None:
    arrivals = [1.0 + number * 0.02 for number in range(50)] + [3.5] * 75 + [3.5 + number * 0.02 for number in range(1, 100)]
    track = CallerTrack(HERTZ, 0.0)
    line = spoken(track, arrivals)

    assert line[line.index(0) :] == whole(len(arrivals) * PIECE)
    assert track.gaps == 0


def test_a_microphone_that_was_off_leaves_silence_of_its_length() -> None:
    track = CallerTrack(HERTZ, 0.0)
    line = spoken(track, [1.0 + number * 0.02 for number in range(50)] + [12.0 + number * 0.02 for number in range(100)])

    assert line.index(50 * PIECE) == 12 * HERTZ - PIECE
    assert [place for place in line if place >= 0] == list(range(150 * PIECE))
    assert track.gaps == 1


def test_a_short_pause_of_the_microphone_is_found_out_a_second_later() -> None:
    track = CallerTrack(HERTZ, 0.0)
    line = spoken(track, [1.0 + number * 0.02 for number in range(50)] + [2.5 + number * 0.02 for number in range(100)])

    assert line.index(50 * PIECE) == round(2.5 * HERTZ) - PIECE
    assert track.gaps == 1


def test_sound_that_was_kept_until_the_line_was_open_begins_earlier() -> None:
    line = spoken(CallerTrack(HERTZ, 0.0), [1.0] * 40 + [1.02])

    assert line.index(0) == round((1.0 - 40 * 0.02) * HERTZ)
    assert line[line.index(0) :] == list(range(41 * PIECE))


def test_a_file_that_is_sent_too_fast_is_kept_for_five_seconds_and_dropped_then() -> None:
    track = CallerTrack(HERTZ, 0.0)
    line = spoken(track, [1.0] * 500)

    assert [place for place in line if place >= 0] == whole((50 + 250) * PIECE)
    assert track.dropped == 200 * PIECE


@given(st.lists(st.tuples(st.floats(0.0, 2.0), st.integers(1, 2_000)), max_size=40), st.integers(0, 5))
def test_whatever_arrives_the_line_has_every_sample_once_and_in_order(steps: list[tuple[float, int]], every: int) -> None:
    track, line, now, said = CallerTrack(HERTZ, 0.0), bytearray(), 0.0, 0
    for number, (pause, length) in enumerate(steps):
        now += pause
        track.add(coded(said, length), now)
        said += length
        if every and number % every == 0:
            line += track.take(max(track.taken, round((now - SETTLE_SECONDS) * HERTZ)))
    track.settle()
    line += track.take(track.end)
    heard = [place for place in places(bytes(line)) if place >= 0]

    assert len(heard) + track.dropped == said
    assert all(after > before or after < CODES // 2 < before for before, after in pairwise(heard))


def test_speech_that_is_delivered_ahead_is_heard_piece_after_piece() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    for number, now in enumerate([1.0, 1.0, 1.0, 1.06, 1.08]):
        track.add(1, coded(number * PIECE, PIECE), now)
    line = places(track.take(2 * HERTZ))

    assert line[HERTZ : HERTZ + 5 * PIECE] == list(range(5 * PIECE))
    assert set(line[:HERTZ] + line[HERTZ + 5 * PIECE :]) == {-1}


def test_speech_that_comes_too_slowly_is_heard_with_its_gaps() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    track.add(1, coded(0, PIECE), 1.0)
    track.add(1, coded(PIECE, PIECE), 1.5)
    line = places(track.take(2 * HERTZ))

    assert line.index(PIECE) == round(1.5 * HERTZ)


def test_an_interruption_takes_back_what_was_not_heard_to_the_sample() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    for number in range(10):
        track.add(1, coded(number * PIECE, PIECE), 1.0)
    cut = track.cut(1, 4 * PIECE + 7)
    track.add(3, coded(20_000, PIECE), 1.5)
    line = places(track.take(2 * HERTZ))

    assert cut is not None
    assert (cut.heard, cut.at, cut.too_late) == (4 * PIECE + 7, HERTZ + 4 * PIECE + 7, 0)
    assert [place for place in line if place >= 0] == [*range(4 * PIECE + 7), *range(20_000, 20_000 + PIECE)]
    assert line.index(20_000) == round(1.5 * HERTZ)


def test_nothing_is_taken_back_of_a_turn_that_was_heard_to_its_end() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    track.add(1, coded(0, PIECE), 1.0)
    cut = track.cut(1, 99_999)

    assert cut is not None
    assert cut.heard == PIECE
    assert [place for place in places(track.take(2 * HERTZ)) if place >= 0] == list(range(PIECE))


def test_an_interruption_of_a_turn_that_nobody_heard_takes_nothing_back() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    track.add(1, coded(0, PIECE), 1.0)

    assert track.cut(2, 0) is None
    assert [place for place in places(track.take(2 * HERTZ)) if place >= 0] == list(range(PIECE))


def test_a_player_that_reports_too_late_is_told_of() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    for number in range(100):
        track.add(1, coded(number * PIECE, PIECE), 1.0 + number * 0.02)
    track.take(2 * HERTZ)
    cut = track.cut(1, 10 * PIECE)

    assert cut is not None
    assert cut.too_late == HERTZ - 10 * PIECE
    assert set(places(track.take(3 * HERTZ))) == {-1}


def test_a_cut_finds_its_sample_after_a_gap_in_the_turn() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    for number, now in enumerate([1.0, 1.5, 1.5]):
        track.add(1, coded(number * PIECE, PIECE), now)
    cut = track.cut(1, 2 * PIECE + 1)

    assert cut is not None
    assert cut.at == round(1.5 * HERTZ) + PIECE + 1


def test_the_end_takes_back_what_nobody_heard_any_more() -> None:
    track = AssistantTrack(HERTZ, 0.0)
    for number in range(10):
        track.add(1, coded(number * PIECE, PIECE), 1.0)
    track.stop(HERTZ + 3 * PIECE)

    assert [place for place in places(track.take(2 * HERTZ)) if place >= 0] == list(range(3 * PIECE))

"""How much one client may send."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.flow import AUDIO_RATE, ClientFlow, Flood, TokenBucket
from transports.limits import Limits


def test_a_burst_is_free_and_what_goes_beyond_is_waited_for() -> None:
    bucket = TokenBucket(rate=4.0, burst=2.0, now=0.0)

    assert bucket.take(2.0, 0.0) == 0.0
    assert bucket.take(1.0, 0.0) == pytest.approx(0.25)
    assert bucket.take(0.0, 0.25) == pytest.approx(0.0)


def test_an_idle_client_gathers_no_more_than_the_burst() -> None:
    bucket = TokenBucket(rate=4.0, burst=2.0, now=0.0)

    assert bucket.take(3.0, 1_000.0) == pytest.approx(0.25)


@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=100))
def test_a_client_that_waits_as_told_keeps_to_the_rate(amounts: list[float]) -> None:
    bucket = TokenBucket(rate=4.0, burst=2.0, now=0.0)
    now = 0.0
    for amount in amounts:
        now += bucket.take(amount, now)

    assert sum(amounts) <= 2.0 + 4.0 * now + 1e-6


def test_audio_is_counted_in_seconds_at_its_own_rate() -> None:
    slow, quick = ClientFlow(0.0), ClientFlow(0.0)
    quick.input_hertz = 24_000
    pcm = bytes(2 * 48_000)

    assert slow.audio(pcm, 0.0) == pytest.approx(0.25)
    assert quick.audio(pcm, 0.0) == 0.0


def test_a_real_microphone_is_never_slowed() -> None:
    flow = ClientFlow(0.0)

    assert all(flow.audio(bytes(1024), number * 0.032) == 0.0 for number in range(10_000))


def test_an_opening_with_a_long_history_is_not_slowed_and_a_flood_is() -> None:
    flow = ClientFlow(0.0)

    assert all(flow.message(0.0) == 0.0 for _ in range(1_000))
    assert flow.message(0.0) == pytest.approx(0.02)


def seconds_until_closed(flow: ClientFlow, pieces: int, send: Callable[[ClientFlow, float], float]) -> float | None:
    """Let a client send without a pause and wait as it is told; return when it counts as a flood, None if it never does."""
    now = 0.0
    for _ in range(pieces):
        try:
            now += send(flow, now)
        except Flood:
            return now
    return None


def piece(milliseconds: int = 32) -> bytes:
    return bytes(2 * 16 * milliseconds)


@pytest.mark.parametrize("resume_seconds", [1, 30, 300])
@pytest.mark.parametrize("milliseconds", [10, 32, 64])
def test_a_client_that_comes_back_may_send_all_that_it_kept_and_go_on(resume_seconds: int, milliseconds: int) -> None:
    flow = ClientFlow(0.0, resume_seconds=resume_seconds)
    now = sent = 0.0
    while sent < resume_seconds + now:  # what is said meanwhile comes on top
        now += flow.frame(len(piece(milliseconds)), now)
        now += flow.audio(piece(milliseconds), now)
        sent += milliseconds / 1_000

    assert now <= resume_seconds / (AUDIO_RATE - 1) + 1


@pytest.mark.req("S2-29")
def test_sound_without_end_at_any_speed_is_a_flood_within_seconds() -> None:
    flow = ClientFlow(0.0, resume_seconds=30)
    closed = seconds_until_closed(flow, 100_000, lambda flow, now: flow.audio(piece(), now))

    assert closed is not None
    assert 15 <= closed <= 25


@pytest.mark.parametrize(
    "send",
    [lambda flow, now: flow.message(now), lambda flow, now: flow.frame(2, now), lambda flow, now: flow.frame(256 * 1024, now)],
    ids=["messages", "tiny frames", "bytes"],
)
def test_messages_frames_or_bytes_without_end_are_a_flood_within_seconds(send: Callable[[ClientFlow, float], float]) -> None:
    closed = seconds_until_closed(ClientFlow(0.0), 100_000, send)

    assert closed is not None
    assert 10 <= closed <= 16


def test_how_long_a_flood_is_borne_is_a_setting() -> None:
    closed = seconds_until_closed(ClientFlow(0.0, Limits(flood_seconds=2)), 100_000, lambda flow, now: flow.message(now))

    assert closed is not None
    assert 2 <= closed <= 4


def test_the_frames_and_bytes_of_a_second_are_settings() -> None:
    frames, sizes = ClientFlow(0.0, Limits(frames_per_second=10)), ClientFlow(0.0, Limits(bytes_per_second=1024))
    for _ in range(2_000):
        frames.frame(1, 0.0)
    for _ in range(2):
        sizes.frame(1024 * 1024, 0.0)

    assert frames.frame(1, 0.0) == pytest.approx(0.1)
    assert sizes.frame(1024, 0.0) == pytest.approx(1.0)


def test_a_client_that_is_slowed_now_and_then_is_never_closed() -> None:
    flow = ClientFlow(0.0)
    now = 0.0
    for _ in range(100):
        for _ in range(150):  # five seconds of sound at once, every half a minute
            now += flow.audio(piece(), now)
        now += 30.0

    assert now > 3_000


@pytest.mark.parametrize("frames_per_second", [11, 31, 86])
def test_an_hour_of_any_client_in_the_field_is_never_slowed(frames_per_second: int) -> None:
    flow = ClientFlow(0.0)
    opening = [flow.frame(400, 0.0) for _ in range(600)] + [flow.message(0.0) for _ in range(600)]
    talking = [
        flow.frame(90_000 // frames_per_second, second + number / frames_per_second)
        + flow.audio(bytes(2 * (16_032 // frames_per_second)), second + number / frames_per_second)  # 0.2 % fast
        for second in range(3_600)
        for number in range(frames_per_second)
    ]

    assert (max(opening), max(talking)) == (0.0, 0.0)


@given(st.floats(0.1, 100.0), st.integers(1, 200))
def test_who_asks_too_often_is_refused_without_being_charged_and_let_in_when_the_time_has_come(rate: float, times: int) -> None:
    bucket = TokenBucket(rate, 1.0, 0.0)
    bucket.ask(1.0, 0.0)
    waits = [bucket.ask(1.0, 0.0) for _ in range(times)]

    assert waits == [pytest.approx(1.0 / rate)] * times
    assert bucket.ask(1.0, waits[0] + 1e-6) == 0.0

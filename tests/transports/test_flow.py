"""How much one client may send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.flow import ClientFlow, TokenBucket


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

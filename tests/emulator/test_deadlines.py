"""The service's patience."""

import pytest

from nova_sonic_local.deadlines import Deadlines
from nova_sonic_local.refusals import Refusal


def test_a_stream_without_events_ends_after_55_seconds() -> None:
    assert Deadlines(100.0, 295).next() == (155.0, Refusal.NO_INPUT)


@pytest.mark.parametrize(("idle", "refusal"), [(55, Refusal.IDLE_55), (295, Refusal.IDLE_295)])
def test_a_stream_without_audio_ends_after_the_idle_time(idle: int, refusal: Refusal) -> None:
    deadlines = Deadlines(0.0, idle)
    deadlines.start(1.0)
    deadlines.touch(20.0)
    deadlines.start(30.0)

    assert deadlines.next() == (20.0 + idle, refusal)


def test_a_stream_ends_after_eight_minutes_whatever_comes() -> None:
    deadlines = Deadlines(0.0, 55)
    deadlines.touch(479.0)

    assert deadlines.next() == (480.0, Refusal.TIME_LIMIT)


def test_all_times_are_scaled() -> None:
    deadlines = Deadlines(0.0, 55, 0.001)
    first = deadlines.next()[0]
    deadlines.touch(0.4790)

    assert [first, deadlines.next()[0]] == pytest.approx([0.055, 0.48])

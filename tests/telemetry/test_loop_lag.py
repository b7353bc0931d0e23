"""Whether the event loop keeps up."""

from telemetry.counters import Counters
from telemetry.loop_lag import EVERY, RECOVERED, WINDOW, LoopLag
from telemetry.loop_stalls import LoopStallMonitor

LIMIT = 0.03


def noted(lag: LoopLag, *late_seconds: float) -> LoopLag:
    """Give the watch these measurements, again and again, for the length of its window."""
    for index in range(WINDOW):
        lag.note(late_seconds[index % len(late_seconds)])
    return lag


def test_a_loop_that_is_late_once_in_a_hundred_times_is_overloaded() -> None:
    well = noted(LoopLag(LIMIT), *[0.001] * 124, 0.5)
    late = noted(LoopLag(LIMIT), *[0.001] * 49, LIMIT + 0.001)

    assert (well.is_overloaded, well.p99_seconds) == (False, 0.001)
    assert (late.is_overloaded, late.p99_seconds) == (True, LIMIT + 0.001)


def test_it_is_well_again_only_far_below_the_limit() -> None:
    lag = noted(LoopLag(LIMIT), 0.1)
    still = noted(lag, LIMIT * RECOVERED + 0.001).is_overloaded
    well = noted(lag, LIMIT * RECOVERED - 0.001).is_overloaded
    again = noted(lag, LIMIT - 0.001).is_overloaded

    assert (still, well, again) == (True, False, False)


def test_the_start_of_a_process_says_nothing() -> None:
    lag = LoopLag(LIMIT)
    for _ in range(WINDOW - EVERY):
        lag.note(1.0)

    assert not lag.is_overloaded


def test_without_a_limit_there_is_no_overload() -> None:
    assert not noted(LoopLag(0), 10.0).is_overloaded


def test_the_watch_on_the_loop_gives_every_measurement() -> None:
    told: list[float] = []
    monitor = LoopStallMonitor(Counters(), told.append)
    for late in (0.0, 0.2):
        monitor.note(late, 1.0)

    assert told == [0.0, 0.2]

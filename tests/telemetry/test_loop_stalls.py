"""The watch on the event loop."""

import asyncio
import gc
import sys
import time

import pytest
from structlog.testing import capture_logs

from telemetry.counters import Counters
from telemetry.loop_stalls import QUIET_SECONDS, STALL_SECONDS, LoopStallMonitor, favour_loop


def test_small_delays_are_no_stall() -> None:
    counters = Counters()
    monitor = LoopStallMonitor(counters)

    with capture_logs() as lines:
        monitor.note(STALL_SECONDS, 10.0)

    assert (lines, counters.read()) == ([], {})


def test_every_stall_is_counted_and_not_every_one_is_told() -> None:
    counters = Counters()
    monitor = LoopStallMonitor(counters)

    with capture_logs() as lines:
        for late, at in ((0.06, 10.0), (0.2, 10.5), (0.08, 10.0 + QUIET_SECONDS)):
            monitor.note(late, at)

    assert [line["late_ms"] for line in lines] == [60, 80]
    assert counters.read() == {"loop_stalled": 3}
    assert monitor.longest_seconds == 0.2


async def test_a_blocking_call_is_noticed() -> None:
    counters = Counters()
    task = asyncio.create_task(LoopStallMonitor(counters).run())
    await asyncio.sleep(0)
    time.sleep(0.15)  # noqa: ASYNC251 - the blocking call under test
    await asyncio.sleep(0.001)  # lets the timer fire that is overdue by now
    task.cancel()
    await asyncio.wait({task})

    assert counters.read()["loop_stalled"] >= 1


def test_threads_that_compute_and_the_collector_hold_the_loop_up_for_a_moment_only() -> None:
    before = sys.getswitchinterval()
    try:
        favour_loop()
        favoured = sys.getswitchinterval()
        spared = gc.get_freeze_count()
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()

    assert favoured == pytest.approx(0.0005)
    assert spared > 10_000

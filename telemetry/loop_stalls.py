"""Watch on the event loop: one blocking call stops the audio of everybody."""

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Final

import structlog

from telemetry.counters import Counters

log = structlog.get_logger()

INTERVAL_SECONDS: Final = 0.02
STALL_SECONDS: Final = 0.05
"""A stall of this length can be heard: the player's cushion is not much longer."""
QUIET_SECONDS: Final = 5.0
"""Warnings are this far apart; all stalls are counted."""
SWITCH_SECONDS: Final = 0.0005
"""How long the loop waits at most for the interpreter while another thread computes. With Python's own 5 ms the loop was 9 ms late at the
median beside a thread that does nothing else, with this 1 ms (measured)."""


def favour_loop() -> None:
    """Let threads that compute, and the collector of garbage, hold the event loop up less; for the whole process.

    Call it when everything is loaded: what is there then is not looked at again. A full collection looked at all modules and every
    botocore model, and took 85 ms of everybody's audio (measured).
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()


class LoopStallMonitor:
    """Measures how late the loop is.

    Args:
        counters: gets `loop_stalled`.
        tell: takes every measurement in seconds.
    """

    def __init__(self, counters: Counters, tell: Callable[[float], None] | None = None) -> None:
        self._counters = counters
        self._tell = tell
        self._warned_at = float("-inf")
        self.longest_seconds = 0.0

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_at = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            now = loop.time()
            self.note(now - due_at, now)

    def note(self, late_seconds: float, now: float) -> None:
        """Take a measurement.

        Args:
            late_seconds: how late a timer fired.
            now: monotonic seconds.
        """
        if self._tell is not None:
            self._tell(late_seconds)
        if late_seconds <= STALL_SECONDS:
            return
        self.longest_seconds = max(self.longest_seconds, late_seconds)
        self._counters.add("loop_stalled")
        if now - self._warned_at >= QUIET_SECONDS:
            self._warned_at = now
            log.warning("loop.stalled", late_ms=round(late_seconds * 1000))

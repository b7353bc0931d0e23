"""Time that passes faster than it does: what waits by the event loop's clock, or in boto3's threads, waits a fraction of it."""

import asyncio
import selectors
import time
from types import SimpleNamespace

import pytest

from observers.recording_encoders import choose_studio
from observers.recording_tracks import GRID
from tests.observers.recorded_calls import NearPress

SPEED = 8.0
"""Seconds that pass within one."""
LATE_SECONDS = 60
"""How far encoding may be behind: at this speed a busy machine is soon five seconds late, and it is the stores that fail here."""
READ_SECONDS = 0.4
"""Real time-outs of boto3: longer than a minute at this speed would have them, because the services answer at their own pace."""


class _Selector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait a fraction of the time."""
        return super().select(timeout / SPEED if timeout else timeout)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop with real sockets in which a minute takes eight seconds."""

    def __init__(self) -> None:
        super().__init__(_Selector())

    def time(self) -> float:
        """Return seconds as they pass here."""
        return time.monotonic() * SPEED


class FastClock:
    """The same time for sessions."""

    def now(self) -> float:
        """Return monotonic seconds."""
        return time.monotonic() * SPEED


def hasten_threads(patch: pytest.MonkeyPatch) -> None:
    """Let the drivers' threads give up and wait as fast as the time passes, and recordings be made at once."""
    for module in ("storage.dynamodb", "storage.object_s3", "publishing.sns"):
        patch.setattr(f"{module}.CONNECT_SECONDS", READ_SECONDS)
        patch.setattr(f"{module}.READ_SECONDS", READ_SECONDS)
    patch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / SPEED)))
    patch.setattr("parts.recordings.ProcessPress", lambda wanted: NearPress(choose_studio(wanted)))
    patch.setattr("observers.recording_work.LATE_PIECES", LATE_SECONDS * GRID)

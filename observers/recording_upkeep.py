"""Looks after what was recorded: completes what a process that died has left behind, and removes what is too old.

Every process does so, now and then; nothing happens when two do it at the same time. A bucket removes what is old by a rule of its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from storage.recordings import ROOT, Recordings, RecordingState
from telemetry.counters import Counters

log = structlog.get_logger()

LOOK_SECONDS: Final = 600.0
LEFT_FOR: Final = timedelta(minutes=30)
"""How long nobody has gone on with a recording that counts as left behind; while its store is away, nobody can."""
STORE_SECONDS: Final = 120.0
"""A store that takes longer is asked again at the next look."""
PAGE: Final = 1_000


class RecordingUpkeep:
    """Looks after a store.

    Args:
        recordings: repository.
        counters: gets `recording_salvaged`, `recording_never_heard` and `object_expired`.
        keep_days: after which everything in the store is removed; None leaves that to the store.
        clock: the time now, with a zone.
        left_for: how long nobody has gone on with what is completed.
    """

    def __init__(
        self,
        recordings: Recordings,
        counters: Counters,
        *,
        keep_days: int | None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        left_for: timedelta = LEFT_FOR,
    ) -> None:
        self._recordings = recordings
        self._counters = counters
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._clock = clock
        self._left_for = left_for
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look now, and then every ten minutes."""
        self._task = asyncio.create_task(self._look_often())

    async def aclose(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def look(self) -> None:
        """Complete what was left behind, and remove what is too old.

        Raises:
            StorageError: the store cannot be used now.
        """
        for key in await self._recordings.store.salvage(ROOT, self._left_for):
            await self._salvaged(key)
        for recording in await self._recordings.left_silent(self._clock() - self._left_for):
            self._counters.add("recording_never_heard")
            await self._recordings.write(replace(recording, state=RecordingState.CUT))
        if self._keep is not None:
            await self._expire(self._clock() - self._keep)

    async def _salvaged(self, key: str) -> None:
        """Say of a recording that it breaks off; one that was completed, and whose process died right then, is whole."""
        self._counters.add("recording_salvaged")
        recording = await self._recordings.of_key(key)
        if recording is not None and recording.state is RecordingState.RUNNING:
            await self._recordings.write(replace(recording, state=RecordingState.CUT))

    async def _expire(self, before: datetime) -> None:
        after: str | None = None
        while True:
            listed = await self._recordings.store.list("", limit=PAGE, after=after)
            for info in listed.objects:
                if info.modified_at < before:
                    await self._recordings.store.delete(info.key)
                    self._counters.add("object_expired")
            if (after := listed.after) is None:
                return

    async def _look_often(self) -> None:
        while True:
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    await self.look()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, there is another look
                log.warning("recordings.not_looked_after", reason=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

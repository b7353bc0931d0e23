"""Keeps sessions in a store while they go on, so that another process can go on with them: after a deployment, or after a crash.

Each session that has a client who can come back has a task here. It writes the session's snapshot soon after something worth keeping has
changed, one write at a time, and never on the way of the audio. The store is a soft dependency: while it is away nothing waits for it.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import structlog

from session.errors import ServerBusy
from session.events import (
    ExchangeRefused,
    Interrupted,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    SpeechEnded,
    SpeechStarted,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechStarted,
)
from session.interfaces import SessionStore
from session.runner import SessionRunner
from session.snapshot import SessionSnapshot, SnapshotError
from telemetry.counters import Counters

log = structlog.get_logger()

GATHER_SECONDS: Final = 0.25
"""What changes within this time is written together."""
BUSY_SECONDS: Final = 2.0
"""While the assistant is heard, what was heard until then is written this often: a crash costs two seconds of it."""
REFRESH_SECONDS: Final = 60.0
"""A record of which nothing has changed is written again after this time, so that it may expire soon after its process has died."""
WRITES: Final = 16
"""Calls of the store at once."""
STORE_SECONDS: Final = 2.0
"""A store that takes longer counts as away."""
AWAY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""How long a store that failed is left alone, by the failures in a row."""
PARK_CHECK_SECONDS: Final = 0.1
"""How often a session that is to be parked looks whether it is quiet."""
PARK_TRIES: Final = 3
PARK_RESERVE_SECONDS: Final = 2.5
"""Time for the last write, kept back of the time to drain."""

_WORTH_KEEPING: Final = (
    SessionStarted,
    UserSpeechStarted,
    TranscriptUpdated,
    SpeechStarted,
    SpeechEnded,
    Interrupted,
    ToolStarted,
    ToolFinished,
    ExchangeRefused,
    SessionEnded,
)


class _StoreAway(Exception):
    """The store cannot be used now."""


class _Kept:
    """What is known of one session's record."""

    def __init__(self, runner: SessionRunner) -> None:
        self.runner = runner
        self.changed = asyncio.Event()
        self.changes = 0
        """How often there was something to write."""
        self.saved_changes = -1
        """Which of them were written; -1 when the last record was written while speech was still to be heard."""
        self.handle = ""
        """Where the record is; empty while there is none."""
        self.saved: SessionSnapshot | None = None
        self.saved_at = 0.0
        self.park_by: float | None = None
        """When the session has to be gone; None while it may stay."""
        self.is_handed_over = False
        """Whether the record is another process's to take, or was taken."""
        self.timer: asyncio.TimerHandle | None = None

    def change(self) -> None:
        """Take note that there is something to write."""
        self.changes += 1
        self.changed.set()

    def wake_in(self, seconds: float) -> None:
        """Look again after this time."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(seconds, self.changed.set)


class SessionKeeper:
    """Saves and parks the sessions of one process, and takes over those of others.

    Args:
        store: where they are kept.
        counters: gets `session_saved`, `session_unsaved`, `session_parked`, `session_taken` and `session_adopted`.
        grace_seconds: how long a client may take to come back.
    """

    def __init__(self, store: SessionStore, counters: Counters, grace_seconds: float) -> None:
        self._store = store
        self._counters = counters
        self._keep_seconds = REFRESH_SECONDS + BUSY_SECONDS + grace_seconds
        self._owner = uuid.uuid4().hex
        self._kept: dict[str, _Kept] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(WRITES)
        self._failures = 0
        self._away_until = 0.0

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Take note of what is worth keeping."""
        if isinstance(event, _WORTH_KEEPING) and (kept := self._kept.get(session_id)):
            kept.change()

    def watch(self, runner: SessionRunner) -> None:
        """Keep a session from now on, as long as its client has a handle to come back with."""
        kept = self._kept[runner.session_id] = _Kept(runner)
        runner.client.on_change = kept.change
        kept.changed.set()  # an adopted session has its client already
        task = asyncio.create_task(self._keep(kept))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def unwatch(self, runner: SessionRunner) -> None:
        """Take note that a session has ended; its record is dropped, unless it was parked."""
        kept = self._kept.get(runner.session_id)
        if kept is not None and kept.runner is runner:
            del self._kept[runner.session_id]
            kept.change()

    def park(self, runner: SessionRunner, within_seconds: float) -> bool:
        """Let another process have a session as soon as it is quiet, at the latest after this time; else let it end politely.

        Returns:
            Whether it is tried: the client can come back.
        """
        kept = self._kept.get(runner.session_id)
        if kept is None or not runner.client.handle:
            return False
        kept.park_by = asyncio.get_running_loop().time() + max(0.0, within_seconds - PARK_RESERVE_SECONDS)
        kept.changed.set()
        return True

    def let_go(self) -> None:
        """End every session that has a record at once, and leave the record to other processes."""
        for kept in tuple(self._kept.values()):
            if kept.handle:
                self._hand_over(kept)

    async def take(self, handle: str) -> SessionSnapshot | None:
        """Return a session of another process, which has it no more; None if there is none.

        Raises:
            ServerBusy: the store is away; the client may try again.
        """
        try:
            data = await self._ask(lambda: self._store.take(handle))
        except _StoreAway:
            raise ServerBusy from None
        if data is None:
            return None
        try:
            snapshot = SessionSnapshot.decode(data)
        except SnapshotError as error:
            log.warning("session.unreadable", reason=str(error))
            return None
        self._counters.add("session_adopted")
        log.info("session.adopted", session_id=snapshot.session_id, turns=snapshot.turns)
        return snapshot

    async def give_back(self, handle: str, snapshot: SessionSnapshot) -> None:
        """Leave a session that was taken to the next process that its client asks."""
        try:
            await self._ask(lambda: self._store.save(handle, snapshot.encode(), owner="", seconds=self._keep_seconds))
        except _StoreAway:
            log.warning("session.not_given_back", session_id=snapshot.session_id)

    async def aclose(self) -> None:
        """Let every record be written or dropped, in bounded time; sessions have ended by then."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * STORE_SECONDS)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _keep(self, kept: _Kept) -> None:
        runner = kept.runner
        with structlog.contextvars.bound_contextvars(session_id=runner.session_id):
            while not runner.is_over:
                if kept.park_by is not None:
                    await self._park(kept, kept.park_by)
                    break
                await self._wait(kept)
                if kept.park_by is None and not runner.is_over:
                    await self._save(kept)
            if kept.timer is not None:
                kept.timer.cancel()
            await self._wait_until_over(kept)
            if kept.handle and not kept.is_handed_over:
                await self._drop(kept.handle)

    async def _wait(self, kept: _Kept) -> None:
        """Wait until there is something to write."""
        try:
            async with asyncio.timeout(REFRESH_SECONDS):
                await kept.changed.wait()
        except TimeoutError:
            return
        if kept.park_by is None and not kept.runner.is_over:
            await asyncio.sleep(GATHER_SECONDS)
        kept.changed.clear()

    async def _wait_until_over(self, kept: _Kept) -> None:
        """A session that could not be parked goes on to the end of its turn."""
        while not kept.runner.is_over:
            kept.changed.clear()
            await kept.changed.wait()

    async def _save(self, kept: _Kept, *, is_last: bool = False) -> bool:
        """Write the session, if there is anything new; return whether its record is up to date."""
        runner, now = kept.runner, asyncio.get_running_loop().time()
        handle = runner.client.handle
        if not handle:
            return False
        has_unheard, changes = runner.has_unheard, kept.changes
        if has_unheard:
            kept.wake_in(BUSY_SECONDS)
        may_be_same = not is_last and handle == kept.handle and now - kept.saved_at < REFRESH_SECONDS
        if may_be_same and changes == kept.saved_changes:
            return True
        snapshot = runner.snapshot()
        content = replace(snapshot, upstream=0)  # it changes with every piece of audio
        if may_be_same and content == kept.saved:
            return True
        try:
            data = snapshot.encode()
            is_ours = await self._ask(lambda: self._store.save(handle, data, owner=self._owner, seconds=self._keep_seconds))
        except (SnapshotError, _StoreAway) as error:
            self._counters.add("session_unsaved")
            kept.wake_in(max(BUSY_SECONDS, self._away_until - now))
            if isinstance(error, SnapshotError):
                log.warning("session.unsaved", reason=str(error))
            return False
        if not is_ours:
            self._counters.add("session_taken")
            log.info("session.taken")
            self._hand_over(kept)
            return False
        self._counters.add("session_saved")
        before, kept.handle, kept.saved, kept.saved_at = kept.handle, handle, content, now
        kept.saved_changes = -1 if has_unheard else changes
        if before and before != handle:
            await self._drop(before)
        return True

    async def _drop(self, handle: str) -> None:
        async def drop() -> None:
            await self._store.drop(handle)

        try:
            await self._ask(drop)
        except _StoreAway:
            self._counters.add("session_undropped")  # it expires by itself

    async def _park(self, kept: _Kept, by: float) -> None:
        """Save the session once it is quiet, and end it here; leave it to its own end when it cannot be saved."""
        runner, loop, failures = kept.runner, asyncio.get_running_loop(), 0
        while not runner.is_over:
            is_late = loop.time() >= by
            if is_late or runner.may_be_parked:
                changes = kept.changes
                is_saved = await self._save(kept, is_last=True)
                if is_saved and (is_late or (runner.may_be_parked and changes == kept.changes)):
                    self._counters.add("session_parked")
                    self._hand_over(kept)
                    return
                failures += not is_saved
                if not is_saved and (is_late or failures == PARK_TRIES):
                    runner.drain(max(0.0, by + PARK_RESERVE_SECONDS - loop.time()))
                    return
            await asyncio.sleep(max(PARK_CHECK_SECONDS, min(self._away_until, by) - loop.time()))

    def _hand_over(self, kept: _Kept) -> None:
        """End the session here, if its client has not; its record is another process's."""
        if not kept.runner.is_over:
            kept.is_handed_over = True
            kept.runner.park()

    async def _ask[T](self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask the store, unless it is known to be away.

        Raises:
            _StoreAway: it is.
        """
        loop = asyncio.get_running_loop()
        async with self._places:
            if loop.time() < self._away_until:
                raise _StoreAway
            if self._failures:
                self._away_until = loop.time() + STORE_SECONDS  # one call at a time finds out whether it is back
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    answer = await ask()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, conversations go on without it
                if not self._failures:
                    log.warning("sessions.not_stored", reason=f"{type(error).__name__}: {error}")
                self._away_until = loop.time() + AWAY_SECONDS[min(self._failures, len(AWAY_SECONDS) - 1)]
                self._failures += 1
                raise _StoreAway from None
        if self._failures:
            log.info("sessions.stored_again", failures=self._failures)
        self._failures, self._away_until = 0, 0.0
        return answer

"""Keeps the records of this process's connections, and the audit trail, beside the conversations.

What is to be written waits in memory, the latest state of each connection and a bounded line of entries; one task writes it, in batches.
A store that is slow or away is waited for by that task alone. Meanwhile states are replaced by later ones, and what does not fit is counted
and dropped: a record that was never closed is noted as ended by whoever sweeps, an hour after its last activity.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import structlog

from auth.principal import Principal
from session.events import SessionEnded, SessionEvent
from storage.audit import AuditAction, AuditEntry, AuditTrail
from storage.connections import CLOSED_BY_OPERATOR, ConnectionInfo, Connections, EndedBy
from storage.errors import InvalidRequest
from telemetry.counters import Counters

log = structlog.get_logger()

BATCH: Final = 25
"""Records, and as many entries, that are written at once; half of what a transaction takes."""
WAITING_ENTRIES: Final = 4_096
WAITING_ENDED: Final = 2_048
"""Connections that have ended and whose record is still to be written; the oldest goes first."""
KNOWN_SESSIONS: Final = 16_384
STORE_SECONDS: Final = 2.0
"""A store that takes longer counts as away."""
AWAY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""How long a store that failed is left alone, by the failures in a row."""
LOOK_SECONDS: Final = 5.0
"""How often this process looks what other processes want of it."""
SWEEP_SECONDS: Final = 600.0
IDLE_FOR: Final = timedelta(hours=1)
CLOSE_SECONDS: Final = 2.0
"""How long the end waits for what is still to be written."""

type Disconnect = Callable[[str, int, str], bool]
"""Closes a connection of this process by its id, with a code and a reason; False if it has none such."""


class _Living:
    """What is known of a connection that is open."""

    def __init__(self, info: ConnectionInfo) -> None:
        self.info = info
        self.stored = asyncio.Event()
        """Set once the record was written, or cannot be now."""


class ConnectionRecords:
    """Watches connections, listens to the ends of sessions, and writes both down.

    Args:
        connections: repository.
        trail: the audit trail, on the same table.
        counters: gets `connection_record_*` and `audit_entry_dropped`.
        process: names this process among all.
        clock: the time now, with a zone.
    """

    def __init__(
        self,
        connections: Connections,
        trail: AuditTrail,
        counters: Counters,
        *,
        process: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._connections = connections
        self._trail = trail
        self._counters = counters
        self._process = process
        self._clock = clock
        self._disconnect: Disconnect | None = None
        self._living: dict[str, _Living] = {}
        self._ended: OrderedDict[str, ConnectionInfo] = OrderedDict()
        self._unwritten: dict[str, None] = {}
        """Ids of the connections whose record is not as it should be, in the order in which they are written."""
        self._entries: deque[AuditEntry] = deque()
        self._sessions: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """Of each session the connection that has it, and its user."""
        self._work, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._failures = 0
        self._batch = BATCH
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, disconnect: Disconnect) -> None:
        """Write from now on, and do what operators want through other processes."""
        self._disconnect = disconnect
        works: tuple[Coroutine[None, None, None], ...] = (self._write_all(), self._look_often(), self._sweep_often())
        self._tasks = [asyncio.create_task(work) for work in works]

    async def aclose(self) -> None:
        """Write what is left, in bounded time, and end."""
        for task in self._tasks[1:]:
            task.cancel()
        if not self._tasks:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._idle.wait()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        if self._unwritten or self._entries:
            log.warning("connections.left_unwritten", records=len(self._unwritten), entries=len(self._entries))

    # What is watched

    def opened(self, connection_id: str, principal: Principal, address: str, user_agent: str) -> asyncio.Event:
        """Take note of a connection; return what is set once its record is there, or cannot be written now."""
        now = self._clock()
        user = principal.user_id.encode(errors="replace").decode()
        living = self._living[connection_id] = _Living(
            ConnectionInfo(connection_id, user, now, now, ip_address=address or None, user_agent=user_agent or None, process=self._process)
        )
        self._note(AuditAction.CONNECTED, connection_id, user)
        if principal.expires_at is not None:
            self._note(AuditAction.AUTHENTICATED, connection_id, user)
        self._changed(connection_id)
        if self._failures:
            living.stored.set()
        return living.stored

    def active(self, connection_id: str) -> None:
        """Take note that the client said something."""
        if (living := self._living.get(connection_id)) is not None:
            living.info = replace(living.info, last_activity=self._clock())
            self._changed(connection_id)

    def carries(self, connection_id: str, session_id: str) -> None:
        """Take note that the connection has a session from now on."""
        if (living := self._living.get(connection_id)) is None:
            return
        action = AuditAction.SESSION_RESUMED if session_id in self._sessions else AuditAction.SESSION_BEGAN
        living.info = replace(living.info, session_id=session_id)
        self._sessions[session_id] = (connection_id, living.info.user_id)
        while len(self._sessions) > KNOWN_SESSIONS:
            self._sessions.popitem(last=False)
        self._note(action, connection_id, living.info.user_id, session_id=session_id)
        self._changed(connection_id)

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Take note of the end of a session; all other events cost one comparison."""
        if isinstance(event, SessionEnded) and (known := self._sessions.pop(session_id, None)) is not None:
            self._note(AuditAction.SESSION_ENDED, *known, session_id=session_id, detail=event.reason.value)

    def closed(self, connection_id: str, code: int) -> None:
        """Take note that the connection is closed."""
        if (living := self._living.pop(connection_id, None)) is None:
            return
        living.stored.set()
        self._ended[connection_id] = living.info.ended(self._clock(), EndedBy.OWNER)
        self._note(AuditAction.DISCONNECTED, connection_id, living.info.user_id, detail=str(code))
        self._changed(connection_id)
        while len(self._ended) > WAITING_ENDED:
            oldest, _ = self._ended.popitem(last=False)
            self._unwritten.pop(oldest, None)
            self._counters.add("connection_record_dropped")

    def _note(
        self, action: AuditAction, connection_id: str, actor: str, *, session_id: str | None = None, detail: str | None = None
    ) -> None:
        if len(self._entries) >= WAITING_ENTRIES:
            self._counters.add("audit_entry_dropped")
            return
        self._entries.append(self._trail.entry(action, connection_id=connection_id, actor=actor, session_id=session_id, detail=detail))
        self._begin_work()

    def _changed(self, connection_id: str) -> None:
        self._unwritten.setdefault(connection_id)
        self._begin_work()

    def _begin_work(self) -> None:
        self._idle.clear()
        self._work.set()

    # What is written

    async def _write_all(self) -> None:
        while True:
            await self._work.wait()
            is_written = await self._asked(self._write_some)
            if not self._unwritten and not self._entries:
                self._work.clear()
                self._idle.set()
                self._batch = BATCH
            if not is_written:
                for living in self._living.values():
                    living.stored.set()
                await asyncio.sleep(AWAY_SECONDS[min(max(0, self._failures - 1), len(AWAY_SECONDS) - 1)])

    async def _write_some(self) -> None:
        """Write a batch; what cannot be written now stays to be written."""
        ids = list(islice(self._unwritten, self._batch))
        entries = list(islice(self._entries, self._batch if self._batch > 1 else 1 - len(ids)))
        infos = {one: self._ended.get(one) or self._living[one].info for one in ids}
        for one in ids:
            del self._unwritten[one]  # what changes from now on is written again
        try:
            refused = await self._connections.write(tuple(infos.values()), entries)
        except InvalidRequest:
            self._leave_out(ids, entries)
            return
        except BaseException:
            self._unwritten = dict.fromkeys([*(one for one in ids if one in self._ended or one in self._living), *self._unwritten])
            raise
        for _ in entries:
            self._entries.popleft()
        for one, info in infos.items():
            if self._ended.get(one) is info:
                del self._ended[one]
            if (living := self._living.get(one)) is not None:
                living.stored.set()
        self._counters.add("connection_record_written", len(ids) - len(refused))
        for one in refused:
            await self._ended_elsewhere(one)

    def _leave_out(self, ids: list[str], entries: list[AuditEntry]) -> None:
        """Give up what no store takes, once it is alone in its batch: a bug of ours, that shall not stop everything else."""
        if self._batch > 1:
            self._batch = 1
            self._unwritten = dict.fromkeys([*ids, *self._unwritten])
            return
        log.error("connection_record.refused", connections=ids)
        self._counters.add("connection_record_dropped", len(ids))
        for one in ids:
            self._ended.pop(one, None)
        for _ in entries:
            self._entries.popleft()
            self._counters.add("audit_entry_dropped")

    async def _ended_elsewhere(self, connection_id: str) -> None:
        """Close a connection that an operator has ended; go on with one that was only thought to be gone."""
        living = self._living.get(connection_id)
        if living is not None and not await self._connections.reopen(living.info):
            self._close(connection_id)

    def _close(self, connection_id: str) -> None:
        if self._disconnect is not None and self._disconnect(connection_id, *CLOSED_BY_OPERATOR):
            self._counters.add("connection_disconnected")

    async def _look_often(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._failures:  # else the writer finds out when the store is back
                await self._asked(self._look)

    async def _look(self) -> None:
        for connection_id in await self._connections.take_requests(self._process):
            self._close(connection_id)

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self._asked(self._sweep)

    async def _sweep(self) -> None:
        swept = await self._connections.sweep(IDLE_FOR)
        if swept:
            self._counters.add("connection_swept", len(swept))
            await self._trail.add(self._trail.entry(AuditAction.SWEPT, detail=str(len(swept))))

    async def _asked(self, work: Callable[[], Coroutine[None, None, None]]) -> bool:
        """Do something with the store; return whether that was possible."""
        try:
            async with asyncio.timeout(STORE_SECONDS):
                await work()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the store, conversations go on without it
            if not self._failures:
                log.warning("connections.not_stored", reason=f"{type(error).__name__}: {error}")
            self._failures += 1
            return False
        if self._failures:
            log.info("connections.stored_again", failures=self._failures)
        self._failures = 0
        return True

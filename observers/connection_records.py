"""Keeps the records of this process's connections, and the audit trail, beside the conversations.

What is to be written waits in one line: of each connection its latest state, and a bounded number of entries. A store that is slow or away
is waited for by the line alone. Meanwhile states are replaced by later ones, and what does not fit is counted and dropped: a record that
was never closed is noted as ended by whoever sweeps, an hour after its last activity.
"""

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from auth.principal import Principal
from observers.backlog import Backlog
from observers.store_calls import StoreCalls
from session.events import SessionEnded, SessionEvent
from storage.audit import AuditAction, AuditEntry, AuditTrail
from storage.connections import CLOSED_BY_OPERATOR, ConnectionInfo, Connections, EndedBy
from storage.errors import InvalidRequest
from telemetry.counters import Counters

log = structlog.get_logger()

BATCH: Final = 50
"""Records and entries that are written at once; half of what a transaction takes."""
WAITING_ENTRIES: Final = 4_096
WAITING_ENDED: Final = 2_048
"""Connections that have ended and whose record is still to be written; the oldest goes first."""
KNOWN_SESSIONS: Final = 16_384
STORE_SECONDS: Final = 2.0
"""A store that takes longer counts as away."""
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
        self._line: Backlog[str | AuditEntry] = Backlog(
            "connection_record",
            self._write,
            counters,
            refusals=(InvalidRequest,),
            entries=sys.maxsize,  # what waits is bounded here, each kind by itself
            batch=BATCH,
            store_seconds=STORE_SECONDS,
            close_seconds=CLOSE_SECONDS,
        )
        """Ids of the connections whose record is not as it should be, and entries."""
        self._entries = 0
        """How many wait."""
        self._sessions: OrderedDict[str, tuple[str, str]] = OrderedDict()
        """Of each session the connection that has it, and its user."""
        self._store = StoreCalls("connection", STORE_SECONDS)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, disconnect: Disconnect) -> None:
        """Write from now on, and do what operators want through other processes."""
        self._disconnect = disconnect
        self._line.start()
        self._tasks = [asyncio.create_task(self._look_often()), asyncio.create_task(self._sweep_often())]

    async def aclose(self) -> None:
        """Write what is left, in bounded time, and end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._line.aclose()

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
        if self._line.is_away:
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
            self._line.take_out(oldest)
            self._counters.add("connection_record_dropped")

    def _note(
        self, action: AuditAction, connection_id: str, actor: str, *, session_id: str | None = None, detail: str | None = None
    ) -> None:
        if self._entries >= WAITING_ENTRIES:
            self._counters.add("audit_entry_dropped")
            return
        self._entries += 1
        self._line.put(self._trail.entry(action, connection_id=connection_id, actor=actor, session_id=session_id, detail=detail))

    def _changed(self, connection_id: str) -> None:
        self._line.put(connection_id, key=connection_id)

    # What is written

    async def _write(self, due: Sequence[str | AuditEntry]) -> None:
        """Write records, each as it is now, and entries; nobody waits for a record that cannot be written now."""
        entries = [one for one in due if isinstance(one, AuditEntry)]
        infos = {one: info for one in due if isinstance(one, str) and (info := self._latest(one)) is not None}
        try:
            refused = await self._connections.write(tuple(infos.values()), entries)
        except InvalidRequest:
            if len(due) > 1:
                raise
            self._leave_out(due[0])
            return
        except BaseException:
            for living in self._living.values():
                living.stored.set()
            raise
        for one in infos:
            if (written := self._living.get(one)) is not None:
                written.stored.set()
        for one in refused:
            await self._ended_elsewhere(one)
        for one, info in infos.items():
            if self._ended.get(one) is info:
                del self._ended[one]
        self._entries -= len(entries)

    def _latest(self, connection_id: str) -> ConnectionInfo | None:
        """Return what is known of a connection; None when it ended too long ago to be kept."""
        living = self._living.get(connection_id)
        return self._ended.get(connection_id) if living is None else living.info

    def _leave_out(self, refused: str | AuditEntry) -> None:
        """Give up what no store takes: a bug of ours, that shall not stop everything else."""
        if isinstance(refused, AuditEntry):
            log.error("audit_entry.refused", action=refused.action.value)
            self._counters.add("audit_entry_dropped")
            self._entries -= 1
        else:
            log.error("connection_record.refused", connection=refused)
            self._counters.add("connection_record_dropped")
            self._ended.pop(refused, None)

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
            if not self._line.is_away:  # else the line finds out when the store is back
                await self._store.ask(self._look)

    async def _look(self) -> None:
        for connection_id in await self._connections.take_requests(self._process):
            self._close(connection_id)

    async def _sweep_often(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self._store.ask(self._sweep)

    async def _sweep(self) -> None:
        swept = await self._connections.sweep(IDLE_FOR)
        if swept:
            self._counters.add("connection_swept", len(swept))
            await self._trail.add(self._trail.entry(AuditAction.SWEPT, detail=str(len(swept))))

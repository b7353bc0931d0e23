"""The repository of voice sessions: one record each, from its beginning to its end, whatever becomes of the processes that have it.

A live session belongs to the process that began with it last. That process writes what it knows again and again, each time as a whole, so
that it does not matter which writes were lost or repeated. Others end a session by writing its end, and leave a request in the partition of
its process. A process is heard of every few seconds by a record of its own; when it is not any more, whoever sweeps ends its sessions,
found by the index of what lives, never by a scan.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from storage.conditions import Absent, AllOf, AnyOf, Condition, Equals, LessThan, Present, Update
from storage.errors import ConditionFailed
from storage.models import format_instant, parse_instant
from storage.records import Listing, Reader, pages, to_milliseconds
from storage.table import Change, Key, Put, Query, Table, Write
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item, Value
from storage.voice_session_items import (
    METADATA,
    ON_REQUEST,
    PARKED,
    Counts,
    Leg,
    SessionEndedBy,
    SessionEnding,
    VoiceSession,
    VoiceSessionStatus,
    claim_of,
    counts_of,
    created_item,
    ending_attributes,
    from_item,
    key_of,
    leg_attributes,
    leg_counts,
    leg_name,
    metadata_of,
    seconds_between,
    written_counts,
)

GONE_AFTER: Final = timedelta(minutes=2)
"""A process that was not heard of for so long is gone; it says every 15 s that it is there."""
PARKED_FOR: Final = timedelta(minutes=10)
"""Twice as long as a client may take to come back."""
IDLE_FOR: Final = timedelta(hours=1)
"""After this time a session on request in which nothing happens has ended."""
PROCESS_LOST: Final = "process_lost"
"""Error code of a session whose process was killed."""
CLIENT_LOST, IDLE = "client_lost", "idle"
_PROCESSES: Final = "PROCESSES"
_REQUESTED: Final = leg_name("request")
"""Where it is counted what happens in sessions on request."""
_EARLIEST: Final = "0"
_ACTIVE: Final = Equals("status", VoiceSessionStatus.ACTIVE)
_END: Final = ("endedAt", "endedBy", "endReason", "errorCode", "totalDuration", "messageCount", TTL_ATTRIBUTE)
_NOT_LIVING: Final = ("liveOn", "liveSince")
_TRIES: Final = 10
_PROCESS_LIFE: Final = timedelta(days=1)


class Standing(StrEnum):
    """How a session stands for a process that writes of it."""

    HELD = "held"
    """It is this process's, and goes on."""
    TAKEN = "taken"
    """Another process has it."""
    ENDED = "ended"


class VoiceSessions:
    """Repository of voice sessions on one table.

    Args:
        table: the table of voice sessions.
        clock: the time now, with a zone.
        keep_days: for how long a session is kept after its end; 0 for always.
    """

    def __init__(self, table: Table, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, keep_days: int = 0) -> None:
        self.table = table
        self._clock = clock
        self._keep_days = keep_days

    # For everybody

    async def create(self, session: VoiceSession) -> VoiceSession:
        """Write a session that a program asks for.

        Raises:
            ConditionFailed: there is one with this id.
        """
        await self.table.put(created_item(session), Absent(PARTITION))
        return session

    async def get(self, session_id: str) -> VoiceSession | None:
        """Return a session, or None."""
        item = await self.table.get(key_of(session_id))
        return from_item(item) if item is not None else None

    async def live_of_connection(self, connection_id: str) -> VoiceSession | None:
        """Return the session that a connection has; None if it has none."""
        async for item in pages(self.table, Query(connection_id, "ConnectionIndex", descending=True)):
            if (session := from_item(item)).is_active:
                return session
        return None

    async def of_user(self, user_id: str, *, limit: int = 100, cursor: str | None = None) -> Listing[VoiceSession]:
        """Return a page of a user's sessions, newest first.

        Raises:
            BadCursor: the cursor is none of this list.
        """
        page = await self.table.query(Query(user_id, "UserIndex", descending=True, limit=limit, cursor=cursor))
        return Listing(tuple(from_item(item) for item in page.items), page.cursor)

    async def update(
        self, session_id: str, *, metadata: Mapping[str, str | None] | None = None, audio_format: str | None = None
    ) -> VoiceSession | None:
        """Change what programs note of a session, whether it lives or not; None if there is none.

        Args:
            session_id: of the session.
            metadata: new values by name; None removes one, and what is not named stays.
            audio_format: media type of the caller's audio; None leaves it.

        Raises:
            ConditionFailed: others changed it each time that this tried to.
        """

        def change(item: Item) -> tuple[Update, Condition]:
            noted = metadata_of(item)
            merged = {name: value for name, value in {**noted, **(metadata or {})}.items() if value is not None}
            values: dict[str, Value] = {"metadata": merged, **({"audioFormat": audio_format} if audio_format else {})}
            return self._touch(item, values), Equals("metadata", noted) if "metadata" in item else Absent("metadata")

        return await self._change(session_id, change)

    async def count(self, session_id: str, counts: Counts) -> VoiceSession | None:
        """Add what happened in a session on request; None if there is none.

        Raises:
            ConditionFailed: others changed it each time that this tried to.
        """

        def change(item: Item) -> tuple[Update, Condition]:
            there = Equals(_REQUESTED, item[_REQUESTED]) if _REQUESTED in item else Absent(_REQUESTED)
            return self._touch(item, {_REQUESTED: written_counts(leg_counts(item, _REQUESTED) + counts)}), there

        return await self._change(session_id, change)

    async def end(self, session_id: str, reason: str, status: VoiceSessionStatus = VoiceSessionStatus.COMPLETED) -> VoiceSession | None:
        """Note that a session has ended, and ask its process to end it.

        Returns:
            The session as it is then; None if there is none. One that has ended stays as it is.
        """
        return (await self.close(session_id, reason, status))[0]

    async def close(
        self, session_id: str, reason: str, status: VoiceSessionStatus = VoiceSessionStatus.COMPLETED
    ) -> tuple[VoiceSession | None, bool]:
        """End a session as `end` does.

        Returns:
            What `end` returns, and whether nobody else will tell of this end: it is this call's, and no process has the session.
        """
        while (before := await self.get(session_id)) is not None and before.is_active:
            now = max(to_milliseconds(self._clock()), before.created_at)
            update = self._ending(before, SessionEnding(now, status, reason), SessionEndedBy.REQUEST)
            writes: list[Write] = [Change(key_of(session_id), update, AllOf((_ACTIVE, _lives_on(before))))]
            is_left = before.lives_on in (None, ON_REQUEST, PARKED)
            if before.lives_on is not None and not is_left:
                inbox = Key(_process(before.lives_on), f"END#{session_id}")
                expires = int((now + _PROCESS_LIFE).timestamp())
                writes.append(
                    Put({PARTITION: inbox.partition, SORT: inbox.sort, "sessionId": session_id, "reason": reason, TTL_ATTRIBUTE: expires})
                )
            try:
                await self.table.transact(writes)
            except ConditionFailed:
                continue
            return await self.get(session_id), is_left
        return before, False

    # For the processes that have sessions

    async def write(self, leg: Leg) -> Standing:
        """Write what a process knows of a session; writing it again, or late, is harmless."""
        update = self._living_update(leg) if leg.ending is None else self._ending_update(leg, leg.ending)
        try:
            item = await self.table.update(key_of(leg.session_id), update, _may_write(leg))
        except ConditionFailed:
            return await self._write_late(leg)
        await self._settle(item)
        return Standing.HELD if leg.ending is None else Standing.ENDED

    def _living_update(self, leg: Leg) -> Update:
        return Update(set=leg_attributes(leg, to_milliseconds(self._clock())), remove=_END)

    def _ending_update(self, leg: Leg, ending: SessionEnding) -> Update:
        values = {name: value for name, value in leg_attributes(leg, ending.at).items() if name not in _NOT_LIVING}
        values |= self._ended(ending, SessionEndedBy.OWNER)
        if not leg.is_adopted:
            values |= {"totalDuration": seconds_between(leg.began_at, ending.at), "messageCount": leg.counts.messages}
        return Update(set=values, remove=(*_NOT_LIVING, *(name for name in _END if name not in values)))

    async def _write_late(self, leg: Leg) -> Standing:
        """Write what only this process knows of a session that it does not have any more."""
        values: dict[str, Value] = {leg_name(leg.leg_id): written_counts(leg.counts)}
        if not leg.is_adopted:
            values["createdAt"] = format_instant(leg.began_at)
        try:
            item = await self.table.update(key_of(leg.session_id), Update(set=values), Present(PARTITION))
        except ConditionFailed:  # nobody has written it: this process is the first that could
            return await self.write(replace(leg, is_adopted=False))
        await self._settle(item)
        return Standing.TAKEN if item["status"] == VoiceSessionStatus.ACTIVE else Standing.ENDED

    async def greet(self, process: str) -> bool:
        """Say that a process is there; False if it was not known any more, and its sessions may have been ended."""
        now = self._clock()
        values: dict[str, Value] = {
            "liveOn": _PROCESSES,
            "liveSince": format_instant(now),
            "process": process,
            TTL_ATTRIBUTE: int((now + _PROCESS_LIFE).timestamp()),
        }
        key = Key(_process(process), METADATA)
        try:
            await self.table.update(key, Update(set=values), Present(PARTITION))
        except ConditionFailed:
            await self.table.put({PARTITION: key.partition, SORT: key.sort, **values})
            return False
        return True

    async def leave(self, process: str) -> None:
        """Say that a process has ended and has no sessions any more."""
        await self.table.delete(Key(_process(process), METADATA))

    async def take_requests(self, process: str) -> dict[str, str]:
        """Return the sessions that others want this process to end, each once, with the reason."""
        taken = {}
        async for item in pages(self.table, Query(_process(process), between=("END#", "END#~"))):
            read = Reader(item)
            await self.table.delete(Key(read.text(PARTITION), read.text(SORT)))
            taken[read.text("sessionId")] = read.text("reason")
        return taken

    async def sweep(self) -> tuple[VoiceSession, ...]:
        """End the sessions that nobody has any more; return them as they are then. Several may do it at once: each is returned to one."""
        now = self._clock()
        swept = await self._sweep_idle(PARKED, now - PARKED_FOR, CLIENT_LOST)
        swept += await self._sweep_idle(ON_REQUEST, now - IDLE_FOR, IDLE)
        async for item in self._living(_PROCESSES, now - GONE_AFTER):
            read = Reader(item)
            process, heard_of = read.text("process"), read.text("liveSince")
            ending = SessionEnding(parse_instant(heard_of), VoiceSessionStatus.ERROR, PROCESS_LOST, PROCESS_LOST)
            async for left in self._living(process, now):
                swept += await self._sweep_one(left, ending)
            try:
                await self.table.delete(Key(_process(process), METADATA), Equals("liveSince", heard_of))
            except ConditionFailed:
                continue  # it is back
        return tuple(swept)

    # How

    async def _sweep_idle(self, place: str, until: datetime, reason: str) -> list[VoiceSession]:
        swept: list[VoiceSession] = []
        async for item in self._living(place, until):
            ending = SessionEnding(parse_instant(Reader(item).text("liveSince")), VoiceSessionStatus.COMPLETED, reason)
            swept += await self._sweep_one(item, ending)
        return swept

    async def _sweep_one(self, item: Item, ending: SessionEnding) -> list[VoiceSession]:
        session, read = from_item(item), Reader(item)
        still = AllOf((_ACTIVE, Equals("liveOn", read.text("liveOn")), Equals("liveSince", read.text("liveSince"))))
        ending = replace(ending, at=max(ending.at, session.updated_at))  # it lived when it was written last
        try:
            swept = await self.table.update(key_of(session.session_id), self._ending(session, ending, SessionEndedBy.SWEEP), still)
        except ConditionFailed:
            return []  # it has been heard of since, or somebody else was faster
        return [from_item(swept)]

    def _living(self, place: str, until: datetime) -> AsyncIterator[Item]:
        return pages(self.table, Query(place, "LiveIndex", (_EARLIEST, format_instant(until))))

    def _ended(self, ending: SessionEnding, by: SessionEndedBy) -> dict[str, Value]:
        expires = int((ending.at + timedelta(days=self._keep_days)).timestamp()) if self._keep_days else None
        return ending_attributes(ending, by, expires)

    def _ending(self, session: VoiceSession, ending: SessionEnding, by: SessionEndedBy) -> Update:
        own: dict[str, Value] = {
            "totalDuration": seconds_between(session.created_at, ending.at),
            "messageCount": session.message_count,
        }
        return Update(set={**self._ended(ending, by), **own}, remove=_NOT_LIVING)

    async def _settle(self, item: Item) -> None:
        """Repeat duration and number of messages of a session that has ended, where another process has changed them."""
        if item["status"] == VoiceSessionStatus.ACTIVE:
            return
        session = from_item(item)
        right: dict[str, Value] = {"messageCount": counts_of(item).messages, "totalDuration": session.total_duration}
        if any(item.get(name) != value for name, value in right.items()):
            await self.table.update(key_of(session.session_id), Update(set=right), Present(PARTITION))

    def _touch(self, item: Item, values: Mapping[str, Value]) -> Update:
        now = format_instant(self._clock())
        is_idle = item.get("liveOn") == ON_REQUEST
        return Update(set={**values, "updatedAt": now, **({"liveSince": now} if is_idle else {})})

    async def _change(self, session_id: str, change: Callable[[Item], tuple[Update, Condition]]) -> VoiceSession | None:
        failure: ConditionFailed | None = None
        for _ in range(_TRIES):
            if (item := await self.table.get(key_of(session_id))) is None:
                return None
            update, condition = change(item)
            is_living = Equals("liveOn", item["liveOn"]) if "liveOn" in item else Absent("liveOn")
            try:
                changed = await self.table.update(key_of(session_id), update, AllOf((Present(PARTITION), is_living, condition)))
            except ConditionFailed as error:
                failure = error
                continue
            await self._settle(changed)
            return from_item(changed)
        raise failure or ConditionFailed


def _process(process: str | None) -> str:
    return f"PROCESS#{process}"


def _lives_on(session: VoiceSession) -> Condition:
    """Return whether a session still lives where it was seen to."""
    return Absent("liveOn") if session.lives_on is None else Equals("liveOn", session.lives_on)


def _may_write(leg: Leg) -> Condition:
    """Return whether a session is this process's to write: it has not been ended, and no process began with it later."""
    claim = claim_of(leg)
    is_open = AnyOf((_ACTIVE, Equals("endedBy", SessionEndedBy.SWEEP)))
    is_own = AnyOf((Equals("claimed", claim), LessThan("claimed", claim)))
    if leg.is_adopted:  # it does not know when the session began
        return AllOf((Present(PARTITION), is_open, is_own))
    return AnyOf((Absent(PARTITION), AllOf((is_open, is_own))))

"""Keeps two migrations of one table apart: a record that one of them has, and that falls to others when its process is gone for long."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from storage.conditions import Absent, AnyOf, Equals, LessThan, Update
from storage.errors import ConditionFailed
from storage.table import Key, Table
from storage.tables import TTL_ATTRIBUTE, TableDefinition
from storage.values import Item

LEASE_SECONDS: Final = 600
KEY: Final = Key.twice("MIGRATION#LOCK")


def is_lock(definition: TableDefinition, wire: Mapping[str, Any]) -> bool:
    """Tell whether a record is the lock, which belongs to no copy and no comparison."""
    return bool(wire[definition.partition].get("S") == KEY.partition)


class Locked(Exception):
    """Another migration has the table; the text says which, and until when."""


class LockLost(Exception):
    """This migration took too long to say that it is there, and another may have begun."""


class Lock:
    """The lock on one table.

    Args:
        table: that is to be changed.
        owner: the migration; the same again after it was killed.
        clock: seconds since 1970.
    """

    def __init__(self, table: Table, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._owner = owner
        self._clock = clock
        self._renew_at = 0.0

    async def take(self) -> None:
        """Take the lock, or take it again.

        Raises:
            Locked: another migration has it.
            StorageError: the store cannot be used.
        """
        definition = self._table.definition
        now = int(self._clock())
        item: Item = {
            definition.partition: KEY.partition,
            definition.sort: KEY.sort,
            "owner": self._owner,
            TTL_ATTRIBUTE: now + LEASE_SECONDS,
        }
        free = AnyOf((Absent(definition.partition), Equals("owner", self._owner), LessThan(TTL_ATTRIBUTE, now)))
        try:
            await self._table.put(item, free)
        except ConditionFailed:
            held = await self._table.get(KEY) or {}
            until = held.get(TTL_ATTRIBUTE)
            at = f"{datetime.fromtimestamp(until, UTC):%H:%M} UTC" if isinstance(until, int) else "now"
            raise Locked(
                f"migration {held.get('owner', 'of somebody else')} works on {definition.name}: "
                f"wait for it, or, if its process is gone, go on with it by --resume; its hold ends at {at}"
            ) from None
        self._renew_at = now + LEASE_SECONDS / 3

    async def keep(self) -> None:
        """Say that this migration is there, when it is time to.

        Raises:
            LockLost: another has the lock.
            StorageError: the store cannot be used.
        """
        now = int(self._clock())
        if now < self._renew_at:
            return
        try:
            await self._table.update(KEY, Update(set={TTL_ATTRIBUTE: now + LEASE_SECONDS}), Equals("owner", self._owner))
        except ConditionFailed:
            raise LockLost(f"the lock on {self._table.definition.name} is another's: nothing more was changed") from None
        self._renew_at = now + LEASE_SECONDS / 3

    async def release(self) -> None:
        """Give the lock back, if it is this migration's.

        Raises:
            StorageError: the store cannot be used.
        """
        try:
            await self._table.delete(KEY, AnyOf((Absent(self._table.definition.partition), Equals("owner", self._owner))))
        except ConditionFailed:
            return

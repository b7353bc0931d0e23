"""Conversations that another process may go on with, each under the handle that its client comes back with.

A record belongs to the process that saves it. Whoever takes it leaves it without contents and without an owner, so that the process which
had it before, and may live on behind a broken network, finds that it owns nothing any more and cannot write over the adopted session.
"""

import time
import uuid
from collections.abc import Callable
from math import ceil
from typing import Final

import structlog

from storage.cipher import CannotOpen, Cipher
from storage.conditions import Absent, AllOf, AnyOf, Equals, Update
from storage.errors import ConditionFailed
from storage.records import Reader
from storage.table import Key, Table
from storage.tables import PARTITION, SORT, TTL_ATTRIBUTE
from storage.values import Item

log = structlog.get_logger()

NOBODY: Final = ""
"""Owner of what was taken."""
_TAKE_TRIES: Final = 5
"""The owner may save while somebody takes; it does so once a second at most."""


class ParkedSessions:
    """Repository of parked sessions on one table.

    Args:
        table: the sessions table.
        cipher: seals the contents; handles are authenticated with them.
        clock: seconds since 1970.
    """

    def __init__(self, table: Table, cipher: Cipher, clock: Callable[[], float] = time.time) -> None:
        self.table = table
        self._cipher = cipher
        self._clock = clock

    async def save(self, handle: str, snapshot: bytes, *, owner: str, seconds: float) -> bool:
        """Write what is to be known of a session, and keep it for so long.

        Args:
            handle: SHA-256, in hexadecimal, of the token that the client comes back with.
            snapshot: the session.
            owner: the process that has it; "" gives back what was taken.
            seconds: after which the record counts as gone.

        Returns:
            False if somebody else has taken it.

        Raises:
            StorageError: the store cannot be used.
        """
        key = _key(handle)
        item: Item = {
            PARTITION: key.partition,
            SORT: key.sort,
            "owner": owner,
            "saved": uuid.uuid4().hex,
            "sealed": self._cipher.seal(snapshot, handle),
            TTL_ATTRIBUTE: ceil(self._clock() + seconds),
        }
        try:
            await self.table.put(item, AnyOf((Absent(PARTITION), Equals("owner", owner))))
        except ConditionFailed:
            return False
        return True

    async def take(self, handle: str) -> bytes | None:
        """Return a session to the one caller who may go on with it; None if there is none, or somebody was faster.

        Raises:
            StorageError: the store cannot be used.
        """
        for _ in range(_TAKE_TRIES):
            item = await self.table.get(_key(handle))
            if item is None or "sealed" not in item:
                return None
            read = Reader(item)
            try:
                snapshot = self._cipher.open(read.text("sealed"), handle)
            except CannotOpen as error:
                log.warning("parked_session.unreadable", reason=str(error))
                return None
            unchanged = AllOf((Equals("owner", read.text("owner")), Equals("saved", read.text("saved"))))
            try:
                await self.table.update(_key(handle), Update(set={"owner": NOBODY}, remove=("sealed", "saved")), unchanged)
            except ConditionFailed:
                continue
            return snapshot
        return None

    async def drop(self, handle: str) -> None:
        """Forget a session; forgetting one that is not there succeeds.

        Raises:
            StorageError: the store cannot be used.
        """
        await self.table.delete(_key(handle))


def _key(handle: str) -> Key:
    return Key.twice(f"SESSION#{handle}")

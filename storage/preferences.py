"""What users prefer, until they say otherwise: for now, the voice that they like to be answered with."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from storage.errors import InvalidRequest
from storage.models import format_instant, parse_instant
from storage.records import Reader, to_milliseconds
from storage.table import Key, Table
from storage.tables import PARTITION, SORT
from storage.values import Item

PREFERENCES: Final = "PREFERENCES"
OF_USER: Final = "preferredBy"
"""The index by `userId` is of sessions alone."""
MAX_USER: Final = 256
MAX_VOICE: Final = 64


@dataclass(frozen=True, slots=True)
class Preferences:
    """What one user prefers."""

    user_id: str
    voice_id: str
    updated_at: datetime


class UserPreferences:
    """Repository of preferences, on the table of voice sessions.

    Args:
        table: the voice sessions table.
        clock: the time now, with a zone.
    """

    def __init__(self, table: Table, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._table = table
        self._clock = clock

    async def get(self, user_id: str) -> Preferences | None:
        """Return what a user prefers, or None."""
        item = await self._table.get(_key(user_id))
        return None if item is None else from_item(item)

    async def set_voice(self, user_id: str, voice_id: str) -> Preferences:
        """Note with which voice a user likes to be answered.

        Raises:
            InvalidRequest: there is no user or no voice of this name.
        """
        key, now = _key(user_id), to_milliseconds(self._clock())
        if not 0 < len(voice_id) <= MAX_VOICE:
            raise InvalidRequest("not the name of a voice")
        names = {PARTITION: key.partition, SORT: key.sort, OF_USER: user_id}
        await self._table.put({**names, "voiceId": voice_id, "updatedAt": format_instant(now)})
        return Preferences(user_id, voice_id, now)

    async def forget(self, user_id: str) -> None:
        """Remove what a user prefers, if there is anything."""
        await self._table.delete(_key(user_id))


def from_item(item: Item) -> Preferences:
    """Return what a record says.

    Raises:
        InvalidRequest: an attribute is missing, or of another kind.
        ValueError: a time is none.
    """
    read = Reader(item)
    return Preferences(read.text(OF_USER), read.text("voiceId"), parse_instant(read.text("updatedAt")))


def _key(user_id: str) -> Key:
    """Return the key of a user's preferences.

    Raises:
        InvalidRequest: nobody has this name.
    """
    if not 0 < len(user_id) <= MAX_USER:
        raise InvalidRequest("not the name of a user")
    return Key(f"USER#{user_id}", PREFERENCES)

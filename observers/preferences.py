"""With which voice users like to be answered, for conversations that are about to begin: a slow store begins them without one."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from storage.errors import InvalidRequest, StorageError
from storage.preferences import UserPreferences
from telemetry.counters import Counters

log = structlog.get_logger()

LOOK_UP_SECONDS: Final = 0.25
AWAY_SECONDS: Final = 5.0
"""How long a store that failed is asked nothing: nobody waits for it meanwhile."""


class PreferredVoices:
    """Looks up the voices that users prefer.

    Args:
        preferences: repository.
        counters: gets `preference_found` and `preference_not_known`.
        clock: monotonic seconds.
    """

    def __init__(self, preferences: UserPreferences, counters: Counters, clock: Callable[[], float]) -> None:
        self._preferences = preferences
        self._counters = counters
        self._clock = clock
        self._away_until = float("-inf")

    async def voice_of(self, user_id: str) -> str:
        """Return the voice that a user likes best; empty where there is none, or it cannot be known soon."""
        if not user_id or self._clock() < self._away_until:
            return ""
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                found = await self._preferences.get(user_id)
        except (InvalidRequest, ValueError):  # nobody can have such a name, or it is no record of ours
            return ""
        except (TimeoutError, StorageError) as error:
            self._away_until = self._clock() + AWAY_SECONDS
            self._counters.add("preference_not_known")
            log.warning("preferences.not_known", reason=type(error).__name__)
            return ""
        self._counters.add("preference_found", found is not None)
        return "" if found is None else found.voice_id

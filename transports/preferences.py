"""With which voice a user likes to be answered. Where that is kept is the business of who implements this."""

import asyncio
from dataclasses import replace
from typing import Final, Protocol

from session.events import Start

KNOWN_SECONDS: Final = 0.25
"""How long a session waits at most for what was not found beside its connection's opening."""


class Preferences(Protocol):
    """Knows what users prefer."""

    async def voice_of(self, user_id: str) -> str:
        """Return the voice that a user likes best; empty where there is none, or it cannot be known soon. Never raises."""


class NoPreferences:
    """Knows of none."""

    async def voice_of(self, user_id: str) -> str:  # noqa: ARG002 - it is none, whoever asks
        """Return nothing."""
        return ""


class PreferredVoice:
    """The voice that one client likes best: looked up beside what it does, so that its sessions find it there.

    Args:
        preferences: of users.
        user_id: who the client is; empty for somebody whom nobody asked, who prefers nothing.
    """

    def __init__(self, preferences: Preferences, user_id: str) -> None:
        self._preferences = preferences
        self._user_id = user_id
        self._tasks: asyncio.TaskGroup | None = None
        self._looking: asyncio.Task[str] | None = None

    def look_up(self, tasks: asyncio.TaskGroup) -> None:
        """Begin to look it up, in a task of this group."""
        self._tasks = tasks
        if self._user_id and not isinstance(self._preferences, NoPreferences):
            self._looking = tasks.create_task(self._preferences.voice_of(self._user_id))

    async def with_voice(self, start: Start) -> Start:
        """Return how a session begins, with the voice that its user likes best, where the client names none.

        A session with a patient keeps its own: the same account may be with another one each time. The first session of a connection finds
        what was looked up since it was opened; for a later one it is looked up again, as it may be another by then.
        """
        if self._looking is None and self._tasks is not None:
            self.look_up(self._tasks)
        looking, self._looking = self._looking, None
        if looking is None or start.voice_id is not None or start.patient_id:
            return start
        done, _ = await asyncio.wait({looking}, timeout=KNOWN_SECONDS)
        return replace(start, preferred_voice_id=looking.result()) if done else start

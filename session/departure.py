"""When a session that was asked to end does so. Pure: `now` is monotonic seconds."""

from session.continuation import NEVER
from session.errors import TokenExpired
from session.events import EndReason

DRAIN_CHECK_SECONDS = 0.1
"""How often a session that is to end looks whether everything has been heard."""


class Departure:
    """The end that is asked for, if any: at a quiet moment, at the latest at a given time."""

    def __init__(self) -> None:
        self._by = self._check_at = NEVER
        self.is_held = False
        """Whether somebody else ends the session at a quiet moment."""
        self.reason = EndReason.SERVER_LEAVING

    @property
    def is_asked(self) -> bool:
        """Whether the session is to end."""
        return self._by != NEVER

    @property
    def deadline(self) -> float:
        """When to look again."""
        return self._by if self.is_held else min(self._by, self._check_at)

    def ask(self, by: float, now: float, *, is_held: bool = False, reason: EndReason = EndReason.SERVER_LEAVING) -> None:
        """Take note of the latest time, whether somebody else ends the session before it, and why it ends."""
        self._by, self._check_at, self.is_held, self.reason = by, now + DRAIN_CHECK_SECONDS, is_held, reason

    def take_back(self, reason: EndReason) -> bool:
        """Forget that the session is to end for this reason; return whether it was."""
        if not self.is_asked or reason is not self.reason:
            return False
        self._by = self._check_at = NEVER
        return True

    @property
    def close_code(self) -> int:
        """What the connection is closed with, if it is: 1012 asks the client to come again, 4401 with another token."""
        return {EndReason.SERVER_LEAVING: 1_012, EndReason.TOKEN_EXPIRED: TokenExpired.close_code}.get(self.reason, 1_000)

    def look(self, now: float) -> bool:
        """Tell whether it is time to look for a quiet moment; the next time is a little later."""
        if now < self.deadline:
            return False
        self._check_at = now + DRAIN_CHECK_SECONDS
        return True

    def is_over(self, now: float) -> bool:
        """Tell whether the latest time has come."""
        return now >= self._by

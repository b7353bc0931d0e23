"""The connections that are open in this process: found by id and by user, and closed from outside."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final

from auth.principal import Principal
from session.notices import Notice, Recipient
from transports.addresses import counted_as
from transports.interfaces import ConnectionWatcher, NobodyWatches

ACTIVITY_SECONDS: Final = 15.0
"""How often at most the activity of a connection is told."""
STORED_SECONDS: Final = 0.25
"""How long a connection waits for the note of it to be kept, before it answers anything."""
USER_AGENT_CHARACTERS: Final = 256
USER_CHARACTERS: Final = 256
NO_CLOSE: Final = 1006
"""The connection ended without a close frame (RFC 6455 7.4.1)."""


class LiveConnection:
    """An open connection whose client is known.

    Args:
        connection_id: names it in records and logs.
        principal: who the client is.
        address: where it comes from.
        user_agent: what it says of itself; what is not printable ASCII is replaced, what is too long is cut.
        close: closes it, with a code and a reason; returns at once.
    """

    def __init__(
        self,
        connection_id: str,
        principal: Principal,
        address: str = "",
        user_agent: str = "",
        close: Callable[[int, str], None] | None = None,
    ) -> None:
        self.id = connection_id
        self.principal = principal
        self.address = address
        self.user_agent = "".join(letter if " " <= letter <= "~" else "?" for letter in user_agent[:USER_AGENT_CHARACTERS])
        self.close = close
        self.tell: Callable[[Iterable[Notice]], Awaitable[bool]] | None = None
        """Tells its client what came about past it; False where nothing was told."""
        self.since = self.last_activity = datetime.now(UTC)
        self.session_id: str | None = None
        """The session that it has, or had last."""
        self.watcher: ConnectionWatcher = NobodyWatches()
        self._told_at = float("-inf")

    @property
    def caller(self) -> str:
        """Whom attempts are counted for: the user, or the address of somebody whom nobody asked."""
        if self.principal.expires_at is not None:  # else it is only what the client says
            return f"user:{self.principal.user_id}"
        return f"address:{counted_as(self.address)}" if self.address else ""

    def active(self, now: float) -> None:
        """Take note that the client said something, at this monotonic second."""
        if now - self._told_at >= ACTIVITY_SECONDS:
            self._told_at = now
            self.last_activity = datetime.now(UTC)
            self.watcher.active(self.id)

    def carries(self, session_id: str) -> None:
        """Take note that it has a session from now on."""
        self.session_id = session_id
        self.watcher.carries(self.id, session_id)


class Directory:
    """Knows the open connections.

    Args:
        watcher: is told of them.
        stored_seconds: how long a connection waits for the note of it to be kept.
    """

    def __init__(self, watcher: ConnectionWatcher | None = None, stored_seconds: float = STORED_SECONDS) -> None:
        self._watcher = watcher or NobodyWatches()
        self._stored_seconds = stored_seconds
        self._live: dict[str, LiveConnection] = {}

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._live)

    def find(self, connection_id: str) -> LiveConnection | None:
        """Return an open connection, or None."""
        return self._live.get(connection_id)

    def of_user(self, user_id: str) -> tuple[LiveConnection, ...]:
        """Return the open connections of a user."""
        return tuple(each for each in self._live.values() if each.principal.user_id == user_id)

    async def deliver(self, to: Recipient, notices: Iterable[Notice]) -> bool:
        """Tell a client what came about past its connection; False if it is not open here, is somebody else's, or was told nothing."""
        live = self._meant(to)
        return live is not None and live.tell is not None and await live.tell(notices)

    def _meant(self, to: Recipient) -> LiveConnection | None:
        """Return the connection that is named, else the latest one that has the session: its client may have come back."""
        named = self._live.get(to.connection_id)
        carrying = (each for each in reversed(self._live.values()) if each.session_id == to.session_id)
        found = named or next(carrying, None)
        return found if found is not None and found.principal.user_id == to.user_id else None

    def disconnect(self, connection_id: str, code: int, reason: str) -> bool:
        """Close a connection; False if it is not open here."""
        connection = self._live.get(connection_id)
        if connection is None or connection.close is None:
            return False
        connection.close(code, reason)
        return True

    @asynccontextmanager
    async def entered(self, connection: LiveConnection, code: Callable[[], int | None]) -> AsyncIterator[None]:
        """Know a connection as long as the context lasts; it begins when the note of the connection is kept, or that takes too long.

        Args:
            connection: that is open.
            code: gives the code that it was closed with, in the end.
        """
        self._live[connection.id] = connection
        try:
            connection.watcher = self._watcher
            stored = self._watcher.opened(connection.id, connection.principal, connection.address, connection.user_agent)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._stored_seconds):
                    await stored.wait()
            yield
        finally:
            del self._live[connection.id]
            self._watcher.closed(connection.id, code() or NO_CLOSE)

"""What the transports need of others. Adapters fit by shape; nothing here imports them."""

import asyncio
from typing import Protocol

from auth.principal import Principal


class ConnectionWatcher(Protocol):
    """Is told of every connection. Each method returns at once: some are called from the way of the audio."""

    def opened(self, connection_id: str, principal: Principal, address: str, user_agent: str) -> asyncio.Event:
        """Take note of a connection whose client is known; return what is set once the note is kept, or cannot be kept now."""

    def active(self, connection_id: str) -> None:
        """Take note that the client said something; told now and then, not each time."""

    def carries(self, connection_id: str, session_id: str) -> None:
        """Take note that the connection has a session from now on."""

    def closed(self, connection_id: str, code: int) -> None:
        """Take note that the connection is closed, with this code of RFC 6455 7.4."""


class NobodyWatches:
    """Takes note of nothing."""

    def opened(self, _connection_id: str, _principal: Principal, _address: str, _user_agent: str) -> asyncio.Event:
        """Return what is set already."""
        stored = asyncio.Event()
        stored.set()
        return stored

    def active(self, connection_id: str) -> None:
        """Take no note."""

    def carries(self, connection_id: str, session_id: str) -> None:
        """Take no note."""

    def closed(self, connection_id: str, code: int) -> None:
        """Take no note."""

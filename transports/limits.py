"""What one client may take of the server. The numbers are settings; docs/how-to/limits.md says how they were chosen."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from session.client_link import ClientLink
from session.errors import TooMany

MAX_FRAME_BYTES: Final = 256 * 1024
"""Shipped clients send at most 32 KB; system prompts and histories can be larger."""
MAX_TEXT_BYTES: Final = 4_000
"""What the session takes of a typed text."""
FRAMES_PER_SECOND: Final = 500
"""Shipped clients send 86 at most, and four times that when they make good what waited in a network."""
BYTES_PER_SECOND: Final = 512 * 1024
"""24 kHz in base64 is 64 KB a second, and four times that for a client that catches up."""
FLOOD_SECONDS: Final = 10
ADDRESS: Final = "address:"
"""How a caller begins who has proved no name (`LiveConnection.caller`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All limits; 0 of a number of connections, handshakes or sessions is no limit."""

    proxy_hops: int = 0
    """Proxies of our own between a client and the server: X-Forwarded-For is counted so far from the right."""
    connections: int = 0
    """WebSockets at once, with those that have no session."""
    connections_per_address: int = 0
    """WebSockets at once, as many plain connections beside them, and as many that have not said what they want."""
    plain_connections: int = 0
    """Connections at once that ask for no WebSocket."""
    plain_per_second_per_address: int = 0
    """Requests that ask for no WebSocket."""
    handshakes_per_second: int = 0
    """Of all addresses."""
    handshakes_per_second_per_address: int = 0
    sessions_per_user: int = 0
    """Conversations at once of who has a name: one that was proved, or in development one that was claimed."""
    sessions_per_address: int = 0
    """Conversations at once of all at one address who have proved no name."""
    frame_bytes: int = MAX_FRAME_BYTES
    frames_per_second: int = FRAMES_PER_SECOND
    """Beyond it the server reads slowly."""
    bytes_per_second: int = BYTES_PER_SECOND
    """The same."""
    text_bytes: int = MAX_TEXT_BYTES
    flood_seconds: int = FLOOD_SECONDS
    """How long a client may be held back until it counts as a flood."""

    def check_sessions(self, client: ClientLink, others: Iterable[ClientLink]) -> None:
        """See that a client may have one session more.

        Args:
            client: wants it.
            others: who has one.

        Raises:
            TooMany: it has, or its address has, as many as it may.
        """
        others = tuple(others)
        of_user = sum(other.principal == client.principal for other in others) if client.principal else 0
        if 0 < self.sessions_per_user <= of_user:
            raise TooMany(f"You have {of_user} conversations already. End one of them first.")
        of_address = sum(other.caller == client.caller for other in others) if client.caller.startswith(ADDRESS) else 0
        if 0 < self.sessions_per_address <= of_address:
            raise TooMany(f"There are {of_address} conversations with your network already. Please try again in a moment.")


NO_LIMITS: Final = Limits()

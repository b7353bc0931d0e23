"""What the transport knows of a session's client, for those who store or move the session."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class ClientLink:
    """How a client finds its session again; the transport keeps it up to date."""

    principal: str = ""
    """Who started the session; empty for anybody."""
    caller: str = ""
    """Whom its attempts are counted for, over sessions: a user, or an address; empty for nobody in particular."""
    connection_id: str = ""
    """Of the connection that has the session now, or had it last."""
    input_hertz: int = 16_000
    """Rate of its audio."""
    handle: str = ""
    """SHA-256 in hexadecimal of the token that the client comes back with; empty when it cannot. Changes each time it comes back."""
    upstream: int = 0
    """Number of the client's next frame: those below were taken by the session."""
    on_change: Callable[[], None] | None = None
    """Called by `found_by`."""

    def found_by(self, handle: str) -> None:
        """Take note of the handle with which the client comes back from now on."""
        self.handle = handle
        if self.on_change is not None:
            self.on_change()

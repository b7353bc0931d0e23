"""What an operator sees of a session that lives."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SessionOverview:
    """One session at one moment, without anything that was said."""

    session_id: str
    user_id: str
    """Empty for somebody whom nobody asked."""
    assistant: str
    phase: str
    """connecting, active, draining or closed."""
    since: datetime
    """When this process began it, UTC."""
    streams: int
    """How many of the model's streams have carried it here."""
    turns: int
    tool_calls: int

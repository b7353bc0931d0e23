"""Who and what a session is, for those who write down what happens in it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class SessionLabel:
    """One session as this process has it."""

    session_id: str
    user_id: str
    """Who is authenticated; empty for anybody."""
    connection_id: str
    """Of the connection that began it here, or came back to it."""
    assistant: str
    language: str
    voice_id: str
    model_id: str
    input_hertz: int
    """Rate of the caller's audio."""
    output_hertz: int
    """Rate of the assistant's speech."""
    began_at: datetime
    """UTC wall time at which this process began with it."""
    is_adopted: bool = False
    """Whether another process had it before: there is no SessionStarted then."""

"""What a session needs from the world. Adapters fit by shape; nothing here imports them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from s2s.events import InputEvent, OutputEvent, ToolSpec
from session.events import SessionEvent


class ModelStream(Protocol):
    """One bidirectional stream to the model. One task sends, one task receives."""

    @property
    def signed_until(self) -> datetime | None:
        """When the credentials that sign it expire; None for never."""

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Send events as one group: nothing of another group comes between them.

        Raises:
            ModelError: the stream failed, or did not take the group in time.
            LocalProtocolError: the group breaks a rule of the stream; nothing of it was sent.
        """

    async def receive(self) -> OutputEvent | None:
        """Return the next event, or None after the orderly end that our sessionEnd asked for. May be cancelled and called again.

        Raises:
            ModelError: the stream failed or ended by itself.
        """

    async def close(self) -> None:
        """Close in order if the stream lives (contentEnd, promptEnd, sessionEnd, end of input), else let it go. Returns in bounded time."""


class ModelClient(Protocol):
    """Opens streams to a model."""

    @property
    def model_id(self) -> str:
        """The Bedrock model id."""

    async def open(self, opening: Sequence[InputEvent]) -> ModelStream:
        """Open a stream and send its opening events; return when the service has accepted the stream.

        Raises:
            ModelError: refused, unreachable, or not answered in time.
            LocalProtocolError: the opening breaks a rule of the stream.
        """


class ToolOutcome(Protocol):
    """How a tool call ended."""

    @property
    def content(self) -> str:
        """JSON text of an object, for the model."""

    @property
    def error_code(self) -> str | None:
        """None when the tool did what it was asked."""


class ToolRunner(Protocol):
    """Runs tools. Errors and time-outs become outcomes; it raises only CancelledError."""

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        """Return the specs of these tools, in this order.

        Raises:
            KeyError: there is no such tool.
        """

    async def run(self, *, session_id: str, tool_use_id: str, name: str, arguments: str) -> ToolOutcome:
        """Run one tool call; `arguments` is the model's JSON text, unchecked."""

    def forget(self, session_id: str) -> None:
        """Drop what is remembered for a session that has ended (identity attempts, results by tool_use_id)."""


class Observer(Protocol):
    """Listens to every event of every session. Must return at once: it is called from the audio path."""

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Take note of an event."""


class Clock(Protocol):
    """Where a session gets the time from."""

    def now(self) -> float:
        """Return monotonic seconds."""

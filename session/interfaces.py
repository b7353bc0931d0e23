"""What a session needs from the world. Adapters fit by shape; nothing here imports them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from s2s.events import InputEvent, OutputEvent, ToolSpec
from session.effects import Effect, Input
from session.events import SessionEvent, SpeechChunk
from session.hearing import Ask
from session.label import SessionLabel
from session.origin import Origin


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

    async def run(
        self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = ""
    ) -> ToolOutcome:
        """Run one tool call.

        Args:
            session_id: of the session.
            tool_use_id: of the call.
            name: of the tool.
            arguments: the model's JSON text, unchecked.
            caller: whom attempts are counted for over sessions: a user, or an address; empty for nobody in particular.
            patient_id: whose records the call may reach; empty for no patient's. Never what the model or the client says.
        """

    def forget(self, session_id: str) -> None:
        """Drop what is remembered for a session that has ended (identity attempts, results by tool_use_id)."""


class SessionStore(Protocol):
    """Keeps what other processes need to go on with a session. May raise anything that says that it cannot be used now."""

    async def save(self, handle: str, snapshot: bytes, *, owner: str, seconds: float) -> bool:
        """Keep a session for so many seconds, in the place of what was kept under this handle.

        Args:
            handle: SHA-256, in hexadecimal, of the token that the client comes back with.
            snapshot: `SessionSnapshot.encode()`.
            owner: the process that has the session; "" gives back what was taken.
            seconds: after which nobody may go on with it.

        Returns:
            False if somebody else has taken it: this process has it no more.
        """

    async def take(self, handle: str) -> bytes | None:
        """Return a session to one caller at most, for whom it is from now on; None if there is none."""

    async def drop(self, handle: str) -> None:
        """Forget a session, if there is one."""


class Observer(Protocol):
    """Listens to every event of every session. Must return at once: it is called from the audio path."""

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Take note of an event."""


class SessionObserver(Protocol):
    """Listens to one session. Must return at once: it is called from the audio path."""

    def on_event(self, event: SessionEvent) -> None:
        """Take note of an event; SpeechChunk as the model sends it, faster than it is heard. SessionEnded is the last."""


class AudioObserver(SessionObserver, Protocol):
    """Listens to what is said, too."""

    def on_caller_audio(self, pcm: bytes, now: float) -> None:
        """Take note of the caller's audio as it came in.

        Args:
            pcm: signed 16-bit little-endian mono at the label's input rate.
            now: monotonic seconds.
        """

    def on_delivered(self, chunk: SpeechChunk, now: float) -> None:
        """Take note of speech that goes to the listener, at most LEAD_MS ahead of the ear; Interrupted tells what was not heard of it."""


class Attendance(Protocol):
    """Gives observers to sessions."""

    def attend(self, session: SessionLabel) -> SessionObserver | None:
        """Return what listens to a session from its first event in this process on, or None. Must return at once."""


class AudioAttendance(Protocol):
    """Gives observers that listen to what is said."""

    def attend(self, session: SessionLabel) -> AudioObserver | None:
        """Return what listens to a session, or None."""


class Tape(Protocol):
    """Keeps what happens in one session. Must return at once: it is called from the audio path."""

    def record(self, given: Input, now: float, effects: Sequence[Effect] | None) -> None:
        """Take note of an input of the machine and what it asked for; None when it raised an error instead."""

    def delivered(self, now: float) -> None:
        """Take note that something left the listener's queue."""

    def ear(self, ask: Ask) -> bool:
        """Ask whether the user's audio is quiet, and take note of the answer."""

    def close(self) -> None:
        """Take note that the session is over."""


class Recorder(Protocol):
    """Gives tapes to sessions."""

    def open(self, origin: Origin) -> Tape | None:
        """Return a tape for a session that opens, or None when it is not recorded."""


class Clock(Protocol):
    """Where a session gets the time from."""

    def now(self) -> float:
        """Return monotonic seconds."""

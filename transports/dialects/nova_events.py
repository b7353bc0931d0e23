"""The raw dialect: the client speaks Nova Sonic's own events, as it would to a server that only passes them on.

What the events mean is the session's business, so these clients get everything that others get; prompt and tools stay the assistant's.
Shapes: Amazon Nova user guide, "Using the bidirectional streaming API"; what clients in the field send and what breaks them:
docs/reference/raw-dialect.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, assert_never

from s2s.codec import decode_input
from s2s.errors import CodecError, Flaw
from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    InputEvent,
    PromptEnd,
    PromptStart,
    Role,
    SessionEnd,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
)
from s2s.limits import RATES_HERTZ
from session.errors import BadFrame, InvalidAudio, NotAllowed, SessionError, TooLarge, UnknownEvent, WrongOrder
from session.events import End, EndReason, SendAudio, SendText, SessionEvent, SessionFailed, StopAudio
from transports.dialects.interface import Action, Frame, Milliseconds, Told
from transports.dialects.nova_envelope import Extra, extra_event, unwrap_body
from transports.dialects.nova_opening import TEXT_LIMIT, Opening
from transports.dialects.nova_output import NovaOutput

_BLOCKS_LIMIT: Final = 32
"""Text blocks that may be open at once; clients in the field have one."""
_REFUSALS: Final = {
    Flaw.NOT_JSON: BadFrame,
    Flaw.NOT_AN_EVENT: BadFrame,
    Flaw.BAD_MEMBER: BadFrame,
    Flaw.UNKNOWN_EVENT: UnknownEvent,
    Flaw.BAD_AUDIO: InvalidAudio,
    Flaw.TOO_LARGE: TooLarge,
}


class Phase(Enum):
    """Where the client is in its own order of events."""

    IDLE = auto()
    """Before sessionStart, or after sessionEnd."""
    OPENING = auto()
    """Prompt, system text and history come; nothing has been started."""
    LIVE = auto()
    """The session runs."""
    CHANGING = auto()
    """A second promptStart came while the session runs; the next audio starts it anew."""
    PROMPT_OVER = auto()
    """promptEnd came; sessionEnd or another promptStart may follow."""


class Microphone(Enum):
    """The client's audio block."""

    NEVER = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(slots=True)
class _Block:
    role: Role
    parts: list[str] = field(default_factory=list)
    characters: int = 0


class NovaEventsDialect:
    """One connection of a raw-event client.

    Args:
        clock: wall-clock milliseconds, for the timestamp beside each event.
    """

    name = "nova_events"

    def __init__(self, clock: Milliseconds) -> None:
        self.dropped_frames = 0
        self._output = NovaOutput(clock)
        self._phase = Phase.IDLE
        self._opening = Opening(SessionStart())
        self._blocks: dict[str, _Block] = {}
        self._microphone = Microphone.NEVER
        self._audio_name = ""
        self._input_hertz = 16_000

    def decode(self, frame: Frame) -> Sequence[Action]:
        """Translate an event of the client.

        Raises:
            SessionError: the frame is no event, or one that does not fit now.
        """
        if isinstance(frame, bytes):
            raise BadFrame("Events come as text frames.")
        text = unwrap_body(frame)
        try:
            return self._take(decode_input(text))
        except CodecError as error:
            if error.flaw is Flaw.UNKNOWN_EVENT and (extra := extra_event(text)):
                return self._take_extra(extra)
            if error.flaw is Flaw.BAD_AUDIO and self._microphone is Microphone.CLOSED:
                self.dropped_frames += 1  # recorders that stop hand over what they have, which pages send as if it were samples
                return ()
            raise _REFUSALS[error.flaw](f"{error}."[:200]) from None

    def begin(self, number: int = 0, *, resume_seconds: float = 0.0) -> None:
        """Do nothing: these clients number no frames and cannot come back."""

    def encode(self, event: SessionEvent, token: str = "") -> Sequence[Frame]:  # noqa: ARG002 - they have no use for it
        """Translate a session event into Nova events under the client's own prompt name."""
        return self._output.encode(event)

    def answer(self, told: Told) -> Sequence[Frame]:
        """Translate a refusal; there is nothing else that these clients are told outside of a session."""
        return self._output.encode(told) if isinstance(told, SessionFailed) else ()

    def survives(self, end: EndReason | SessionError) -> bool:
        """Keep the connection for the next sessionStart only when the client ended the session: others would go on sending audio."""
        return end is EndReason.CLIENT

    def _take(self, event: InputEvent) -> Sequence[Action]:
        match event:
            case AudioInput():
                return self._audio(event)
            case SessionStart():
                return self._begin(event)
            case PromptStart():
                return self._prompt(event)
            case TextContentStart():
                return self._open_text(event)
            case AudioContentStart():
                return self._open_audio(event)
            case TextInput():
                return self._text(event)
            case ContentEnd():
                return self._close_content(event)
            case PromptEnd() | SessionEnd():
                return self._end(event)
            case ToolContentStart() | ToolResult():
                raise UnknownEvent("Tools belong to the server: clients send no tool results.")
            case _:
                assert_never(event)

    def _take_extra(self, extra: Extra) -> Sequence[Action]:
        """Take what clients send beside Nova's events; `init` leaves the whole opening to the server."""
        if extra.name != "init":
            return ()
        if self._phase is not Phase.IDLE:
            raise WrongOrder
        self._opening = Opening(SessionStart()).with_prompt(PromptStart(extra.prompt_name, ""))
        self._output.prompt_name = extra.prompt_name
        return self._start(extra.audio_name, 16_000)

    def _begin(self, event: SessionStart) -> Sequence[Action]:
        was_running = self._phase in (Phase.LIVE, Phase.CHANGING)
        self._phase = Phase.OPENING
        self._opening = Opening(event)
        self._forget_contents()
        return (End(),) if was_running else ()

    def _prompt(self, event: PromptStart) -> Sequence[Action]:
        if self._phase is Phase.IDLE:
            raise WrongOrder("promptStart comes after sessionStart.")
        if event.output_hertz not in RATES_HERTZ:
            raise NotAllowed("Speech comes at 8000, 16000 or 24000 samples per second.")
        is_running = self._phase in (Phase.LIVE, Phase.CHANGING)
        self._phase = Phase.CHANGING if is_running else Phase.OPENING
        self._opening = self._opening.with_prompt(event)
        self._output.prompt_name = event.prompt_name
        return ()

    def _open_text(self, event: TextContentStart) -> Sequence[Action]:
        if event.role is Role.TOOL or (event.role is Role.ASSISTANT and self._phase is Phase.LIVE):
            raise UnknownEvent(f"Content of the role {event.role} belongs to the server.")
        if self._phase is Phase.LIVE:
            fits = event.role is Role.USER and event.interactive
        else:
            fits = self._phase in (Phase.OPENING, Phase.CHANGING) and self._opening.prompt is not None
        if not fits or event.content_name in self._blocks:
            raise WrongOrder
        if len(self._blocks) >= _BLOCKS_LIMIT:
            raise TooLarge("Too many contents are open at once.")
        self._blocks[event.content_name] = _Block(event.role)
        return ()

    def _open_audio(self, event: AudioContentStart) -> Sequence[Action]:
        if self._opening.prompt is None or self._phase in (Phase.IDLE, Phase.PROMPT_OVER):
            raise WrongOrder("The audio contentStart comes after promptStart.")
        if event.input_hertz not in RATES_HERTZ:
            raise InvalidAudio("Audio comes at 8000, 16000 or 24000 samples per second.")
        if self._phase is not Phase.LIVE:
            return self._start(event.content_name, event.input_hertz)
        if self._microphone is Microphone.OPEN:
            raise WrongOrder("The audio content is open already.")
        self._microphone = Microphone.OPEN
        self._audio_name = event.content_name
        return ()

    def _start(self, audio_name: str, input_hertz: int) -> Sequence[Action]:
        self._phase = Phase.LIVE
        self._blocks.clear()
        self._microphone = Microphone.OPEN
        self._audio_name = audio_name
        self._input_hertz = input_hertz
        return (self._opening.start(input_hertz),)

    def _audio(self, event: AudioInput) -> Sequence[Action]:
        if self._microphone is Microphone.NEVER:
            raise WrongOrder("audioInput comes after the audio contentStart.")
        if self._microphone is Microphone.CLOSED or self._phase is Phase.PROMPT_OVER or not event.pcm:
            self.dropped_frames += 1  # stray frames of a recorder that stops a little late
            return ()
        if event.content_name != self._audio_name:
            raise WrongOrder("No such audio content is open.")
        begin = self._start(self._audio_name, self._input_hertz) if self._phase is Phase.CHANGING else ()
        return (*begin, SendAudio(event.pcm))

    def _text(self, event: TextInput) -> Sequence[Action]:
        block = self._blocks.get(event.content_name)
        if block is None:
            raise WrongOrder("No such text content is open.")
        block.characters += len(event.content)
        if block.characters > TEXT_LIMIT:
            raise TooLarge
        block.parts.append(event.content)
        return ()

    def _close_content(self, event: ContentEnd) -> Sequence[Action]:
        if self._microphone is Microphone.OPEN and event.content_name == self._audio_name:
            self._microphone = Microphone.CLOSED
            return (StopAudio(),)
        block = self._blocks.pop(event.content_name, None)
        if block is None:
            raise WrongOrder("No such content is open.")
        text = "".join(block.parts)
        if self._phase is Phase.LIVE:
            return (SendText(text),)
        self._opening = self._opening.with_text(block.role, text)
        return ()

    def _end(self, event: PromptEnd | SessionEnd) -> Sequence[Action]:
        if self._phase is Phase.IDLE:
            raise WrongOrder
        was_running = self._phase in (Phase.LIVE, Phase.CHANGING)
        self._phase = Phase.PROMPT_OVER if isinstance(event, PromptEnd) else Phase.IDLE
        self._blocks.clear()
        if self._microphone is Microphone.OPEN:
            self._microphone = Microphone.CLOSED
        return (End(),) if was_running else ()

    def _forget_contents(self) -> None:
        self._blocks.clear()
        self._microphone = Microphone.NEVER
        self._audio_name = ""

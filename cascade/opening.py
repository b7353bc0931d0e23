"""What a stream is opened with, and what comes in on it later, out of the input events of Nova Sonic. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from s2s.errors import LocalProtocolError
from s2s.events import (
    AudioContentStart,
    ContentEnd,
    Endpointing,
    InferenceConfiguration,
    InputEvent,
    PromptStart,
    Role,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
    ToolSpec,
)


@dataclass(frozen=True, slots=True)
class Typed:
    """A turn that the user has typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a tool call."""

    tool_use_id: str
    content: str
    """JSON text of an object."""


@dataclass(frozen=True, slots=True)
class Told:
    """A text of the opening: the system prompt, or something that was said before."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Opening:
    """What a stream is opened with."""

    prompt_name: str
    voice_id: str
    input_hertz: int
    output_hertz: int
    system: str
    history: tuple[Told, ...]
    tools: tuple[ToolSpec, ...]
    tool_choice: str | None
    inference: InferenceConfiguration
    endpointing: Endpointing | None


class Inbox:
    """Puts the blocks of text and of results together that come in pieces."""

    def __init__(self) -> None:
        self._open: TextContentStart | ToolContentStart | None = None
        self._pieces: list[str] = []

    def take(self, event: InputEvent) -> Typed | Answered | Told | None:
        """Return what is whole with this event; None while nothing is."""
        match event:
            case TextContentStart() | ToolContentStart():
                self._open, self._pieces = event, []
            case TextInput() | ToolResult():
                self._pieces.append(event.content)
            case ContentEnd() if self._open is not None and event.content_name == self._open.content_name:
                return self._whole()
            case _:
                pass
        return None

    def _whole(self) -> Typed | Answered | Told:
        block, text = self._open, "".join(self._pieces)
        self._open, self._pieces = None, []
        if isinstance(block, ToolContentStart):
            return Answered(block.tool_use_id, text)
        if block is not None and block.interactive:
            return Typed(text)
        return Told(Role.USER if block is None else block.role, text)


def read_opening(events: Sequence[InputEvent]) -> tuple[Opening, Sequence[InputEvent]]:
    """Return what a stream is opened with, and the events that come after that.

    Args:
        events: legal in their order (s2s.protocol).

    Raises:
        LocalProtocolError: they open no audio: there would be nothing to hear.
    """
    inbox, told = Inbox(), list[Told]()
    session, prompt = SessionStart(), PromptStart("", "")
    for index, event in enumerate(events):
        match event:
            case SessionStart():
                session = event
            case PromptStart():
                prompt = event
            case AudioContentStart():
                opening = Opening(
                    prompt_name=prompt.prompt_name,
                    voice_id=prompt.voice_id,
                    input_hertz=event.input_hertz,
                    output_hertz=prompt.output_hertz,
                    system="".join(one.text for one in told if one.role is Role.SYSTEM),
                    history=tuple(one for one in told if one.role in (Role.USER, Role.ASSISTANT)),
                    tools=prompt.tools,
                    tool_choice=prompt.tool_choice,
                    inference=session.inference,
                    endpointing=session.endpointing,
                )
                return opening, events[index + 1 :]
            case _ if isinstance(whole := inbox.take(event), Told):
                told.append(whole)
            case _:
                pass
    raise LocalProtocolError("a cascade is opened with everything up to the audio block")

"""Which input events are legal now: the order of a stream, as far as it is known.

The table of `states.py` says which kind of event may follow. Beside it there are rules over names, counts and content: names of blocks are
used once, a block is not closed empty, no audio comes while a TEXT block is open (Amazon Nova user guide, and reports of "Chat history
should be sent completely before streaming audio."), every tool call gets one result, and history alternates and fits its limits. Each
mistake has its row in `refusals.py`. Pure: `accept` answers what an event means.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import assert_never

import orjson

from nova_sonic_local.brains.interface import Prompt
from nova_sonic_local.events import (
    AudioInput,
    AudioStart,
    ContentEnd,
    Endpointing,
    InputEvent,
    PromptEnd,
    PromptStart,
    SessionEnd,
    SessionStart,
    TextInput,
    TextRole,
    TextStart,
    ToolResult,
    ToolStart,
    UnknownInput,
)
from nova_sonic_local.history import History
from nova_sonic_local.members import refuse
from nova_sonic_local.models import RELAXED_TEXT, STRICT_TEXT, Model
from nova_sonic_local.parsing import Checks
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.states import State, Step, follow

_LONGEST_TEXT = 1_000_000
"""Characters of one block: no limit of the service is known, but memory has one."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The opening is complete: the conversation can begin."""

    prompt: Prompt
    prompt_name: str
    endpointing: Endpointing | None
    typed: str | None
    """A USER text that was marked interactive but came before the audio: answered as soon as the audio is primed."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Speech, or silence, of the user."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class Typed:
    """A typed turn of the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A tool's result."""

    tool_use_id: str
    result: dict[str, object]


class Border(Enum):
    """Something was closed."""

    AUDIO = "audio"
    PROMPT = "prompt"
    SESSION = "session"


type Meaning = Ready | Heard | Typed | Answered | Border | None


@dataclass(slots=True)
class _Block:
    start: TextStart | AudioStart | ToolStart
    texts: list[str] = field(default_factory=list)
    pieces: int = 0


class OrderEngine:
    """Follows the input of one stream.

    Args:
        model_id: as the client wrote it.
        model: its capabilities.
        checks: what to do with what the service is not known to accept.
        pending_tools: ids of the calls that wait for a result; whoever calls tools adds, this class removes.
    """

    def __init__(self, model_id: str, model: Model, checks: Checks, pending_tools: set[str]) -> None:
        self.state = State.NEW
        self._model_id = model_id
        self._model = model
        self._is_strict = checks is Checks.STRICT
        self._pending = pending_tools
        self._limits = STRICT_TEXT if self._is_strict else RELAXED_TEXT
        self._endpointing: Endpointing | None = None
        self._prompt = PromptStart("", "", 0, ())
        self._blocks: dict[str, _Block] = {}
        self._names: set[str] = set()
        self._system = ""
        self._history = History(self._limits)
        self._typed: str | None = None

    def accept(self, event: InputEvent) -> Meaning:  # noqa: PLR0912 -- one line per event
        """Take the next event and tell what it means.

        Raises:
            Refused: the event is not legal now.
        """
        match event:
            case AudioInput():
                return self._audio_input(event)
            case TextInput():
                return self._text_input(event)
            case ToolResult():
                return self._tool_result(event)
            case TextStart():
                return self._open_text(event)
            case AudioStart():
                return self._open_audio(event)
            case ToolStart():
                return self._open_tool(event)
            case ContentEnd():
                return self._close(event)
            case SessionStart():
                return self._session_start(event)
            case PromptStart():
                return self._prompt_start(event)
            case PromptEnd():
                return self._prompt_end(event)
            case SessionEnd():
                return self._session_end()
            case UnknownInput():
                return None
            case _:
                assert_never(event)

    def _move(self, step: Step) -> None:
        """Go on in the table."""
        after = follow(self.state, step, is_strict=self._is_strict)
        if isinstance(after, Refusal):
            refuse(after)
        self.state = after

    def _session_start(self, event: SessionStart) -> Meaning:
        self._move(Step.SESSION_START)
        self._endpointing = event.endpointing
        return None

    def _prompt_start(self, event: PromptStart) -> Meaning:
        is_first = self.state is State.SESSION
        self._move(Step.PROMPT_START)
        if is_first:
            self._prompt = event
        return None

    def _open(self, event: TextStart | AudioStart | ToolStart) -> Meaning:
        if event.prompt != self._prompt.prompt or event.content in self._names:
            refuse()
        self._names.add(event.content)
        self._blocks[event.content] = _Block(event)
        return None

    def _open_text(self, event: TextStart) -> Meaning:
        self._move(_text_step(event))
        if self._open_texts():
            refuse()
        return self._open(event)

    def _open_audio(self, event: AudioStart) -> Meaning:
        if self._open_texts():
            refuse(Refusal.HISTORY_AFTER_AUDIO)
        self._move(Step.AUDIO)
        self._open(event)
        self._history.check(is_strict=self._is_strict)
        prompt = Prompt(
            self._model_id,
            self._prompt.voice_id,
            event.input_hertz,
            self._prompt.output_hertz,
            self._system,
            tuple(self._history.messages),
            {tool.name: tool for tool in self._prompt.tools},
        )
        return Ready(prompt, self._prompt.prompt, self._endpointing, self._typed)

    def _open_tool(self, event: ToolStart) -> Meaning:
        self._move(Step.TOOL)
        if event.media_type != "text/plain":
            refuse(Refusal.TOOL_RESULT_MEDIA_TYPE)
        if event.tool_use_id not in self._pending:
            refuse()
        return self._open(event)

    def _open_texts(self) -> bool:
        return any(isinstance(block.start, TextStart) for block in self._blocks.values())

    def _block(self, prompt: str, content: str) -> _Block:
        block = self._blocks.get(content)
        if block is None or prompt != self._prompt.prompt:
            refuse()
        block.pieces += 1
        return block

    def _audio_input(self, event: AudioInput) -> Meaning:
        self._move(Step.AUDIO_INPUT)
        if self.state is not State.AUDIO_OPEN:
            return None
        if self._open_texts():
            refuse(Refusal.HISTORY_AFTER_AUDIO)
        if not isinstance(self._block(event.prompt, event.content).start, AudioStart):
            refuse()
        return Heard(event.pcm)

    def _text_input(self, event: TextInput) -> Meaning:
        block = self._block(event.prompt, event.content)
        if not isinstance(block.start, TextStart):
            refuse()
        size = len(event.text.encode())
        is_history = block.start.role in (TextRole.USER, TextRole.ASSISTANT) and not block.start.interactive
        if is_history and size > self._limits.history_input:
            refuse(Refusal.HISTORY_TOO_LONG)
        if size > self._limits.system_input or sum(map(len, block.texts)) > _LONGEST_TEXT:
            refuse()
        block.texts.append(event.text)
        return None

    def _tool_result(self, event: ToolResult) -> Meaning:
        block = self._block(event.prompt, event.content)
        if not isinstance(block.start, ToolStart) or block.pieces > 1:
            refuse()
        block.texts.append(event.text)
        _parse_result(event.text)
        return None

    def _close(self, event: ContentEnd) -> Meaning:
        block = self._blocks.get(event.content)
        if block is None or event.prompt != self._prompt.prompt:
            refuse()
        if not block.pieces or (isinstance(block.start, TextStart) and not any(block.texts)):
            raise Refused(Refusal.CONTENT_EMPTY, content=event.content)
        del self._blocks[event.content]
        match block.start:
            case TextStart():
                return self._finish_text(block.start, "".join(block.texts))
            case AudioStart():
                self._move(Step.AUDIO_END)
                return Border.AUDIO if self.state is State.AUDIO_CLOSED else None
            case ToolStart():
                if block.start.tool_use_id not in self._pending:
                    refuse()
                self._pending.remove(block.start.tool_use_id)
                return Answered(block.start.tool_use_id, _parse_result(block.texts[0]))
            case _:
                assert_never(block.start)

    def _finish_text(self, start: TextStart, text: str) -> Meaning:
        if start.role is TextRole.SYSTEM:
            self._system = text
        elif self.state is State.HISTORY and start.role is not TextRole.SYSTEM_SPEECH:
            if start.interactive and start.role is TextRole.USER and self._model.second_generation:
                self._typed = text
            else:
                self._history.add(start.role, text)
        elif self.state is not State.HISTORY and start.role is TextRole.USER:
            return Typed(text)
        return None

    def _prompt_end(self, event: PromptEnd) -> Meaning:
        if event.prompt != self._prompt.prompt:
            refuse()
        if self._blocks and self._is_strict:
            refuse(Refusal.CONTENT_OPEN)
        self._move(Step.PROMPT_END)
        return Border.PROMPT

    def _session_end(self) -> Meaning:
        self._move(Step.SESSION_END)
        return Border.SESSION


def _text_step(event: TextStart) -> Step:
    match event.role:
        case TextRole.SYSTEM:
            return Step.SYSTEM
        case TextRole.SYSTEM_SPEECH:
            return Step.STYLE
        case TextRole.ASSISTANT:
            return Step.ASSISTANT
        case TextRole.USER:
            return Step.TYPED if event.interactive else Step.PAST


def _parse_result(text: str) -> dict[str, object]:
    try:
        result = orjson.loads(text)
    except orjson.JSONDecodeError:
        refuse(Refusal.TOOL_RESULT_NOT_OBJECT)
    if not isinstance(result, dict):
        refuse(Refusal.TOOL_RESULT_NOT_OBJECT)
    return result

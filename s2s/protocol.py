"""Order of events on one stream: what may be sent when, and what the other end is known to refuse.

The tables of `tables.py` say which event may follow. Beside them there are four rules over names and counts: blocks other than audio
never overlap, audio never flows into an open text block, every tool call gets exactly one result, and history alternates and fits its
limits.

An event that breaks a rule raises LocalProtocolError and changes nothing: the service would end the whole stream over it. The words are
the service's where it has some (`failures.py`). What the model sends is only taken note of, never refused: a stream that can be heard is
worth more than one that is tidy. Source: Amazon Nova user guide, "Using the bidirectional streaming API" and "Handling errors".
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Final, assert_never

from s2s import failures
from s2s.audio import AudioFormat
from s2s.codec import decode_output, encode_input
from s2s.errors import CodecError, LocalProtocolError
from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    ContentEnded,
    ContentStart,
    ContentStarted,
    InputEvent,
    OutputEvent,
    PromptEnd,
    PromptStart,
    Role,
    SessionEnd,
    SessionStart,
    TextContentStart,
    TextInput,
    ToolContentStart,
    ToolResult,
    ToolUse,
)
from s2s.limits import PRIMING_MS, STRICT, TextProfile
from s2s.models import ModelCapabilities
from s2s.tables import CONTENT, DATA, PROMPT, STREAM, Block, ContentState, PromptPhase, StreamState
from s2s.validation import check_event

_OPEN_OUTPUT_BLOCKS: Final = 64
"""Blocks of the model that are remembered at once: there is one at a time in practice, and a confused model must not fill memory."""


@dataclass(slots=True)
class _Content:
    name: str
    block: Block
    state: ContentState = ContentState.EMPTY


@dataclass(slots=True)
class _Progress:
    """All that sending changes, so that a group of events can be tried on a copy."""

    state: StreamState = StreamState.IDLE
    phase: PromptPhase = PromptPhase.EMPTY
    prompt_name: str = ""
    used_names: set[str] = field(default_factory=set)
    audio: _Content | None = None
    input_hertz: int = 16_000
    inserted: _Content | None = None
    """The one block beside audio that is open: text or a tool result."""
    pending_tools: set[str] = field(default_factory=set)
    history_roles: list[Role] = field(default_factory=list)
    history_bytes: int = 0

    def fork(self) -> "_Progress":
        """Return a copy that shares nothing which changes."""
        twin = copy(self)
        twin.used_names, twin.pending_tools, twin.history_roles = set(self.used_names), set(self.pending_tools), list(self.history_roles)
        twin.audio, twin.inserted = copy(self.audio), copy(self.inserted)
        return twin


class StreamProtocol:
    """One bidirectional stream, without its network: events in, bytes out, and the other way round.

    Args:
        model: what the model can do.
        profile: how much text it may be given.
    """

    def __init__(self, model: ModelCapabilities, profile: TextProfile = STRICT) -> None:
        self._model = model
        self._profile = profile
        self._progress = _Progress()
        self._output_blocks: dict[str, ContentStarted] = {}

    @property
    def state(self) -> StreamState:
        """Return where the stream is."""
        return self._progress.state

    @property
    def phase(self) -> PromptPhase:
        """Return what the prompt is ready for."""
        return self._progress.phase

    @property
    def pending_tools(self) -> frozenset[str]:
        """Return the ids of tool calls that have no result yet."""
        return frozenset(self._progress.pending_tools)

    def send(self, event: InputEvent) -> bytes:
        """Return the bytes of the next event.

        Raises:
            LocalProtocolError: the event is not legal now; nothing has changed.
        """
        if isinstance(event, AudioInput):
            return self._send_audio(event)
        return self.send_group((event,))[0]

    def _send_audio(self, event: AudioInput) -> bytes:
        """Return the bytes of a piece of audio: some 31 a second and stream, so the usual case is looked at first."""
        now = self._progress
        audio = now.audio
        if (
            audio is None
            or audio.state is not ContentState.FILLED
            or audio.name != event.content_name
            or now.prompt_name != event.prompt_name
            or now.inserted is not None
            or now.state is not StreamState.PROMPT_OPEN
            or not event.pcm
        ):
            return self._step(now, event)  # checks before it changes anything, so that no copy is needed
        try:
            return encode_input(event)
        except CodecError as error:
            raise LocalProtocolError(str(error)) from None

    def send_group(self, events: Sequence[InputEvent]) -> list[bytes]:
        """Return the bytes of several events, or of none.

        Raises:
            LocalProtocolError: one of them is not legal in its place; nothing has changed.
        """
        draft = self._progress.fork()
        written = [self._step(draft, event) for event in events]
        self._progress = draft
        return written

    def receive_data(self, data: bytes) -> OutputEvent:
        """Return the event that the model sent, and remember its tool calls and open blocks.

        Raises:
            CodecError: the bytes are no event; the stream can go on.
        """
        event = decode_output(data)
        if isinstance(event, ToolUse):
            self._progress.pending_tools.add(event.tool_use_id)
        elif isinstance(event, ContentStarted):
            if len(self._output_blocks) >= _OPEN_OUTPUT_BLOCKS:
                self._output_blocks.pop(next(iter(self._output_blocks)))
            self._output_blocks[event.content_id] = event
        elif isinstance(event, ContentEnded):
            self._output_blocks.pop(event.content_id, None)
        return event

    def output_block(self, content_id: str) -> ContentStarted | None:
        """Return the model's open block of this id: its type, role and stage."""
        return self._output_blocks.get(content_id)

    def closing_events(self) -> tuple[InputEvent, ...]:
        """Return what is still to be sent to end the stream in order; nothing when it cannot be or has been.

        An open block that is empty gets the least data, and a prompt that was never spoken to gets a moment of silence, because the
        service refuses to end without. A prompt without a system block cannot end in order: just end the input.
        """
        now = self._progress
        match now.state:
            case StreamState.IDLE | StreamState.CLOSED:
                return ()
            case StreamState.SESSION_OPEN | StreamState.PROMPT_CLOSED:
                return (SessionEnd(),)
            case StreamState.PROMPT_OPEN:
                if now.phase is PromptPhase.EMPTY:
                    return ()
                return (*self._close_inserted(), *self._close_audio(), PromptEnd(now.prompt_name), SessionEnd())
        assert_never(now.state)

    def _close_inserted(self) -> tuple[InputEvent, ...]:
        content, prompt_name = self._progress.inserted, self._progress.prompt_name
        if content is None:
            return ()
        end = ContentEnd(prompt_name, content.name)
        if content.state is ContentState.FILLED:
            return (end,)
        if content.block is Block.TOOL:
            return (ToolResult(prompt_name, content.name, '{"error":"cancelled"}'), end)
        return (TextInput(prompt_name, content.name, "."), end)

    def _close_audio(self) -> tuple[InputEvent, ...]:
        now = self._progress
        if now.phase is PromptPhase.DEAF:
            return ()
        silence = AudioFormat(now.input_hertz).silence(PRIMING_MS)
        if now.audio is None:
            name = next(name for number in range(len(now.used_names) + 1) if (name := f"closing-{number}") not in now.used_names)
            start = AudioContentStart(now.prompt_name, name, now.input_hertz)
            return (start, AudioInput(now.prompt_name, name, silence), ContentEnd(now.prompt_name, name))
        end = ContentEnd(now.prompt_name, now.audio.name)
        if now.audio.state is ContentState.EMPTY:
            return (AudioInput(now.prompt_name, now.audio.name, silence), end)
        return (end,)

    def _step(self, now: _Progress, event: InputEvent) -> bytes:
        following = STREAM[now.state].get(type(event))
        if following is None:
            raise LocalProtocolError(f"{type(event).__name__} is not legal in {now.state.value}")
        check_event(event, self._model, self._profile)
        try:
            data = encode_input(event)
        except CodecError as error:
            raise LocalProtocolError(str(error)) from None
        match event:
            case SessionStart() | SessionEnd():
                pass
            case PromptStart():
                now.prompt_name = event.prompt_name
            case PromptEnd():
                _end_prompt(now, event)
            case TextContentStart() | AudioContentStart() | ToolContentStart():
                self._open(now, event)
            case TextInput() | AudioInput() | ToolResult():
                self._fill(now, event)
            case ContentEnd():
                _close(now, event)
            case _:
                assert_never(event)
        now.state = following
        return data

    def _open(self, now: _Progress, event: ContentStart) -> None:
        _check_prompt_name(now, event.prompt_name)
        block = self._block_of(event)
        following = PROMPT[now.phase].get(block)
        if following is None:
            raise LocalProtocolError(_why_not(now.phase, block))
        if now.inserted is not None:
            if block is Block.AUDIO:
                raise LocalProtocolError(f"{failures.HISTORY_LATE.text} A text block is open")
            raise LocalProtocolError(f"block {now.inserted.name} is still open: text and tool blocks do not overlap")
        if event.content_name in now.used_names:
            raise LocalProtocolError(f"content name {event.content_name} is used already")
        content = _Content(event.content_name, block)
        if isinstance(event, ToolContentStart):
            if event.tool_use_id not in now.pending_tools:
                raise LocalProtocolError(f"{failures.REQUEST.text} No tool call {event.tool_use_id} waits for a result")
            now.pending_tools.discard(event.tool_use_id)
        if isinstance(event, AudioContentStart):
            now.audio, now.input_hertz = content, event.input_hertz
        else:
            now.inserted = content
        if isinstance(event, TextContentStart) and block is Block.HISTORY:
            self._count_history(now, event.role)
        now.used_names.add(event.content_name)
        now.phase = following

    def _block_of(self, event: ContentStart) -> Block:
        match event:
            case AudioContentStart():
                return Block.AUDIO
            case ToolContentStart():
                return Block.TOOL
            case TextContentStart(role=Role.SYSTEM):
                return Block.SYSTEM
            case TextContentStart(role=Role.SYSTEM_SPEECH) if self._model.system_speech:
                return Block.SYSTEM_SPEECH
            case TextContentStart(role=Role.USER, interactive=True) if self._model.text_turns:
                return Block.TYPED_TURN
            case TextContentStart(role=Role.USER | Role.ASSISTANT, interactive=False):
                return Block.HISTORY
            case TextContentStart():
                kind = "interactive " if event.interactive else ""
                raise LocalProtocolError(f"{self._model.model_id} takes no {kind}TEXT of role {event.role}")
        assert_never(event)

    def _count_history(self, now: _Progress, role: Role) -> None:
        expected = Role.ASSISTANT if now.history_roles and now.history_roles[-1] is Role.USER else Role.USER
        if role is not expected:
            raise LocalProtocolError("history starts with USER and alternates")
        if len(now.history_roles) >= self._profile.history_messages:
            raise LocalProtocolError(failures.HISTORY_TOO_LONG.text)
        now.history_roles.append(role)

    def _fill(self, now: _Progress, event: TextInput | AudioInput | ToolResult) -> None:
        _check_prompt_name(now, event.prompt_name)
        if isinstance(event, AudioInput) and now.inserted is not None and now.inserted.block is not Block.TOOL:
            raise LocalProtocolError(f"{failures.HISTORY_LATE.text} A text block is open")
        content = _open_content(now, event.content_name)
        if content.block not in DATA[type(event)]:
            raise LocalProtocolError(f"{type(event).__name__} does not belong into a block of kind {content.block.value}")
        if content.block is Block.TOOL and content.state is ContentState.FILLED:
            raise LocalProtocolError("a tool call gets exactly one result")
        if isinstance(event, TextInput):
            if not event.content:
                raise LocalProtocolError(f"an empty text is no data: content [{event.content_name}]")
            if content.block is Block.HISTORY:
                size = now.history_bytes + len(event.content.encode())
                if size > self._profile.history_bytes:
                    raise LocalProtocolError(failures.HISTORY_TOO_LONG.text)
                now.history_bytes = size
        if isinstance(event, AudioInput) and not event.pcm:
            raise LocalProtocolError(f"empty audio is no data: content [{event.content_name}]")
        content.state = CONTENT[content.state]["data"]


def _check_prompt_name(now: _Progress, prompt_name: str) -> None:
    if prompt_name != now.prompt_name:
        raise LocalProtocolError("another prompt's event: a stream has one prompt")


def _open_content(now: _Progress, name: str) -> _Content:
    for content in (now.audio, now.inserted):
        if content is not None and content.name == name and content.state is not ContentState.CLOSED:
            return content
    raise LocalProtocolError(f"no block {name} is open")


def _close(now: _Progress, event: ContentEnd) -> None:
    _check_prompt_name(now, event.prompt_name)
    content = _open_content(now, event.content_name)
    following = CONTENT[content.state].get("end")
    if following is None:
        raise LocalProtocolError(f"Cannot end content [{content.name}] {failures.CONTENT_EMPTY.text}")
    content.state = following
    if content is now.audio:
        now.phase = PromptPhase.DEAF
    else:
        now.inserted = None


def _end_prompt(now: _Progress, event: PromptEnd) -> None:
    _check_prompt_name(now, event.prompt_name)
    if now.inserted is not None or now.phase is PromptPhase.LISTENING:
        raise LocalProtocolError(failures.CONTENT_OPEN.text)
    if now.audio is None:
        raise LocalProtocolError(f"a prompt {failures.NO_AUDIO.text}")


def _why_not(phase: PromptPhase, block: Block) -> str:
    if phase is PromptPhase.EMPTY:
        return failures.SYSTEM_FIRST.text
    if block is Block.SYSTEM:
        return failures.SYSTEM_TWICE.text
    if block is Block.HISTORY:
        return failures.HISTORY_LATE.text
    return f"no block of kind {block.value} can open in {phase.value}"

"""A conversation of the turns of a cascade, played by hand at a virtual time."""

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from cascade.emission import INTERRUPTED_MARKER
from cascade.interfaces import ReplyEnd, TextPiece, ToolCall, Transcript
from cascade.opening import Opening, Told
from cascade.steps import Ask, Hush, Speak, Step
from cascade.turn_taking import TurnTaking
from s2s.events import (
    AudioOutput,
    CompletionEnd,
    CompletionStart,
    ContentEnded,
    ContentStarted,
    ContentType,
    Endpointing,
    InferenceConfiguration,
    OutputEvent,
    Role,
    TextOutput,
    ToolSpec,
    ToolUse,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)

HERTZ = 24_000
LOOK_UP = ToolSpec("lookUp", "Look something up.", '{"type":"object"}')
OPENING = Opening(
    prompt_name="prompt",
    voice_id="carlos",
    input_hertz=16_000,
    output_hertz=HERTZ,
    system="You are Carlos.",
    history=(),
    tools=(LOOK_UP,),
    tool_choice=None,
    inference=InferenceConfiguration(),
    endpointing=Endpointing.HIGH,
)


def counted_ids() -> Callable[[], str]:
    """Return a maker of ids: id-1, id-2 and so on."""
    numbers = itertools.count(1)
    return lambda: f"id-{next(numbers)}"


def speech(seconds: float) -> bytes:
    """Return PCM of this length at the output rate."""
    return bytes(2 * round(seconds * HERTZ))


@dataclass
class Talk:
    """The turns, with what they asked for and told."""

    opening: Opening = OPENING
    now: float = 100.0
    steps: list[Step] = field(default_factory=list)
    stretch: int = 1
    """Of the user's speech, as the recogniser counts them."""

    def __post_init__(self) -> None:
        self.turns = TurnTaking(self.opening, counted_ids())

    def _took(self, steps: Sequence[Step]) -> list[str]:
        self.steps += steps
        return told(steps)

    def hears(self, text: str, *, is_partial: bool = True, result: str = "") -> list[str]:
        """Let the recogniser hear something of the latest stretch."""
        result = result or f"r-{self.stretch}"
        return self._took(self.turns.heard(Transcript(result, text, is_partial, 1_000, 2_000), self.now))

    def closes(self, text: str) -> list[str]:
        """Let the recogniser close the latest stretch."""
        told = self.hears(text, is_partial=False)
        self.stretch += 1
        return told

    def says(self, text: str) -> list[str]:
        """Let the user say a turn."""
        return [*self.hears(text[:3]), *self.closes(text)]

    def types(self, text: str) -> list[str]:
        """Let the user type a turn."""
        return self._took(self.turns.typed(text, self.now))

    @property
    def asked(self) -> list[Ask]:
        """What the text model was asked."""
        return [step for step in self.steps if isinstance(step, Ask)]

    @property
    def number(self) -> int:
        """Number of the latest answer."""
        return self.asked[-1].answer

    def messages(self) -> list[tuple[str, str]]:
        """Return what the text model was told the last time: role and content in short."""
        return [(message["role"], in_short(message["content"])) for message in self.asked[-1].request.messages]

    def writes(self, *texts: str) -> list[str]:
        """Let the text model write pieces."""
        return [line for text in texts for line in self._took(self.turns.wrote(self.number, TextPiece(text), self.now))]

    def calls(self, tool_use_id: str, arguments: str = '{"id":7}') -> list[str]:
        """Let the text model call a tool."""
        return self._took(self.turns.wrote(self.number, ToolCall(tool_use_id, "lookUp", arguments), self.now))

    def ends(self, taken: int = 10, given: int = 5) -> list[str]:
        """Let the text model come to its end."""
        return self._took(self.turns.wrote(self.number, ReplyEnd(taken, given), self.now))

    def speaks(self, seconds: float = 1.0) -> list[str]:
        """Let the voice speak the sentence that it was given, as a whole."""
        return [*self.sounds(seconds), *self.has_spoken()]

    def sounds(self, seconds: float) -> list[str]:
        """Let a piece of speech come."""
        return self._took(self.turns.spoke(self.number, speech(seconds), self.now))

    def has_spoken(self) -> list[str]:
        """Let the speech of a sentence end."""
        return self._took(self.turns.spoken(self.number, self.now))

    def answers(self, tool_use_id: str, content: str = '{"ok":true}') -> list[str]:
        """Let a tool return something."""
        return self._took(self.turns.tool_answered(tool_use_id, content))

    def waits(self, seconds: float) -> list[str]:
        """Let the time pass."""
        until, lines = self.now + seconds, list[str]()
        while (deadline := self.turns.deadline) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            lines += self._took(self.turns.tick(self.now))
        self.now = until
        return lines

    def events(self) -> list[OutputEvent]:
        """Return everything that was told."""
        return [step for step in self.steps if not isinstance(step, Ask | Speak | Hush)]


def in_short(content: Iterable[dict[str, object]]) -> str:
    """Return the content of a message on one line."""
    parts = []
    for block in content:
        match block:
            case {"text": str(text)}:
                parts.append(text)
            case {"toolUse": {"toolUseId": str(use), "input": given}}:
                parts.append(f"<{use} {json.dumps(given)}>")
            case {"toolResult": {"toolUseId": str(use), "content": [{"json": given}]}}:
                parts.append(f"<{use} = {json.dumps(given)}>")
    return " | ".join(parts)


def told(steps: Iterable[Step]) -> list[str]:
    """Return steps in short, one line each; pieces of speech that follow each other are one."""
    lines: list[str] = []
    blocks: dict[str, ContentStarted] = {}
    for step in steps:
        line = _wish(step) if isinstance(step, Ask | Speak | Hush) else _line(step, blocks)
        if line and not (line == "speech" and lines and lines[-1] == line):
            lines.append(line)
    return lines


def _wish(step: Ask | Speak | Hush) -> str:
    match step:
        case Ask(answer):
            return f"ask {answer}"
        case Speak(_, text):
            return f"speak: {text}"
        case Hush():
            return "hush"


def _line(step: OutputEvent, blocks: dict[str, ContentStarted]) -> str:
    match step:
        case CompletionStart():
            return "completion"
        case CompletionEnd():
            return "completion end"
        case UserSpeechStart():
            return "user starts"
        case UserSpeechEnd():
            return "user stops"
        case UsageEvent(delta=delta):
            return f"usage {delta.input_text}/{delta.output_text}"
        case ContentStarted():
            blocks[step.content_id] = step
            return "audio" if step.type is ContentType.AUDIO else ""
        case AudioOutput():
            return "speech"
        case TextOutput():
            block = blocks[step.content_id]
            text = "interrupted!" if step.content == INTERRUPTED_MARKER else step.content
            return f"{block.role.lower()} {'plans' if block.stage and block.stage.value == 'SPECULATIVE' else 'said'}: {text}"
        case ToolUse():
            return f"calls {step.tool_use_id} {step.content}"
        case ContentEnded():
            return f"audio {step.stop_reason.value}" if step.type is ContentType.AUDIO else ""
    return ""


def with_history(*turns: tuple[str, str]) -> Opening:
    """Return an opening that tells of earlier turns: role and text."""
    return replace(OPENING, history=tuple(Told(Role(role), text) for role, text in turns))

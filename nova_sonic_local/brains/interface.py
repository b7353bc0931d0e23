"""What a brain is told, and what it can do in a turn.

The turn engine owns the wire: it hears, decides when the user's turn is over, sends events and audio, and cancels `answer` when the user
interrupts. A brain only decides what was said and what to say next, and so needs to know nothing of HTTP/2, events or clocks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as promptStart declared it."""

    name: str
    description: str
    schema: Mapping[str, object]
    """JSON Schema of the arguments, parsed."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the client set up before the conversation."""

    model_id: str
    voice_id: str
    input_hertz: int
    """0 when nothing is spoken: the whole conversation is in writing."""
    output_hertz: int
    system: str
    history: Sequence[tuple[str, str]] = ()
    """(role, text) of each earlier turn; role is USER or ASSISTANT."""
    tools: Mapping[str, Tool] = field(default_factory=dict)
    hears_everything: bool = False
    """Whether everything may be said at any time: who only writes down has no question of which an answer is awaited."""


@dataclass(frozen=True, slots=True)
class UserTurn:
    """A finished turn of the user."""

    number: int
    """From 1."""
    text: str | None
    """What was typed or recognised; None when somebody spoke and was not understood."""
    pcm: bytes = b""
    """The speech at the input rate, with a little of what came before; empty for a typed turn."""


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came back from a tool that was called."""

    use_id: str
    name: str
    arguments: object
    """As the assistant wrote them: an object, if it made no mistake."""
    result: Mapping[str, object]


@dataclass(slots=True)
class PastTurn:
    """A turn of the user in a conversation that comes as a whole, and what the assistant did in it so far."""

    text: str
    said: list[str] = field(default_factory=list)
    answers: list[ToolAnswer] = field(default_factory=list)


class Reply(Protocol):
    """What a brain can do while it answers. Each call returns when the wire took it, not when it has been played."""

    async def say(self, text: str) -> None:
        """Speak one sentence group: SPECULATIVE text, its audio, and later the FINAL text."""

    async def play(self, pcm: bytes, text: str = "") -> None:
        """Speak ready-made audio (16-bit mono at the prompt's output rate) instead of synthesising the text."""

    async def call_tools(self, calls: Sequence[tuple[str, Mapping[str, object] | str]]) -> list[Mapping[str, object]]:
        """Call tools (name, arguments), all at once, and return their parsed results in the same order.

        Arguments that are a text go out as they are: models do write what is no JSON.
        """


@runtime_checkable
class Breakable(Protocol):
    """A reply whose stream can be made to fail; scripts do."""

    def inject(self, fault: str) -> None:
        """Let a fault happen to the stream (faults.py), now or at a moment that counts from now.

        Raises:
            ValueError: there is no such fault.
        """


class Listener(Protocol):
    """Recognises one turn while it is being spoken."""

    async def feed(self, pcm: bytes) -> None:
        """Take the next piece of speech at the input rate."""

    async def finish(self) -> str | None:
        """Return the text, or None when it was not understood."""


@runtime_checkable
class Monolingual(Protocol):
    """A brain that understands one language."""

    @property
    def language(self) -> str:
        """Return it, as in "es"."""


@runtime_checkable
class Recalling(Protocol):
    """A brain that can be told of a conversation, instead of going through its turns again."""

    def recall(self, turns: Sequence[PastTurn]) -> None:
        """Take over what was said; the last turn is to be answered next, with what its tools have brought already."""


class Brain(Protocol):
    """One per stream."""

    def listen(self) -> Listener | None:
        """Return a recogniser for the turn that begins now, or None when this brain does not need the words."""

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Answer a turn; cancelled when the user interrupts.

        May be called again while an earlier answer waits for its tools: the conversation goes on meanwhile.
        """

    async def close(self) -> None:
        """Let go of processes and files."""


class Voice(Protocol):
    """Text to speech."""

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        """Return the text as 16-bit little-endian mono speech at the given rate."""

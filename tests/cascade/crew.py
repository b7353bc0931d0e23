"""The three services as scripts: what is heard, what is written, how it is spoken, and how each of them fails."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cascade.client import CascadeClient, Crew
from cascade.interfaces import Reply, ReplyEnd, Request, TextPiece, Transcript
from cascade.stream import CascadeStream
from s2s.errors import ModelError
from s2s.events import (
    AudioContentStart,
    ContentEnd,
    Endpointing,
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
)
from tests.cascade.talk import HERTZ, LOOK_UP, counted_ids, speech

OPENING: tuple[InputEvent, ...] = (
    SessionStart(endpointing=Endpointing.HIGH),
    PromptStart("prompt", "carlos", HERTZ, (LOOK_UP,)),
    TextContentStart("prompt", "system", Role.SYSTEM),
    TextInput("prompt", "system", "You are Carlos."),
    ContentEnd("prompt", "system"),
    AudioContentStart("prompt", "audio"),
)


def tool_result(tool_use_id: str, content: str = '{"ok":true}') -> tuple[InputEvent, ...]:
    """Return the result of a call."""
    name = f"result-{tool_use_id}"
    return (ToolContentStart("prompt", name, tool_use_id), ToolResult("prompt", name, content), ContentEnd("prompt", name))


def typed(text: str) -> tuple[InputEvent, ...]:
    """Return a typed turn."""
    return (TextContentStart("prompt", text, Role.USER, True), TextInput("prompt", text, text), ContentEnd("prompt", text))


GOODBYE: tuple[InputEvent, ...] = (ContentEnd("prompt", "audio"), PromptEnd("prompt"), SessionEnd())


class ScriptedTranscription:
    """A recogniser whose ear is the test."""

    signed_until: datetime | None = None

    def __init__(self) -> None:
        self.heard = bytearray()
        self.closed = 0
        self.send_error: ModelError | None = None
        self._found: asyncio.Queue[Transcript | ModelError] = asyncio.Queue()
        self._stretch = 1

    def hears(self, text: str, *, is_partial: bool = False) -> None:
        """Hear something."""
        self._found.put_nowait(Transcript(f"r-{self._stretch}", text, is_partial, 0, 1_000))
        self._stretch += not is_partial

    def fails(self, error: ModelError) -> None:
        """Fail."""
        self._found.put_nowait(error)

    async def send(self, pcm: bytes) -> None:
        """Take audio."""
        if self.send_error is not None:
            raise self.send_error
        self.heard += pcm

    async def receive(self) -> Sequence[Transcript]:
        """Return what the test lets it hear."""
        found = await self._found.get()
        if isinstance(found, ModelError):
            raise found
        return (found,)

    async def close(self) -> None:
        """Count."""
        self.closed += 1


@dataclass
class ScriptedTranscriber:
    """Opens ScriptedTranscriptions."""

    error: ModelError | None = None
    opened: list[tuple[str, int]] = field(default_factory=list)
    streams: list[ScriptedTranscription] = field(default_factory=list)
    hangs: bool = False

    async def open(self, language: str, hertz: int) -> ScriptedTranscription:
        """Open, unless it fails or hangs."""
        self.opened.append((language, hertz))
        if self.hangs:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error
        self.streams.append(ScriptedTranscription())
        return self.streams[-1]

    async def reach(self) -> None:
        """Fail if it does."""
        if self.error is not None:
            raise self.error


type Script = Sequence[Reply | ModelError | asyncio.Event]
"""What comes, one after the other; an event is waited for."""


@dataclass
class ScriptedWriter:
    """A text model that writes what the test says, one script an answer."""

    scripts: list[Script] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    under_way: int = 0

    async def reply(self, request: Request) -> AsyncGenerator[Reply]:
        """Write the next script."""
        self.requests.append(request)
        self.under_way += 1
        try:
            for step in self.scripts.pop(0):
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, ModelError):
                    raise step
                else:
                    yield step
        finally:
            self.under_way -= 1

    async def complete(self, system: str, text: str) -> str:
        """Return nothing."""
        return ""

    async def reach(self) -> None:
        """Be there."""


@dataclass
class ScriptedVoice:
    """A voice that speaks a second for each sentence."""

    error: ModelError | None = None
    waits_for: asyncio.Event | None = None
    spoken: list[tuple[str, str, int]] = field(default_factory=list)
    pieces: int = 2
    piece_seconds: float = 0.5
    under_way: int = 0
    yielded: int = 0

    async def speak(self, text: str, voice_id: str, hertz: int) -> AsyncGenerator[bytes]:
        """Speak."""
        self.spoken.append((text, voice_id, hertz))
        self.under_way += 1
        try:
            for _ in range(self.pieces):
                yield speech(self.piece_seconds)
                self.yielded += 1
            if self.waits_for is not None:
                await self.waits_for.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.under_way -= 1


@dataclass
class Stage:
    """A client with its three services."""

    transcriber: ScriptedTranscriber = field(default_factory=ScriptedTranscriber)
    writer: ScriptedWriter = field(default_factory=ScriptedWriter)
    voice: ScriptedVoice = field(default_factory=ScriptedVoice)

    @property
    def ear(self) -> ScriptedTranscription:
        """The latest recogniser."""
        return self.transcriber.streams[-1]

    async def open(self, opening: Sequence[InputEvent] = OPENING, opening_seconds: float = 2.8) -> CascadeStream:
        """Open a stream."""
        return await self.client(opening_seconds).open(opening)

    def client(self, opening_seconds: float = 2.8) -> CascadeClient:
        """Return a client."""
        return CascadeClient(Crew(self.transcriber, self.writer, self.voice), opening_seconds=opening_seconds, new_id=counted_ids())


def says(*texts: str) -> list[Reply]:
    """Return an answer of these words."""
    return [*(TextPiece(text) for text in texts), ReplyEnd(10, 5)]


async def until[E: OutputEvent](stream: CascadeStream, kind: type[E]) -> E:
    """Receive until an event of this kind comes."""
    while True:
        event = await stream.receive()
        if isinstance(event, kind):
            return event
        if event is None:
            raise AssertionError(f"the stream ended before {kind.__name__}")


def leaked() -> list[str]:
    """Return the names of the tasks of cascades that live."""
    return sorted(name for task in asyncio.all_tasks() if (name := task.get_name()).startswith("cascade"))

"""The session's surroundings as scripts: what the model says, how tools end, what a listener hears."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from s2s.errors import LocalProtocolError, ModelError, Remedy
from s2s.events import (
    AudioOutput,
    CompletionEnd,
    CompletionStart,
    ContentEnded,
    ContentStarted,
    ContentType,
    InferenceConfiguration,
    InputEvent,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextOutput,
    TokenCounts,
    ToolSpec,
    ToolUse,
    UsageEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from session.assistant import AssistantLanguage, AssistantProfile, SessionPlan
from session.effects import Effect, Emit, Flush, Input, ModelEvent
from session.events import SessionEvent, SpeechChunk
from session.machine import SessionMachine
from session.queues import PlaybackQueue

OUTPUT_HERTZ = 24_000
MODEL_ID = "amazon.nova-2-sonic-v1:0"
INTERRUPTED_MARKER = '{ "interrupted" : true }'
LOOK_UP = ToolSpec("lookUp", "Look something up.", '{"type":"object"}')

PLAN = SessionPlan(
    assistant="carlos",
    language="es",
    voice_id="carlos",
    prompt="You are Carlos.",
    tools=("lookUp",),
    inference=InferenceConfiguration(),
    endpointing=None,
    takes_text=True,
    hidden_markers=("[FINAL]",),
    input_hertz=16_000,
    output_hertz=OUTPUT_HERTZ,
    history=(),
)

PROFILE = AssistantProfile(
    name="carlos",
    default_language="es",
    languages={"es": AssistantLanguage("Sos Carlos.", "carlos"), "en": AssistantLanguage("You are Carlos.", "matthew")},
    tools=("lookUp",),
    client_may_set=frozenset({"voice", "inference", "endpointing"}),
    inference=InferenceConfiguration(),
    endpointing=None,
    hidden_markers=("[FINAL]",),
)


def counted_names() -> Callable[[], str]:
    """Return a maker of names: name-1, name-2 and so on."""
    numbers = itertools.count(1)
    return lambda: f"name-{next(numbers)}"


def speech(ms: float, hertz: int = OUTPUT_HERTZ) -> bytes:
    """Return PCM of this length."""
    return bytes(2 * round(ms * hertz / 1_000))


def chunk(turn: int, ms: float) -> SpeechChunk:
    """Return a piece of speech of this length."""
    return SpeechChunk(turn, speech(ms))


def drained(queue: PlaybackQueue, now: float) -> list[SessionEvent]:
    """Return everything that may leave the queue now."""
    events = []
    while (event := queue.pop(now)) is not None:
        events.append(event)
    return events


def speech_ms(events: Iterable[SessionEvent]) -> float:
    """Return how much speech there is among the events."""
    return sum(len(event.pcm) for event in events if isinstance(event, SpeechChunk)) / 2 / OUTPUT_HERTZ * 1_000


def make_machine(plan: SessionPlan = PLAN, playback: PlaybackQueue | None = None) -> tuple[SessionMachine, PlaybackQueue]:
    """Return a machine and its queue."""
    queue = playback or PlaybackQueue(plan.output_hertz)
    machine = SessionMachine(
        session_id="session-1", plan=plan, model_id=MODEL_ID, tools=(LOOK_UP,), playback=queue, new_name=counted_names()
    )
    return machine, queue


class Nova:
    """Writes what Nova Sonic says, in the order in which it says it (docs/reference/protocol.md)."""

    def __init__(self) -> None:
        self._contents = itertools.count(1)
        self._audio = ""

    def _ids(self) -> tuple[str, str, str]:
        return ("stream", "prompt", "completion")

    def _content(self) -> str:
        return f"content-{next(self._contents)}"

    def start(self) -> list[OutputEvent]:
        """Begin the one completion of the stream."""
        return [CompletionStart(*self._ids())]

    def end(self) -> list[OutputEvent]:
        """End it."""
        return [CompletionEnd(*self._ids(), StopReason.END_TURN)]

    def hears(self) -> list[OutputEvent]:
        """Notice that the user begins to speak."""
        return [UserSpeechStart("stream", "prompt", 0)]

    def heard_out(self) -> list[OutputEvent]:
        """Notice that the user has finished."""
        return [UserSpeechEnd("stream", "prompt", 1_920, 2_400)]

    def text(
        self, role: Role, stage: Stage, *contents: str, stop: StopReason = StopReason.PARTIAL_TURN, text_role: Role | None = None
    ) -> list[OutputEvent]:
        """Write a TEXT block."""
        content_id = self._content()
        return [
            ContentStarted(*self._ids(), content_id, ContentType.TEXT, role, stage),
            *(TextOutput(*self._ids(), content_id, text_role, content) for content in contents),
            ContentEnded(*self._ids(), content_id, ContentType.TEXT, stop),
        ]

    def user(self, text: str) -> list[OutputEvent]:
        """Write what the user said."""
        return self.text(Role.USER, Stage.FINAL, text)

    def plans(self, *texts: str) -> list[OutputEvent]:
        """Write what the assistant is about to say."""
        return self.text(Role.ASSISTANT, Stage.SPECULATIVE, *texts)

    def said(self, text: str) -> list[OutputEvent]:
        """Write what the assistant has said."""
        return self.text(Role.ASSISTANT, Stage.FINAL, text, stop=StopReason.END_TURN)

    def marker(self) -> list[OutputEvent]:
        """Say that the user interrupted."""
        return self.text(Role.ASSISTANT, Stage.FINAL, INTERRUPTED_MARKER, stop=StopReason.INTERRUPTED)

    def opens_audio(self) -> list[OutputEvent]:
        """Open an AUDIO block."""
        self._audio = self._content()
        return [ContentStarted(*self._ids(), self._audio, ContentType.AUDIO, Role.ASSISTANT, None, OUTPUT_HERTZ)]

    def audio(self, ms: float) -> list[OutputEvent]:
        """Send a piece of speech."""
        return [AudioOutput(*self._ids(), self._audio, speech(ms))]

    def closes_audio(self, stop: StopReason = StopReason.PARTIAL_TURN) -> list[OutputEvent]:
        """Close the AUDIO block."""
        return [ContentEnded(*self._ids(), self._audio, ContentType.AUDIO, stop)]

    def speaks(self, ms: float, stop: StopReason = StopReason.END_TURN, pieces: int = 4) -> list[OutputEvent]:
        """Send a whole AUDIO block."""
        return [*self.opens_audio(), *(event for _ in range(pieces) for event in self.audio(ms / pieces)), *self.closes_audio(stop)]

    def calls(self, tool_use_id: str, arguments: str = "{}", name: str = "lookUp") -> list[OutputEvent]:
        """Call a tool."""
        content_id = self._content()
        return [
            ContentStarted(*self._ids(), content_id, ContentType.TOOL, Role.TOOL),
            ToolUse(*self._ids(), content_id, name, tool_use_id, arguments),
            ContentEnded(*self._ids(), content_id, ContentType.TOOL, StopReason.TOOL_USE),
        ]

    def usage(self, total: TokenCounts) -> list[OutputEvent]:
        """Count tokens."""
        return [UsageEvent(*self._ids(), TokenCounts(), total)]


class Conversation:
    """A machine with its queue, played by hand: gives inputs at a virtual time and performs what concerns the listener."""

    def __init__(self, plan: SessionPlan = PLAN) -> None:
        self.machine, self.playback = make_machine(plan)
        self.now = 0.0
        self.effects: list[Effect] = []
        self.heard: list[SessionEvent] = []

    @property
    def told(self) -> list[SessionEvent]:
        """Every event that was emitted."""
        return [effect.event for effect in self.effects if isinstance(effect, Emit)]

    def give(self, given: Input) -> list[Effect]:
        """Tell the machine something."""
        effects = self.machine.handle(given, self.now)
        for effect in effects:
            if isinstance(effect, Emit):
                self.playback.put(effect.event, self.now)
            elif isinstance(effect, Flush):
                self.playback.flush(effect.turn, self.now)
        self.effects += effects
        return effects

    def says(self, *events: OutputEvent) -> list[SessionEvent]:
        """Let the model say something; return what is told of it."""
        effects = [effect for event in events for effect in self.give(ModelEvent(1, event))]
        return [effect.event for effect in effects if isinstance(effect, Emit)]

    def listen(self, seconds: float) -> None:
        """Let the time pass, with a listener who takes what is ready."""
        until = self.now + seconds
        while True:
            while (event := self.playback.pop(self.now)) is not None:
                self.heard.append(event)
            ready_at = self.playback.ready_at()
            if ready_at is None or ready_at > until:
                self.now = until
                return
            self.now = max(self.now, ready_at)


@dataclass
class Outcome:
    """How a tool call ended."""

    content: str = '{"success":true}'
    error_code: str | None = None


class ScriptedTools:
    """Tools that end when the test says so."""

    def __init__(self) -> None:
        self.calls: dict[str, asyncio.Future[Outcome]] = {}
        self.cancelled: list[str] = []
        self.forgotten: list[str] = []

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        """Return a spec for each name."""
        return tuple(replace(LOOK_UP, name=name) for name in names)

    async def run(self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = "") -> Outcome:
        """Wait for `finish`."""
        self.calls[tool_use_id] = asyncio.get_running_loop().create_future()
        try:
            return await self.calls[tool_use_id]
        except asyncio.CancelledError:
            self.cancelled.append(tool_use_id)
            raise

    def finish(self, tool_use_id: str, outcome: Outcome | None = None) -> None:
        """End a call."""
        self.calls[tool_use_id].set_result(outcome or Outcome())

    def forget(self, session_id: str) -> None:
        """Take note."""
        self.forgotten.append(session_id)


class ScriptedStream:
    """A stream whose other end is the test."""

    def __init__(self) -> None:
        self.signed_until: datetime | None = None
        self.sent: list[tuple[InputEvent, ...]] = []
        self.closed = 0
        self.reads = asyncio.Event()
        """Cleared, the model does not read."""
        self.reads.set()
        self.send_error: ModelError | LocalProtocolError | None = None
        self._said: asyncio.Queue[OutputEvent | BaseException | None] = asyncio.Queue()

    def say(self, events: Iterable[OutputEvent]) -> None:
        """Let the model say something."""
        for event in events:
            self._said.put_nowait(event)

    def fail(self, error: BaseException | None) -> None:
        """Let the stream die, or with None end in order."""
        self._said.put_nowait(error)

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Take a group when the model reads."""
        await self.reads.wait()
        if self.send_error is not None:
            raise self.send_error
        self.sent.append(tuple(events))

    async def receive(self) -> OutputEvent | None:
        """Return what the test lets the model say."""
        said = await self._said.get()
        if isinstance(said, BaseException):
            raise said
        return said

    async def close(self) -> None:
        """Count, and end what is being received."""
        self.closed += 1
        self._said.put_nowait(None)


@dataclass
class ScriptedModel:
    """Opens ScriptedStreams."""

    opens: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, opening takes for ever."""
    error: BaseException | None = None
    streams: list[ScriptedStream] = field(default_factory=list)
    openings: list[tuple[InputEvent, ...]] = field(default_factory=list)
    abandoned: int = 0
    signed_until: datetime | None = None
    """Of the streams that are opened from now on."""

    def __post_init__(self) -> None:
        """Begin as a model that opens."""
        self.opens.set()

    @property
    def model_id(self) -> str:
        """The model's id."""
        return MODEL_ID

    async def open(self, opening: Sequence[InputEvent]) -> ScriptedStream:
        """Open, when the test lets it."""
        self.openings.append(tuple(opening))
        try:
            await self.opens.wait()
        except asyncio.CancelledError:
            self.abandoned += 1
            raise
        if self.error is not None:
            raise self.error
        self.streams.append(ScriptedStream())
        self.streams[-1].signed_until = self.signed_until
        return self.streams[-1]


class LoopClock:
    """The loop's own time, if wanted at another speed."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed

    def now(self) -> float:
        """Return virtual seconds."""
        return asyncio.get_running_loop().time() * self._speed


@dataclass
class Recorder:
    """An observer that keeps what it is told."""

    events: list[SessionEvent] = field(default_factory=list)

    def on_event(self, session_id: str, event: SessionEvent) -> None:
        """Keep the event."""
        self.events.append(event)


def model_error(code: str = "model_lost", remedy: Remedy = Remedy.RESUME) -> ModelError:
    """Return a failure of the stream."""
    return ModelError(code, remedy, "made up by a test")

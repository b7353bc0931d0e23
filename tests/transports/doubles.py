"""A model that a test drives by hand, and a whole WebSocket server around it on a free port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from aiohttp import web

from api.plain_http import PlainHttp
from auth.anonymous import AnonymousAuthenticator
from s2s.errors import ModelError, Remedy
from s2s.events import AudioInput, ContentEnd, InputEvent, OutputEvent, TextInput, ToolSpec
from session.assistant import AssistantProfile, parse_assistant
from session.interfaces import ToolOutcome
from session.registry import SessionRegistry
from telemetry.counters import Counters
from transports.attachments import Adopter
from transports.authentication import Gate
from transports.directory import Directory
from transports.event_channels import EventDesk
from transports.limits import NO_LIMITS, Limits
from transports.origins import OriginPolicy
from transports.provisions import Provisions
from transports.sockets import listen, port_of
from transports.websocket import WebSocketServer

ASSISTANT = """
name = "carlos"
default_language = "es"
client_may_set = ["voice", "inference", "endpointing", "history"]
tools = []
hidden_markers = ["[FINAL]"]
[languages.es]
voice = "carlos"
prompt = "Sos Carlos."
[languages.en]
voice = "matthew"
prompt = "You are Carlos."
"""


class LoopClock:
    """The loop's own monotonic time."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()


class ScriptedStream:
    """A model's stream whose answers the test puts in."""

    def __init__(self, opening: Sequence[InputEvent]) -> None:
        self.opening = tuple(opening)
        self.sent: list[InputEvent] = []
        self.is_closed = False
        self.signed_until: datetime | None = None
        self._outputs: asyncio.Queue[OutputEvent | ModelError] = asyncio.Queue()
        self._sent_more = asyncio.Condition()

    async def send(self, events: Sequence[InputEvent]) -> None:
        async with self._sent_more:
            self.sent.extend(events)
            self._sent_more.notify_all()

    async def receive(self) -> OutputEvent | None:
        output = await self._outputs.get()
        if isinstance(output, ModelError):
            raise output
        return output

    async def close(self) -> None:
        self.is_closed = True

    def say(self, *outputs: OutputEvent | ModelError) -> None:
        for output in outputs:
            self._outputs.put_nowait(output)

    async def wait_for(self, wanted: type[InputEvent], count: int = 1) -> list[InputEvent]:
        async with self._sent_more:
            await self._sent_more.wait_for(lambda: sum(isinstance(event, wanted) for event in self.sent) >= count)
        return [event for event in self.sent if isinstance(event, wanted)]

    @property
    def pcm(self) -> bytes:
        """The user's speech without the silence that the session adds."""
        return b"".join(event.pcm for event in self.sent if isinstance(event, AudioInput) and event.pcm.strip(b"\0"))

    @property
    def texts(self) -> list[str]:
        return [event.content for event in self.sent if isinstance(event, TextInput)]

    @property
    def closed_contents(self) -> list[str]:
        return [event.content_name for event in self.sent if isinstance(event, ContentEnd)]


class ScriptedModel:
    """Opens scripted streams, in order."""

    model_id = "amazon.nova-2-sonic-v1:0"

    def __init__(self) -> None:
        self.streams: list[ScriptedStream] = []
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.refusal: ModelError | None = None
        self._opened = asyncio.Condition()

    async def open(self, opening: Sequence[InputEvent]) -> ScriptedStream:
        await self.may_open.wait()
        if self.refusal:
            raise self.refusal
        stream = ScriptedStream(opening)
        async with self._opened:
            self.streams.append(stream)
            self._opened.notify_all()
        return stream

    async def stream(self, number: int = 1) -> ScriptedStream:
        """Return the n-th stream once it is open."""
        async with self._opened:
            await self._opened.wait_for(lambda: len(self.streams) >= number)
        return self.streams[number - 1]


class NoTools:
    """An assistant without tools."""

    def specs(self, names: Sequence[str]) -> tuple[ToolSpec, ...]:
        return ()

    async def run(
        self, *, session_id: str, tool_use_id: str, name: str, arguments: str, caller: str = "", patient_id: str = ""
    ) -> ToolOutcome:
        raise NotImplementedError

    def forget(self, session_id: str) -> None:
        pass


@dataclass(slots=True)
class Rig:
    """A running server."""

    port: int
    model: ScriptedModel
    registry: SessionRegistry
    counters: Counters
    server: WebSocketServer

    @property
    def address(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


def throttled() -> ModelError:
    return ModelError("model_throttled", Remedy.BACKOFF, "Too many requests")


def denied() -> ModelError:
    """Return what no other stream would cure."""
    return ModelError("model_access_denied", Remedy.FATAL_CONFIG, "You don't have access")


def registry_of(model: ScriptedModel, max_sessions: int = 3, idle_seconds: float = 0.0) -> SessionRegistry:
    profile: AssistantProfile = parse_assistant(ASSISTANT)
    return SessionRegistry(
        model=model,
        tools=NoTools(),
        assistants={"carlos": profile, "buddy": replace(profile, name="buddy", default_language="en")},
        default_assistant="carlos",
        observers=(),
        clock=LoopClock(),
        max_sessions=max_sessions,
        idle_seconds=idle_seconds,
    )


def open_gate(counters: Counters) -> Gate:
    """Return a gate that lets everybody in."""
    return Gate(AnonymousAuthenticator(), counters)


@asynccontextmanager
async def running_server(
    *,
    max_sessions: int = 3,
    origins: Sequence[str] = (),
    plain: PlainHttp | None = None,
    open_seconds: float = 10,
    resume_seconds: float = 0,
    adopter: Adopter | None = None,
    gate: Callable[[Counters], Gate] = open_gate,
    limits: Limits = NO_LIMITS,
    provisions: Provisions | None = None,
    directory: Directory | None = None,
    ping_seconds: float = 20,
    idle_seconds: float = 0.0,
    events: Callable[[Counters], EventDesk] | None = None,
) -> AsyncIterator[Rig]:
    model = ScriptedModel()
    registry = registry_of(model, max_sessions, idle_seconds)
    counters = Counters()
    sockets = listen("127.0.0.1", 0)
    server = WebSocketServer(
        sockets=sockets,
        registry=registry,
        plain=plain or PlainHttp(web.Application()),
        origins=OriginPolicy(origins),
        gate=gate(counters),
        counters=counters,
        clock=LoopClock(),
        open_seconds=open_seconds,
        resume_seconds=resume_seconds,
        adopter=adopter,
        limits=limits,
        provisions=provisions,
        directory=directory,
        ping_seconds=ping_seconds,
        events=events(counters) if events else None,
    )
    await server.start()
    try:
        yield Rig(port_of(sockets), model, registry, counters, server)
    finally:
        await server.stop()
        await registry.close()

"""Conversations that are held once and looked at by many checks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from nova_sonic_local.framing import Message
from tests.conformance.target import Brain, Setup, Target
from tests.emulator.signed_wire import SignedStream
from tests.emulator.wire import Ending, Json, audio_input, closing, opening, silence, text_block, tool, tool_result

FRAME_BYTES = 1024
SYSTEM = "You are a friendly voice assistant. Answer in two short sentences."
TOOL_SYSTEM = "Whenever you are asked for the weather, call the tool lookup with the city, and then say what it answered."
STORY_SYSTEM = "You tell very long stories."
LOOKUP = tool("lookup", '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')
FINAL_SECONDS = 12.0
"""FINAL texts were reported up to 9 s after the audio."""


@dataclass(frozen=True)
class Heard:
    """An event and when it came."""

    at: float
    name: str
    body: Json


@dataclass(frozen=True)
class Recording:
    """One conversation."""

    heard: tuple[Heard, ...]
    messages: tuple[Message, ...]
    ending: Ending
    marks: dict[str, int]
    """How many events had come when something was sent, by its name."""

    def named(self, name: str, **members: object) -> list[Json]:
        return [one.body for one in self.heard if one.name == name and all(one.body.get(key) == value for key, value in members.items())]

    def index(self, name: str, start: int = 0, **members: object) -> int:
        """Return where an event came, and fail when it did not."""
        for place, one in enumerate(self.heard[start:], start):
            if one.name == name and all(one.body.get(key) == value for key, value in members.items()):
                return place
        raise AssertionError(f"no {name} {members} after event {start} of {self.outline()}")

    def outline(self) -> list[str]:
        return [
            " ".join((one.name, *(str(one.body[key]) for key in ("type", "role", "stopReason") if key in one.body))) for one in self.heard
        ]

    def blocks(self) -> list[Json]:
        """Return each contentStart."""
        return self.named("contentStart")


class Talk:
    """A stream with a microphone: frames go out at the pace of the target, and texts never among the frames of an open block.

    Args:
        stream: the stream.
        frame_seconds: pause after each frame; above 0 silence is sent while nothing is said.
    """

    def __init__(self, stream: SignedStream, frame_seconds: float) -> None:
        self.stream = stream
        self.marks: dict[str, int] = {}
        self._frame_seconds = frame_seconds
        self._writing = asyncio.Lock()
        self._is_saying = False
        self._is_closing = False

    async def send(self, *events: Json) -> None:
        async with self._writing:
            await self.stream.send(*events)

    def mark(self, name: str) -> None:
        self.marks[name] = len(self.stream.messages)

    async def say(self, pcm: bytes) -> None:
        self._is_saying = True
        for start in range(0, len(pcm), FRAME_BYTES):
            if self.stream.is_over:
                break
            await self.send(audio_input(pcm[start : start + FRAME_BYTES]))
            await asyncio.sleep(self._frame_seconds)
        self._is_saying = False

    async def hum(self) -> None:
        """Send silence for ever while nobody speaks, as a microphone does."""
        while not self.stream.is_over and not self._is_closing:
            async with self._writing:
                if not self._is_saying and not self._is_closing:
                    await self.stream.send(audio_input(silence(0.032)))
            await asyncio.sleep(max(self._frame_seconds, 0.032))

    async def close(self) -> None:
        """End in order, and wait for the end of the response."""
        self._is_closing = True
        self.mark("closing")
        await self.send(*closing())
        await self.stream.finish()
        await self.stream.ending()

    async def final(self) -> None:
        """Wait for the FINAL text of the assistant, which may be late or never come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FINAL_SECONDS):
                while not self.stream.texts("ASSISTANT", "FINAL") and not self.stream.is_over:
                    await self.stream.client.wait()


@asynccontextmanager
async def talking(
    target: Target, setup: Setup, opening_events: list[Json], path: str | None = None
) -> AsyncIterator[tuple[Talk, Callable[[], Recording]]]:
    """Open a stream, keep its microphone open, and close it in order at the end."""
    async with target.raw(setup) as client:
        stream = client.open(path) if path else client.open()
        times = _clock(stream)
        talk = Talk(stream, target.frame_seconds)
        await talk.send(*opening_events, audio_input(silence(0.1)))
        humming = asyncio.create_task(talk.hum())
        watching = asyncio.create_task(times.watch())
        try:
            yield talk, lambda: _recording(talk, times)
        finally:
            humming.cancel()
            watching.cancel()
            await asyncio.gather(humming, watching, return_exceptions=True)


class _Clock:
    def __init__(self, stream: SignedStream) -> None:
        self.stream = stream
        self.times: list[float] = []

    def stamp(self) -> None:
        self.times += [monotonic()] * (len(self.stream.messages) - len(self.times))

    async def watch(self) -> None:
        while not self.stream.is_over:
            await self.stream.client.wait()
            self.stamp()


def _clock(stream: SignedStream) -> _Clock:
    return _Clock(stream)


def _recording(talk: Talk, times: _Clock) -> Recording:
    times.stamp()
    stream = talk.stream
    heard = tuple(Heard(at, *next(iter(event.items()))) for at, event in zip(times.times, stream.events(), strict=False))
    ending = Ending(stream.status, stream.headers, stream.events(), stream.exception(), stream.body, stream.reset_code, stream.is_ended)
    return Recording(heard, tuple(stream.messages), ending, talk.marks)


def opened(system: str, *history: Json, **more: object) -> list[Json]:
    """Return an opening with this system prompt."""
    events = opening(*history, **more)  # type: ignore[arg-type]  # passed through
    events[3]["event"]["textInput"]["content"] = system
    return events


async def _spoken(target: Target) -> Recording:
    async with talking(target, Setup(Brain.TALK), opened(SYSTEM)) as (talk, recording):
        await talk.say(await target.say("Hello, how are you today?"))
        await talk.stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await talk.final()
        await talk.close()
        return recording()


async def _tool(target: Target) -> Recording:
    async with talking(target, Setup(Brain.TOOL), opened(TOOL_SYSTEM, tools=[LOOKUP])) as (talk, recording):
        await talk.say(await target.say("What is the weather in Oslo?"))
        use = await talk.stream.until("toolUse")
        await talk.stream.until("contentEnd", type="TOOL")
        talk.mark("result")
        ends = len(_ends(talk))
        await talk.send(*tool_result(use["toolUseId"], '{"sky":"grey"}'))
        await talk.stream.until("contentEnd", ends + 1, type="AUDIO", stopReason="END_TURN")
        await talk.close()
        return recording()


def _ends(talk: Talk) -> list[Json]:
    return [end for end in talk.stream.named("contentEnd") if end["type"] == "AUDIO" and end["stopReason"] == "END_TURN"]


async def _barge_in(target: Target) -> Recording:
    async with talking(target, Setup(Brain.STORY), opened(STORY_SYSTEM)) as (talk, recording):
        await talk.say(await target.say("Please tell me a very long story."))
        await talk.stream.until("audioOutput", 3)
        talk.mark("interruption")
        await talk.say(await target.say("Stop it now, please."))
        await talk.stream.until("contentEnd", stopReason="INTERRUPTED")
        await talk.close()
        return recording()


async def _typed(target: Target) -> Recording:
    async with talking(target, Setup(Brain.TALK), opened(SYSTEM)) as (talk, recording):
        talk.mark("text")
        await talk.send(*text_block("U", "USER", "Say hello to me.", interactive=True))
        await talk.stream.until("contentEnd", type="AUDIO", stopReason="END_TURN")
        await talk.final()
        await talk.close()
        return recording()


_KINDS: dict[str, Callable[[Target], Awaitable[Recording]]] = {"spoken": _spoken, "tool": _tool, "barge-in": _barge_in, "typed": _typed}
_DONE: dict[tuple[bool, str], Recording | Exception] = {}


async def recorded(target: Target, kind: str) -> Recording:
    """Return a conversation: spoken, tool, barge-in or typed. It is held once; when it failed, every check of it fails."""
    key = (target.is_remote, kind)
    if key not in _DONE:
        try:
            _DONE[key] = await _KINDS[kind](target)
        except (AssertionError, TimeoutError, OSError) as error:
            _DONE[key] = error
    found = _DONE[key]
    if isinstance(found, Exception):
        raise found
    return found

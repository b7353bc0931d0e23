"""One live stream of a cascade (session.interfaces.ModelStream): three services, held together by the turns of `turn_taking.py`.

Three tasks at most: one hears, one takes what the text model writes, one what is spoken. Each ends with the stream; the first failure of
any of them ends the stream, as a failure of Nova Sonic's would.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Final

from cascade.interfaces import Transcription, Voice, Writer
from cascade.opening import Answered, Inbox, Opening, Typed
from cascade.steps import Ask, Hush, Speak, Step
from cascade.turn_taking import TurnTaking
from s2s import failures
from s2s.codec import encode_output
from s2s.errors import ModelError
from s2s.events import AudioInput, AudioOutput, InputEvent, OutputEvent, SessionEnd, ToolUse
from s2s.protocol import StreamProtocol

UNREAD_BYTES: Final = 512 * 1024
"""How much speech may wait for the session; what comes then waits at the service (s2s.bedrock.interfaces.RECEIVE_WINDOW_BYTES)."""
CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Services:
    """Who works for a stream."""

    transcription: Transcription
    writer: Writer
    voice: Voice


class Phase(Enum):
    """Life of a stream."""

    OPEN = "open"
    ENDED = "ended"
    """Our sessionEnd was sent, or everything was let go of: nothing more comes than what waits."""


class CascadeStream:
    """A stream. Made by CascadeClient.

    Args:
        opening: what it is opened with.
        protocol: what may be sent, the opening included.
        services: who works for it; the transcription is its own, and closed with it.
        turns: decides what is said.
    """

    def __init__(self, opening: Opening, protocol: StreamProtocol, services: Services, turns: TurnTaking) -> None:
        self._opening = opening
        self._protocol = protocol
        self._services = services
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._inbox = Inbox()
        self._phase = Phase.OPEN
        self._failure: ModelError | None = None
        self._unread: deque[OutputEvent] = deque()
        self._unread_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: asyncio.Task[None] | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def signed_until(self) -> datetime | None:
        """When the credentials expire that sign what is heard; every other request is signed by itself."""
        return self._services.transcription.signed_until

    @property
    def is_closed(self) -> bool:
        """Whether everything has been let go of."""
        return self._closing is not None and self._closing.done()

    async def start(self, rest: Sequence[InputEvent]) -> None:
        """Begin to hear, and take what came with the opening.

        Raises:
            ModelError: the stream failed.
        """
        self._run(self._hear, "cascade-hear")
        await self._take(rest)

    async def send(self, events: Sequence[InputEvent]) -> None:
        """Send events as one group; return when the recogniser took the audio among them.

        Raises:
            ModelError: the stream failed, or did not take the group in time.
            LocalProtocolError: the group breaks a rule of the stream; nothing of it was sent.
        """
        if self._failure is not None or self._phase is not Phase.OPEN:
            raise self._failure or failures.LOST.error("the stream is closed")
        if len(events) == 1:
            self._protocol.send(events[0])
        else:
            self._protocol.send_group(events)
        await self._take(events)

    async def receive(self) -> OutputEvent | None:
        """Return the next event, or None after the orderly end that our sessionEnd asked for. May be cancelled and called again.

        Raises:
            ModelError: one of the services failed.
        """
        while not self._unread:
            if self._failure is not None:
                raise self._failure
            if self._phase is Phase.ENDED:
                return None
            self._news.clear()
            await self._news.wait()
        event = self._unread.popleft()
        if isinstance(event, AudioOutput):
            self._unread_bytes -= len(event.pcm)
            if self._unread_bytes <= UNREAD_BYTES:
                self._room.set()
        return event

    async def close(self) -> None:
        """Let go of everything. Returns in bounded time, also when called twice or cancelled."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="cascade-close")
        await asyncio.shield(self._closing)

    async def _take(self, events: Sequence[InputEvent]) -> None:
        for event in events:
            if isinstance(event, AudioInput):
                self._turns.listened(len(event.pcm) * 500 / self._opening.input_hertz)
                await self._listen(event.pcm)
            elif isinstance(event, SessionEnd):
                self._do(self._turns.finish())
                self._end(Phase.ENDED)
            else:
                self._tell(event)

    async def _listen(self, pcm: bytes) -> None:
        try:
            await self._services.transcription.send(pcm)
        except ModelError as error:
            self._fail(error)
            raise

    def _tell(self, event: InputEvent) -> None:
        match self._inbox.take(event):
            case Typed(text):
                self._do(self._turns.typed(text, self._loop.time()))
            case Answered(tool_use_id, content):
                self._do(self._turns.tool_answered(tool_use_id, content))
            case _:
                pass

    def _do(self, steps: Sequence[Step]) -> None:
        """Do what the turns ask for."""
        for step in steps:
            match step:
                case Ask():
                    self._writing = self._run(partial(self._write, step), "cascade-write")
                case Speak():
                    self._speaking = self._run(partial(self._speak, step), "cascade-speak")
                case Hush():
                    self._hush()
                case _:
                    self._give(step)
        self._set_alarm()

    def _give(self, event: OutputEvent) -> None:
        if isinstance(event, ToolUse):
            self._protocol.receive_data(encode_output(event))  # what may be answered is known by it
        elif isinstance(event, AudioOutput):
            self._unread_bytes += len(event.pcm)
            if self._unread_bytes > UNREAD_BYTES:
                self._room.clear()
        self._unread.append(event)
        self._news.set()

    def _hush(self) -> None:
        for task in (self._writing, self._speaking):
            if task is not None:
                task.cancel()
        self._writing = self._speaking = None

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        deadline = self._turns.deadline
        if deadline is not None and self._phase is Phase.OPEN and self._failure is None:
            self._alarm = self._loop.call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._do(self._turns.tick(self._loop.time()))

    async def _hear(self) -> None:
        while True:
            for transcript in await self._services.transcription.receive():
                self._do(self._turns.heard(transcript, self._loop.time()))

    async def _write(self, ask: Ask) -> None:
        async with aclosing(self._services.writer.reply(ask.request)) as replies:
            async for reply in replies:
                self._do(self._turns.wrote(ask.answer, reply, self._loop.time()))

    async def _speak(self, speak: Speak) -> None:
        async with aclosing(self._services.voice.speak(speak.text, self._opening.voice_id, self._opening.output_hertz)) as speech:
            async for pcm in speech:
                self._do(self._turns.spoke(speak.answer, pcm, self._loop.time()))
                await self._room.wait()
        self._do(self._turns.spoken(speak.answer, self._loop.time()))

    def _run(self, work: Callable[[], Awaitable[None]], name: str) -> "asyncio.Task[None]":
        task = self._loop.create_task(self._guarded(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ModelError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 -- the root of the stream's tasks: what no adapter foresaw ends the stream, not the server
            self._fail(failures.INTERNAL.error(f"{type(error).__name__}: {error}"))

    def _fail(self, error: ModelError) -> None:
        if self._failure is None and self._phase is Phase.OPEN:
            self._failure = error
        self._end(self._phase)

    def _end(self, phase: Phase) -> None:
        """Take note that nothing more comes, and stop whoever works."""
        self._phase = phase
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._news.set()

    async def _close(self) -> None:
        self._unread.clear()
        self._end(Phase.ENDED)
        waiting = [self._services.transcription.close(), *(asyncio.wait({task}) for task in self._tasks)]
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*waiting, return_exceptions=True)

"""One bidirectional stream, from its first byte to its last: unwrap, check the order, answer, and end as the service ends.

The stream is read by one task; answers and timers run beside it in one task group. Whatever ends the stream is raised in one of them and
comes together in `Stream.run`.
"""

import asyncio
from array import array
from dataclasses import dataclass
from typing import assert_never

from nova_sonic_local.brains.echo import EchoEngine
from nova_sonic_local.brains.interface import Voice
from nova_sonic_local.brains.script import ScriptBrains
from nova_sonic_local.casting import Cast
from nova_sonic_local.clock import Clock
from nova_sonic_local.deadlines import Deadlines
from nova_sonic_local.emission import Emitter
from nova_sonic_local.ending import Cut, end_stream
from nova_sonic_local.engine import Engine
from nova_sonic_local.envelope import Envelope
from nova_sonic_local.equipment import Equipment
from nova_sonic_local.events import AudioInput, InputEvent, wire_name
from nova_sonic_local.exchange import Exchange, StreamLost
from nova_sonic_local.faults import FaultPlan, parse_faults
from nova_sonic_local.ids import Ids
from nova_sonic_local.journal import StreamLog, describe_ending
from nova_sonic_local.mishaps import Mishaps, Withheld
from nova_sonic_local.models import Model
from nova_sonic_local.options import Head, Options
from nova_sonic_local.order import Answered, Border, Heard, Meaning, OrderEngine, Ready, Typed
from nova_sonic_local.parsing import EventParser, unwrap_chunk
from nova_sonic_local.refusals import Refusal, Refused
from nova_sonic_local.replay import Playback, Recording, ReplayEngine
from nova_sonic_local.responses import send_stream_head
from nova_sonic_local.signing import SignatureError
from nova_sonic_local.states import State
from nova_sonic_local.turns import TurnEngine

SPEECH_AHEAD_BYTES = 64 * 1024
"""Speech waits while this much of the response is not sent yet."""
OUTPUT_LIMIT_BYTES = 256 * 1024
"""Input is not read while this much of the response is not sent yet: the client does not read."""
DRAIN_SECONDS = 10.0
"""A client that has not taken the end of its response by then is given up."""
_SILENCE_PEAK = 64
"""Samples below this (-54 dBFS) are silence for the idle timer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, after the checks that need no event."""

    exchange: Exchange
    request_id: str
    model_id: str
    """As the client wrote it."""
    model: Model
    faults: tuple[FaultPlan, ...]
    envelope: Envelope
    ids: Ids
    cast: Cast
    """Who answers."""
    log: StreamLog


@dataclass(frozen=True, slots=True)
class House:
    """What all streams share."""

    options: Options
    clock: Clock
    voice: Voice


class Stream:
    """Serves one request.

    Args:
        request: the request.
        house: what it is answered with.
    """

    def __init__(self, request: Request, house: House) -> None:
        self._request = request
        self._exchange = request.exchange
        self._house = house
        options = house.options
        self._mishaps = Mishaps(request.exchange, house.clock, options.time_scale, request.request_id, options.manner)
        self._pending_tools: set[str] = set()
        self._parser = EventParser(request.model, house.options.checks)
        self._order = OrderEngine(request.model_id, request.model, house.options.checks, self._pending_tools)
        self._log = request.log
        self._log.pending_tools = self._pending_tools
        self._deadlines = Deadlines(house.clock.now(), house.options.idle_profile, house.options.time_scale)
        self._engine: Engine | None = None
        self._events = 0

    def inject(self, fault_text: str) -> None:
        """Let faults happen to the stream: now, or at moments that count from now (`rst`, `rst@5`, `stall@2.5s`).

        Raises:
            ValueError: there is no such fault, argument or moment.
        """
        self._mishaps.inject(fault_text)

    async def run(self) -> None:
        """Serve the stream to its end."""
        endings: tuple[BaseException, ...] = ()
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = [tasks.create_task(self._watch()), tasks.create_task(self._mishaps.fate())]
                await self._read(tasks)
                if self._engine is not None:
                    self._engine.finish()
                for watch in watching:
                    watch.cancel()
        except* (Refused, SignatureError, StreamLost, Cut) as group:
            endings = group.exceptions
        finally:
            self._mishaps.close()
            if self._engine is not None:
                await self._engine.close()
        if not endings:
            self._send_head()
        self._log.end(describe_ending(endings[0] if endings else None))
        end_stream(self._exchange, self._request.request_id, endings[0] if endings else None)
        await self._exchange.drained(DRAIN_SECONDS)

    async def _watch(self) -> None:
        """End the stream when its time is up."""
        while True:
            when, _ = self._deadlines.next()
            await self._house.clock.sleep_until(when)
            when, refusal = self._deadlines.next()
            if when <= self._house.clock.now():
                raise Refused(refusal)

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        """Take events until the session, or the request, ends."""
        self._mishaps.begin(self._planned_faults())
        self._mishaps.check()
        if self._house.options.head is Head.AT_ONCE:
            self._send_head()
        while (data := await self._exchange.read()) is not None:
            for payload in self._request.envelope.feed(data):
                if payload is None:
                    return
                await self._take(payload, tasks)
                if self._order.state is State.DONE:
                    return
        if not self._events:
            raise Refused(Refusal.NO_INPUT)

    async def _take(self, payload: bytes, tasks: asyncio.TaskGroup) -> None:
        event = self._parse(payload)
        meaning = self._order.accept(event)
        self._log.state = self._order.state
        self._events += 1
        self._deadlines.start(self._house.clock.now())
        self._send_head()
        if isinstance(meaning, Ready):
            self._engine = self._open_engine(meaning, tasks)
        elif meaning is not None and self._engine is not None:
            await self._exchange.room(OUTPUT_LIMIT_BYTES)
            await self._act(self._engine, meaning)
        self._mishaps.took(wire_name(event))
        self._mishaps.check()
        if self._exchange.is_deaf:
            await self._exchange.lost()  # what was read together with this event is not looked at either

    def _planned_faults(self) -> tuple[FaultPlan, ...]:
        role = self._request.cast.role
        return self._request.faults + (parse_faults(role.fault) if isinstance(role, ScriptBrains) else ())

    def _parse(self, payload: bytes) -> InputEvent:
        """Parse an event and write it down, also when it is refused."""
        data = unwrap_chunk(payload)
        event: InputEvent | None = None
        try:
            event = self._parser.parse(data)
            return event
        finally:
            self._log.heard(data, len(event.pcm) if isinstance(event, AudioInput) else None)

    async def _act(self, engine: Engine, meaning: Meaning) -> None:
        match meaning:
            case Heard():
                if self._house.options.silence_resets_idle or not _is_silent(meaning.pcm):
                    self._deadlines.touch(self._house.clock.now())
                await engine.hear(meaning.pcm)
            case Typed():
                self._deadlines.touch(self._house.clock.now())
                engine.read(meaning.text)
            case Answered():
                self._deadlines.touch(self._house.clock.now())
                engine.take_result(meaning.tool_use_id, meaning.result)
            case Border.AUDIO:
                engine.end_audio()
            case Border.PROMPT:
                engine.finish()
            case Border.SESSION | Ready() | None:
                pass
            case _:
                assert_never(meaning)

    def _open_engine(self, ready: Ready, tasks: asyncio.TaskGroup) -> Engine:
        house, request = self._house, self._request
        self._log.voice = ready.prompt.voice_id
        emitter = Emitter(self._write, request.ids, ready.prompt_name, self._said, pending_tools=self._pending_tools)
        self._mishaps.use(emitter)
        role = request.cast.role
        if role is None:
            return EchoEngine(emitter, ready.prompt.output_hertz, self._room)
        if isinstance(role, Recording):
            scale, pending = house.options.time_scale, self._pending_tools
            playback = Playback(emitter, ready.prompt_name, request.ids, self._log, house.clock, scale, pending, self._room)
            return ReplayEngine(role, playback, tasks)
        equipment = Equipment(
            model=request.model,
            brain=role(ready.prompt),
            voice=house.voice,
            emitter=emitter,
            ids=request.ids,
            clock=house.clock,
            tasks=tasks,
            room=self._room,
            inject=self.inject,
        )
        return TurnEngine(ready, equipment)

    def _send_head(self) -> None:
        if self._mishaps.withheld is Withheld.NOTHING:
            send_stream_head(self._exchange, self._request.request_id)

    def _write(self, data: bytes) -> None:
        if self._mishaps.withheld is Withheld.NOTHING:
            self._exchange.write(data)

    def _said(self, event: bytes, audio_bytes: int | None) -> None:
        if self._mishaps.withheld is Withheld.NOTHING:
            self._log.said(event, audio_bytes)
            self._mishaps.said(event, is_audio=audio_bytes is not None)

    async def _room(self) -> None:
        await self._exchange.room(SPEECH_AHEAD_BYTES)


def _is_silent(pcm: bytes) -> bool:
    samples = array("h", pcm)
    return not samples or (max(samples) < _SILENCE_PEAK and min(samples) > -_SILENCE_PEAK)

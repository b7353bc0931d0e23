"""A turn engine without a network: a clock that the test turns, a brain that the test writes, and the events that come out."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from nova_sonic_local.brains.interface import Listener, Prompt, Reply, UserTurn
from nova_sonic_local.emission import Emitter
from nova_sonic_local.equipment import Equipment
from nova_sonic_local.events import Endpointing
from nova_sonic_local.framing import MessageDecoder
from nova_sonic_local.ids import Ids
from nova_sonic_local.manner import Manner
from nova_sonic_local.models import MODELS
from nova_sonic_local.order import Ready
from nova_sonic_local.turns import TurnEngine
from tests.emulator.wire import Json, decode_chunk, silence, speech

HERTZ = 16_000
OUTPUT_HERTZ = 24_000


@dataclass(order=True)
class VirtualAlarm:
    when: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    is_cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.is_cancelled = True


class VirtualClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = 100.0
        self._alarms: list[VirtualAlarm] = []
        self._number = 0

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> VirtualAlarm:
        self._number += 1
        alarm = VirtualAlarm(when, self._number, callback)
        heappush(self._alarms, alarm)
        return alarm

    async def sleep_until(self, when: float) -> None:
        if when > self.time:
            done = asyncio.get_running_loop().create_future()
            self.call_at(when, lambda: None if done.done() else done.set_result(None))
            await done

    async def advance(self, seconds: float) -> None:
        end = self.time + seconds
        await settle()
        while self._alarms and self._alarms[0].when <= end:
            alarm = heappop(self._alarms)
            self.time = max(self.time, alarm.when)
            if not alarm.is_cancelled:
                alarm.callback()
            await settle()
        self.time = end


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(50):
        await asyncio.sleep(0)


class SecondsVoice:
    """Speaks each word for half a second."""

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        return silence(0.5 * len(text.split()), hertz)


class Cue:
    def __init__(self, text: str | None) -> None:
        self.text = text
        self.pcm = b""

    async def feed(self, pcm: bytes) -> None:
        self.pcm += pcm

    async def finish(self) -> str | None:
        return self.text


@dataclass
class TestBrain:
    """Answers by the test's own function."""

    __test__ = False
    answering: Callable[[UserTurn, Reply], Awaitable[None]]
    words: list[str | None] = field(default_factory=list)
    cues: list[Cue] = field(default_factory=list)
    turns: list[UserTurn] = field(default_factory=list)
    closed: int = 0

    def listen(self) -> Listener | None:
        self.cues.append(Cue(self.words.pop(0) if self.words else "hello"))
        return self.cues[-1]

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        self.turns.append(turn)
        await self.answering(turn, reply)

    async def close(self) -> None:
        self.closed += 1


@dataclass
class Stage:
    engine: TurnEngine
    clock: VirtualClock
    brain: TestBrain
    pending: set[str]
    written: bytearray

    def events(self) -> list[tuple[str, Json]]:
        messages = MessageDecoder().feed(bytes(self.written))
        return [next(iter(decode_chunk(message).items())) for message in messages]

    def outline(self) -> list[str]:
        """Return the events in short, without usage and pieces of audio after the first."""
        lines: list[str] = []
        blocks: dict[str, str] = {}
        for name, body in self.events():
            match name:
                case "contentStart":
                    stage = json.loads(body.get("additionalModelFields", "{}")).get("generationStage", "")
                    blocks[body["contentId"]] = " ".join(filter(None, (body["type"], body["role"], stage)))
                case "textOutput":
                    lines.append(f"{blocks[body['contentId']]}: {body['content']}")
                case "audioOutput":
                    if lines[-1] != "audio":
                        lines.append("audio")
                case "toolUse":
                    lines.append(f"tool {body['toolName']} {body['content']}")
                case "contentEnd":
                    lines.append(f"end {body['type']} {body['stopReason']}")
                case "usageEvent":
                    pass
                case _:
                    lines.append(name)
        return lines

    def tool_ids(self) -> list[str]:
        return [body["toolUseId"] for name, body in self.events() if name == "toolUse"]

    async def hear(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), 1024):
            await self.engine.hear(pcm[start : start + 1024])
        await settle()

    async def speak(self, seconds: float = 0.6) -> None:
        """Let the user say something and fall silent."""
        await self.hear(silence(0.3) + speech(seconds) + silence(0.6))


@contextlib.asynccontextmanager
async def stage(
    answering: Callable[[UserTurn, Reply], Awaitable[None]],
    *,
    manner: Manner | None = None,
    model: str = "amazon.nova-2-sonic-v1",
    words: list[str | None] | None = None,
    endpointing: Endpointing | None = None,
    typed: str | None = None,
) -> AsyncIterator[Stage]:
    style = manner or Manner(speech_speed=0, final_delay_seconds=0)
    clock, written, pending = VirtualClock(), bytearray(), set[str]()
    faults: list[str] = []
    brain = TestBrain(answering, words or [])
    ids = Ids(0, 1)

    async def room() -> None:
        await asyncio.sleep(0)

    prompt = Prompt(model, "matthew", HERTZ, OUTPUT_HERTZ, "Be brief.")
    try:
        async with asyncio.TaskGroup() as tasks:
            equipment = Equipment(
                model=MODELS[model],
                brain=brain,
                voice=SecondsVoice(),
                emitter=Emitter(written.extend, ids, "P", manner=style, pending_tools=pending),
                ids=ids,
                clock=clock,
                tasks=tasks,
                room=room,
                inject=faults.append,
            )
            engine = TurnEngine(Ready(prompt, "P", endpointing, typed), equipment)
            yield Stage(engine, clock, brain, pending, written)
            engine.finish()
    finally:
        await engine.close()

"""One cell of the fault matrix: a stream is brought into a phase, a fault comes, and it is seen what becomes of it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from s2s.bedrock.stream import NovaSonicStream
from s2s.errors import ModelError
from s2s.events import AudioInput, AudioOutput, ContentEnd, ContentEnded, ContentType, StopReason, ToolContentStart, ToolResult, ToolUse
from tests.s2s.contract.outcomes import GOES_ON, SILENT, Outcome, Phase, Told
from tests.s2s.conversation import LOOKUP, hear, opening, tone, typed
from tests.s2s.ways import Way

TOLD_SECONDS = 3.0
SILENT_SECONDS = 3.1
"""What has not been told by then is not told in time."""
CHUNK_BYTES = 2048
CHUNK_SECONDS = 0.016
"""The microphone of the matrix runs four times as fast as a real one: what fills a window in a second fills it in a quarter."""
SPEECH = tone(800)
SCRIPT = """
repeat = false
[[turns]]
tools = [{ name = "lookup", arguments = { order_id = "1" } }]
then = "It is {status}."
[[turns]]
say = ["Anything else?"]
"""


class Discord(Exception):
    """The stream told its sender and its receiver different things."""


class Punctuality:
    """Measures for how long the event loop was held up by a busy machine, which is not the stream's doing."""

    TICK_SECONDS = 0.02
    LATE_SECONDS = 0.05
    """Less than that is what a loop with work to do takes."""

    def __init__(self) -> None:
        self.late_seconds = 0.0
        """So far."""
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.TICK_SECONDS
            await asyncio.sleep(self.TICK_SECONDS)
            late = loop.time() - due
            self.late_seconds += late if late > self.LATE_SECONDS else 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of a stream."""

    outcome: Outcome
    seconds: float
    """From the fault, or from when it was about to come, to the end of it all."""


class Cell:
    """Plays one cell.

    Args:
        client: not used for anything else.
        phase: when the fault comes.
    """

    def __init__(self, stream: NovaSonicStream, phase: Phase) -> None:
        self._stream = stream
        self._phase = phase
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(0)
        """Released at the end of each turn of the model."""

    async def play(self) -> Seen:
        """Bring the stream into its phase and see what becomes of it."""
        if self._phase is Phase.CLOSING:
            return await self._close()
        begun = self._loop.time()
        try:
            await self._enter()
        except ModelError as error:
            return await self._told(error, begun)
        begun = self._loop.time()
        receiving = asyncio.create_task(self._receive())
        talking = asyncio.create_task(self._talk())
        turn = asyncio.create_task(self._go_on())
        try:
            await asyncio.wait({receiving, turn}, timeout=SILENT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if receiving.done():
                seen = await self._told(receiving.result(), begun)
                with suppress(ModelError):
                    await talking
                return seen
            return Seen(GOES_ON if turn.done() else SILENT, self._loop.time() - begun)
        finally:
            for task in (talking, turn, receiving):
                task.cancel()
            await asyncio.wait({talking, turn, receiving})

    async def _go_on(self) -> None:
        """Wait for an answer to what was said after the fault."""
        await self._turns.acquire()
        if self._phase is Phase.ASSISTANT_SPEAKING:
            await self._stream.send(typed("T2", "hello"))
            await self._turns.acquire()

    async def _enter(self) -> None:
        stream = self._stream
        match self._phase:
            case Phase.ASSISTANT_SPEAKING:
                await stream.send(typed("T", "hello"))
                await hear(stream, lambda event: isinstance(event, AudioOutput))
            case Phase.TOOL_PENDING:
                await stream.send(typed("T", "where is my order"))
                use = (await hear(stream, lambda event: isinstance(event, ToolUse)))[-1]
                assert isinstance(use, ToolUse)
                self._tool_use_id = use.tool_use_id
            case _:
                pass

    async def _talk(self) -> None:
        """Do what a session does in this phase: until the stream ends."""
        stream = self._stream
        match self._phase:
            case Phase.USER_SPEAKING:
                await self._speak(SPEECH)
            case Phase.TOOL_PENDING:
                result = ToolResult("P", "R", '{"status":"on its way"}')
                await stream.send((ToolContentStart("P", "R", self._tool_use_id), result, ContentEnd("P", "R")))
            case Phase.ASSISTANT_SPEAKING:
                pass
            case _:
                await stream.send(typed("T", "hello"))
                return  # and nothing more: the microphone is off
        while True:
            await self._speak(bytes(CHUNK_BYTES))

    async def _speak(self, pcm: bytes) -> None:
        for start in range(0, len(pcm), CHUNK_BYTES):
            await self._stream.send((AudioInput("P", "A", pcm[start : start + CHUNK_BYTES]),))
            await asyncio.sleep(CHUNK_SECONDS)

    async def _receive(self) -> ModelError:
        while True:
            try:
                event = await self._stream.receive()
            except ModelError as error:
                return error
            if event is None:
                raise Discord("an orderly end that nobody asked for")
            if isinstance(event, ContentEnded) and event.type is ContentType.AUDIO and event.stop_reason is StopReason.END_TURN:
                self._turns.release()

    async def _told(self, error: ModelError, begun: float) -> Seen:
        """Check that the sender is told the same, and the receiver again."""
        seen = Seen(Told(error.code, error.remedy), self._loop.time() - begun)
        for call in (self._stream.send((AudioInput("P", "A", bytes(2)),)), self._stream.receive()):
            try:
                await call
            except ModelError as again:
                if again.code == error.code:
                    continue
            raise Discord(f"{error} was told, and then something else")
        return seen

    async def _close(self) -> Seen:
        """Close while somebody receives: both end in time."""
        begun = self._loop.time()
        receiving = asyncio.create_task(self._last_words())
        await asyncio.sleep(0)
        await self._stream.close()
        seconds = self._loop.time() - begun
        async with asyncio.timeout(0.1):
            error = await receiving
        return Seen(Told(error.code, error.remedy) if error is not None else GOES_ON, seconds)

    async def _last_words(self) -> ModelError | None:
        try:
            while await self._stream.receive() is not None:
                pass
        except ModelError as error:
            return error
        return None


async def play_cell(way: Way, phase: Phase, fault: str, folder: Path) -> Seen:
    """Play a cell between an emulator and a client of its own, and wait until neither has anything left.

    Args:
        way: how they are connected.
        phase: when the fault comes.
        fault: with its argument.
        folder: has the script and the certificate authority.
    """
    loop = asyncio.get_running_loop()
    scenario = folder / "tool.toml" if phase is Phase.TOOL_PENDING else None
    async with NovaSonicLocal(Options(fault=f"{fault}@{phase.moment}", ca_dir=folder, scenario=scenario)) as emulator:
        client = way.client(emulator)
        begun = loop.time()
        try:
            stream = await client.open(opening((LOOKUP,)))
        except ModelError as error:
            return Seen(Told(error.code, error.remedy), loop.time() - begun)
        else:
            seen = await Cell(stream, phase).play()
            async with asyncio.timeout(TOLD_SECONDS):
                await stream.close()
            return seen
        finally:
            async with asyncio.timeout(TOLD_SECONDS):
                await client.aclose()
                await emulator.quiet()

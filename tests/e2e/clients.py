"""Clients of both dialects that keep all that they are told, for conversations in which something goes wrong."""

import asyncio
import base64
import itertools
import json
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.transports import raw_client

HERTZ = 16_000
PIECE_BYTES = 1_024
PIECE_SECONDS = PIECE_BYTES / 2 / HERTZ
HEADER = struct.Struct("<BBHIII")

type Json = dict[str, object]


@dataclass(slots=True)
class Client:
    """One connection; `page` speaks the binary dialect, else Nova's own events."""

    socket: ClientConnection
    is_page: bool
    messages: list[Json] = field(default_factory=list)
    """Text messages, in order."""
    speech: bytearray = field(default_factory=bytearray)
    speech_at: list[float] = field(default_factory=list)
    """When each piece of speech came, in the loop's seconds."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def begin(self) -> None:
        """Ask for a session that hears and speaks at one rate."""
        hello = json.dumps({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": HERTZ})
        raw = [raw_client.session_start(), raw_client.prompt_start(hertz=HERTZ), *raw_client.opening()[2:]]
        for frame in [hello] if self.is_page else raw:
            await self.socket.send(frame)

    async def listen(self) -> None:
        """Take what comes until the connection is closed."""
        try:
            async for frame in self.socket:
                self._take(frame)
        except ConnectionClosed:
            pass
        self.closed.set()
        self._arrived.set()

    async def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something that has come makes the condition true.

        Raises:
            AssertionError: the time is over, or the connection.
        """
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    assert not self.closed.is_set(), f"closed with {self.socket.close_code}: {self.messages[-3:]}"
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"{seconds} s are over: {self.messages[-5:]}") from None

    async def until_closed(self, seconds: float = 20.0) -> int | None:
        """Wait until the server closes; return the close code."""
        async with asyncio.timeout(seconds):
            await self.closed.wait()
        return self.socket.close_code

    async def send_audio(self, pcm: bytes) -> None:
        """Send one piece of sound."""
        await self.socket.send(HEADER.pack(1, 0, 0, next(self._numbers), 0, 0) + pcm if self.is_page else raw_client.audio(pcm))

    async def speak(self, speech: bytes) -> None:
        """Send sound at the pace of a microphone; returns early when the connection ends."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        try:
            for start in range(0, len(speech), PIECE_BYTES):
                await self.send_audio(speech[start : start + PIECE_BYTES])
                due_at += PIECE_SECONDS
                await asyncio.sleep(max(0.0, due_at - loop.time()))
        except ConnectionClosed:
            return

    async def type(self, text: str) -> None:
        """Send a typed turn."""
        name = f"typed-{next(self._numbers)}"
        for frame in [json.dumps({"type": "text", "text": text})] if self.is_page else raw_client.text_block(name, "USER", text):
            await self.socket.send(frame)

    @property
    def codes(self) -> list[str]:
        """The codes of all errors so far."""
        return [str(error["code"]) for error in self.bodies("error")]

    def bodies(self, name: str) -> list[Json]:
        """Return all messages of a type, or the bodies of all Nova events of a name."""
        found: list[Json] = []
        for message in self.messages:
            event = message.get("event")
            if isinstance(event, dict) and name in event:
                found.append(event[name])
            elif message.get("type") == name:  # also how a client of no known dialect is told
                found.append(message)
        return found

    def results(self) -> list[Json]:
        """Return what the tools answered."""
        found = self.bodies("tool.finished" if self.is_page else "toolResult")
        return [json.loads(str(body["result" if self.is_page else "content"])) for body in found]

    def _take(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self._hear(frame[HEADER.size :])
        else:
            self.messages.append(json.loads(frame))
            event = self.messages[-1].get("event")
            if isinstance(event, dict) and "audioOutput" in event:
                self._hear(base64.b64decode(event["audioOutput"]["content"], validate=True))
        self._arrived.set()

    def _hear(self, pcm: bytes) -> None:
        self.speech += pcm
        self.speech_at.append(asyncio.get_running_loop().time())


@asynccontextmanager
async def connected(url: str, *, is_page: bool = True, headers: Mapping[str, str] | None = None) -> AsyncIterator[Client]:
    """Connect a client that listens for the length of the block."""
    protocols = [Subprotocol("nova-sonic.v1")] if is_page else None
    async with connect(url, subprotocols=protocols, compression=None, additional_headers=headers) as socket:
        client = Client(socket, is_page)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            await socket.close()
            await listening


@asynccontextmanager
async def conversing(url: str, *, is_page: bool = True) -> AsyncIterator[Client]:
    """Connect a client whose session has begun."""
    async with connected(url, is_page=is_page) as client:
        await client.begin()
        yield client

"""What one caller says and hears: position-coded speech goes up in real time, and every arrival is noted with its time."""

import asyncio
import json
import struct
import time
from dataclasses import dataclass, field
from itertools import pairwise

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.positions import Verdict, compare

HERTZ = 16_000
CHUNK_SAMPLES = 512
CHUNK_SECONDS = CHUNK_SAMPLES / HERTZ
REST_SECONDS = 1.0
"""A caller who has said everything listens on until nothing came for so long."""
_HEADER = struct.Struct("<BBHIII")


@dataclass(slots=True)
class Ear:
    """One caller."""

    speech: bytes
    heard: bytearray = field(default_factory=bytearray)
    arrivals: list[float] = field(default_factory=list)
    """When each frame of speech came, in monotonic seconds."""
    continued: list[float] = field(default_factory=list)
    """When the caller was told that another stream carries the session."""
    waited_ms: list[int] = field(default_factory=list)
    """How long there was none each time, by the server's own word."""
    failures: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """How what was heard differs from what was said."""
        return compare(self.speech, bytes(self.heard))

    def take(self, frame: str | bytes) -> None:
        """Note a frame of the server."""
        now = time.monotonic()
        if isinstance(frame, bytes):
            self.arrivals.append(now)
            self.heard += frame[_HEADER.size :]
            return
        message = json.loads(frame)
        if message["type"] == "session.continued":
            self.continued.append(now)
            self.waited_ms.append(message["waited_ms"])
        elif message["type"] in ("error", "session.ended"):
            self.failures.append(str(message.get("code") or message.get("reason")))

    def longest_gap_ms(self, at: float, reach_seconds: float) -> float:
        """Return how much longer than a chunk the longest pause between two arrivals near a moment was."""
        near = [arrival for arrival in self.arrivals if abs(arrival - at) <= reach_seconds]
        gaps = [later - earlier for earlier, later in pairwise(near)]
        return max(0.0, max(gaps, default=CHUNK_SECONDS) - CHUNK_SECONDS) * 1000


async def call(url: str, speech: bytes, delay: float = 0.0) -> Ear:
    """Speak in real time and listen until nothing comes any more.

    Args:
        url: of the server.
        speech: what is said.
        delay: seconds until the caller begins.
    """
    ear = Ear(speech)
    async with connect(url, subprotocols=[Subprotocol("nova-sonic.v1")], compression=None, max_size=None) as socket:
        await socket.send(json.dumps({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": HERTZ}))
        while (message := json.loads(await socket.recv()))["type"] != "session.started":
            if message["type"] == "error":
                raise RuntimeError(f"the session was refused: {message['code']}")
        await asyncio.sleep(delay)
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(_speak(socket, speech))
            listening = tasks.create_task(_listen(socket, ear))
            await speaking
            last = -1
            while last < len(ear.heard):
                last = len(ear.heard)
                await asyncio.wait({listening}, timeout=REST_SECONDS)
            listening.cancel()
    return ear


async def _speak(socket: ClientConnection, speech: bytes) -> None:
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    for number, start in enumerate(range(0, len(speech), 2 * CHUNK_SAMPLES)):
        await socket.send(_HEADER.pack(1, 0, 0, number, start // 2, 0) + speech[start : start + 2 * CHUNK_SAMPLES])
        next_at += CHUNK_SECONDS
        await asyncio.sleep(max(0.0, next_at - loop.time()))


async def _listen(socket: ClientConnection, ear: Ear) -> None:
    async for frame in socket:
        ear.take(frame)

"""A caller who talks with the whole product for two minutes and keeps all that was said and heard, to hold the records against it."""

import asyncio
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.e2e.speech import Utterance, resampled, speak

HERTZ = 24_000
"""Of both voices, and of recordings: nothing is resampled, so samples can be compared."""
PIECE = HERTZ * 32 // 1_000
HEADER = struct.Struct("<BBHIII")
ANSWER_SECONDS = 30.0

type Json = dict[str, Any]
type Samples = NDArray[np.int16]


@dataclass
class LongCall:
    """One conversation over the page's protocol.

    The microphone never sends a zero, so that a recording tells its silence from the caller's.
    """

    socket: ClientConnection
    said: list[Samples] = field(default_factory=list)
    """What the microphone sent."""
    messages: list[Json] = field(default_factory=list)
    speech: dict[int, bytearray] = field(default_factory=dict)
    """Of the assistant, by turn."""
    started_at: float = 0.0
    ended_at: float = 0.0
    _words: asyncio.Queue[Samples] = field(default_factory=asyncio.Queue)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def hold(self, scenes: list[tuple[Utterance, str]]) -> None:
        """Say each sentence when its sign has come: `quiet` when the assistant has been heard out, `speaking` when it speaks."""
        await self.socket.send(json.dumps({"type": "hello", "protocol": 1, "language": "es", "input_hertz": HERTZ, "output_hertz": HERTZ}))
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen())
            await self._until(lambda: bool(self.all("session.started")))
            self.started_at = asyncio.get_running_loop().time()
            microphone = tasks.create_task(self._microphone())
            for utterance, sign in scenes:
                await (self._answer_begins() if sign == "speaking" else self._answer_is_over())
                await asyncio.sleep(utterance.pause_seconds)
                self._words.put_nowait(without_zeros(resampled(speak(utterance), HERTZ)))
                turns = len(self.all("user.speech_ended"))
                await self._until(lambda turns=turns: len(self.all("user.speech_ended")) > turns)
            await self._answer_is_over()
            microphone.cancel()
            await self.socket.send('{"type":"end"}')
            await self._until(lambda: bool(self.all("session.ended")))
            self.ended_at = asyncio.get_running_loop().time()
            await self.socket.close()
            await listening

    def all(self, kind: str) -> list[Json]:
        """Return the messages of a type."""
        return [message for message in self.messages if message["type"] == kind]

    def texts(self) -> list[tuple[int, str, str]]:
        """Return turn, role and final text of each turn, in order."""
        found: dict[tuple[int, str], list[str]] = {}
        for message in self.all("transcript"):
            if message["stage"] == "final":
                found.setdefault((message["turn"], message["role"]), []).append(message["text"])
        return [(turn, role, " ".join(texts)) for (turn, role), texts in sorted(found.items())]

    def heard(self) -> list[Samples]:
        """Return what was heard of each of the assistant's turns."""
        cuts = {message["turn"]: message["heard_ms"] for message in self.all("interrupted")}
        whole = {turn: np.frombuffer(bytes(pcm), "<i2") for turn, pcm in sorted(self.speech.items())}
        return [samples[: cuts[turn] * HERTZ // 1_000] if turn in cuts else samples for turn, samples in whole.items()]

    async def _answer_begins(self) -> None:
        count = len(self.all("speech.started"))
        await self._until(lambda: len(self.all("speech.started")) > count or self._is_speaking())

    def _is_speaking(self) -> bool:
        return len(self.all("speech.started")) > len(self.all("speech.ended"))

    async def _answer_is_over(self) -> None:
        """Wait until every question has been answered, and the answer been heard."""
        questions = len(self.all("user.speech_ended"))
        if questions:
            asked = self.all("user.speech_ended")[-1]["turn"]
            await self._until(lambda: any(message["turn"] > asked for message in self.all("speech.ended")) and not self._is_speaking())
            await asyncio.sleep(1.0)  # what is on its way to the ear, and late texts
            await self._until(lambda: not self._is_speaking())

    async def _until(self, condition: Any) -> None:
        async with asyncio.timeout(ANSWER_SECONDS):
            while not condition():
                self._arrived.clear()
                await self._arrived.wait()

    async def _listen(self) -> None:
        try:
            async for frame in self.socket:
                if isinstance(frame, bytes):
                    turn = HEADER.unpack_from(frame)[2]
                    self.speech.setdefault(turn, bytearray()).extend(frame[HEADER.size :])
                else:
                    self.messages.append(json.loads(frame))
                self._arrived.set()
        except ConnectionClosed:
            pass
        self._arrived.set()

    async def _microphone(self) -> None:
        """Send words as they come and a quiet room between them, in real time."""
        loop = asyncio.get_running_loop()
        due_at, number, words = loop.time(), 0, np.zeros(0, np.int16)
        room = np.random.default_rng(7)
        while True:
            if not words.size and not self._words.empty():
                words = self._words.get_nowait()
            piece, words = words[:PIECE], words[PIECE:]
            piece = np.concatenate([piece, without_zeros(room.integers(-12, 12, PIECE - piece.size).astype(np.int16))])
            await self.socket.send(HEADER.pack(1, 0, 0, number, number * PIECE, 0) + piece.astype("<i2").tobytes())
            self.said.append(piece)
            number, due_at = number + 1, due_at + PIECE / HERTZ
            await asyncio.sleep(max(0.0, due_at - loop.time()))


def without_zeros(samples: Samples) -> Samples:
    """Return the samples with 1 in the place of 0."""
    return np.where(samples == 0, np.int16(1), samples)


def connected(url: str) -> connect:
    """Return a connection of the page's protocol."""
    return connect(url, subprotocols=[Subprotocol("nova-sonic.v1")], compression=None, max_size=None)

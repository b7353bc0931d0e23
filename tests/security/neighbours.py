"""Whoever talks all the while that a server is attacked, and misses no sample of what there is to hear."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bench.positions import coded_speech, compare
from nova_sonic_local.brains.interface import Prompt, Reply, UserTurn
from nova_sonic_local.options import Options
from tests.e2e.clients import HERTZ, PIECE_BYTES, PIECE_SECONDS, Client
from tests.e2e.desk import Model, ObedientBrain

COUNT_SECONDS = 3

type Call = tuple[str, str]
"""A tool and the text of its arguments."""


class Neighbour(Protocol):
    """Somebody beside the attack."""

    @property
    def client(self) -> Client:
        """The connection."""

    @property
    def heard(self) -> int:
        """Bytes so far."""

    async def talk(self) -> None:
        """Hold a conversation until told to stop."""

    async def finish(self) -> tuple[int, int, int]:
        """Stop, hear the rest, and return how many samples of all were lost, doubled and out of order."""


@dataclass(slots=True)
class EchoListener:
    """Somebody who talks with an echoing model the whole time, in real time."""

    client: Client
    speech: bytes
    heard: int = 0
    """Bytes that were said, and are heard in the end."""
    _is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self) -> None:
        """Speak until told to stop."""
        loop = asyncio.get_running_loop()
        due_at = loop.time()
        while not self._is_over.is_set():
            await self.client.send_audio(self.speech[self.heard : self.heard + PIECE_BYTES])
            self.heard += PIECE_BYTES
            assert self.heard < len(self.speech), "the cases take too long"
            due_at += PIECE_SECONDS
            await asyncio.sleep(max(0.0, due_at - loop.time()))

    async def finish(self) -> tuple[int, int, int]:
        """Stop talking, hear the rest of the echo, and return how many samples were lost, doubled and out of order."""
        self._is_over.set()
        said = self.speech[: self.heard]
        await self.client.until(lambda: len(without_silence(bytes(self.client.speech))) >= len(said))
        verdict = compare(said, without_silence(bytes(self.client.speech))[: len(said)])
        return verdict.lost, verdict.doubled, verdict.out_of_order


def without_silence(pcm: bytes) -> bytes:
    """Leave out what the server says for a client that is late: this test's own loop stands still now and then."""
    samples = np.frombuffer(pcm, "<i2")
    quiet = np.convolve(samples == 0, np.ones(8), "full") >= 8  # coded speech has no eight zeros in a row
    ends = np.flatnonzero(quiet)
    keep = np.ones(samples.size, dtype=bool)
    for offset in range(8):
        keep[ends - offset] = False
    return samples[keep].tobytes()


@dataclass(slots=True)
class CountListener:
    """Somebody who has the model count, and misses no sample of it."""

    client: Client
    heard: int = 0
    """Bytes that were heard."""
    _damage: list[tuple[int, int, int]] = field(default_factory=list)
    _is_over: asyncio.Event = field(default_factory=asyncio.Event)
    _is_done: asyncio.Event = field(default_factory=asyncio.Event)

    async def talk(self) -> None:
        """Have it count until told to stop."""
        expected = coded_speech(COUNT_SECONDS * HERTZ)
        while not self._is_over.is_set():
            start = len(self.client.speech)
            await self.client.type(f"count {COUNT_SECONDS}")
            await self.client.until(lambda start=start: len(self.client.speech) >= start + len(expected))  # type: ignore[misc]
            verdict = compare(expected, bytes(self.client.speech[start : start + len(expected)]))
            self._damage.append((verdict.lost, verdict.doubled, verdict.out_of_order))
            self.heard += len(expected)
        self._is_done.set()

    async def finish(self) -> tuple[int, int, int]:
        """Hear the last count to its end, and return how many samples of all were lost, doubled and out of order."""
        self._is_over.set()
        async with asyncio.timeout(COUNT_SECONDS + 20):
            await self._is_done.wait()
        lost, doubled, moved = (sum(each) for each in zip(*self._damage, strict=True))
        return lost, doubled, moved


class ToldBrain(ObedientBrain):
    """Does what is typed; `do` and a name makes the calls that were planned under it, which can be longer than what is typed."""

    def __init__(self, results: list[Mapping[str, object]], planned: Mapping[str, Sequence[Call]]) -> None:
        super().__init__(results)
        self._planned = planned

    async def answer(self, turn: UserTurn, reply: Reply) -> None:
        """Do it."""
        order, _, rest = (turn.text or "").partition(" ")
        if order == "do":
            await reply.call_tools(self._planned[rest])
        else:
            await super().answer(turn, reply)


@dataclass(slots=True)
class ToldModel(Model):
    """Does what it is told, and remembers what it was told at first."""

    prompts: list[Prompt] = field(default_factory=list)
    planned: dict[str, Sequence[Call]] = field(default_factory=dict)

    def options(self) -> Options:
        """Return the emulator's options."""
        return Options(port=self.port, brain=self._brain, ca_dir=self.ca_dir, max_streams=60)

    def plan(self, calls: Sequence[tuple[str, object]]) -> str:
        """Return what is to be typed for these calls; arguments that are a text go out as they are."""
        name = f"plan-{len(self.planned)}"
        self.planned[name] = [(tool, arguments if isinstance(arguments, str) else json.dumps(arguments)) for tool, arguments in calls]
        return f"do {name}"

    def _brain(self, prompt: Prompt) -> ObedientBrain:
        self.prompts.append(prompt)
        return ToldBrain(self.results, self.planned)

"""Many live sessions of which a few speak at a time, and visitors who come and go meanwhile.

Run as `python -m bench.visitors --url ws://... --live N --speaking N --seconds S`; prints one JSON line. It works against the server and
against `bench.echo_socket` alike: the answer to the first message, a ping's answer and the echo of a chunk are all that it waits for.
"""

import argparse
import asyncio
import gc
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.load import percentiles
from bench.stamps import CHUNK_BYTES, CHUNK_SECONDS, make_chunk, read_stamps

HELLO = json.dumps({"type": "hello", "protocol": 1, "input_hertz": 16_000, "output_hertz": 16_000})
ARRIVAL_SECONDS = 0.04
"""Between those who come to stay."""
VISIT_SECONDS = 0.1
"""Between those who come and go."""
PING_SECONDS = 1.0
TURN_SECONDS = 2.0
"""How long somebody speaks before others do."""
SETTLE_SECONDS = 1.0
LAST_SECONDS = 1.0
"""For what is under way at the end."""
LATE_SECONDS = 0.010
_HEADER = struct.Struct("<BBHIII")


@dataclass(slots=True)
class Measured:
    """What all of them saw, in milliseconds."""

    answered: list[float] = field(default_factory=list)
    """From the first packet of TCP to the answer to a ping."""
    started: list[float] = field(default_factory=list)
    """The same to session.started, with a stream of the model opened."""
    pings: list[float] = field(default_factory=list)
    """There and back."""
    up: list[float] = field(default_factory=list)
    """Of a chunk of speech, to the model."""
    down: list[float] = field(default_factory=list)
    """From the model."""
    echoes: list[float] = field(default_factory=list)
    """Both."""
    sent: int = 0
    late: int = 0
    """Chunks that this program itself sent more than 10 ms too late."""
    failed: int = 0
    """Visits that did not get a session."""


def _now_ms() -> float:
    return time.monotonic_ns() / 1e6


async def _until(socket: ClientConnection, kinds: tuple[str, ...]) -> None:
    while True:
        frame = await socket.recv()
        if isinstance(frame, str):
            kind = orjson.loads(frame)["type"]
            if kind == "error":
                raise ConnectionRefusedError(frame)
            if kind in kinds:
                return


@asynccontextmanager
async def visiting(url: str, measured: Measured, *, is_counted: bool) -> AsyncIterator[ClientConnection]:
    """Connect and begin a session for the length of the block."""
    began = _now_ms()
    async with connect(url, subprotocols=[Subprotocol("nova-sonic.v1")], compression=None, max_size=None) as socket:
        await socket.send(json.dumps({"type": "ping", "t": began}))
        await _until(socket, ("pong", "ping"))
        answered = _now_ms()
        await socket.send(HELLO)
        await _until(socket, ("session.started", "hello"))
        if is_counted:
            measured.answered.append(answered - began)
            measured.started.append(_now_ms() - began)
        yield socket


@dataclass(frozen=True, slots=True)
class Crowd:
    """All who are there at once."""

    url: str
    live: int
    speaking: int
    seconds: float
    measured: Measured = field(default_factory=Measured)

    async def run(self) -> None:
        """Fill the house, and measure while it is full."""
        everybody_is_in = asyncio.Event()
        is_over = asyncio.Event()
        arrived = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as tasks:
            for index in range(self.live):
                tasks.create_task(self._stay(index, arrived, everybody_is_in, is_over))
                await asyncio.sleep(ARRIVAL_SECONDS)
            for _ in range(self.live):
                await arrived.acquire()
            everybody_is_in.set()
            await asyncio.sleep(SETTLE_SECONDS)
            until = time.monotonic() + self.seconds
            while time.monotonic() < until:
                tasks.create_task(self._visit())
                await asyncio.sleep(VISIT_SECONDS)
            is_over.set()

    async def _visit(self) -> None:
        try:
            async with visiting(self.url, self.measured, is_counted=True):
                pass
        except OSError:
            self.measured.failed += 1

    async def _stay(self, index: int, arrived: asyncio.Semaphore, everybody_is_in: asyncio.Event, is_over: asyncio.Event) -> None:
        async with visiting(self.url, self.measured, is_counted=False) as socket:
            arrived.release()
            reading = asyncio.create_task(self._read(socket, everybody_is_in))
            await everybody_is_in.wait()
            talking = asyncio.create_task(self._talk(socket, index))
            pinging = asyncio.create_task(self._ping(socket, index))
            await is_over.wait()
            talking.cancel()
            pinging.cancel()
            await asyncio.sleep(LAST_SECONDS)
            reading.cancel()

    async def _ping(self, socket: ClientConnection, index: int) -> None:
        await asyncio.sleep(index / self.live * PING_SECONDS)
        while True:
            await socket.send(json.dumps({"type": "ping", "t": _now_ms()}))
            await asyncio.sleep(PING_SECONDS)

    async def _talk(self, socket: ClientConnection, index: int) -> None:
        """Speak in real time whenever it is this one's turn."""
        groups = self.live // self.speaking
        number = 0
        await asyncio.sleep((index % groups) * TURN_SECONDS + index / self.live * CHUNK_SECONDS)
        while True:
            due = time.monotonic()
            for _ in range(round(TURN_SECONDS / CHUNK_SECONDS)):
                self.measured.late += time.monotonic() > due + LATE_SECONDS
                await socket.send(_HEADER.pack(1, 0, 0, number, number * CHUNK_BYTES // 2, 0) + make_chunk())
                self.measured.sent += 1
                number += 1
                due += CHUNK_SECONDS
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await asyncio.sleep((groups - 1) * TURN_SECONDS)

    async def _read(self, socket: ClientConnection, is_measured: asyncio.Event) -> None:
        async for frame in socket:
            if isinstance(frame, bytes):
                up, down = read_stamps(frame[_HEADER.size :])
                self.measured.echoes.append(up + down)
                if up > 0:  # a bare echo stamps nothing
                    self.measured.up.append(up)
                    self.measured.down.append(down)
            elif is_measured.is_set() and "t" in (message := orjson.loads(frame)):
                self.measured.pings.append(_now_ms() - message["t"])


async def measure(crowd: Crowd) -> dict[str, object]:
    """Run it and return the figures."""
    await crowd.run()
    measured = crowd.measured
    figures: dict[str, object] = {"sent": measured.sent, "echoed": len(measured.echoes), "late": measured.late, "failed": measured.failed}
    for name in ("answered", "started", "pings", "up", "down", "echoes"):
        values: list[float] = getattr(measured, name)
        figures[f"{name}_ms"] = {**percentiles(values), "count": len(values)}
    return figures


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--live", type=int, required=True)
    parser.add_argument("--speaking", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    gc.disable()  # what is measured is the server, and not how long this process looks through its 200 clients
    crowd = Crowd(arguments.url, arguments.live, arguments.speaking, arguments.seconds)
    print(json.dumps(uvloop.run(measure(crowd))))


if __name__ == "__main__":
    main()

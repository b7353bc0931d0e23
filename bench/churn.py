"""Clients that begin sessions and end them in every way that there is. The load of bench.soak.

Run as `python -m bench.churn --port P [--at-once N]`; for each line {"sessions": n} of stdin it holds so many, and answers with a line that
says how many of each way there were.
"""

import argparse
import asyncio
import json
import random
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bench.callers import HEADER, NOISE, PIECE_BYTES, PIECE_SECONDS, Caller, Dialect

AT_ONCE = 40
PIECES = 12
"""Of sound that a session hears: 0.4 s."""
PATIENCE_SECONDS = 8.0
"""For what the server should tell; a session that its model kept waiting is left by then."""
STRIKES = 20
FLOOD_SECONDS = 6


@dataclass(slots=True)
class Visit:
    """One connection of the page's dialect, and what it was told."""

    socket: ClientConnection
    port: int
    told: Counter[str] = field(default_factory=Counter)
    token: str = ""
    frames: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self) -> None:
        """Take what comes until the connection is closed."""
        with suppress(ConnectionClosed):
            async for frame in self.socket:
                self._take(frame)
        self.told["closed"] += 1
        self._news.set()

    async def until(self, *types: str) -> None:
        """Wait for one of these messages, the end of the connection, or for PATIENCE_SECONDS."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not any(self.told[one] for one in (*types, "closed")):
                    self._news.clear()
                    await self._news.wait()

    async def hello(self, *, resume: bool = False) -> None:
        """Ask for a session and wait until it listens, or is refused."""
        hello = {"type": "hello", "protocol": 1, "input_hertz": 16_000, "output_hertz": 16_000}
        await self.socket.send(json.dumps({**hello, "resume": True} if resume else hello))
        await self.until("session.started", "error")

    async def speak(self, pieces: int = PIECES, *, at_once: bool = False) -> None:
        """Send sound."""
        for number in range(pieces):
            start = number * PIECE_BYTES % (len(NOISE) - PIECE_BYTES)
            await self.socket.send(HEADER.pack(1, 0, 0, number, start // 2, 0) + NOISE[start : start + PIECE_BYTES])
            await asyncio.sleep(0 if at_once else PIECE_SECONDS)

    def vanish(self) -> None:
        """Reset the connection."""
        raw = self.socket.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.transport.abort()

    def _take(self, frame: str | bytes) -> None:
        self.frames += 1
        if isinstance(frame, bytes):
            self.told["speech"] += 1
        else:
            message = json.loads(frame)
            self.told[message["type"]] += 1
            self.token = message.get("resume_token") or self.token
        self._news.set()


type Way = Callable[[Visit], Awaitable[object]]


async def end(visit: Visit) -> None:
    """Say so."""
    await visit.hello()
    await visit.speak()
    await visit.socket.send('{"type":"end"}')
    await visit.until("session.ended")


async def close(visit: Visit) -> None:
    """Send a close frame."""
    await visit.hello()
    await visit.speak()
    await visit.socket.close()


async def close_at_once(visit: Visit) -> None:
    """Leave while the model's stream is being opened."""
    await visit.socket.send('{"type":"hello","protocol":1}')
    await visit.socket.close()


async def reset(visit: Visit) -> None:
    """Vanish."""
    await visit.hello()
    await visit.speak()
    visit.vanish()


async def be_lost(visit: Visit) -> None:
    """Vanish, could come back, and do not."""
    await visit.hello(resume=True)
    await visit.speak()
    visit.vanish()


async def come_back(visit: Visit) -> None:
    """Vanish, come back, and leave."""
    await visit.hello(resume=True)
    await visit.speak()
    visit.vanish()
    if not visit.token:
        return
    await asyncio.sleep(0.2)
    async with _connected(visit.port) as again:
        await again.socket.send(json.dumps({"type": "resume", "protocol": 1, "token": visit.token, "seq": visit.frames}))
        await again.until("session.resumed", "error")
        await again.speak(4)
        await again.socket.send('{"type":"end"}')
        await again.until("session.ended")


async def begin_twice(visit: Visit) -> None:
    """Begin another session in place of the first."""
    await visit.hello()
    await visit.speak(4)
    await visit.socket.send('{"type":"hello","protocol":1}')
    await visit.until("session.ended")
    await visit.socket.close()


async def misbehave(visit: Visit) -> None:
    """Send what nobody can use until the server has enough."""
    await visit.hello()
    for _ in range(STRIKES):
        await visit.socket.send("not JSON")
    await visit.until("closed")


async def send_too_much(visit: Visit) -> None:
    """Send a message that is too long."""
    await visit.hello()
    await visit.socket.send(bytes(300_000))
    await visit.until("closed")


async def flood(visit: Visit) -> None:
    """Send many times real time; with few places for events the session ends as too slow."""
    await visit.hello()
    await visit.speak(round(FLOOD_SECONDS / PIECE_SECONDS), at_once=True)
    await visit.until("session.ended")


async def say_nothing(visit: Visit) -> None:
    """Have no session until the server closes."""
    await visit.until("closed")


async def never_read(visit: Visit) -> None:
    """Answer no ping until the server gives up."""
    await visit.hello()
    visit.socket.transport.pause_reading()
    await asyncio.sleep(3.0)
    visit.vanish()


async def talk_raw(visit: Visit) -> None:
    """Speak the raw dialect on a connection of its own, and reset it."""
    async with connect(f"ws://127.0.0.1:{visit.port}/", compression=None) as socket:
        raw = Caller(socket, Dialect.RAW)
        await raw.begin()
        for _ in range(PIECES):
            await raw.send(bytes(PIECE_BYTES))
            await asyncio.sleep(PIECE_SECONDS)
        socket.transport.abort()


WAYS: tuple[Way, ...] = (
    *(end, close, close_at_once, reset, be_lost, come_back, begin_twice),
    *(misbehave, send_too_much, flood, say_nothing, never_read, talk_raw),
)


class _connected:  # noqa: N801 - a context manager, used as a function
    def __init__(self, port: int) -> None:
        self._connect = connect(
            f"ws://127.0.0.1:{port}/", subprotocols=[Subprotocol("nova-sonic.v1")], compression=None, max_queue=None, close_timeout=3
        )
        self._port = port

    async def __aenter__(self) -> Visit:
        visit = Visit(await self._connect, self._port)
        self._visit, self._listening = visit, asyncio.create_task(visit.listen())
        return visit

    async def __aexit__(self, *_: object) -> None:
        await self._visit.socket.close()
        await self._listening


async def churn(port: int, sessions: int, at_once: int) -> dict[str, int]:
    """Hold so many sessions, so many at once, and return how often each way was taken."""
    taken: Counter[str] = Counter()
    ways = [WAYS[number % len(WAYS)] for number in range(sessions)]
    random.Random(sessions).shuffle(ways)

    async def visitor() -> None:
        while ways:
            way = ways.pop()
            try:
                async with _connected(port) as visit:
                    await way(visit)
            except (ConnectionClosed, OSError):
                taken["cut off"] += 1  # the server or the network was faster
            taken[way.__name__] += 1

    await asyncio.gather(*(visitor() for _ in range(at_once)))
    return dict(taken)


async def main() -> None:
    """Do what stdin asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    arguments = parser.parse_args()
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await churn(arguments.port, json.loads(line)["sessions"], arguments.at_once)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())

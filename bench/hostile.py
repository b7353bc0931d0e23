"""Clients that take no part in a conversation's good order. What bench.bounds measures the server against.

Run as `python -m bench.hostile --port P --kind KIND --sessions N --seconds S`; prints one JSON line when the sessions have begun, and at
the end another with what they were told. Kinds:

deaf    speaks at four times real time, so that the model's echo piles up, and reads nothing for S seconds; then it reads
flood   sends sound at twenty times real time
blast   sends as much as the network takes, in messages of 64 KB
stuck   speaks in real time; the model is expected not to read
"""

import argparse
import asyncio
import json
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
import uvloop
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from bench.stamps import CHUNK_BYTES, make_chunk

HERTZ = 24_000
"""The highest rate: the most memory for a second of sound."""
NOT_ECHOED = bytes(CHUNK_BYTES)
"""Sound of no stamp stays with the model: what is measured is the server, and not how fast the model echoes."""
SPEEDS = {"deaf": 4.0, "flood": 20.0, "blast": 1e6, "stuck": 1.0}
BLAST_PIECES = 64
READ_SECONDS = 3.0
"""How long a deaf client listens in the end."""
_HEADER = struct.Struct("<BBHIII")


@dataclass(slots=True)
class Hostile:
    """All clients of one run, and what they were told."""

    port: int
    kind: str
    seconds: float
    begun: asyncio.Barrier
    told: Counter[str] = field(default_factory=Counter)

    async def hold(self) -> None:
        """Hold one session."""
        url, protocol = f"ws://127.0.0.1:{self.port}/", Subprotocol("nova-sonic.v1")
        with suppress(ConnectionClosed):
            async with connect(url, subprotocols=[protocol], compression=None, max_queue=None, max_size=None, close_timeout=1) as socket:
                await socket.send(json.dumps({"type": "hello", "protocol": 1, "input_hertz": HERTZ, "output_hertz": HERTZ}))
                while json.loads(await socket.recv())["type"] != "session.started":
                    pass
                if await self.begun.wait() == 0:
                    print(json.dumps({"begun": True}), flush=True)
                if self.kind == "deaf":
                    socket.transport.pause_reading()
                listening = asyncio.create_task(self._listen(socket))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.seconds):
                        await self._speak(socket)
                if self.kind == "deaf":
                    socket.transport.resume_reading()
                    await asyncio.sleep(READ_SECONDS)
                await socket.close()
                await listening

    async def _speak(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        due_at, number = loop.time(), 0
        sound = {"flood": NOT_ECHOED[:CHUNK_BYTES], "blast": NOT_ECHOED * BLAST_PIECES}.get(self.kind)
        while True:
            piece = sound or make_chunk()
            await socket.send(_HEADER.pack(1, 0, 0, number, 0, 0) + piece)
            number += 1
            due_at += len(piece) / 2 / HERTZ / SPEEDS[self.kind]
            await asyncio.sleep(max(0.0, due_at - loop.time()))

    async def _listen(self, socket: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for frame in socket:
                if isinstance(frame, bytes):
                    self.told["heard_ms"] += round((len(frame) - _HEADER.size) / 2 / HERTZ * 1_000)
                    continue
                message = orjson.loads(frame)
                if message["type"] == "audio.dropped":
                    self.told[f"{message['direction']}_dropped_ms"] += message["ms"]
                elif message["type"] == "error":
                    self.told[message["code"]] += 1
        self.told[f"closed_{socket.close_code}"] += 1


async def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=list(SPEEDS), required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    hostile = Hostile(arguments.port, arguments.kind, arguments.seconds, asyncio.Barrier(arguments.sessions))
    await asyncio.gather(*(hostile.hold() for _ in range(arguments.sessions)))
    print(json.dumps({"told": dict(hostile.told)}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())

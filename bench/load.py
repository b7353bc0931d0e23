"""Real-time sessions against a bridge, each chunk stamped on its way.

Run as `python -m bench.load --kind server|passthrough --url ws://... --sessions N --seconds S`; prints one JSON line. A chunk of 32 ms
carries the time at which it was sent; the stamping model writes its own time in and sends it back, so each direction is measured apart.
"""

import argparse
import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from statistics import quantiles

import orjson
import pybase64
import uvloop
from smithy_aws_event_stream.events import EventMessage
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from bench.stamps import CHUNK_BYTES, CHUNK_SECONDS, make_chunk, read_stamps
from s2s import codec
from s2s.events import AudioContentStart, AudioInput, ContentEnd, InputEvent, PromptStart, Role, SessionStart, TextContentStart, TextInput

SETTLE_SECONDS = 2.0
"""What happens in the first seconds (imports, connections, first allocations) is not measured."""
MODEL_PATH = "/model/amazon.nova-2-sonic-v1%3A0/invoke-with-bidirectional-stream"
_HEADER = struct.Struct("<BBHIII")
_PRELUDE = struct.Struct(">II")


@dataclass(slots=True)
class Measured:
    """What all sessions of one run saw."""

    up_ms: list[float] = field(default_factory=list)
    down_ms: list[float] = field(default_factory=list)
    sent: int = 0
    received: int = 0
    late: int = 0
    """Chunks that this load generator itself sent more than 10 ms too late."""


class ServerSession:
    """Speaks the binary dialect of Nova Sonic Server."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._sent = 0

    async def start(self) -> None:
        """Say hello and wait until the session listens."""
        await self._socket.send(json.dumps({"type": "hello", "protocol": 1, "input_hertz": 16_000, "output_hertz": 16_000}))
        while json.loads(await self._socket.recv())["type"] != "session.started":
            pass

    async def send(self, pcm: bytes) -> None:
        """Send one chunk."""
        await self._socket.send(_HEADER.pack(1, 0, 0, self._sent, self._sent * CHUNK_BYTES // 2, 0) + pcm)
        self._sent += 1

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks that come back."""
        async for frame in self._socket:
            if isinstance(frame, bytes):
                yield frame[_HEADER.size :]


class PassthroughSession:
    """Speaks Bedrock's own framing, which the bare bridge passes on unread."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._received = bytearray()

    async def start(self) -> None:
        """Send the request's head and the opening events."""
        head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", MODEL_PATH),
            ("content-type", "application/vnd.amazon.eventstream"),
        ]
        await self._socket.send(json.dumps(head))
        opening: list[InputEvent] = [
            SessionStart(),
            PromptStart("p", "carlos", 16_000),
            TextContentStart("p", "s", Role.SYSTEM),
            TextInput("p", "s", "Hola."),
            ContentEnd("p", "s"),
            AudioContentStart("p", "a", 16_000),
        ]
        for event in opening:
            await self._send(event)

    async def send(self, pcm: bytes) -> None:
        """Send one chunk."""
        await self._send(AudioInput("p", "a", pcm))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks that come back."""
        async for data in self._socket:
            self._received += data if isinstance(data, bytes) else data.encode()
            while (event := self._next_event()) is not None:
                if "audioOutput" in event:
                    yield pybase64.b64decode(event["audioOutput"]["content"])

    async def _send(self, event: InputEvent) -> None:
        payload = orjson.dumps({"bytes": pybase64.b64encode(codec.encode_input(event)).decode()})
        inner = EventMessage(headers={":event-type": "chunk", ":message-type": "event"}, payload=payload).encode()
        await self._socket.send(EventMessage(headers={":chunk-signature": bytes(32)}, payload=inner).encode())

    def _next_event(self) -> dict[str, dict[str, str]] | None:
        if len(self._received) < _PRELUDE.size:
            return None
        total, headers = _PRELUDE.unpack_from(self._received)
        if len(self._received) < total:
            return None
        payload = bytes(self._received[12 + headers : total - 4])
        del self._received[:total]
        event: dict[str, dict[str, str]] = orjson.loads(pybase64.b64decode(orjson.loads(payload)["bytes"]))["event"]
        return event


type Session = ServerSession | PassthroughSession
KINDS: dict[str, Callable[[ClientConnection], Session]] = {"server": ServerSession, "passthrough": PassthroughSession}


@dataclass(frozen=True, slots=True)
class Run:
    """All sessions of one measurement."""

    kind: str
    url: str
    sessions: int
    seconds: float
    ready: asyncio.Barrier
    """Where the sessions wait for each other, so that connecting is not measured."""
    measured: Measured = field(default_factory=Measured)


async def run_session(run: Run, index: int) -> None:
    """Hold one real-time conversation with the stamping model; sessions are spread over the 32 ms of a chunk, as callers are."""
    measured = run.measured
    subprotocols = [Subprotocol("nova-sonic.v1")] if run.kind == "server" else None
    async with connect(run.url, subprotocols=subprotocols, compression=None, max_size=None) as socket:
        session = KINDS[run.kind](socket)
        await session.start()
        await run.ready.wait()
        reader = asyncio.create_task(_read(session, time.monotonic() + SETTLE_SECONDS, measured))
        next_at = time.monotonic() + index / run.sessions * CHUNK_SECONDS
        until = next_at + run.seconds + SETTLE_SECONDS
        while next_at < until:
            delay = next_at - time.monotonic()
            if delay > 0:
                await asyncio.sleep(delay)
            measured.late += delay < -0.010
            await session.send(make_chunk())
            measured.sent += 1
            next_at += CHUNK_SECONDS
        await asyncio.sleep(0.5)
        reader.cancel()


async def _read(session: Session, from_when: float, measured: Measured) -> None:
    async for pcm in session.chunks():
        measured.received += 1
        if time.monotonic() >= from_when:
            up, down = read_stamps(pcm)
            measured.up_ms.append(up)
            measured.down_ms.append(down)


def percentiles(values: list[float]) -> dict[str, float]:
    """Return p50 and p99."""
    cuts = quantiles(values, n=100) if len(values) > 1 else [0.0] * 99
    return {"p50": round(cuts[49], 3), "p99": round(cuts[98], 3)}


async def measure(kind: str, url: str, sessions: int, seconds: float) -> dict[str, object]:
    """Run all sessions and return the figures."""
    run = Run(kind, url, sessions, seconds, asyncio.Barrier(sessions))
    async with asyncio.TaskGroup() as tasks:
        for index in range(sessions):
            tasks.create_task(run_session(run, index))
    measured = run.measured
    return {
        "up_ms": percentiles(measured.up_ms),
        "down_ms": percentiles(measured.down_ms),
        "sent": measured.sent,
        "received": measured.received,
        "late": measured.late,
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=list(KINDS), required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    arguments = parser.parse_args()
    print(json.dumps(uvloop.run(measure(arguments.kind, arguments.url, arguments.sessions, arguments.seconds))))


if __name__ == "__main__":
    main()

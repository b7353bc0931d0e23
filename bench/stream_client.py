"""The client side of bench/stream.py: a process that plays jobs over one way to the model.

Run as `python -m bench.stream_client --way ours --endpoint https://host:port --ca ca.pem`. Reads one JSON job a line and prints one JSON
line of figures for each: `{"job": "bulk", "frames": 2000}`, `{"job": "paced", "sessions": 30, "seconds": 5}`, `{"job": "idle",
"sessions": 64}`.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time

import uvloop

from bench.processes import weigh
from bench.stamps import CHUNK_SECONDS, make_chunk, read_stamps
from bench.ways import WAYS, Session, Way

OUTSTANDING = 14
"""Chunks under way in bulk: half of HTTP/2's first window, so that the bare way needs no flow control."""
WARM_CHUNKS = 200
SETTLE_SECONDS = 0.5
SPREAD_SECONDS = 0.5
"""Sessions begin to speak within so much of each other, so that their chunks are spread as in life."""


async def bulk(way: Way, frames: int) -> dict[str, float]:
    """Send chunks as fast as they come back, and return CPU and wall time per pair of events."""
    session = await way.open()
    await echo(session, WARM_CHUNKS)
    cpu, wall = time.process_time(), time.perf_counter()
    await echo(session, frames)
    figures = {"cpu_us": (time.process_time() - cpu) / frames * 1e6, "wall_us": (time.perf_counter() - wall) / frames * 1e6}
    await session.close()
    return figures


async def echo(session: Session, frames: int) -> None:
    """Send chunks and take them back, OUTSTANDING at once."""
    room = asyncio.Semaphore(OUTSTANDING)

    async def send() -> None:
        for _ in range(frames):
            await room.acquire()
            await session.send(make_chunk())

    sending = asyncio.create_task(send())
    for _ in range(frames):
        await session.receive()
        room.release()
    await sending


async def paced(way: Way | None, sessions: int, seconds: float) -> dict[str, float]:
    """Speak in real time in many sessions, and return CPU per pair, how many pairs there were, and how late they were.

    Args:
        way: None for the timers of this bench alone.
        sessions: at once.
        seconds: that are measured.
    """
    opened = [await way.open() for _ in range(sessions)] if way is not None else []
    counts, delays, lateness = [0, 0], list[float](), list[float]()
    stop = asyncio.Event()

    async def speak(number: int) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + SPREAD_SECONDS * number / sessions
        while not stop.is_set():
            await asyncio.sleep(due - loop.time())
            chunk = make_chunk()
            if opened:
                await opened[number].send(chunk)
            else:
                delays.append(sum(read_stamps(chunk)))
            counts[0] += 1
            lateness.append(loop.time() - due)
            due += CHUNK_SECONDS

    async def listen(session: Session) -> None:
        while (pcm := await session.receive()) is not None:
            counts[1] += 1
            if pcm:
                delays.append(sum(read_stamps(pcm)))

    speaking = [asyncio.create_task(speak(number)) for number in range(sessions)]
    listening = [asyncio.create_task(listen(session)) for session in opened]
    await asyncio.sleep(SPREAD_SECONDS + SETTLE_SECONDS)
    counts[:] = [0, 0]
    delays.clear()
    lateness.clear()
    cpu, began = time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    used, lasted = time.process_time() - cpu, time.perf_counter() - began
    sent, received = counts
    stop.set()
    await asyncio.gather(*speaking)
    await asyncio.gather(*(session.close() for session in opened))
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    pairs = received if opened else sent
    return {
        "cpu_us": used / max(pairs, 1) * 1e6,
        "cpu_percent_of_core": used / lasted * 100,
        "rate": pairs / (sessions * lasted / CHUNK_SECONDS),
        "late_p99_ms": percentile(lateness, 0.99) * 1e3,
        "round_trip_p50_ms": percentile(delays, 0.5),
        "round_trip_p99_ms": percentile(delays, 0.99),
    }


def percentile(values: list[float], share: float) -> float:
    """Return a percentile; 0 of nothing."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


async def idle(way: Way, sessions: int) -> dict[str, float]:
    """Open sessions that say nothing, and return what each of them weighs."""
    first = await way.open()  # what the first one loads and caches is nobody's
    gc.collect()
    before = weigh(os.getpid()).memory_kilobytes
    opened = [await way.open() for _ in range(sessions)]
    await asyncio.sleep(0.5)
    gc.collect()
    after = weigh(os.getpid()).memory_kilobytes
    await asyncio.gather(*(session.close() for session in (first, *opened)))
    return {"memory_kb": (after - before) / sessions}


async def main(arguments: argparse.Namespace) -> None:
    """Play jobs until stdin ends."""
    gc.collect()
    gc.freeze()
    while line := await asyncio.to_thread(sys.stdin.readline):
        job = json.loads(line)
        kind = job.pop("job")
        way = WAYS[arguments.way](arguments.endpoint, arguments.ca) if arguments.way != "timers" else None
        if kind == "paced":
            figures = await paced(way, **job)
        elif way is not None:
            figures = await (bulk if kind == "bulk" else idle)(way, **job)
        if way is not None:
            await way.close()
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}), flush=True)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=(*WAYS, "timers"), required=True)
    parser.add_argument("--endpoint", default="")
    parser.add_argument("--ca", default="")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(parse_arguments()))

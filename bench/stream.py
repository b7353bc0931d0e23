"""What a stream to the model costs: the stock SDK over CRT, our transport, and a bare pass-through as the limit, in one interleaved run.

Beside them, our client over the `h2` library in place of its own framing.

    python -m bench.stream [--quick]

Each way runs in a process of its own against one echoing Nova Sonic Local in another, over TLS and HTTP/2, on uvloop. A pair is one chunk
of 32 ms of speech up and the same chunk back. In real time the cost of this bench's own timers is measured beside and taken off.

Targets: in bulk at most 1/8 of the stock path's CPU per pair, in real time at 30 sessions at most 1/3; 200 real-time sessions in one
process on less than one core without falling behind; at most 60 KB per idle session at 16 streams per connection.
"""

import asyncio
import json
import os
import tempfile
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from statistics import median

from bench.command import run_bench
from bench.processes import child, read_json

ROUNDS, ROUNDS_QUICK = 5, 2
BULK_FRAMES = {"stock": 600, "ours": 3_000, "library": 3_000, "bare": 3_000}
BULK_FRAMES_QUICK = {"stock": 400, "ours": 2_000, "library": 2_000, "bare": 2_000}
PACED_SESSIONS = 30
PACED_ROUNDS, PACED_ROUNDS_QUICK = 5, 2
PACED_SECONDS, PACED_SECONDS_QUICK = 6.0, 2.0
MANY_SESSIONS = 200
MANY_SECONDS, MANY_SECONDS_QUICK = 20.0, 3.0
IDLE_SESSIONS = 160

BULK_SHARE, PACED_SHARE = 1 / 8, 1 / 3
IDLE_KB = 60.0
RATE = 0.99
"""Share of the pairs of real time that must have come back: those under way at either end of the measurement are in the rest."""

type Figures = dict[str, float]


async def ask(process: Process, **job: object) -> Figures:
    """Have a client process play one job."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(job).encode() + b"\n")
    return {name: float(str(value)) for name, value in (await read_json(process)).items()}


async def in_turn(clients: dict[str, Process], rounds: int, jobs: dict[str, dict[str, object]]) -> dict[str, Figures]:
    """Play each way's job in turn, round after round, and return the medians."""
    taken: dict[str, list[Figures]] = {way: [] for way in jobs}
    for _ in range(rounds):
        for way, job in jobs.items():
            taken[way].append(await ask(clients[way], **job))
    return {way: {name: round(median(one[name] for one in runs), 2) for name in runs[0]} for way, runs in taken.items()}


async def weigh_idle(way: str, where: tuple[str, ...]) -> Figures:
    """Weigh idle sessions in a fresh process: a used one has memory to spare, and would hide them in it."""
    async with child("-m", "bench.stream_client", "--way", way, *where) as client:
        return await ask(client, job="idle", sessions=IDLE_SESSIONS)


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    frames = BULK_FRAMES_QUICK if quick else BULK_FRAMES
    seconds = PACED_SECONDS_QUICK if quick else PACED_SECONDS
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model = await read_json(await stack.enter_async_context(child("-m", "bench.model", "--folder", folder)))
        where = ("--endpoint", str(model["endpoint"]), "--ca", str(model["ca_file"]))
        clients = {
            way: await stack.enter_async_context(child("-m", "bench.stream_client", "--way", way, *where))
            for way in (*BULK_FRAMES, "timers")
        }
        bulk = await in_turn(clients, ROUNDS_QUICK if quick else ROUNDS, {way: {"job": "bulk", "frames": n} for way, n in frames.items()})
        show("bulk", bulk)
        job: dict[str, object] = {"job": "paced", "sessions": PACED_SESSIONS, "seconds": seconds}
        ways = [way for way in clients if way != "library" or not quick]
        paced = await in_turn(clients, PACED_ROUNDS_QUICK if quick else PACED_ROUNDS, dict.fromkeys(ways, job))
        show(f"{PACED_SESSIONS} sessions in real time", paced)
        many = await ask(clients["ours"], job="paced", sessions=MANY_SESSIONS, seconds=MANY_SECONDS_QUICK if quick else MANY_SECONDS)
        show(f"{MANY_SESSIONS} sessions in real time", {"ours": many})
        idle = {way: await weigh_idle(way, where) for way in ("stock", "ours")}
        show(f"{IDLE_SESSIONS} idle sessions", idle)
    return judged(bulk, paced, many, idle)


def judged(bulk: dict[str, Figures], paced: dict[str, Figures], many: Figures, idle: dict[str, Figures]) -> dict[str, object]:
    """Return the figures with their ratios, and whether the targets are met."""
    timers = paced["timers"]["cpu_us"]
    bulk_share = bulk["ours"]["cpu_us"] / bulk["stock"]["cpu_us"]
    paced_share = (paced["ours"]["cpu_us"] - timers) / (paced["stock"]["cpu_us"] - timers)
    targets = {
        "bulk_share": bulk_share <= BULK_SHARE,
        "paced_share": paced_share <= PACED_SHARE,
        "many_keep_up": many["rate"] >= RATE and many["cpu_percent_of_core"] < 100,
        "idle_memory": idle["ours"]["memory_kb"] <= IDLE_KB,
    }
    return {
        "cores": os.cpu_count(),
        "bulk": bulk,
        "paced": paced,
        "many": many,
        "idle": idle,
        "bulk_share": round(bulk_share, 3),
        "bulk_over_bare": round(bulk["ours"]["cpu_us"] / bulk["bare"]["cpu_us"], 2),
        "paced_share": round(paced_share, 3),
        "sessions_per_core": round(MANY_SESSIONS / many["cpu_percent_of_core"] * 100),
        "targets": targets,
        "holds": all(targets.values()),
    }


def show(title: str, figures: dict[str, Figures]) -> None:
    """Print figures as they come."""
    for way, values in figures.items():
        print(f"{title}, {way:6}: {json.dumps(values)}", flush=True)


if __name__ == "__main__":
    run_bench(run, asyncio.run)

"""What one client's misbehaviour costs the server, and those beside it.

    python -m bench.bounds [--quick]

Ten real-time callers talk with an echoing model, alone and then beside sessions that read nothing, send at 20 times real time, send as much
as the network takes, or whose model reads nothing (`bench/hostile.py`). Memory is the server process's own, from `/proc`: its highest value
while they are there, less that before them, for each of them. Callers' times are measured in the same run, alone before and after.

Targets: less than 2 MB for each hostile session; the round trip of the callers beside them has a p99 at most 5 ms above theirs alone;
nothing of theirs is lost.
"""

import asyncio
import json
import tempfile
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from urllib.request import urlopen

from bench.bridge import server_environment, wait_until_healthy
from bench.command import run_bench
from bench.hostile import READ_SECONDS
from bench.processes import child, free_port, read_json, weigh

KINDS = ("deaf", "flood", "blast", "stuck")
FAULTS = {"stuck": "slow_reader"}
"""Of the hostile sessions' streams at the model."""
CALLERS = 10
HOSTILE = 4
"""At four times real time each they are as much work for the model as 16 callers."""
SECONDS = {"deaf": 60.0, "flood": 30.0, "blast": 30.0, "stuck": 30.0}
SECONDS_QUICK = {"deaf": 11.0, "flood": 4.0, "blast": 4.0, "stuck": 4.0}
ALONE_SECONDS, ALONE_SECONDS_QUICK = 30.0, 4.0
WEIGH_SECONDS = 0.25
LIMIT_MB = 2.0
MARGIN_MS = 5.0
BEGIN_SECONDS = 30.0
OPENING_SECONDS = 1.5
"""For the callers' streams, which shall have no fault."""
SETTINGS = {"MAX_SESSIONS": "200", "MAX_LOOP_LAG_MS": "0"}


async def load(port: int, seconds: float) -> dict[str, object]:
    """Let the callers talk for so long and return what they saw."""
    arguments = ("--kind", "server", "--url", f"ws://127.0.0.1:{port}", "--sessions", str(CALLERS), "--seconds", str(seconds))
    async with child("-m", "bench.load", *arguments) as callers:
        return await read_json(callers, seconds + 30)


async def beside(port: int, server: Process, model: Process, kind: str, seconds: float) -> dict[str, object]:
    """Let callers talk beside hostile sessions, and weigh the server."""
    assert model.stdin is not None
    callers = asyncio.create_task(load(port, seconds))
    await until_live(port, CALLERS)
    await asyncio.sleep(OPENING_SECONDS)
    model.stdin.write(f"{FAULTS.get(kind, '')}\n".encode())
    before = most = weigh(server.pid).memory_kilobytes
    arguments = ("--port", str(port), "--kind", kind, "--sessions", str(HOSTILE), "--seconds", str(seconds))
    async with child("-m", "bench.hostile", *arguments) as hostile:
        await read_json(hostile, BEGIN_SECONDS)
        while not callers.done():
            most = max(most, weigh(server.pid).memory_kilobytes)
            await asyncio.sleep(WEIGH_SECONDS)
        told = (await read_json(hostile, seconds + BEGIN_SECONDS))["told"]
    model.stdin.write(b"\n")
    await until_live(port, 0)
    return {**_short(await callers), "megabytes_each": round((most - before) / 1_024 / HOSTILE, 2), "told": told}


async def until_live(port: int, sessions: int) -> None:
    """Return when so many sessions live."""
    async with asyncio.timeout(BEGIN_SECONDS + READ_SECONDS):
        while (await asyncio.to_thread(_live, port)) != sessions:  # noqa: ASYNC110 - another process has no event to wait for
            await asyncio.sleep(0.05)


def _live(port: int) -> int:
    with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
        return int(json.load(answer)["sessions"])


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    seconds = SECONDS_QUICK if quick else SECONDS
    alone_seconds = ALONE_SECONDS_QUICK if quick else ALONE_SECONDS
    results: dict[str, dict[str, object]] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model_process = await stack.enter_async_context(child("-m", "bench.model", "--folder", folder))
        model, port = await read_json(model_process), free_port()
        settings = {**server_environment(model, folder, port), **SETTINGS}
        server = await stack.enter_async_context(child("server.py", environment=settings))
        await wait_until_healthy(port)
        results["alone"] = _short(await load(port, alone_seconds))
        for kind in KINDS:
            results[kind] = await beside(port, server, model_process, kind, seconds[kind])
            print(f"{kind:6}: {json.dumps(results[kind])}", flush=True)
        results["alone after"] = _short(await load(port, alone_seconds))
    return {**results, "holds": holds(results)}


def holds(results: dict[str, dict[str, object]]) -> bool:
    """Tell whether the targets are met."""
    p99 = {name: float(str(figures["p99_ms"])) for name, figures in results.items()}
    alone = max(p99["alone"], p99["alone after"])
    heavy = [kind for kind in KINDS if float(str(results[kind]["megabytes_each"])) >= LIMIT_MB]
    late = [kind for kind in KINDS if p99[kind] > alone + MARGIN_MS]
    lost = [name for name, figures in results.items() if figures["lost"]]
    return not (heavy or late or lost)


def _short(figures: dict[str, object]) -> dict[str, object]:
    up, down = figures["up_ms"], figures["down_ms"]
    assert isinstance(up, dict)
    assert isinstance(down, dict)
    lost = int(str(figures["sent"])) - int(str(figures["received"]))
    return {"p50_ms": round(up["p50"] + down["p50"], 2), "p99_ms": round(up["p99"] + down["p99"], 2), "lost": lost}


if __name__ == "__main__":
    run_bench(run)

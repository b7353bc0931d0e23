"""Thousands of sessions that end in every way, and what of them is left in the server.

    python -m bench.soak [--quick]

The server runs in this process, its clients (`bench/churn.py`) and its model, whose streams fail in turn in every way
(`bench/failing_model.py`), in two others. Times are short: a client that is lost has a second to come back, an idle connection is closed
after one. After each batch everything must come to rest; then descriptors, tasks, the model's streams and memory are counted. Now and then
a second server is started beside, and drained while its sessions talk.

Targets: descriptors, tasks and streams are what they were before the first session but for the kept connections to the model; resident
memory grows by at most 5 MB per 1,000 sessions after the first 1,000 (--quick: fewer sessions, after the first 300).
"""

import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.bridge import server_environment
from bench.callers import Kind, calling, until
from bench.command import run_bench
from bench.processes import child, read_json
from bootstrap import Application, build, listen_on
from config import Settings
from session import queues
from telemetry import logs
from transports import connection, websocket

SESSIONS, SESSIONS_QUICK = 10_000, 700
WARM_UP, WARM_UP_QUICK = 1_000, 300
BATCH, BATCH_QUICK = 500, 100
DRAINED_EVERY = 2
"""Batches between two servers that are drained."""
DRAINED_SESSIONS = 4
MB_PER_THOUSAND = 5.0
KEPT_FILES = 8
"""Connections to the model that may be kept for the next session: 40 sessions at once need three, others are on their way out."""
REST_SECONDS = 20.0
SHORT = {"RESUME_GRACE_SECONDS": "1", "MAX_SESSIONS": "400", "MAX_LOOP_LAG_MS": "0", "SESSIONS_KEY": "A" * 43 + "="}
PLACES = 60
"""Events that may wait for a client: few, so that one that sends too much is too slow to hear the echo of it."""


@dataclass(frozen=True, slots=True)
class State:
    """What a process holds."""

    files: int
    tasks: int
    streams: int
    """At the model."""
    megabytes: float
    """Resident."""


async def look(model: Process) -> State:
    """Count."""
    gc.collect()
    assert model.stdin is not None
    model.stdin.write(b"\n")
    streams = int(str((await read_json(model))["streams"]))
    files, megabytes = weigh_self()
    return State(files, len(asyncio.all_tasks()), streams, megabytes)


def weigh_self() -> tuple[int, float]:
    """Return how many descriptors this process has, and its resident megabytes."""
    rss = next(line for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines() if line.startswith("VmRSS"))
    return len(list(Path("/proc/self/fd").iterdir())), int(rss.split()[1]) / 1024


async def rest(application: Application, model: Process, is_at_rest: Callable[[State], bool]) -> State:
    """Wait until nothing is left of the sessions; return what there is, also when something is left."""
    for _ in range(round(REST_SECONDS * 4)):
        state = await look(model)
        if not application.registry.live and is_at_rest(state):
            break
        await asyncio.sleep(0.25)
    return state


def shorten() -> None:
    """Scale the times and places down that sessions would have to wait for."""
    connection.IDLE_SECONDS = 1.0  # type: ignore[misc]
    websocket.PING_SECONDS = 1  # type: ignore[misc]
    queues.EVENTS_LIMIT = PLACES


async def serve(settings: Settings, stack: AsyncExitStack) -> tuple[Application, int]:
    """Run a server in this process; return it and its port."""
    application = await build(settings)
    listening = listen_on(settings)
    stack.push_async_callback(application.stop)
    await application.start(listening)
    return application, listening.port


async def drain_another(settings: Settings) -> None:
    """Start a server beside, and drain it while its sessions talk."""
    async with AsyncExitStack() as stack:
        application, port = await serve(settings, stack)
        callers = [await stack.enter_async_context(calling(port)) for _ in range(DRAINED_SESSIONS)]
        await asyncio.gather(*(until(caller, lambda told: told.kind is Kind.STARTED or told.is_error) for caller in callers))
        await application.drain(0.5)


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    sessions, warm_up, batch = (SESSIONS_QUICK, WARM_UP_QUICK, BATCH_QUICK) if quick else (SESSIONS, WARM_UP, BATCH)
    shorten()
    ways: Counter[str] = Counter()
    weights: dict[int, float] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model_process = await stack.enter_async_context(child("-m", "bench.failing_model", "--folder", folder))
        model = await read_json(model_process)
        os.environ |= {**server_environment(model, folder, 0), **SHORT}  # botocore looks there as well
        settings = Settings.from_env(os.environ, local=False)
        application, port = await serve(settings, stack)
        clients = await stack.enter_async_context(child("-m", "bench.churn", "--port", str(port)))
        assert clients.stdin is not None
        before = state = await look(model_process)
        for done in range(batch, sessions + 1, batch):
            clients.stdin.write(json.dumps({"sessions": batch}).encode() + b"\n")
            ways.update({way: int(str(count)) for way, count in (await read_json(clients, seconds=600)).items()})
            if done // batch % DRAINED_EVERY == 0:
                await drain_another(settings)
                ways["drained"] += DRAINED_SESSIONS
            state = await rest(application, model_process, lambda now: not left_over(before, now))
            weights[done] = round(state.megabytes, 1)
            print(f"{done:6} sessions: {state}", flush=True)
    growth = (state.megabytes - weights[warm_up]) / (sessions - warm_up) * 1_000
    figures = {"sessions": sessions, "ways": dict(ways), "megabytes": weights, "left_over": left_over(before, state)}
    return {**figures, "megabytes_per_thousand": round(growth, 2), "holds": not figures["left_over"] and growth <= MB_PER_THOUSAND}


def left_over(before: State, now: State) -> dict[str, int]:
    """Return what there is more than before."""
    more = {"files": now.files - before.files - KEPT_FILES, "tasks": now.tasks - before.tasks, "streams": now.streams - before.streams}
    return {name: count for name, count in more.items() if count > 0}


if __name__ == "__main__":
    logs.configure("CRITICAL", as_json=True, stream=sys.stderr)
    logging.disable(logging.CRITICAL)
    run_bench(run)

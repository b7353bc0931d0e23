"""How long it takes to connect and to be heard while 200 sessions live, beside a bare WebSocket server that echoes.

    python -m bench.connections [--quick]

200 clients hold a session each, with a stream of the model (the stamping echo of `bench.model`). A tenth of them speaks at a time, 31
chunks a second, for two seconds each; the others are muted and send nothing, as clients of Nova's own events do, so that the server keeps
their streams alive by silence of its own. All of them ask for a pong once a second. Meanwhile ten visitors a second connect, get an answer
to their first message, get a session and leave. Two hundred who all speak at once do not fit on a machine of two cores that carries the
clients and the model as well; `bench.bridge` has the cost of a session that speaks.

Targets: 99 of 100 visitors have the answer to their first message, and a session, within 100 ms of their first packet; 99 of 100 pongs,
chunks to the model and chunks from it take less than 50 ms; nobody is refused and no chunk is lost. The bare server's figures and the
ratios to them tell what the machine gives.
"""

import asyncio
import json
import os
import tempfile
from contextlib import AsyncExitStack

from bench.bridge import server_environment, wait_until_healthy
from bench.command import run_bench
from bench.processes import child, free_port, read_json, weigh

LIVE = 200
SPEAKING = 20
SECONDS = 30.0
SECONDS_QUICK = 8.0
SET_UP_MS = 100.0
DELIVERY_MS = 50.0
LOAD_SECONDS = 120.0
SET_UPS = ("answered_ms", "started_ms")
DELIVERIES = ("pings_ms", "up_ms", "down_ms")
COMPARED = ("answered_ms", "pings_ms", "echoes_ms")
"""What the bare server does as well."""
ROOM = {"MAX_SESSIONS": "300", "MODEL_MAX_STREAMS": "300"}


def p99(figures: dict[str, object], name: str) -> float:
    """Return a percentile of a load's figures."""
    found = figures[name]
    assert isinstance(found, dict)
    return float(found["p99"])


async def measure(url: str, seconds: float, **pids: int) -> dict[str, object]:
    """Run the load against one server, and weigh the processes while it lasts."""
    before = {name: weigh(pid).cpu_seconds for name, pid in pids.items()}
    arguments = ("--url", url, "--live", str(LIVE), "--speaking", str(SPEAKING), "--seconds", str(seconds))
    async with child("-m", "bench.visitors", *arguments) as load:
        figures = await read_json(load, LOAD_SECONDS)
    spent = {f"{name}_cpu_seconds": round(weigh(pid).cpu_seconds - before[name], 2) for name, pid in pids.items()}
    return {**figures, **spent, "load_average": round(os.getloadavg()[0], 2)}


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    seconds = SECONDS_QUICK if quick else SECONDS
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        bare = await stack.enter_async_context(child("-m", "bench.echo_socket"))
        bare_port = (await read_json(bare))["port"]
        reference = await measure(f"ws://127.0.0.1:{bare_port}/", seconds, server=bare.pid)
        print(f"bare server: {json.dumps(reference)}", flush=True)
        model_process = await stack.enter_async_context(child("-m", "bench.model", "--folder", folder))
        model = await read_json(model_process)
        port = free_port()
        environment = {**server_environment(model, folder, port), **ROOM}
        server = await stack.enter_async_context(child("server.py", environment=environment))
        await wait_until_healthy(port)
        figures = await measure(f"ws://127.0.0.1:{port}/", seconds, server=server.pid, model=model_process.pid)
        print(f"server: {json.dumps(figures)}", flush=True)
    ratios = {name: round(p99(figures, name) / max(p99(reference, name), 0.001), 1) for name in COMPARED}
    about = {"cores": os.cpu_count(), "live": LIVE, "speaking": SPEAKING}
    return {**about, "reference": reference, "server": figures, "p99_over_reference": ratios, "holds": holds(figures)}


def holds(figures: dict[str, object]) -> bool:
    """Tell whether the targets are met."""
    is_quick = all(p99(figures, name) < SET_UP_MS for name in SET_UPS) and all(p99(figures, name) < DELIVERY_MS for name in DELIVERIES)
    return is_quick and figures["failed"] == 0 and figures["sent"] == figures["echoed"]


if __name__ == "__main__":
    run_bench(run, asyncio.run)

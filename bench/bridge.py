"""What the whole server adds to a conversation, beside a bare bridge that reads nothing: latency each way, CPU and memory.

    python -m bench.bridge [--quick]

Real-time sessions of 31.25 chunks a second each way run against `server.py` and against `bench.passthrough`, in turn, on one stamping
model (Nova Sonic Local over TLS and HTTP/2). Load generator, bridge and model share the machine's cores, so the figures mean something only
beside each other.

Targets: no chunk lost; the median added to a direction at 20 sessions at most 5 ms above the bare bridge's.
"""

import asyncio
import json
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.request import urlopen

from bench.command import run_bench
from bench.load import SETTLE_SECONDS
from bench.processes import child, free_port, read_json, weigh

SESSIONS = (1, 20, 50)
SESSIONS_QUICK = (1, 20)
SECONDS = 20.0
SECONDS_QUICK = 4.0
CHUNKS_PER_SECOND = 31.25
MEDIAN_MARGIN_MS = 5.0


ONE_ADDRESS = {
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
    "HANDSHAKES_PER_SECOND_PER_ADDRESS": "0",
    "HANDSHAKES_PER_SECOND": "0",
    "HTTP_REQUESTS_PER_SECOND_PER_ADDRESS": "0",
    "MAX_SESSIONS_PER_USER": "0",
    "FLOOD_SECONDS": "600",
}
"""All clients of a bench come from one address, and some of them send as much as they can for as long as it takes."""


def server_environment(model: dict[str, object], folder: str, port: int) -> dict[str, str]:
    """Return the settings with which server.py runs against the stamping model."""
    return {
        "HOST": "127.0.0.1",
        "WS_PORT": str(port),
        "HEALTH_PORT": str(port),
        "MAX_SESSIONS": "200",
        "MAX_LOOP_LAG_MS": "0",
        **ONE_ADDRESS,
        "LOGLEVEL": "WARNING",
        "STORAGE": "sqlite",
        "SQLITE_PATH": str(Path(folder) / "bench.sqlite3"),
        "DNI_SALT": "bench-only-salt-of-no-secret",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": str(model["endpoint"]),
        "BEDROCK_CA_FILE": str(model["ca_file"]),
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "not-a-secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


async def wait_until_healthy(port: int) -> None:
    """Return when the server answers /health."""
    async with asyncio.timeout(30):
        while True:
            try:
                await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/health", timeout=1).read())
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return


async def measure(kind: str, url: str, pid: int, sessions: int, seconds: float) -> dict[str, object]:
    """Run one load against one bridge and weigh the bridge while it lasts."""
    before = weigh(pid)
    arguments = ("--kind", kind, "--url", url, "--sessions", str(sessions), "--seconds", str(seconds))
    async with child("-m", "bench.load", *arguments) as load:
        await asyncio.sleep(SETTLE_SECONDS + sessions * 0.05 + seconds * 0.25)
        early, early_at = weigh(pid), asyncio.get_running_loop().time()
        await asyncio.sleep(seconds * 0.5)
        late, late_at = weigh(pid), asyncio.get_running_loop().time()
        figures = await read_json(load)
    chunks = (late_at - early_at) * sessions * CHUNKS_PER_SECOND
    return {
        **figures,
        "cpu_us_per_chunk": round((late.cpu_seconds - early.cpu_seconds) / chunks * 1e6, 1),
        "cpu_percent_of_core": round((late.cpu_seconds - early.cpu_seconds) / (late_at - early_at) * 100, 1),
        "memory_kb_per_session": round((late.memory_kilobytes - before.memory_kilobytes) / sessions),
    }


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    seconds = SECONDS_QUICK if quick else SECONDS
    results: dict[str, dict[str, object]] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model_process = await stack.enter_async_context(child("-m", "bench.model", "--folder", folder))
        model = await read_json(model_process)
        port = free_port()
        server = await stack.enter_async_context(child("server.py", environment=server_environment(model, folder, port)))
        bare = await stack.enter_async_context(
            child("-m", "bench.passthrough", "--model", str(model["endpoint"]), "--ca", str(model["ca_file"]))
        )
        bare_port = (await read_json(bare))["port"]
        await wait_until_healthy(port)
        for sessions in SESSIONS_QUICK if quick else SESSIONS:
            for kind, process, url in (
                ("passthrough", bare, f"ws://127.0.0.1:{bare_port}"),
                ("server", server, f"ws://127.0.0.1:{port}"),
            ):
                figures = await measure(kind, url, process.pid, sessions, seconds)
                results[f"{kind}_{sessions}"] = figures
                print(f"{sessions:3} sessions, {kind:11}: {json.dumps(figures)}", flush=True)
    return {"cores": os.cpu_count(), **results, "holds": holds(results)}


def holds(results: dict[str, dict[str, object]]) -> bool:
    """Tell whether the targets are met."""
    lost = [run for run in results.values() if run["received"] != run["sent"]]
    margins = [_median(results["server_20"], way) - _median(results["passthrough_20"], way) for way in ("up_ms", "down_ms")]
    return not lost and max(margins) <= MEDIAN_MARGIN_MS


def _median(figures: dict[str, object], way: str) -> float:
    found = figures[way]
    assert isinstance(found, dict)
    return float(found["p50"])


if __name__ == "__main__":
    run_bench(run, asyncio.run)

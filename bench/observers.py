"""What it costs to write down what happens: CPU for each session and latency, with each observer beside none.

    python -m bench.observers [--quick]

Twenty real-time sessions run against `server.py` and a stamping model that begins a new turn with its texts every two seconds. The server
that writes nothing down is measured before and after the others, and each is held against the mean of the two: what the machine does
besides must not look like a cost. Work of threads and child processes counts.

Targets: recording takes at most 40 % more CPU than none; no observer, and not all of them together, adds more than 1 ms to the latency of
audio at p99; no chunk is lost.
"""

import asyncio
import base64
import json
import os
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import mean

from bench.bridge import measure, server_environment, wait_until_healthy
from bench.command import run_bench
from bench.processes import child, free_port, read_json

SESSIONS = 20
SECONDS, SECONDS_QUICK = 20.0, 4.0
TURN_SECONDS = 2.0
RECORDING_SHARE = 0.40
LATENCY_MS = 1.0
SETTINGS = {
    "RECORD_CONVERSATIONS": "yes",
    "RECORD_AUDIO": "all",
    "RECORDING_FORMAT": "webm",
    "RECORDINGS_KEY": base64.b64encode(bytes(32)).decode(),
    "EVENTS": "local",
}
KINDS = {
    "voice_sessions": "VoiceSessionRecords",
    "conversations": "ConversationRecords",
    "events": "PublishingAttendance",
    "recording": "RecordingDesk",
}
VARIANTS: dict[str, tuple[str, ...]] = {"none": (), **{name: (kind,) for name, kind in KINDS.items()}, "all": tuple(KINDS.values())}
VARIANTS["none_again"] = ()
VARIANTS_QUICK = ("none", "recording", "all", "none_again")

type Figures = dict[str, object]


async def weigh_variant(model: Figures, wanted: tuple[str, ...], seconds: float) -> Figures:
    """Run the load against a server with these observers."""
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        settings = {**server_environment(model, folder, port), **SETTINGS, "RECORDINGS_DIR": str(Path(folder) / "recordings")}
        async with child("-m", "bench.observed_server", *wanted, environment=settings) as server:
            await wait_until_healthy(port)
            return await measure("server", f"ws://127.0.0.1:{port}", server.pid, SESSIONS, seconds)


async def run(*, quick: bool) -> Figures:
    """Run everything and return the figures."""
    results: dict[str, Figures] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        arguments = ("-m", "bench.model", "--folder", folder, "--turn-every", str(TURN_SECONDS))
        model = await read_json(await stack.enter_async_context(child(*arguments)))
        for name in VARIANTS_QUICK if quick else VARIANTS:
            results[name] = await weigh_variant(model, VARIANTS[name], SECONDS_QUICK if quick else SECONDS)
            print(f"{name:14}: {json.dumps(results[name])}", flush=True)
    costs = {name: cost(figures, results) for name, figures in results.items() if not name.startswith("none")}
    return {"cores": os.cpu_count(), "sessions": SESSIONS, **results, "costs": costs, "holds": holds(results, costs)}


def cost(figures: Figures, results: dict[str, Figures]) -> dict[str, float]:
    """Return what a variant takes more than none."""
    without = (results["none"], results["none_again"])
    usual = {way: mean(p99(one, way) for one in without) for way in ("up_ms", "down_ms")}
    share = cpu(figures) / mean(cpu(one) for one in without) - 1
    return {"cpu_share": round(share, 3), **{f"{way}_p99_added": round(p99(figures, way) - usual[way], 2) for way in usual}}


def p99(figures: Figures, way: str) -> float:
    """Return a percentile of a load's figures."""
    found = figures[way]
    assert isinstance(found, dict)
    return float(found["p99"])


def cpu(figures: Figures) -> float:
    """Return the CPU time of a chunk and its answer, in microseconds."""
    found = figures["cpu_us_per_chunk"]
    assert isinstance(found, float)
    return found


def holds(results: dict[str, Figures], costs: dict[str, dict[str, float]]) -> bool:
    """Tell whether the targets are met."""
    is_lossless = all(figures["sent"] == figures["received"] for figures in results.values())
    is_prompt = all(one[f"{way}_p99_added"] <= LATENCY_MS for one in costs.values() for way in ("up_ms", "down_ms"))
    return is_lossless and is_prompt and costs["recording"]["cpu_share"] <= RECORDING_SHARE


if __name__ == "__main__":
    run_bench(run, asyncio.run)

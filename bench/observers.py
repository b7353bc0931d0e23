"""What it costs to write down what happens: CPU for each session and latency, with each observer beside none.

    python -m bench.observers [--quick]

Twenty real-time sessions at a time talk to a stamping model that begins a new turn with its texts every two seconds, with each caller at
another moment. There is one server for each of the observers, one for all of them and one without any; all of them run all the time, and
are talked to by turns, in this order and then the other way round. What the machine does besides only ever adds, now to one and now to
another: of the rounds of each server the lower quartile counts, and the spread is told. CPU is that of a server's process with its threads
and of the processes that it has started, by their own clocks.

Targets: recording takes at most 40 % more CPU than none; no observer adds more than 1 ms to the latency of audio at p99, and all of them
together no more than 2 ms, on a machine whose cores also carry the callers and the model; no chunk is lost.
"""

import asyncio
import base64
import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

from bench.bridge import server_environment, wait_until_healthy
from bench.command import run_bench
from bench.load import SETTLE_SECONDS
from bench.processes import child, free_port, read_json, tree_cpu_seconds

SESSIONS = 20
SECONDS, SECONDS_QUICK = 5.0, 2.5
ROUNDS, ROUNDS_QUICK = 9, 2
BEGIN_SECONDS = 1.0
"""How long a load takes at most to begin."""
TURN_SECONDS = 2.0
RECORDING_SHARE = 0.40
LATENCY_MS = 1.0
ALL = "all"
ALL_LATENCY_MS = 2.0
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
VARIANTS: dict[str, tuple[str, ...]] = {"none": (), **{name: (kind,) for name, kind in KINDS.items()}, ALL: tuple(KINDS.values())}
VARIANTS_QUICK = ("none", "recording", ALL)
WAYS = ("up_ms", "down_ms")

type Figures = dict[str, object]
type Spread = dict[str, float]


@dataclass(frozen=True, slots=True)
class Server:
    """A server with some observers."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Load:
    """What one load saw of one server."""

    cpu_ms: float
    """Of one session in a second."""
    p50: dict[str, float]
    """Of the latency each way, in milliseconds."""
    p99: dict[str, float]
    lost: int
    """Chunks that did not come back."""


FIGURES: Mapping[str, Callable[[Load], float]] = {
    "cpu_ms": lambda load: load.cpu_ms,
    "up_ms_p99": lambda load: load.p99["up_ms"],
    "down_ms_p99": lambda load: load.p99["down_ms"],
}


async def serve(stack: AsyncExitStack, model: Figures, wanted: tuple[str, ...]) -> Server:
    """Start a server with these observers."""
    folder, port = stack.enter_context(tempfile.TemporaryDirectory()), free_port()
    settings = {**server_environment(model, folder, port), **SETTINGS, "RECORDINGS_DIR": str(Path(folder) / "recordings")}
    process = await stack.enter_async_context(child("-m", "bench.observed_server", *wanted, environment=settings))
    await wait_until_healthy(port)
    return Server(port, process.pid)


async def talk(server: Server, seconds: float) -> Load:
    """Run the load against a server, and weigh the server in its middle."""
    clock = asyncio.get_running_loop().time
    url = f"ws://127.0.0.1:{server.port}"
    arguments = ("--kind", "server", "--url", url, "--sessions", str(SESSIONS), "--seconds", str(seconds))
    async with child("-m", "bench.load", *arguments) as load:
        await asyncio.sleep(SETTLE_SECONDS + BEGIN_SECONDS)
        began, before = clock(), tree_cpu_seconds(server.pid)
        await asyncio.sleep(seconds - BEGIN_SECONDS)
        cpu_ms = (tree_cpu_seconds(server.pid) - before) / (clock() - began) / SESSIONS * 1_000
        figures = await read_json(load)
    p50, p99 = ({way: percentile(figures, way, name) for way in WAYS} for name in ("p50", "p99"))
    return Load(round(cpu_ms, 3), p50, p99, int(str(figures["sent"])) - int(str(figures["received"])))


def percentile(figures: Figures, way: str, name: str) -> float:
    """Return a percentile of a load's figures."""
    found = figures[way]
    assert isinstance(found, dict)
    return float(found[name])


async def run(*, quick: bool) -> Figures:
    """Run everything and return the figures."""
    names = VARIANTS_QUICK if quick else tuple(VARIANTS)
    rounds: list[dict[str, Load]] = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        arguments = ("-m", "bench.model", "--folder", folder, "--turn-every", str(TURN_SECONDS))
        model = await read_json(await stack.enter_async_context(child(*arguments)))
        servers = {name: await serve(stack, model, VARIANTS[name]) for name in names}
        for number in range(ROUNDS_QUICK if quick else ROUNDS):
            order = names if number % 2 == 0 else names[::-1]
            rounds.append({name: await talk(servers[name], SECONDS_QUICK if quick else SECONDS) for name in order})
            for name in order:
                print(f"{number + 1} {name:14}: {json.dumps(asdict(rounds[-1][name]))}", flush=True)
    spreads = {name: {figure: spread([read(one[name]) for one in rounds]) for figure, read in FIGURES.items()} for name in names}
    costs = {name: cost(spreads[name], spreads["none"]) for name in names if name != "none"}
    lost = sum(load.lost for one in rounds for load in one.values())
    shape = {"cores": os.cpu_count(), "sessions": SESSIONS, "rounds": len(rounds)}
    return {**shape, "spreads": spreads, "costs": costs, "lost": lost, "holds": not lost and holds(costs)}


def spread(values: Sequence[float]) -> Spread:
    """Return least, lower quartile, median and most."""
    quartile, middle, _ = quantiles(values, n=4, method="inclusive")
    return {"least": round(min(values), 3), "quartile": round(quartile, 3), "median": round(middle, 3), "most": round(max(values), 3)}


def cost(variant: dict[str, Spread], none: dict[str, Spread]) -> dict[str, float]:
    """Return what a variant takes more than none: a share of its CPU, and milliseconds at p99."""
    found = {figure: (variant[figure]["quartile"], none[figure]["quartile"]) for figure in FIGURES}
    with_it, without = found["cpu_ms"]
    added = {f"{figure}_added": round(more - less, 3) for figure, (more, less) in found.items() if figure != "cpu_ms"}
    return {"cpu_share": round(with_it / without - 1, 3), **added}


def holds(costs: dict[str, dict[str, float]]) -> bool:
    """Tell whether the targets are met."""
    is_prompt = all(
        one[f"{way}_p99_added"] <= (ALL_LATENCY_MS if name == ALL else LATENCY_MS) for name, one in costs.items() for way in WAYS
    )
    return is_prompt and costs["recording"]["cpu_share"] <= RECORDING_SHARE


if __name__ == "__main__":
    run_bench(run, asyncio.run)

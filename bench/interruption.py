"""How soon an interruption is heard behind a slow network, and that no stale speech comes after it.

    python -m bench.interruption [--quick]

The model speaks 20 s in one burst. The caller listens for two seconds, behind an unlimited link, one of 200 KB/s and one of 66 KB/s
(`bench/link.py`), and then speaks. Measured is the time from the model's notice of it until the caller has `interrupted` in hand, with
the server as it is, and beside it with one that passes speech on as it comes (`bench/plain_server.py`).

Targets: at most 20 ms on the unlimited link and 500 ms behind 66 KB/s (p99; with fewer than 100 interruptions the longest), and no speech
of the old turn after the interruption.
"""

import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from statistics import median

from bench.bridge import server_environment, wait_until_healthy
from bench.callers import Caller, Dialect, Kind, calling, until
from bench.command import run_bench
from bench.link import slow_link
from bench.processes import child, free_port, read_json

LINKS = {"unlimited": 0.0, "200 KB/s": 200_000.0, "66 KB/s": 66_000.0}
LIMITS_MS = {"unlimited": 20.0, "66 KB/s": 500.0}
REPEATS, REPEATS_QUICK = 30, 4
REPEATS_PLAIN, REPEATS_PLAIN_QUICK = 10, 1
APART_SECONDS = 0.25
"""Between the beginnings of two calls. The links and dialects take turns."""
QUESTION_SECONDS = 0.4
LISTEN_SECONDS = 2.0
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """How one interruption went."""

    late_ms: float
    """From the model's notice until the caller knew."""
    stale: int
    """Frames of the old turn that came afterwards."""


async def interrupt(port: int, dialect: Dialect, delay: float) -> Heard:
    """Hold one call and interrupt the answer."""
    await asyncio.sleep(delay)
    async with calling(port, dialect) as caller, asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(caller.microphone())
        await asyncio.sleep(0.3)
        caller.speak(QUESTION_SECONDS)
        turn = (await until(caller, lambda told: told.kind is Kind.SPEECH)).turn
        listening = tasks.create_task(_listen(caller, turn))
        await asyncio.sleep(LISTEN_SECONDS)
        caller.speak(QUESTION_SECONDS)
        heard = await listening
        speaking.cancel()
    return heard


async def _listen(caller: Caller, turn: str) -> Heard:
    """Read until the model has told when it was interrupted, which comes after the speech that might be stale."""
    turns, known_at, stale = {turn}, 0, 0
    async with asyncio.timeout(60):
        async for told in caller.told():
            if told.kind is Kind.INTERRUPTED:
                known_at = known_at or time.monotonic_ns()
            elif told.kind is Kind.SPEECH and not known_at:
                turns.add(told.turn)
            elif told.kind is Kind.SPEECH:
                stale += told.turn in turns
            elif told.kind is Kind.SAID and int(told.text):
                return Heard((known_at - int(told.text)) / 1e6, stale)
    raise RuntimeError(f"closed with {caller.socket.close_code}")


async def measure(port: int, rate: float, dialect: Dialect, delays: list[float]) -> dict[str, object]:
    """Interrupt as often as asked for and return the figures."""
    async with slow_link(port, rate) as relay:
        heard = await asyncio.gather(*(interrupt(relay, dialect, delay) for delay in delays))
    late = sorted(one.late_ms for one in heard)
    return {
        "interruptions": len(late),
        "p50_ms": round(median(late), 1),
        "p99_ms": round(late[min(len(late) - 1, round(0.99 * len(late)))], 1),
        "stale_frames": sum(one.stale for one in heard),
    }


async def measure_all(server: str, port: int, repeats: int) -> dict[str, dict[str, object]]:
    """Interrupt this server behind every link in every dialect."""
    ways = list(product(LINKS.items(), Dialect))
    found: dict[str, dict[str, object]] = {}

    async def one(place: int, link: str, rate: float, dialect: Dialect) -> None:
        delays = [(number * len(ways) + place) * APART_SECONDS for number in range(repeats)]
        name = f"{server}, {link}, {dialect.value}"
        found[name] = await measure(port, rate, dialect, delays)
        print(f"{name:26}: {json.dumps(found[name])}", flush=True)

    await asyncio.gather(*(one(place, link, rate, dialect) for place, ((link, rate), dialect) in enumerate(ways)))
    return found


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    servers = {"paced": ("server.py",), "plain": ("-m", "bench.plain_server")}
    repeats = {"paced": REPEATS_QUICK, "plain": REPEATS_PLAIN_QUICK} if quick else {"paced": REPEATS, "plain": REPEATS_PLAIN}
    results: dict[str, dict[str, object]] = {}
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model = await read_json(await stack.enter_async_context(child("-m", "bench.talker", "--folder", folder)))
        for server, arguments in servers.items():
            port = free_port()
            settings = server_environment(model, stack.enter_context(tempfile.TemporaryDirectory()), port)
            async with child(*arguments, environment=settings):
                await wait_until_healthy(port)
                results |= await measure_all(server, port, repeats[server])
    return {**results, "holds": holds(results)}


def holds(results: dict[str, dict[str, object]]) -> bool:
    """Tell whether the targets are met."""
    late = [
        float(str(results[f"paced, {link}, {dialect.value}"]["p99_ms"])) <= limit
        for link, limit in LIMITS_MS.items()
        for dialect in Dialect
    ]
    stale = [figures["stale_frames"] == 0 for name, figures in results.items() if name.startswith("paced")]
    return all(late) and all(stale)


if __name__ == "__main__":
    run_bench(run)

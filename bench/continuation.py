"""What callers notice when the model's streams change or die, and when they lose the network themselves.

    python -m bench.continuation [--quick]

Callers say position-coded speech without a pause to the echoing model behind `server.py`, whose limits are scaled down: a stream lives for
about a second instead of eight minutes, so every change is made while somebody speaks, by force. The model calls tools meanwhile. A run
without any change beside it is the reference.

Targets, for 1,000 changes of the stream: no sample lost or doubled at the caller's ear, no tool call unanswered or answered twice, no
stream left open, and a gap (p99) at most 20 ms longer than the reference's. The table for streams that die shows what each way costs: the
next stream is sent again what the user said last, which an echo doubles. Callers that lose the network and come back lose and double
nothing.
"""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from bench.bridge import server_environment, wait_until_healthy
from bench.command import run_bench
from bench.ear import CHUNK_SECONDS, HERTZ, Ear, call
from bench.load import percentiles
from bench.positions import Verdict, coded_speech
from bench.processes import child, free_port, read_json
from bench.trip import away
from telemetry.loop_stalls import favour_loop

CHANGES, CHANGES_QUICK = 1_000, 50
CALLERS, CALLERS_QUICK = 10, 10
LIFE_SECONDS = 1.0
"""How long a stream lives in this bench."""
LIMITS = (f"RENEW_SECONDS={LIFE_SECONDS}", f"FORCE_SECONDS={LIFE_SECONDS}", "JITTER_SECONDS=0.5", "RETRY_SECONDS=0.1", "CHECK_SECONDS=0.02")
TOOL_SECONDS = 0.6
REACH_SECONDS = 0.4
"""How far around a change a gap counts as its own."""
GAP_TARGET_MS = 20.0
FAULTS = ("rst@1.5s", "goaway@1.5s", "tcp_drop@1.5s", "early_end@1.5s", "exception:modelStreamErrorException@1.5s", "truncated_frame@1.5s")
FAULTY_SECONDS = 4.0
ABSENCES, ABSENCES_QUICK = (1.0, 5.0, 20.0), (1.0,)
"""Seconds for which callers have no network."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A server in front of the echoing model."""

    url: str
    model: asyncio.subprocess.Process

    async def account(self) -> dict[str, object]:
        """Ask the model what it saw."""
        assert self.model.stdin is not None
        self.model.stdin.write(b"\n")
        return await read_json(self.model)


@asynccontextmanager
async def bridge(limits: Sequence[str] = (), model: Sequence[str] = ()) -> AsyncIterator[Bridge]:
    """Run both as processes for the length of the block."""
    with tempfile.TemporaryDirectory() as folder:
        async with child("-m", "bench.echo_model", "--folder", folder, *model) as process:
            port, found = free_port(), await read_json(process)
            async with child("-m", "bench.hurried_server", *limits, environment=server_environment(found, folder, port)):
                await wait_until_healthy(port)
                yield Bridge(f"ws://127.0.0.1:{port}/", process)


async def calls(url: str, callers: int, seconds: float) -> list[Ear]:
    """Let callers speak at once, spread over the length of a chunk."""
    speech = coded_speech(round(seconds * HERTZ))
    return await asyncio.gather(*(call(url, speech, index * CHUNK_SECONDS / callers) for index in range(callers)))


def damage(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """Return what all callers missed or heard twice, in samples."""
    return {
        "lost": sum(verdict.lost for verdict in verdicts),
        "doubled": sum(verdict.doubled for verdict in verdicts),
        "out_of_order": sum(verdict.out_of_order for verdict in verdicts),
        "foreign": sum(verdict.foreign for verdict in verdicts),
    }


def harm(ears: Sequence[Ear]) -> dict[str, int]:
    """Return what callers missed or heard twice, and how many calls ended early."""
    return {**damage([ear.verdict for ear in ears]), "calls_failed": sum(bool(ear.failures) for ear in ears)}


async def settled(found: Bridge) -> dict[str, object]:
    """Return the model's account when its streams have ended, at the latest after some seconds."""
    for _ in range(50):
        account = await found.account()
        if account["streams_open"] == 0:
            break
        await asyncio.sleep(0.1)
    return account


async def changes(*, quick: bool) -> dict[str, object]:
    """Change streams by the hundred, beside a run with the same calls and without a change."""
    wanted, callers = (CHANGES_QUICK, CALLERS_QUICK) if quick else (CHANGES, CALLERS)
    seconds = wanted / callers * LIFE_SECONDS * 1.15 + 1.0
    calling = ("--tool-every", str(TOOL_SECONDS))
    async with bridge(model=calling) as found:
        quiet = await calls(found.url, callers, min(seconds, 20.0))
    async with bridge(LIMITS, calling) as found:
        ears = await calls(found.url, callers, seconds)
        account = await settled(found)
    gaps = [ear.longest_gap_ms(at, REACH_SECONDS) for ear in ears for at in ear.continued]
    moments = [(ear, at) for ear in quiet for at in ear.arrivals[15::31]]
    usual = [ear.longest_gap_ms(at, REACH_SECONDS) for ear, at in moments]
    figures = {
        "changes": len(gaps),
        **harm(ears),
        **account,
        "gap_ms": percentiles(gaps),
        "usual_gap_ms": percentiles(usual),
    }
    figures["added_gap_p99_ms"] = round(percentiles(gaps)["p99"] - percentiles(usual)["p99"], 2)
    print(f"changes of the stream: {json.dumps(figures)}", flush=True)
    return figures


async def deaths(*, quick: bool) -> dict[str, object]:
    """Let each caller's stream die once in mid-speech, in every way."""
    table: dict[str, object] = {}
    callers = 4 if quick else 10
    for fault in FAULTS[:2] if quick else FAULTS:
        async with bridge(model=("--fault", fault, "--faulty", str(callers))) as found:
            ears = await calls(found.url, callers, FAULTY_SECONDS)
            account = await settled(found)
        waited = [waited for ear in ears for waited in ear.waited_ms]
        gaps = [ear.longest_gap_ms(at, REACH_SECONDS) for ear in ears for at in ear.continued]
        row = {"deaths": len(waited), **harm(ears), "streams_open": account["streams_open"]}
        row |= {"waited_ms": median(waited) if waited else None, "gap_ms": round(max(gaps, default=0.0), 1)}
        table[fault.partition("@")[0]] = row
        print(f"{fault:40}: {json.dumps(row)}", flush=True)
    return table


async def absences(*, quick: bool) -> dict[str, dict[str, int]]:
    """Let callers lose the network for some seconds and come back."""
    table: dict[str, dict[str, int]] = {}
    for seconds in ABSENCES_QUICK if quick else ABSENCES:
        async with bridge() as found:
            trips = await asyncio.gather(*(away(found.url, seconds) for _ in range(4 if quick else 10)))
            account = await settled(found)
        row = {**damage([trip.verdict for trip in trips]), "streams_open": int(str(account["streams_open"]))}
        row |= {"late_ms": round(max(trip.late_ms for trip in trips)), "repeated_frames": sum(trip.repeated for trip in trips)}
        table[f"{seconds:g} s"] = row
        print(f"{f'away for {seconds:g} s':40}: {json.dumps(row)}", flush=True)
    return table


def holds(figures: dict[str, object], absent: dict[str, dict[str, int]]) -> bool:
    """Tell whether the targets are met."""
    if any(sum(row[name] for name in ("lost", "doubled", "out_of_order", "foreign", "streams_open")) for row in absent.values()):
        return False
    zeros = ("lost", "doubled", "out_of_order", "foreign", "calls_failed", "streams_open", "tools_unanswered", "tools_answered_twice")
    added = figures["added_gap_p99_ms"]
    assert isinstance(added, float)
    return all(figures[name] == 0 for name in zeros) and bool(figures["changes"]) and added <= GAP_TARGET_MS


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    favour_loop()
    changed = await changes(quick=quick)
    died = await deaths(quick=quick)
    absent = await absences(quick=quick)
    return {"cores": os.cpu_count(), "changes": changed, "deaths": died, "absences": absent, "holds": holds(changed, absent)}


if __name__ == "__main__":
    run_bench(run)

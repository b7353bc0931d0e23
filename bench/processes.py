"""Child processes of a bench: started with a line of JSON as their sign of life, weighed through /proc, ended at the end."""

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

READY_SECONDS = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Weight:
    """What a process has used so far."""

    cpu_seconds: float
    memory_kilobytes: int
    """Proportional set size: shared pages count once among those who share them."""


def weigh(pid: int) -> Weight:
    """Read a process's CPU time and memory."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    memory = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return Weight((int(fields[11]) + int(fields[12])) / _TICKS, memory)


def tree_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of those that it has started and that still run, to the nanosecond.

    The clock of another process has the number that clock_getcpuclockid(3) makes of its id.
    """
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]
    return time.clock_gettime(~pid << 3 | 2) + sum(map(tree_cpu_seconds, children))


@asynccontextmanager
async def child(*arguments: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python ARGUMENTS` for the length of the block; its stdin and stdout are pipes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def read_json(process: asyncio.subprocess.Process, seconds: float = READY_SECONDS) -> dict[str, object]:
    """Read lines until one is a JSON object, and return it."""
    assert process.stdout is not None
    async with asyncio.timeout(seconds):
        while line := await process.stdout.readline():
            if line.startswith(b"{"):
                found: dict[str, object] = json.loads(line)
                return found
    raise RuntimeError("the process ended before it said that it is ready")

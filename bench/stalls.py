"""How long the event loop stands still while the server does slow things.

    python -m bench.stalls [--quick]

Fifty sessions talk in real time: first they do nothing else; then each calls a tool again and again whose store takes 300 ms, 10 MB are
uploaded again and again, and the credentials, which hold for a moment only, are renewed by a process that takes 2 s whenever a session is
opened. A canary in the server's loop notes how late it is (`bench/canary_server.py`).

Targets: while all of that goes on the loop is never later than 20 ms, and at p99 not later than 5 ms, without the time that other processes
of the machine had the processor.
"""

import asyncio
import tempfile
from asyncio.subprocess import Process
from contextlib import AsyncExitStack
from pathlib import Path

from bench.bridge import server_environment
from bench.callers import Caller, Kind, calling, until
from bench.command import run_bench
from bench.processes import child, read_json

SESSIONS = 50
SECONDS, SECONDS_QUICK = 60.0, 12.0
SETTLE_SECONDS = 2.0
APART_SECONDS = 0.03
OPEN_SECONDS = 1.5
"""Between two sessions that are opened while the rest goes on."""
HOLDS_SECONDS = 903
"""How long credentials hold: they are renewed 900 s before they end, so 3 s after they came."""
REFRESH_SECONDS = 2
P99_MS, WORST_MS = 5.0, 20.0
AWS_CONFIG = """[default]
region = us-east-1
credential_process = sh {file}
"""
KEYS = '{{"Version":1,"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"not-a-secret","SessionToken":"none","Expiration":"%s"}}'


def environment(model: dict[str, object], folder: str, store: str) -> dict[str, str]:
    """Return the settings of a server with slow surroundings."""
    script, config = Path(folder, "credentials.sh"), Path(folder, "config")
    end = f"$(date -u -d '+{HOLDS_SECONDS} seconds' +%Y-%m-%dT%H:%M:%SZ)"
    script.write_text(f"sleep {REFRESH_SECONDS}\nprintf '{KEYS.format()}' \"{end}\"\n", encoding="ascii")
    config.write_text(AWS_CONFIG.format(file=script), encoding="ascii")
    settings = {**server_environment(model, folder, 0), "STORAGE": "dynamodb", "AWS_ENDPOINT_URL_DYNAMODB": store}
    settings |= {"AWS_CONFIG_FILE": str(config), "MAX_LOOP_LAG_MS": "0", "AWS_REGION": "us-east-1"}
    return settings | {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}


async def ask(process: Process, line: str) -> dict[str, float]:
    """Send a line and return the answer."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n".encode())
    return {name: float(str(value)) for name, value in (await read_json(process)).items()}


async def talk(port: int, callers: list[Caller], all_talk: asyncio.Barrier, delay: float) -> None:
    """Hold one session until cancelled."""
    await asyncio.sleep(delay)
    async with calling(port) as caller, asyncio.TaskGroup() as tasks:
        await until(caller, lambda told: told.kind is Kind.STARTED)
        callers.append(caller)
        tasks.create_task(caller.microphone())
        tasks.create_task(_meet(all_talk))
        async for _ in caller.told():
            pass


async def _meet(all_talk: asyncio.Barrier) -> None:
    await all_talk.wait()


async def open_again_and_again(port: int) -> None:
    """Open a session and end it, until cancelled."""
    while True:
        async with calling(port) as caller:
            await until(caller, lambda told: told.kind is Kind.STARTED or told.is_error)
        await asyncio.sleep(OPEN_SECONDS)


async def measure(port: int, server: Process, model: Process, seconds: float, *, is_busy: bool) -> dict[str, float]:
    """Hold the sessions, and return what the canary saw while they were settled."""
    callers: list[Caller] = []
    all_talk = asyncio.Barrier(SESSIONS + 1)
    holding = [asyncio.create_task(talk(port, callers, all_talk, number * APART_SECONDS)) for number in range(SESSIONS)]
    await all_talk.wait()
    if is_busy:
        holding.append(asyncio.create_task(open_again_and_again(port)))
        for caller in callers:
            caller.speak(0.4)
    await asyncio.sleep(SETTLE_SECONDS)
    await ask(model, "count")
    await ask(server, "upload" if is_busy else "rest")
    await asyncio.sleep(seconds)
    figures = {**await ask(server, "rest"), "tool_calls": (await ask(model, "count"))["answered"]}
    for task in holding:
        task.cancel()
    await asyncio.wait(holding)
    return figures


async def run(*, quick: bool) -> dict[str, object]:
    """Run everything and return the figures."""
    seconds = SECONDS_QUICK if quick else SECONDS
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        model = await stack.enter_async_context(child("-m", "bench.busy_model", "--folder", folder))
        store = await stack.enter_async_context(child("-m", "bench.slow_store"))
        sink = f"http://127.0.0.1:{(await read_json(store))['port']}"
        settings = environment(await read_json(model), folder, sink)
        server = await stack.enter_async_context(child("-m", "bench.canary_server", sink, environment=settings))
        port = int(str((await read_json(server))["port"]))
        alone = await measure(port, server, model, seconds, is_busy=False)
        busy = await measure(port, server, model, seconds, is_busy=True)
    holds = busy["own_p99_ms"] <= P99_MS and busy["own_worst_ms"] <= WORST_MS and bool(busy["uploads"] and busy["tool_calls"])
    return {"alone": alone, "busy": busy, "holds": holds}


if __name__ == "__main__":
    run_bench(run)

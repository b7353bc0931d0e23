"""The server with a canary in its event loop: a timer every 5 ms that notes how late it is.

Run as `python -m bench.canary_server SINK`, with the settings of `server.py`; prints its port as one JSON line. For each line of stdin it
prints what the canary saw since the line before: `upload` or `rest` says whether 10 MB are sent to SINK again and again from then on.

Late is what the loop's own work, and threads that hold the interpreter, make it. What the machine's other processes take is known from
/proc: the time for which the thread could run and had no processor. It is counted apart.
"""

import asyncio
import json
import os
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import boto3
import uvloop
from botocore.config import Config

from bootstrap import build, listen_on
from config import Settings
from storage.workers import BoundedPool
from telemetry import logs
from telemetry.loop_stalls import favour_loop

INTERVAL_SECONDS = 0.005
UPLOAD_BYTES = 10 * 1024 * 1024
UPLOAD_THREADS = 4
PAUSE_SECONDS = 0.5
_SCHEDSTAT = Path(f"/proc/self/task/{os.getpid()}/schedstat")


class Canary:
    """Notes how late the loop is."""

    def __init__(self) -> None:
        self.late_ms: list[float] = []
        self.own_ms: list[float] = []
        """Without the time for which there was no processor."""

    async def sing(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        waited = _waited_seconds()
        while True:
            due_at = loop.time() + INTERVAL_SECONDS
            await asyncio.sleep(INTERVAL_SECONDS)
            late, before, waited = loop.time() - due_at, waited, _waited_seconds()
            self.late_ms.append(max(0.0, late) * 1_000)
            self.own_ms.append(max(0.0, late - (waited - before)) * 1_000)

    def take(self) -> dict[str, float]:
        """Return the figures, and begin anew."""
        figures: dict[str, float] = {}
        for name, values in (("late", sorted(self.late_ms)), ("own", sorted(self.own_ms))):
            figures |= {f"{name}_p99_ms": values[int(0.99 * len(values))], f"{name}_worst_ms": values[-1]} if values else {}
        self.late_ms, self.own_ms = [], []
        return {name: round(value, 2) for name, value in figures.items()}


class Uploads:
    """Sends 10 MB again and again, in threads as all of the server's AWS clients have."""

    def __init__(self, sink: str) -> None:
        config = Config(max_pool_connections=UPLOAD_THREADS, s3={"addressing_style": "path"})
        self._client = boto3.client("s3", region_name="us-east-1", endpoint_url=sink, config=config)
        self._pool = BoundedPool("uploads", UPLOAD_THREADS, UPLOAD_THREADS)
        self._body = os.urandom(UPLOAD_BYTES)
        self._task: asyncio.Task[None] | None = None
        self.done = 0

    def keep_on(self, *, is_wanted: bool) -> None:
        """Begin or end."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._upload()) if is_wanted else None

    async def _upload(self) -> None:
        put = partial(self._client.put_object, Bucket="bench", Key="upload", Body=self._body)
        while True:
            await self._pool.run(put)
            self.done += 1
            await asyncio.sleep(PAUSE_SECONDS)


def _waited_seconds() -> float:
    return int(_SCHEDSTAT.read_text(encoding="ascii").split()[1]) / 1e9


async def main() -> None:
    """Serve until stdin ends."""
    logs.configure("ERROR", as_json=True)
    settings = Settings.from_env(os.environ, local=False)
    application = await build(settings)
    listening = listen_on(settings)
    await application.start(listening)
    favour_loop()
    uploads, canary = Uploads(sys.argv[1]), Canary()
    singing = asyncio.create_task(canary.sing())
    print(json.dumps({"port": listening.port}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({**canary.take(), "uploads": uploads.done}), flush=True)
        uploads.done = 0
        uploads.keep_on(is_wanted=line.strip() == "upload")
    uploads.keep_on(is_wanted=False)
    singing.cancel()
    with suppress(asyncio.CancelledError):
        await singing
    await application.stop()


if __name__ == "__main__":
    uvloop.run(main())

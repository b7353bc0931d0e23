"""The whole product as a user starts it: `python server.py --local` as a process, on ports and with a database of its own."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import boto3

from bench.processes import free_port
from tests.server.process import ONE_ADDRESS

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 40.0
"""Includes the recogniser's models on a cold disk."""
POLL_SECONDS = 0.05
"""Another process has no event to wait for."""


@dataclass(frozen=True, slots=True)
class Stack:
    """A running server with its emulator."""

    port: int
    database: Path | None
    """None when the records are in DynamoDB."""
    process: asyncio.subprocess.Process
    log: Path

    @property
    def page(self) -> str:
        """Address of the page."""
        return f"http://localhost:{self.port}/"

    @property
    def socket(self) -> str:
        """Address of the WebSocket."""
        return f"ws://localhost:{self.port}/"

    async def logged(self, event: str, count: int, seconds: float = 10.0) -> bool:
        """Wait until the server's log has this event this many times; False when the time is over."""
        for _ in range(round(seconds / POLL_SECONDS)):
            if self.log.read_text(errors="replace").count(event) >= count:
                return True
            await asyncio.sleep(POLL_SECONDS)
        return False

    def record(self, table: str, kind: str, number: str) -> dict[str, object]:
        """Return an order or appointment as the database holds it, past all of the server's own code.

        Args:
            table: `orders` or `appointments`.
            kind: `ORDER` or `APPOINTMENT`.
            number: the record's id.
        """
        key = f"{kind}#{number}"
        name = f"nova-sonic-{table}"
        if self.database is None:
            client = boto3.client("dynamodb")
            found = client.get_item(TableName=name, Key={"PK": {"S": key}, "SK": {"S": key}}, ConsistentRead=True)
            return _plain(found.get("Item", {}))
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
            row = connection.execute('SELECT body FROM records WHERE "table" = ? AND pk = ?', (name, key)).fetchone()
        return _plain(json.loads(row[0])) if row else {}


def _plain(item: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """Return DynamoDB's typed members as plain values; both drivers store them in this form."""
    return {name: next(iter(member.values())) for name, member in item.items()}


@asynccontextmanager
async def running_stack(folder: Path, settings: Mapping[str, str] | None = None, *flags: str) -> AsyncIterator[Stack]:
    """Run the server for the length of the block and end it as an operator would."""
    port = free_port()
    database = folder / "nova-sonic.sqlite3"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"MAX_LOOP_LAG_MS": "0", **ONE_ADDRESS}  # a slow machine is no reason to turn a test away
    environment |= {"HOST": "127.0.0.1", "WS_PORT": str(port), "HEALTH_PORT": str(port), "SQLITE_PATH": str(database), **(settings or {})}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "server.py", "--local", *flags, cwd=ROOT, env=environment, stdout=output, stderr=output
        )
        try:
            await _wait_until_ready(port, process, log)
            yield Stack(port, database, process, log)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def _wait_until_ready(port: int, process: asyncio.subprocess.Process, log: Path) -> None:
    try:
        async with asyncio.timeout(READY_SECONDS):
            while True:
                assert process.returncode is None, log.read_text(errors="replace")
                try:
                    await asyncio.to_thread(lambda: urlopen(f"http://127.0.0.1:{port}/ready", timeout=2).read())
                except OSError:
                    await asyncio.sleep(0.1)  # a process of its own has no event to wait for
                else:
                    return
    except TimeoutError:
        raise AssertionError(f"not ready in time:\n{log.read_text(errors='replace')}") from None

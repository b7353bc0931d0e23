"""The server as a process, with an environment of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


# Every test comes from this machine's own address.
ONE_ADDRESS = {
    "MAX_CONNECTIONS_PER_ADDRESS": "0",
    "HANDSHAKES_PER_SECOND_PER_ADDRESS": "0",
    "HTTP_REQUESTS_PER_SECOND_PER_ADDRESS": "0",
}


def environment(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which no AWS account, no profile and no instance role can be found."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ}
    own = {"MAX_LOOP_LAG_MS": "0", "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", "SQLITE_PATH": str(folder / "records.sqlite3")}
    return {**kept, **own, **ONE_ADDRESS, "HOST": "127.0.0.1", "WS_PORT": "0", "HEALTH_PORT": "0", **settings}


# Starts without an account: somebody to sign as, a model that nobody serves, and a database in a file.
WITHOUT_AWS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "https://127.0.0.1:9",
    "STORAGE": "sqlite",
}


async def run(folder: Path, settings: Mapping[str, str], *arguments: str, python: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Run the server to its end; return its exit code, output and error output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *python, "server.py", *arguments),
        cwd=ROOT,
        env=environment(folder, settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, errors = await process.communicate()
    return process.returncode or 0, output.decode(), errors.decode()


@asynccontextmanager
async def running(folder: Path, settings: Mapping[str, str], *arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run the server until it says that it is ready; yields the process and that line."""
    with (folder / "server.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "server.py", *arguments),
            cwd=ROOT,
            env=environment(folder, settings),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
        assert line, (folder / "server.log").read_text(encoding="utf-8")
        yield process, line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()

"""Nova Sonic Local as a child process, for `--local`: the server talks to it over TLS and HTTP/2 as it does to Bedrock.

A process of its own, because speech recognition would stop the audio of everybody if it shared the server's event loop.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import structlog

log = structlog.get_logger()

READY_SECONDS: Final = 30.0
"""Longest time to the first line; the recogniser's models on a cold disk take a few seconds."""
STOP_SECONDS: Final = 5.0
_ROOT: Final = Path(__file__).resolve().parent


class EmulatorFailed(Exception):
    """The emulator did not start; it has said why on stderr."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the emulator listens."""

    uri: str
    ca_file: Path
    """The authority that signed its certificate."""
    voice: str
    """Who speaks: the best synthesiser that the machine has."""
    admin: str
    """Where it can be looked into and steered while it runs; see docs/reference/emulator-admin.md."""


class LocalEmulator:
    """Runs one emulator.

    Args:
        folder: where it keeps its certificate authority; also made if missing.
        arguments: further options of `python -m nova_sonic_local`.
    """

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        self._folder = folder
        self._arguments = tuple(arguments)
        self._process: Process | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> Endpoint:
        """Start it and return where it listens.

        Raises:
            EmulatorFailed: it ended, or said nothing, before it listened.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nova_sonic_local", "--port", "0", "--ca-dir", str(self._folder)),
            *("--ready-json", "--exit-with-parent", *self._arguments),
            stdin=PIPE,
            stdout=PIPE,
            cwd=_ROOT,
            start_new_session=True,  # Ctrl-C is for the server, which lets conversations end before it ends the emulator
        )
        try:
            endpoint = await self._read_endpoint(self._process)
        except BaseException:
            await self.stop()
            raise
        self._watch = asyncio.create_task(self._watch_end(self._process))
        log.info("emulator.started", endpoint=endpoint.uri, voice=endpoint.voice, admin=endpoint.admin)
        return endpoint

    async def stop(self) -> None:
        """End it politely, or else firmly; returns in bounded time."""
        process = self._process
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        if process is None:
            return
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if process.stdin is not None:
            process.stdin.close()

    async def _read_endpoint(self, process: Process) -> Endpoint:
        if process.stdout is None:
            raise EmulatorFailed("Nova Sonic Local has no output to read")
        try:
            async with asyncio.timeout(READY_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise EmulatorFailed(f"Nova Sonic Local was not ready after {READY_SECONDS:.0f} s") from None
        if not line:
            raise EmulatorFailed(f"Nova Sonic Local ended with status {await process.wait()} before it listened")
        try:
            ready = orjson.loads(line)
            return Endpoint(str(ready["endpoint"]), Path(ready["ca_file"]), str(ready["voice"]), str(ready["admin"]))
        except (orjson.JSONDecodeError, KeyError, TypeError):
            raise EmulatorFailed("Nova Sonic Local said something else than where it listens") from None

    async def _watch_end(self, process: Process) -> None:
        """Say so if it ends by itself: conversations fail from then on, and /ready says why."""
        status = await process.wait()
        log.error("emulator.ended", status=status)

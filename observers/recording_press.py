"""The server's side of the process that encodes recordings: starts it, gives it one task at a time, and ends it.

What the process does is bounded by its tasks, and there is never more than one on its way: whoever gives them out waits, not the server.
"""

import asyncio
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from observers.recording_encoders import has_av
from observers.recording_wire import LENGTH, Made, Task, pack_task, read_made
from storage.recordings import RecordingFormat

ANSWER_SECONDS: Final = 30.0
"""A process that takes longer for seconds of sound hangs; the first answer waits for its imports."""
END_SECONDS: Final = 2.0
_ROOT: Final = Path(__file__).resolve().parent.parent


class PressFailed(Exception):
    """The process is gone, with the recordings that it had begun."""


class Press(Protocol):
    """Makes files of what tapes hold."""

    @property
    def format(self) -> RecordingFormat:
        """How recordings are written."""

    async def start(self) -> None:
        """Be ready before the first task.

        Raises:
            PressFailed: that is not possible now.
        """

    async def work(self, task: Task) -> Made:
        """Do a task; one at a time.

        Raises:
            PressFailed: whatever was begun is lost; the next task begins anew.
        """

    async def aclose(self) -> None:
        """End."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A process and what leads to it and from it."""

    process: asyncio.subprocess.Process
    tasks: asyncio.StreamWriter
    answers: asyncio.StreamReader


class ProcessPress:
    """Makes them in a process of its own, which is started again when it has died and there is something to do.

    Args:
        wanted: format; WAV takes its place where PyAV is not installed.
    """

    def __init__(self, wanted: RecordingFormat) -> None:
        self.format = wanted if has_av() else RecordingFormat.WAV
        self._running: _Running | None = None

    async def start(self) -> None:
        """Start the process, so that this holds up no conversation later.

        Raises:
            PressFailed: it cannot be started.
        """
        await self._started()

    async def work(self, task: Task) -> Made:
        """Do a task.

        Raises:
            PressFailed: the process died, or hung and was killed.
        """
        running = await self._started()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await _exchanged(running, task)
        except (OSError, EOFError, TimeoutError, TypeError, ValueError) as error:
            await self._kill()
            raise PressFailed(type(error).__name__) from error
        except asyncio.CancelledError:  # its answer would be taken for the next one's
            await self._kill()
            raise

    async def aclose(self) -> None:
        """End the process; it is not in the middle of anything."""
        if self._running is None:
            return
        self._running.tasks.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._running.process.wait()
        await self._kill()

    async def _started(self) -> _Running:
        if self._running is None:
            pipe = asyncio.subprocess.PIPE
            command = (sys.executable, "-m", "observers.recording_process", self.format.value)
            paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # and nothing else of the environment: it holds secrets
            try:
                process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, cwd=_ROOT, env=paths)
            except OSError as error:
                raise PressFailed(type(error).__name__) from error
            self._running = _Running(process, cast("asyncio.StreamWriter", process.stdin), cast("asyncio.StreamReader", process.stdout))
        return self._running

    async def _kill(self) -> None:
        """Let go of the process, whatever it does."""
        running, self._running = self._running, None
        if running is not None:
            with suppress(ProcessLookupError):
                running.process.kill()
            await running.process.wait()


async def _exchanged(running: _Running, task: Task) -> Made:
    running.tasks.write(pack_task(task))
    await running.tasks.drain()
    (size,) = LENGTH.unpack(await running.answers.readexactly(LENGTH.size))
    return read_made(await running.answers.readexactly(size))

"""An emulator in a thread of its own: for programs and tests that have no event loop, or another library's."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nova_sonic_local.control import Control, transcript
from nova_sonic_local.options import Options
from nova_sonic_local.server import NovaSonicLocal
from nova_sonic_local.upcoming import NextPlan, Operation

START_SECONDS: Final = 60.0
"""The recogniser's models on a cold disk take a few seconds."""
CALL_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0


class BackgroundEmulator:
    """A running emulator: `with BackgroundEmulator(Options()) as emulator`. Every method may be called from any thread.

    Args:
        options: how it is set up.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._emulator: NovaSonicLocal | None = None
        self._thread = threading.Thread(target=self._run, name="nova-sonic-local", daemon=True)

    def start(self) -> None:
        """Start it, and return when it listens.

        Raises:
            OSError: it cannot listen, or cannot record.
            ValueError: the options are wrong.
            TimeoutError: it took too long.
        """
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise TimeoutError(f"Nova Sonic Local was not ready after {START_SECONDS:.0f} s")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End all streams and wait until it is gone.

        Raises:
            TimeoutError: it does not end.
        """
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError(f"Nova Sonic Local did not end in {STOP_SECONDS:.0f} s")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001 -- the root of the thread: `start` raises it where somebody sees it
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with NovaSonicLocal(self.options) as emulator:
            self._emulator = emulator
            self._started.set()
            await self._stopping.wait()

    @property
    def _running(self) -> NovaSonicLocal:
        if self._emulator is None:
            raise RuntimeError("the emulator is not running")
        return self._emulator

    @property
    def endpoint(self) -> str:
        """URL for clients over TLS; they must trust `ca_file`."""
        return self._running.endpoint

    @property
    def h2c_endpoint(self) -> str:
        """URL for clients that speak HTTP/2 without TLS and without upgrade."""
        return self._running.h2c_endpoint

    @property
    def admin_endpoint(self) -> str | None:
        """URL of the admin endpoint, None when `Options.admin_port` is None."""
        return self._running.admin_endpoint

    @property
    def ca_file(self) -> Path:
        """The certificate authority, PEM."""
        return self._running.ca_file

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which clients find and trust it."""
        return self._running.environment

    def streams(self) -> list[dict[str, object]]:
        """Return the live streams and the last ones that ended, the oldest first, as GET /v1/streams does."""
        return self._call(lambda control: control.streams())

    def transcript(self, stream: object = None, *, has_sound: bool = False) -> list[dict[str, object]]:
        """Return the events of a stream, as GET /v1/streams/{id} does.

        Args:
            stream: its id or its request id; None is the newest.
            has_sound: whether audio comes with its samples; `Options.keep_sound` must be set.

        Raises:
            LookupError: there is no such stream.
        """
        rows = self._call(lambda control: control.log(str(stream or _newest(control))).rows())
        return transcript(rows, has_sound=has_sound)

    def counters(self) -> dict[str, object]:
        """Return the sums over all streams, as GET /v1/counters does."""
        return self._call(lambda control: control.counters())

    def inject(self, fault: str, stream: object = None) -> dict[str, object]:
        """Let something go wrong on a live stream, at once or at a moment that counts from now; see docs/reference/emulator-faults.md.

        Args:
            fault: `name[:argument][@moment]`, or several with commas between them.
            stream: its id or its request id; None is the newest.

        Raises:
            LookupError: there is no such stream, or it is over.
            ValueError: there is no such fault.
        """
        return self._call(lambda control: control.inject(str(stream or _newest(control)), fault))

    def plan_next(self, brain: str = "", fault: str = "", times: int = 1, operation: Operation = Operation.NOVA_SONIC) -> NextPlan:
        """Plan what the next streams, or requests of another operation, get, as PUT /v1/next does.

        Raises:
            ValueError: there is no such brain or fault.
        """
        return self._wait(lambda emulator: emulator.control.plan_next(brain, fault, times, operation))

    def reset(self) -> None:
        """End all streams, and forget transcripts, counters and plans."""
        self._wait(lambda emulator: emulator.control.reset())

    def quiet(self, seconds: float = CALL_SECONDS) -> None:
        """Wait until no stream is served and no connection is open.

        Raises:
            TimeoutError: some still are.
        """
        self._wait(lambda emulator: emulator.quiet(), seconds)

    def _call[T](self, ask: Callable[[Control], T]) -> T:
        async def answer(emulator: NovaSonicLocal) -> T:
            return ask(emulator.control)

        return self._wait(answer)

    def _wait[T](self, ask: Callable[[NovaSonicLocal], Awaitable[T]], seconds: float = CALL_SECONDS) -> T:
        emulator = self._running
        if self._loop is None or self._loop.is_closed():
            raise RuntimeError("the emulator is not running")

        async def answer() -> T:
            async with asyncio.timeout(seconds):
                return await ask(emulator)

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(seconds + CALL_SECONDS)


def _newest(control: Control) -> str:
    streams = control.streams()
    if not streams:
        raise LookupError("there was no stream yet")
    return str(streams[-1]["id"])

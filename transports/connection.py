"""One client's socket: frames become commands, events become frames, one session after another.

The connection's own task reads. Beside it a session has two tasks, one that runs it and one that writes what it tells; a task group owns
all of them, so that however the connection ends, nothing of it is left.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from session.errors import ClientError, InternalError, SessionError, WrongOrder
from session.events import Command, End, SendAudio, SendText, SessionEnded, SessionFailed, Start
from session.interfaces import Clock
from session.registry import SessionRegistry
from session.runner import SessionRunner
from telemetry.counters import Counters
from transports.dialects.detection import Clocks, by_first_frame, by_subprotocol, encode_for_stranger
from transports.dialects.interface import Action, Dialect, Frame, Reply
from transports.flow import ClientFlow

log = structlog.get_logger()

STRIKES_LIMIT: Final = 20
"""Unusable messages after which the connection is closed; no client in the field sends one."""
IDLE_SECONDS: Final = 600.0
"""A connection without a session is closed after this time."""
IDLE_CLOSE_CODE: Final = 4408
FRAMES_PER_TURN: Final = 16
"""Frames that are worked off before other connections get their turn: thousands of tiny ones can come in one read."""


class _Leave(Exception):
    """We close the connection and read no more of it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Session:
    runner: SessionRunner
    running: asyncio.Task[None]
    writing: asyncio.Task[None]


class Connection:
    """Serves one socket from the first frame to the last.

    Args:
        socket: an open WebSocket.
        registry: admits sessions.
        clock: monotonic seconds.
        clocks: the same and wall-clock time in milliseconds, for dialects.
        counters: gets `frame_*` and `connection_*`.
    """

    def __init__(self, socket: ServerConnection, registry: SessionRegistry, clock: Clock, clocks: Clocks, counters: Counters) -> None:
        self._socket = socket
        self._registry = registry
        self._clock = clock
        self._clocks = clocks
        self._counters = counters
        self._flow = ClientFlow(clock.now())
        self._dialect: Dialect | None = by_subprotocol(socket.subprotocol, clocks)
        self._session: _Session | None = None
        self._strikes = 0
        self._frames = 0

    async def run(self) -> None:
        """Serve until the socket is closed and the last session has ended."""
        self._counters.add("connection_opened")
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._read(tasks)
                finally:
                    await self._end_session()
        except* Exception as failure:  # noqa: BLE001 - the task root of a connection
            await self._crashed(failure.exceptions[0])
        finally:
            self._counters.add("connection_closed")
            dropped = self._dialect.dropped_frames if self._dialect else 0
            self._counters.add("frame_dropped", dropped)
            name = self._dialect.name if self._dialect else None
            closed = {"close_code": self._socket.close_code, "dialect": name, "frames": self._frames, "frames_dropped": dropped}
            log.info("connection.closed", strikes=self._strikes, **closed)

    async def _read(self, tasks: asyncio.TaskGroup) -> None:
        """Work off frames until the socket ends; those that came just before it are still there and count."""
        try:
            while True:
                frame = await self._receive()
                self._frames += 1
                if self._frames % FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)
                try:
                    await self._take(frame, tasks)
                except SessionError as error:
                    await self._refuse(error, frame)
        except ConnectionClosed:
            return
        except TimeoutError:
            await self._socket.close(IDLE_CLOSE_CODE, "no session for too long")
        except _Leave as leave:
            await self._socket.close(leave.code, leave.reason)

    async def _receive(self) -> Frame:
        if self._running() is not None:
            return await self._socket.recv()
        async with asyncio.timeout(IDLE_SECONDS):
            return await self._socket.recv()

    async def _take(self, frame: Frame, tasks: asyncio.TaskGroup) -> None:
        if self._dialect is None:
            self._dialect = by_first_frame(frame, self._clocks)
        for action in self._dialect.decode(frame):
            await self._pace(action)
            match action:
                case Reply():
                    await self._send(action.frame)
                case Start():
                    await self._begin(action, self._dialect, tasks)
                case _:
                    await self._submit(action)

    async def _pace(self, action: Action) -> None:
        """Wait when the client sends more than its share; meanwhile nothing more of it is read."""
        now = self._clock.now()
        wait = self._flow.audio(action.pcm, now) if isinstance(action, SendAudio) else self._flow.message(now)
        if wait > 0:
            self._counters.add("client_slowed")
            await asyncio.sleep(wait)

    async def _submit(self, command: Command) -> None:
        runner = self._running()
        if runner is not None:
            await runner.submit(command)
        elif self._session is None or isinstance(command, SendText):
            raise WrongOrder("There is no session; start one first.")
        else:
            self._counters.add("frame_late")  # the session ended while this was on its way

    def _running(self) -> SessionRunner | None:
        return None if self._session is None or self._session.runner.is_over else self._session.runner

    async def _begin(self, start: Start, dialect: Dialect, tasks: asyncio.TaskGroup) -> None:
        await self._end_session()
        try:
            runner = self._registry.open(start)
        except SessionError as error:
            if dialect.survives(error):
                raise
            await self._tell(error, dialect.encode)
            raise _Leave(error.close_code, error.code) from None
        self._flow.input_hertz = start.input_hertz
        running = tasks.create_task(self._registry.run(runner))
        writing = tasks.create_task(self._write(runner, dialect))
        self._session = _Session(runner, running, writing)
        await asyncio.sleep(0)  # the session begins before the client's next frame reaches it

    async def _end_session(self) -> None:
        """End the session if one runs, and wait until all that belongs to it is closed and told."""
        session = self._session
        if session is None:
            return
        if not session.runner.is_over:
            await session.runner.submit(End())
        await asyncio.wait((session.running, session.writing))

    async def _write(self, runner: SessionRunner, dialect: Dialect) -> None:
        """Tell the client everything that its session tells; with the socket gone, only empty the session's queue."""
        ended: SessionEnded | None = None
        while (event := await runner.next_event()) is not None:
            for frame in dialect.encode(event):
                await self._send(frame)
            if isinstance(event, SessionEnded):
                ended = event
        if ended is not None and not dialect.survives(ended.reason):
            await self._socket.close(ended.close_code, ended.reason.value)

    async def _send(self, frame: Frame) -> None:
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            self._counters.add("frame_unsent")

    async def _refuse(self, error: SessionError, frame: Frame) -> None:
        """Tell the client what was wrong.

        Raises:
            _Leave: it was not the first time by far.
        """
        self._counters.add("frame_refused")
        if self._dialect is None:
            await self._tell(error, lambda event: encode_for_stranger(event, frame, self._clocks))
        else:
            await self._tell(error, self._dialect.encode)
        self._strikes += isinstance(error, ClientError)
        if self._strikes >= STRIKES_LIMIT:
            raise _Leave(ClientError.close_code, "too many errors")

    async def _tell(self, error: SessionError, encode: Callable[[SessionFailed], Sequence[Frame]]) -> None:
        ref = secrets.token_hex(6)
        log.info("client.refused", code=error.code, detail=error.text, ref=ref)
        for frame in encode(error.event(ref)):
            await self._send(frame)

    async def _crashed(self, error: Exception) -> None:
        """Close after a bug of ours: the log has the details, the client the reference."""
        ref = secrets.token_hex(6)
        log.error("connection.crashed", ref=ref, exc_info=error)
        await self._socket.close(InternalError.close_code, ref)

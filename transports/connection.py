"""One client's socket: frames become commands, events become frames, one session after another.

The connection's own task reads. Beside it, while it holds a session, one task writes what the session tells, and with clients that can come
back another one acknowledges; a task group owns them, so that however the connection ends, nothing of it is left. The session itself is run
by the registry: it ends with the connection, or waits for its client to come back on another one.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from session.errors import (
    ClientError,
    Forbidden,
    InternalError,
    NotAuthenticated,
    SessionError,
    SessionIdle,
    TokenExpired,
    TooLarge,
    TooMany,
    WrongOrder,
)
from session.events import Command, End, EndReason, SendAudio, SendText, Start
from session.interfaces import Clock
from session.notices import Notice, RecordingSpeech, RecordingSpeechEnded
from session.runner import SessionRunner
from telemetry.counters import Counters
from telemetry.logs import without_quotes
from transports.attachments import Attachment, Attachments
from transports.audio_decoding import Recordings
from transports.dialects.auth_messages import accepted, token_in
from transports.dialects.binary import BinaryDialect
from transports.dialects.detection import Clocks, by_first_frame, by_subprotocol, dialect_of_stranger
from transports.dialects.interface import (
    Acknowledge,
    Action,
    Dialect,
    Frame,
    Lasting,
    Numbered,
    Reply,
    Resume,
    Resumed,
    SendEncoded,
    StartFor,
    TakesNotice,
    Told,
    greeting_of,
)
from transports.directory import LiveConnection
from transports.flow import ClientFlow, Flood
from transports.limits import NO_LIMITS, Limits
from transports.memory import remember
from transports.patients import introduce
from transports.preferences import PreferredVoice
from transports.provisions import Provisions
from transports.standing import Standing

log = structlog.get_logger()

STRIKES_LIMIT: Final = 20
"""Unusable messages after which the connection is closed; no client in the field sends one."""
IDLE_SECONDS: Final = 600.0
"""A connection without a session is closed after this time."""
REPLACED_CLOSE_CODE: Final = 4409
LAST_WORDS_SECONDS: Final = 2.0
"""For telling a client how its session has ended, before its connection is closed."""
GOODBYES: Final = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD})
"""Codes with which a client says that it is not coming back: asked for, the page is left, none given."""
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
    attachment: Attachment
    writing: asyncio.Task[None]
    acknowledging: asyncio.Task[None] | None

    def stop(self) -> None:
        """Tell the client nothing more."""
        self.writing.cancel()
        if self.acknowledging is not None:
            self.acknowledging.cancel()


class Connection:
    """Serves one socket from the first frame to the last.

    Args:
        socket: an open WebSocket.
        attachments: begins sessions and finds them again.
        clock: monotonic seconds.
        clocks: the same and wall-clock time in milliseconds, for dialects.
        counters: gets `frame_*` and `connection_*`.
        standing: who the client is, and for how long.
        live: what is told of the connection.
        limits: of what it may send.
        provisions: what some dialects need beside sessions.
        dialect: what the client asked for with its address; None leaves it to its subprotocol and its first frame.
    """

    def __init__(
        self,
        socket: ServerConnection,
        attachments: Attachments,
        *,
        clock: Clock,
        clocks: Clocks,
        counters: Counters,
        standing: Standing,
        live: LiveConnection,
        limits: Limits = NO_LIMITS,
        provisions: Provisions | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self._socket = socket
        self._attachments = attachments
        self._clock = clock
        self._clocks = clocks
        self._counters = counters
        self._standing = standing
        self._live = live
        live.close, live.tell = self.close, self.tell
        self._provisions = provisions or Provisions()
        self._recordings = Recordings(self._provisions.decoding)
        self._preferred = PreferredVoice(self._provisions.preferences, standing.principal.user_id)
        self._limits = limits
        self._flow = ClientFlow(clock.now(), limits, attachments.resume_seconds)
        self._dialect: Dialect | None = dialect or by_subprotocol(socket.subprotocol, clocks)
        self._tasks: asyncio.TaskGroup | None = None
        self._session: _Session | None = None
        self._is_over = False
        """Whether the connection is being closed from outside: nothing more of what comes counts."""
        self._strikes = 0
        self._frames = 0

    async def run(self) -> None:
        """Serve until the socket is closed, and the session that it held has ended or waits for its client."""
        self._counters.add("connection_opened")
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._preferred.look_up(tasks)
                expiring = tasks.create_task(self._expire())
                is_lost = False
                try:
                    is_lost = await self._read()
                finally:
                    expiring.cancel()
                    await self._leave_session(is_lost=is_lost)
        except* Exception as failure:  # noqa: BLE001 - the task root of a connection
            await self._crashed(failure.exceptions[0])
        finally:
            self._live.close = self._live.tell = None
            self._counters.add("connection_closed")
            dropped = self._dialect.dropped_frames if self._dialect else 0
            self._counters.add("frame_dropped", dropped)
            name = self._dialect.name if self._dialect else None
            closed = {"close_code": self._socket.close_code, "dialect": name, "frames": self._frames, "frames_dropped": dropped}
            log.info("connection.closed", strikes=self._strikes, **closed)

    def give_up(self) -> None:
        """Let another connection have the session, and close this one."""
        if self._session is None or self._tasks is None:
            return
        self._session.stop()
        self._session = None
        self.close(REPLACED_CLOSE_CODE, "another connection has the session")

    def close(self, code: int, reason: str) -> None:
        """Close the connection from outside; a session that it has ends, as if its client had left."""
        if self._tasks is not None:
            self._is_over = True
            self._tasks.create_task(self._socket.close(code, reason))

    async def tell(self, notices: Iterable[Notice]) -> bool:
        """Tell the client what came about past this connection; False where its dialect has no words for that, or it is gone.

        Speech is left out while there is a conversation: two voices at once are none.
        """
        dialect: object = self._dialect
        is_told = False
        if not isinstance(dialect, TakesNotice):
            return False
        for notice in notices:
            if isinstance(notice, RecordingSpeech | RecordingSpeechEnded) and self._running() is not None:
                continue
            for frame in dialect.notify(notice):
                if self._is_over or not await self._send(frame):
                    return False
                is_told = True
                await asyncio.sleep(0)  # a minute of speech is a hundred pieces, and others talk meanwhile
        return is_told

    async def _read(self) -> bool:
        """Work off frames until the socket ends; those that came just before it are still there and count.

        Returns:
            Whether the client lost its connection, rather than left.
        """
        try:
            for frame in greeting_of(self._dialect):
                await self._send(frame)
            while True:
                frame = await self._receive()
                self._frames += 1
                if self._frames % FRAMES_PER_TURN == 0:
                    await asyncio.sleep(0)
                if self._is_over:  # only what ends it is waited for
                    continue
                self._live.active(self._clock.now())
                try:
                    await self._slow_down(self._flow.frame(len(frame), self._clock.now()))
                    token = token_in(frame)
                    await (self._take(frame) if token is None else self._renew(token))
                except SessionError as error:
                    await self._refuse(error, frame)
                except Flood:
                    await self._stop_flood(frame)
        except ConnectionClosed as closed:
            self._counters.add("frame_too_large", closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG)
            is_goodbye = closed.rcvd is not None and (not closed.rcvd_then_sent or closed.rcvd.code in GOODBYES)
            return not (self._is_over or is_goodbye)
        except TimeoutError:
            await self._socket.close(SessionIdle.close_code, "no session for too long")
        except _Leave as leave:
            await self._socket.close(leave.code, leave.reason)
        return False

    async def _receive(self) -> Frame:
        if self._running() is not None:
            return await self._socket.recv()
        async with asyncio.timeout(IDLE_SECONDS):
            return await self._socket.recv()

    async def _expire(self) -> None:
        """Show a client out whose token has expired: half of its grace is for another token, half for the last turn."""
        half = self._standing.grace_seconds / 2
        while True:
            await self._standing.until_expired()
            if self._dialect is not None:
                await self._tell(TokenExpired(), self._dialect)
            if await self._standing.is_renewed_within(half):
                continue
            session, runner = self._session, self._running()
            if session is None or runner is None:
                break
            runner.drain(half, reason=EndReason.TOKEN_EXPIRED)
            if not await self._standing.is_renewed_before(session.writing, half + LAST_WORDS_SECONDS):
                break
            runner.stay(EndReason.TOKEN_EXPIRED)
        self.close(TokenExpired.close_code, TokenExpired.code)

    async def _renew(self, token: str) -> None:
        """Take another token of the client.

        Raises:
            AuthenticationError: it is not accepted.
            _Leave: it is somebody else's.
        """
        try:
            principal = await self._standing.renew(token)
        except Forbidden as error:
            await self._tell(error, self._dialect or BinaryDialect(self._clocks.monotonic_ms))
            raise _Leave(error.close_code, error.code) from None
        await self._send(accepted(principal.user_id, principal.expires_at))

    async def _take(self, frame: Frame) -> None:
        if self._dialect is None:
            self._dialect = by_first_frame(frame, self._clocks, self._provisions.decoding.encodings)
        for action in self._dialect.decode(frame):
            await self._pace(action)
            if self._is_over:
                return
            match action:
                case Reply():
                    await self._send(action.frame)
                case Start():
                    await self._begin(action, self._dialect)
                case Lasting():
                    await self._begin(action.start, self._dialect, is_lasting=True)
                case Resume():
                    await self._resume(action, self._dialect)
                case Acknowledge():
                    self._acknowledged(action.number)
                case Numbered():
                    await self._submit(action.command, action.number)
                case SendEncoded():
                    await self._submit_encoded(action)
                case StartFor():
                    start, found = await introduce(action, self._provisions.patients, self._standing.principal)
                    action.meet(found)
                    await self._begin(start, self._dialect)
                case _:
                    await self._submit(action)

    async def _pace(self, action: Action) -> None:
        """Wait when the client sends more than its share; meanwhile nothing more of it is read."""
        if isinstance(action, SendEncoded) or (isinstance(action, Reply) and action.is_receipt):
            return  # what is decoded of it is accounted for
        now = self._clock.now()
        command = action.command if isinstance(action, Numbered) else action
        await self._slow_down(self._flow.audio(command.pcm, now) if isinstance(command, SendAudio) else self._flow.message(now))

    async def _slow_down(self, wait: float) -> None:
        if wait > 0:
            self._counters.add("client_slowed")
            await asyncio.sleep(wait)

    async def _submit_encoded(self, sent: SendEncoded) -> None:
        for pcm in await self._recordings.decode(sent):
            command = SendAudio(pcm)
            await self._pace(command)
            await self._submit(command)

    async def _submit(self, command: Command, number: int | None = None) -> None:
        if isinstance(command, SendText) and len(command.text.encode()) > self._limits.text_bytes:
            raise TooLarge(f"A text can have {self._limits.text_bytes} bytes at most.")
        runner = self._running()
        if self._session is not None:
            self._attachments.confirm(self._session.attachment)
            if number is not None and not self._session.attachment.takes(number):
                self._counters.add("frame_repeated")
                return
        if runner is not None:
            await runner.submit(command)
        elif self._session is None or isinstance(command, SendText):
            raise WrongOrder("There is no session; start one first.")
        else:
            self._counters.add("frame_late")  # the session ended while this was on its way

    def _acknowledged(self, number: int) -> None:
        if self._session is not None:
            self._attachments.confirm(self._session.attachment)
            self._session.attachment.acknowledge(number)

    def _running(self) -> SessionRunner | None:
        return None if self._session is None or self._session.attachment.runner.is_over else self._session.attachment.runner

    async def _begin(self, start: Start, dialect: Dialect, *, is_lasting: bool = False) -> None:
        self._standing.check()
        await self._end_session()
        start = await remember(await self._preferred.with_voice(start), self._provisions.memory, self._standing.principal)
        try:
            attachment = self._attachments.begin(start, dialect, self._standing.principal.user_id, self._live.caller, is_lasting=is_lasting)
        except SessionError as error:
            raise await self._not_here(error, dialect) from None
        self._hold(attachment, 0)
        await asyncio.sleep(0)  # the session begins before the client's next frame reaches it

    async def _resume(self, wanted: Resume, dialect: Dialect) -> None:
        if self._running() is not None:
            raise WrongOrder("This connection has a session.")
        self._standing.check()
        await self._end_session()
        try:
            attachment, is_adopted = await self._attachments.resume(wanted, dialect, self._standing.principal.user_id)
        except SessionError as error:
            raise await self._not_here(error, dialect) from None
        self._dialect, runner = attachment.dialect, attachment.runner
        attachment.token = self._attachments.new_token(attachment)
        resumed = Resumed(runner.session_id, attachment.token, runner.client.upstream, is_adopted)
        self._hold(attachment, wanted.wanted, attachment.dialect.answer(resumed))
        runner.client_back(attachment.undelivered_samples)

    async def _not_here(self, error: SessionError, dialect: Dialect) -> Exception:
        """Return what is to be raised when no session is begun or gone on with: the connection stays for another try, or not."""
        self._counters.add(f"session_refused.{error.code}")
        if dialect.survives(error):
            return error
        await self._tell(error, dialect)
        return _Leave(error.close_code, error.code)

    def _hold(self, attachment: Attachment, number: int, greeting: Sequence[Frame] = ()) -> None:
        """Carry a session; after the greeting begin with this frame of it."""
        if self._tasks is None:
            raise RuntimeError("run() has not been called")
        attachment.holder = self
        attachment.runner.client.caller, attachment.runner.client.connection_id = self._live.caller, self._live.id
        self._live.carries(attachment.runner.session_id)
        self._flow.input_hertz = attachment.runner.client.input_hertz
        writing = self._tasks.create_task(self._write(attachment, number, greeting))
        acknowledging = self._tasks.create_task(attachment.tell_taken(self._send)) if attachment.is_lasting else None
        self._session = _Session(attachment, writing, acknowledging)

    async def _leave_session(self, *, is_lost: bool) -> None:
        """Let the session wait for its client, if it can come back; else end it."""
        session = self._session
        if session is not None and is_lost and session.attachment.may_be_missed:
            session.stop()
            self._attachments.lose(session.attachment)
        else:
            await self._end_session()

    async def _end_session(self) -> None:
        """End the session if one runs, and wait until all that belongs to it is closed and told."""
        session = self._session
        if session is None:
            return
        attachment = session.attachment
        if not attachment.runner.is_over:
            await attachment.runner.submit(End())
        await asyncio.wait((attachment.running, session.writing))
        if self._session is session:  # else another connection has taken over what is left to tell
            session.stop()
            self._attachments.forget(attachment)

    async def _write(self, attachment: Attachment, number: int, greeting: Sequence[Frame]) -> None:
        """Tell the client everything that its session tells; with the socket gone, only empty the session's queue."""
        for frame in greeting:
            await self._send(frame)
        await attachment.deliver(self._send, number, lambda: self._attachments.new_token(attachment))
        ended = attachment.ended
        if ended is not None and not attachment.dialect.survives(ended.reason):
            await self._socket.close(ended.close_code, ended.reason.value)

    async def _send(self, frame: Frame) -> bool:
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            self._counters.add("frame_unsent")
            return False
        return True

    async def _refuse(self, error: SessionError, frame: Frame) -> None:
        """Tell the client what was wrong.

        Raises:
            _Leave: it was not the first time by far.
        """
        self._counters.add("frame_refused")
        await self._tell(error, self._dialect or dialect_of_stranger(frame, self._clocks))
        self._strikes += isinstance(error, ClientError | NotAuthenticated)
        if self._strikes >= STRIKES_LIMIT:
            raise _Leave(ClientError.close_code, "too many errors")

    async def _stop_flood(self, frame: Frame) -> None:
        """Raise what closes the connection of a client that was held back for too long."""
        self._counters.add("client_flooded")
        error = TooMany("Too much for too long: the connection is closed.")
        await self._tell(error, self._dialect or dialect_of_stranger(frame, self._clocks))
        raise _Leave(error.close_code, error.code)

    async def _tell(self, error: SessionError, dialect: Dialect) -> None:
        ref = secrets.token_hex(6)
        log.info("client.refused", code=error.code, detail=without_quotes(error.text), ref=ref)
        told: Told = error.event(ref)
        for frame in dialect.answer(told):
            await self._send(frame)

    async def _crashed(self, error: Exception) -> None:
        """Close after a bug of ours: the log has the details, the client the reference."""
        ref = secrets.token_hex(6)
        log.error("connection.crashed", ref=ref, exc_info=error)
        await self._socket.close(InternalError.close_code, ref)

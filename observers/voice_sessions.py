"""Writes down every voice session while it is talked in, and ends those that a killed process left.

A session is written when it begins, at most every few seconds while something happens, and when it ends; what changes meanwhile is written
as it is when its turn comes. Nobody in a conversation waits for any of it.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final, Protocol

import structlog

from observers.backlog import Backlog
from observers.store_calls import StoreCalls
from s2s.events import Role, Stage, UnknownEvent
from session.events import (
    EndReason,
    Interrupted,
    ModelOutput,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SpeechChunk,
    ToolFinished,
    TranscriptUpdated,
    UsageReported,
)
from session.label import SessionLabel
from storage.errors import InvalidRequest
from storage.voice_session_items import Counts, Leg, SessionEnding, Tokens, VoiceSession, VoiceSessionStatus
from storage.voice_sessions import Standing, VoiceSessions
from telemetry.counters import Counters

log = structlog.get_logger()

UPDATE_SECONDS: Final = 5.0
"""How often a session in which something happens is written."""
LOOK_SECONDS: Final = 5.0
"""How often this process looks which of its sessions others want ended."""
GREET_EVERY: Final = 3
"""Of these looks, how many pass until the process says again that it is there; eight times as long, and it counts as gone."""
SWEEP_EVERY: Final = 12
STORE_SECONDS: Final = 5.0
WAITING: Final = 4_096
"""Sessions that can wait to be written; each once, however often it changes."""
AT_ONCE: Final = 8
SAMPLE_BYTES: Final = 2

type EndLive = Callable[[str, str], bool]
"""Ends a session of this process by its id, for a reason; False if it has none such."""


class TellSwept(Protocol):
    """Tells of sessions that have ended which no process has."""

    async def __call__(self, *sessions: VoiceSession) -> None:
        """Tell of them, as they are now."""


class VoiceSessionRecords:
    """Gives every session an observer that counts, and writes what they count.

    Args:
        sessions: repository.
        counters: gets `voice_session_written`, `_lost`, `_refused`, `_swept` and `_ended_on_request`.
        process: names this process among all.
        clock: the time now, with a zone.
    """

    def __init__(
        self,
        sessions: VoiceSessions,
        counters: Counters,
        *,
        process: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._sessions = sessions
        self._counters = counters
        self._process = process
        self._clock = clock
        self._end_live: EndLive | None = None
        self._tell_swept: TellSwept | None = None
        self._watched: dict[str, _Watched] = {}
        self._line: Backlog[str] = Backlog(
            "voice_session", self._write, counters, entries=WAITING, batch=AT_ONCE, store_seconds=STORE_SECONDS
        )
        self._is_known = False
        """Whether the store knows of this process."""
        self._store = StoreCalls("voice_session", STORE_SECONDS)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Write from now on."""
        self._line.start()
        self._tasks = [asyncio.create_task(self._update_often()), asyncio.create_task(self._look_often())]

    def ends_with(self, end_live: EndLive) -> None:
        """Let this end the sessions that others want ended."""
        self._end_live = end_live

    def tells(self, tell_swept: TellSwept) -> None:
        """Let this be told of the sessions that were left and are ended here: nobody else tells of that."""
        self._tell_swept = tell_swept

    async def aclose(self) -> None:
        """Write what is left, in bounded time, and end."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._line.aclose()
        if self._is_known and not self._watched:
            await self._store.ask(partial(self._sessions.leave, self._process))

    async def written(self) -> None:
        """Return when nothing waits to be written."""
        await self._line.written()

    def attend(self, session: SessionLabel) -> "_Watched":
        """Watch a session, and write that it has begun."""
        watched = _Watched(session, uuid.uuid4().hex[:12], self._process, self._clock, self._write_soon)
        self._watched[watched.leg_id] = watched
        self._write_soon(watched)
        return watched

    # What is written

    def _write_soon(self, watched: "_Watched") -> None:
        if not self._line.put(watched.leg_id, key=watched.leg_id) and watched.is_over:
            self._watched.pop(watched.leg_id, None)

    async def _write(self, leg_ids: Sequence[str]) -> None:
        """Write some sessions at once, each as it is now."""
        if not self._is_known:
            await self._greet()
        try:
            async with asyncio.TaskGroup() as tasks:
                for leg_id in leg_ids:
                    if (watched := self._watched.get(leg_id)) is not None:  # else its end was written, while others could not be
                        tasks.create_task(self._write_one(watched))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _write_one(self, watched: "_Watched") -> None:
        leg, watched.is_changed = watched.leg(), False
        try:
            standing = await self._sessions.write(leg)
        except InvalidRequest as error:
            standing = self._leave_out(leg, error)
        except BaseException:
            watched.is_changed = True
            raise
        if leg.ending is not None or leg.is_parked:
            self._watched.pop(watched.leg_id, None)
        elif standing is Standing.ENDED and not watched.is_told:
            watched.is_told = True
            self._end(leg.session_id, EndReason.OPERATOR)

    def _leave_out(self, leg: Leg, error: InvalidRequest) -> Standing:
        """Give up what the store never takes: a bug of ours, that shall not stop everything else."""
        log.error("voice_session.refused", session_id=leg.session_id, reason=str(error))
        self._counters.add("voice_session_refused")
        return Standing.TAKEN

    async def _update_often(self) -> None:
        while True:
            await asyncio.sleep(UPDATE_SECONDS)
            for watched in tuple(self._watched.values()):
                if watched.is_changed:
                    self._write_soon(watched)

    # What others want, and what they left

    async def _look_often(self) -> None:
        for number in count():
            await self._store.ask(partial(self._look, number))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, number: int) -> None:
        if number % GREET_EVERY == 0 or not self._is_known:
            await self._greet()
        for session_id, reason in (await self._sessions.take_requests(self._process)).items():
            self._end(session_id, reason)
        if number % SWEEP_EVERY == 0 and (swept := await self._sessions.sweep()):
            self._counters.add("voice_session_swept", len(swept))
            log.info("voice_sessions.swept", sessions=len(swept))
            if self._tell_swept is not None:
                await self._tell_swept(*swept)

    async def _greet(self) -> None:
        is_new, was_there = not self._is_known, await self._sessions.greet(self._process)
        self._is_known = True
        if not is_new and not was_there:  # taken for gone: its sessions live all the same
            for watched in tuple(self._watched.values()):
                self._write_soon(watched)

    def _end(self, session_id: str, reason: str) -> None:
        if self._end_live is not None and self._end_live(session_id, reason):
            self._counters.add("voice_session_ended_on_request")


class _Watched:
    """Counts what happens in one session."""

    def __init__(
        self, label: SessionLabel, leg_id: str, process: str, clock: Callable[[], datetime], write_soon: Callable[["_Watched"], None]
    ) -> None:
        self.leg_id = leg_id
        self.is_changed = False
        """Whether something has happened since it was written."""
        self.is_told = False
        """Whether it was told here that somebody has ended the session."""
        self._label = label
        self._process = process
        self._clock = clock
        self._write_soon = write_soon
        self._last_turns = {Role.USER: 0, Role.ASSISTANT: 0}
        self._turns = {Role.USER: 0, Role.ASSISTANT: 0}
        self._tool_calls = self._tool_errors = self._interruptions = 0
        self._user_bytes = self._assistant_bytes = 0
        self._tokens: Tokens | None = None
        self._nova_id = ""
        self._error_code: str | None = None
        self._ending: SessionEnding | None = None
        self._end_reason: EndReason | None = None

    @property
    def is_over(self) -> bool:
        """Whether this process does not have the session any more."""
        return self._end_reason is not None

    def on_caller_audio(self, pcm: bytes, now: float) -> None:  # noqa: ARG002 - the interface's
        """Count what the caller sends; an open microphone alone is nothing to write down."""
        self._user_bytes += len(pcm)

    def on_delivered(self, chunk: SpeechChunk, now: float) -> None:  # noqa: ARG002 - the interface's
        """Count a turn of the assistant that is heard, whether or not its final text will come."""
        if chunk.turn > self._last_turns[Role.ASSISTANT]:
            self._count_turn(chunk.turn, Role.ASSISTANT)
            self.is_changed = True

    def on_event(self, event: SessionEvent) -> None:
        """Count an event."""
        match event:
            case SpeechChunk():
                self._assistant_bytes += len(event.pcm)
                return
            case ModelOutput():
                if self._nova_id or isinstance(event.event, UnknownEvent):
                    return
                self._nova_id = event.event.session_id
            case TranscriptUpdated(turn, role, Stage.FINAL, _):
                self._count_turn(turn, role)
            case ToolFinished():
                self._tool_calls += 1
                self._tool_errors += event.error_code is not None
            case Interrupted():
                self._interruptions += 1
            case UsageReported():
                self._tokens = Tokens(event.input_speech, event.input_text, event.output_speech, event.output_text)
            case SessionFailed():
                self._error_code = event.code
            case SessionEnded():
                self._ended(event)
            case _:
                return
        self.is_changed = True

    def leg(self) -> Leg:
        """Return what is to be written now."""
        label = self._label
        return Leg(
            session_id=label.session_id,
            leg_id=self.leg_id,
            process=self._process,
            began_at=label.began_at,
            is_adopted=label.is_adopted,
            connection_id=label.connection_id,
            user_id=label.user_id,
            assistant=label.assistant,
            language=label.language,
            voice_id=label.voice_id,
            model_id=label.model_id,
            audio_format=f"audio/lpcm;rate={label.input_hertz}",
            nova_sonic_session_id=self._nova_id,
            counts=self._counts(),
            tokens=self._tokens,
            is_parked=self._end_reason is EndReason.PARKED,
            ending=self._ending,
        )

    def _counts(self) -> Counts:
        return Counts(
            user_turns=self._turns[Role.USER],
            assistant_turns=self._turns[Role.ASSISTANT],
            tool_calls=self._tool_calls,
            tool_errors=self._tool_errors,
            interruptions=self._interruptions,
            user_audio_ms=_milliseconds(self._user_bytes, self._label.input_hertz),
            assistant_audio_ms=_milliseconds(self._assistant_bytes, self._label.output_hertz),
        )

    def _count_turn(self, turn: int, role: Role) -> None:
        """Count a turn once, however many blocks its final text has."""
        if turn > self._last_turns.get(role, turn):
            self._last_turns[role] = turn
            self._turns[role] += 1

    def _ended(self, event: SessionEnded) -> None:
        self._end_reason = event.reason
        if event.reason is not EndReason.PARKED:
            status = VoiceSessionStatus.ERROR if event.reason is EndReason.FAILED else VoiceSessionStatus.COMPLETED
            self._ending = SessionEnding(max(self._clock(), self._label.began_at), status, event.reason.value, self._error_code)
        self._write_soon(self)


def _milliseconds(size_bytes: int, hertz: int) -> int:
    return round(size_bytes * 1000 / (SAMPLE_BYTES * hertz))

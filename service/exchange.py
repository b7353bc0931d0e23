"""One exchange with the model by a program instead of a person: a session like every other, whose client is this.

Everything that holds for sessions holds for it: places, turns at the model's streams, tools, continuation after a lost stream, limits. What
the model says is taken as it comes, faster than anybody hears it; somebody takes it off the session's queue all the same, so that the
session knows what would have been heard.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from service.audio_errors import StageTimeout
from service.following import USUAL, Following, Patience
from session.assistant import AssistantProfile
from session.errors import InternalError, ModelLost, SessionError
from session.events import Command, End, SendAudio, SendText, SessionEvent, SessionFailed, SessionStarted, Start, StopAudio
from session.registry import SessionRegistry
from session.runner import SessionRunner

log = structlog.get_logger()

INPUT_HERTZ: Final = 16_000
PIECE_MS: Final = 100
PIECE_BYTES: Final = INPUT_HERTZ * 2 * PIECE_MS // 1_000
TAIL_MS: Final = 1_500
"""Silence after a recording: the model takes a turn as finished after up to two seconds of it, and more is sent in the user's place."""
END_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an exchange is begun with."""

    start: Start
    profile: AssistantProfile | None = None
    """An assistant that is no client's to choose; None has the one that `start` names."""
    user_id: str = ""
    caller: str = ""
    """Whom the attempts of tools are counted for."""
    patience: Patience = USUAL


class Exchange:
    """A session and what has come of it. It observes itself.

    Args:
        runner: of the session.
        clock: monotonic seconds.
        patience: how long nothing has to happen until something is over.
    """

    def __init__(self, runner: SessionRunner, clock: Callable[[], float], patience: Patience = USUAL) -> None:
        self.following = Following(wants_answer=True)
        self._patience = patience
        self._runner = runner
        self._clock = clock
        self._changed = asyncio.Event()
        self._error: SessionError | None = None
        self._speaking: asyncio.Task[None] | None = None
        self._listens = False
        """Whether the model does: until its stream is open, what it is given waits in the session."""
        self._is_sent = False
        """Whether it was given everything."""

    def on_event(self, event: SessionEvent) -> None:
        """Take note of an event of the session."""
        if isinstance(event, SessionFailed):
            self._error = error_of(event)
        if isinstance(event, SessionStarted):
            self._listens = True
            self._count_from_now()
        self.following.take(event, self._clock())
        self._changed.set()

    def speak(self, pcm: bytes, speed: float, *, wants_answer: bool) -> Following:
        """Begin to give the model a recording, and silence after it.

        Args:
            pcm: at INPUT_HERTZ.
            speed: how many times as fast as it was spoken; never faster than the model takes it.
            wants_answer: whether an answer is waited for.
        """
        self._follow(wants_answer=wants_answer)
        self._speaking = asyncio.create_task(self._speak(pcm, speed))
        return self.following

    async def type(self, text: str) -> Following:
        """Give the model a typed turn.

        Raises:
            SessionError: the session does not take it.
        """
        following = self._follow(wants_answer=True)
        self._all_sent()
        await self._submit(SendText(text))
        return following

    async def until(self, is_reached: Callable[[], bool], seconds: float) -> None:
        """Wait until a stage is reached, or there is nothing more to wait for.

        Raises:
            SessionError: the session failed, or it takes longer than this.
        """
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._changed.clear()
                    again_at = self.following.look(self._clock())
                    if is_reached() or self.following.done_at is not None:
                        return
                    if self._error is not None or self._runner.is_over:
                        raise self._error or ModelLost()
                    await self._change(again_at)
        except TimeoutError:
            raise StageTimeout from None

    async def aclose(self) -> None:
        """Speak no more."""
        if self._speaking is not None:
            self._speaking.cancel()
            await asyncio.wait({self._speaking})

    async def _change(self, until: float | None) -> None:
        timer = None
        if until is not None:
            timer = asyncio.get_running_loop().call_later(max(0.001, until - self._clock()), self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _speak(self, pcm: bytes, speed: float) -> None:
        sound = pcm + bytes(INPUT_HERTZ * 2 * TAIL_MS // 1_000)
        due_at = self._clock()
        try:
            for start in range(0, len(sound), PIECE_BYTES):
                await self._submit(SendAudio(sound[start : start + PIECE_BYTES]))
                due_at += PIECE_MS / 1_000 / speed
                await asyncio.sleep(max(0.0, due_at - self._clock()))
            await self._submit(StopAudio())
        except SessionError as error:
            self._error = self._error or error
        except Exception:  # the task root of what is spoken
            log.exception("exchange.crashed", session_id=self._runner.session_id)
            self._error = self._error or InternalError()
        self._all_sent()
        self._changed.set()

    def _follow(self, *, wants_answer: bool) -> Following:
        """Follow something else from now on."""
        self.following, self._is_sent = Following(wants_answer=wants_answer, patience=self._patience), False
        return self.following

    def _all_sent(self) -> None:
        self._is_sent = True
        self._count_from_now()

    def _count_from_now(self) -> None:
        """Count how long nothing happens from when the model has everything and listens: a stream may be opened late."""
        if self._is_sent and self._listens:
            self.following.heard.sent(self._clock())

    async def _submit(self, command: Command) -> None:
        if self._error is not None:
            raise self._error
        await self._runner.submit(command)


@asynccontextmanager
async def exchange(registry: SessionRegistry, clock: Callable[[], float], wanted: Wanted) -> AsyncIterator[Exchange]:
    """Have a session for a while; it has ended when this does.

    Raises:
        SessionError: it is not admitted.
    """
    runner = registry.open(wanted.start, wanted.profile)
    runner.client.principal, runner.client.caller = wanted.user_id, wanted.caller
    made = Exchange(runner, clock, wanted.patience)
    running = registry.launch(runner, [made])
    draining = asyncio.create_task(_drain(runner))
    try:
        yield made
    finally:
        try:
            await made.aclose()
        finally:
            await _end(runner, running, draining)


async def _drain(runner: SessionRunner) -> None:
    """Be the listener: take what there is to hear at the pace at which it is heard."""
    while await runner.next_event() is not None:
        pass


async def _end(runner: SessionRunner, running: asyncio.Task[None], draining: asyncio.Task[None]) -> None:
    """End a session, whatever it is at and however often this is cancelled; one that takes its time is cut off."""
    draining.cancel()
    try:
        with suppress(SessionError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                if not runner.is_over:
                    await runner.submit(End())
                await asyncio.wait({running, draining})
    finally:
        running.cancel()
        await asyncio.wait({running, draining})


def error_of(failed: SessionFailed) -> SessionError:
    """Return the error that a session has failed with."""
    waiting: list[type[SessionError]] = [SessionError]
    while waiting:
        kind = waiting.pop()
        if kind is not SessionError and kind.code == failed.code:
            return kind(failed.message, failed.retry_after)
        waiting.extend(kind.__subclasses__())
    return InternalError(failed.message)

"""How many streams to the model there are at once, and who waits for one.

AWS gives an account so many concurrent streams in a region, and answers one more with 429. A server that knows its share
(MODEL_MAX_STREAMS) does not ask for more: a stream that is one too many waits in a line, for MODEL_WAIT_MS at most. Where the service
itself says 429, the line is held for a growing pause, and then one newcomer tries before the others. Who waited in vain is told that the
model is busy.

Three kinds of streams are told apart:

new         the first one of a session. Waits in the line; a 429 sends it back to its place there.
living      replaces the stream of a conversation that died, or is the first of one that came from another process. Waits before all new
            ones, who leave it the dead one's place for a moment; a 429 is the session's own to answer, from its budget (`resumption.py`).
hand-over   the next stream of a session whose present one still lives. It does not wait, because the caller's words do meanwhile: it goes
            beyond the cap, as far as the spare streams reach, or is refused at once, and the session stays where it is and tries later.

So no hand-over ever waits for the end of another stream, least of all of its own session's, and nothing can wait in a circle.
"""

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Final, Protocol

import structlog

from s2s import failures
from s2s.errors import ModelError
from s2s.events import InputEvent, OutputEvent
from session.circuit import Circuit
from session.interfaces import ModelClient, ModelStream
from telemetry.counters import Counters

log = structlog.get_logger()

LINE_LIMIT: Final = 1_000
"""Streams that wait; each belongs to another session, so MAX_SESSIONS is reached before."""
SPARE_SHARE: Final = 10
"""For each so many streams of the cap one more, for hand-overs: they take both streams for some 10 s of 7 minutes."""
KEPT_SECONDS: Final = 1.0
"""How long the place of a stream that died is kept from newcomers: its session asks for another at once, or after its first pause."""
FIRST_PAUSE_SECONDS: Final = 0.25
LONGEST_PAUSE_SECONDS: Final = 2.0
LEAST_SECONDS: Final = 0.001
"""No timer is shorter."""


class Kind(IntEnum):
    """What a stream is for; the lower ones go first."""

    HAND_OVER = 0
    LIVING = 1
    NEW = 2


class _Waiting:
    """One who waits."""

    __slots__ = ("kind", "number", "turn")

    def __init__(self, kind: Kind, number: int) -> None:
        self.kind = kind
        self.number = number
        self.turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class StreamQuota:
    """Gives sessions their streams. Belongs to one event loop.

    Args:
        model: opens them.
        counters: gets `stream_waited`, `stream_refused`, `stream_throttled` and `stream_spared`.
        max_streams: at once, without those that hand over; 0 for as many as are wanted.
        wait_seconds: how long one may wait for its turn.
        jitter: returns 0 to 1, by which pauses differ.
    """

    def __init__(
        self,
        model: ModelClient,
        counters: Counters,
        *,
        max_streams: int = 0,
        wait_seconds: float = 3.0,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._model = model
        self._counters = counters
        self._max_streams = max_streams
        self._spare = max(1, max_streams // SPARE_SHARE)
        self._wait_seconds = wait_seconds
        self._jitter = jitter
        self._circuit = Circuit()
        self._numbers = itertools.count()
        self._line: list[_Waiting] = []
        self._used = 0
        self._opening_new = 0
        """New streams that are being opened now."""
        self._held_until = 0.0
        self._throttled = 0
        """Answers of 429 since the last stream was opened; those of one moment count once."""
        self._throttled_at = 0.0
        self._kept_until: deque[float] = deque()
        """For each place of a stream that died, when newcomers may have it."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def model_id(self) -> str:
        """Return the Bedrock model id."""
        return self._model.model_id

    @property
    def used(self) -> int:
        """How many streams there are, with those that are being opened."""
        return self._used

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    def for_session(self, *, is_living: bool) -> ModelClient:
        """Return what opens the streams of one session.

        Args:
            is_living: whether its conversation began before, in another process.
        """
        return _SessionStreams(self, is_living=is_living)

    async def open(self, opening: Sequence[InputEvent], kind: Kind, ended: Callable[[], None]) -> ModelStream:
        """Open a stream when it is its turn.

        Args:
            opening: its first events.
            kind: what it is for.
            ended: called once when the stream counts no more.

        Raises:
            ModelError: the model's own; `model_throttled` when the turn did not come in time; `model_unreachable` while it is away.
            LocalProtocolError: the opening breaks a rule of the stream.
        """
        deadline = self._now() + self._wait_seconds
        number = next(self._numbers)
        while True:
            await self._take_turn(kind, number, deadline)
            try:
                return await self._open(opening, kind, ended)
            except ModelError as error:
                if kind is not Kind.NEW or error.code != failures.THROTTLED.code or self._held_until >= deadline:
                    raise

    async def _take_turn(self, kind: Kind, number: int, deadline: float) -> None:
        """Return with a stream counted."""
        if kind is Kind.NEW and not self._circuit.lets_pass(self._now()):
            self._counters.add("stream_refused")
            raise failures.UNREACHABLE.error("the model could not be reached before, and is tried once in a second")
        self._wake()
        is_next = not any((waiting.kind, waiting.number) < (kind, number) for waiting in self._line)
        if is_next and self._may_go(kind, self._now()):
            self._go(kind)
            return
        if kind is Kind.HAND_OVER or len(self._line) >= LINE_LIMIT:
            self._counters.add("stream_refused")
            raise failures.THROTTLED.error("all streams of MODEL_MAX_STREAMS are in use")
        self._counters.add("stream_waited")
        waiting = _Waiting(kind, number)
        self._line.append(waiting)
        self._line.sort(key=lambda each: (each.kind, each.number))
        self._wake()
        try:
            async with asyncio.timeout_at(deadline):
                await waiting.turn
        except BaseException as error:
            if waiting in self._line:
                self._line.remove(waiting)
            elif not waiting.turn.cancelled():  # the turn came in the same moment
                self._come_back(kind)
                self._free()
            self._wake()  # who stands behind may be next
            if isinstance(error, TimeoutError):
                self._counters.add("stream_refused")
                raise failures.THROTTLED.error(f"no stream within {self._wait_seconds:g} s") from None
            raise

    async def _open(self, opening: Sequence[InputEvent], kind: Kind, ended: Callable[[], None]) -> ModelStream:
        asked_at = self._now()
        try:
            stream = await self._model.open(opening)
        except BaseException as error:
            if isinstance(error, ModelError):
                self._note_failure(error, asked_at)
            self._come_back(kind)
            self._free()
            raise
        self._circuit.answered()
        if asked_at >= self._throttled_at:  # else it was on its way before the service had enough
            self._throttled, self._held_until = 0, 0.0
        self._come_back(kind)
        self._wake()

        def counts_no_more(*, is_lost: bool) -> None:
            ended()
            if is_lost:
                self._kept_until.append(self._now() + KEPT_SECONDS)
            self._free()

        return _CountedStream(stream, counts_no_more)

    def _note_failure(self, error: ModelError, asked_at: float) -> None:
        was_away = self._circuit.is_open
        self._circuit.failed(error.code, self._now())
        if self._circuit.is_open and not was_away:
            log.warning("model.away", code=error.code)
            self._counters.add("model_away")
        if error.code == failures.THROTTLED.code:
            self._counters.add("stream_throttled")
            if asked_at >= self._throttled_at:  # those that were refused together count once
                pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._throttled, 8))
                self._throttled += 1
                self._throttled_at = self._now()
                self._held_until = self._throttled_at + pause * (0.5 + 0.5 * self._jitter())

    def _may_go(self, kind: Kind, now: float) -> bool:
        if kind is Kind.NEW and self._throttled and (now < self._held_until or self._opening_new):
            return False
        more = {Kind.HAND_OVER: self._spare, Kind.LIVING: 0, Kind.NEW: -len(self._kept_until)}[kind]
        return not self._max_streams or self._used < self._max_streams + more

    def _go(self, kind: Kind) -> None:
        if self._max_streams and self._used >= self._max_streams:
            self._counters.add("stream_spared")
        self._used += 1
        self._opening_new += kind is Kind.NEW
        if kind is Kind.LIVING and self._kept_until:
            self._kept_until.popleft()

    def _come_back(self, kind: Kind) -> None:
        self._opening_new -= kind is Kind.NEW

    def _free(self) -> None:
        self._used -= 1
        self._wake()

    def _wake(self) -> None:
        """Let go who may, the first ones first, and look again when others may.

        All of it is about one moment: a pause that ends between two looks at the clock would never be over.
        """
        now = self._now()
        while self._kept_until and self._kept_until[0] <= now:
            self._kept_until.popleft()
        while self._line and self._may_go(self._line[0].kind, now):
            waiting = self._line.pop(0)
            if not waiting.turn.done():
                self._go(waiting.kind)
                waiting.turn.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        changes = [at for at in (self._held_until, *self._kept_until) if at > now]
        if self._line and changes:  # uvloop counts milliseconds: its timers may be early, and it makes none that are shorter
            self._timer = asyncio.get_running_loop().call_later(max(LEAST_SECONDS, min(changes) - now), self._wake)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _SessionStreams:
    """Opens the streams of one session."""

    def __init__(self, quota: StreamQuota, *, is_living: bool) -> None:
        self._quota = quota
        self._is_living = is_living
        self._held = 0

    @property
    def model_id(self) -> str:
        return self._quota.model_id

    async def open(self, opening: Sequence[InputEvent]) -> ModelStream:
        kind = Kind.HAND_OVER if self._held else Kind.LIVING if self._is_living else Kind.NEW
        stream = await self._quota.open(opening, kind, self._ended)
        self._is_living = True
        self._held += 1
        return stream

    def _ended(self) -> None:
        self._held -= 1


class _Ended(Protocol):
    """Called when a stream counts no more."""

    def __call__(self, *, is_lost: bool) -> None: ...


class _CountedStream:
    """A stream that counts until it fails, ends or is closed."""

    __slots__ = ("_ended", "_stream")

    def __init__(self, stream: ModelStream, ended: _Ended) -> None:
        self._stream = stream
        self._ended: _Ended | None = ended

    @property
    def signed_until(self) -> datetime | None:
        return self._stream.signed_until

    async def send(self, events: Sequence[InputEvent]) -> None:
        try:
            await self._stream.send(events)
        except ModelError:
            self._count_no_more(is_lost=True)
            raise

    async def receive(self) -> OutputEvent | None:
        try:
            event = await self._stream.receive()
        except ModelError:
            self._count_no_more(is_lost=True)
            raise
        if event is None:
            self._count_no_more()
        return event

    async def close(self) -> None:
        try:
            await self._stream.close()
        finally:
            self._count_no_more()

    def _count_no_more(self, *, is_lost: bool = False) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(is_lost=is_lost)

"""Records conversations beside them: caller left, assistant right, as they were heard.

The event loop only appends to a session's tape. Twice a second a process of its own is given what is on the tapes: it puts that in its
place and encodes it. What comes back goes to the store, part by part, through a backlog that waits while the store is away. What cannot be
encoded or stored in time becomes silence, is counted, and is told in the recording's metadata. A crash loses what was in no part:
RECORDING_PART_SECONDS and five seconds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from observers.backlog import Backlog
from observers.recording_press import Press, PressFailed
from observers.recording_reel import Reel
from observers.recording_tape import RecordingTape
from observers.recording_work import WAITING_BYTES
from session.events import EndReason
from session.label import SessionLabel
from storage.errors import InvalidRequest
from storage.objects import Upload
from storage.recordings import Recordings, RecordingState
from telemetry.counters import Counters

log = structlog.get_logger()

WORK_SECONDS: Final = 0.5
"""How often what is on the tapes is encoded."""
STORE_SECONDS: Final = 30.0
"""A store that takes longer for a part counts as away; the last step of S3 copies a whole recording."""
PART_BYTES: Final = 512 * 1024
"""A part is stored before its time when it is this large: five seconds of WAV."""
END_SECONDS: Final = 5.0
"""How long the end waits for what is still to be encoded."""


@dataclass(frozen=True, slots=True)
class Order:
    """Which conversations are recorded, and how."""

    assistants: Collection[str] | None
    """Names of those that are; None for all."""
    at_once: int
    """Conversations that are recorded at the same time."""
    part_seconds: float
    """How often what was recorded is stored."""


class _Job:
    """One recording on its way to the store."""

    def __init__(self, reel: Reel, upload: Upload, now: float) -> None:
        self.reel = reel
        self.upload = upload
        self.stored_at = now
        """Monotonic second at which a part was handed over last."""
        self.is_waited_for = False
        """Whether the backlog has something of it: no more than one thing at a time."""


@dataclass(slots=True)
class _Step:
    """Something to do for a recording with the store; whatever is asked for again is done once."""

    job: _Job
    do: Callable[[], Awaitable[None]] | None


class RecordingDesk:
    """Attends sessions whose sound is recorded.

    Args:
        recordings: repository.
        press: makes the files; it is started and ended here.
        order: which conversations, and how.
        counters: gets `recording_*`.
        clock: monotonic seconds, as sessions have them.
    """

    def __init__(
        self,
        recordings: Recordings,
        press: Press,
        order: Order,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recordings = recordings
        self._press = press
        self._order = order
        self._counters = counters
        self._clock = clock
        self._jobs: list[_Job] = []
        total = order.at_once * 2 * WAITING_BYTES  # one part of each recording, however large: the works bound themselves
        self._backlog = Backlog[_Step](
            "recording_part", self._write, counters, entries=2 * order.at_once, total_bytes=total, store_seconds=STORE_SECONDS
        )
        self._given_up: list[int] = []
        """Numbers that the press does not know yet to be given up."""
        self._ends = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    @property
    def live(self) -> int:
        """How many recordings are not stored to their end yet."""
        return len(self._jobs)

    def attend(self, session: SessionLabel) -> RecordingTape | None:
        """Return what records a session; None where nobody wants it recorded, or too many are."""
        if self._order.assistants is not None and session.assistant not in self._order.assistants:
            return None
        if len(self._jobs) >= self._order.at_once:
            self._counters.add("recording_refused")
            log.warning("recording.refused", session_id=session.session_id, live=len(self._jobs))
            return None
        tape = RecordingTape(self._clock)
        reel = Reel(session, tape, self._press.format)
        try:
            job = _Job(reel, self._recordings.upload(reel.began), self._clock())
        except InvalidRequest:  # no session of ours has such an id
            return None
        self._jobs.append(job)
        self._counters.add("recording_began")
        self._hand_over(job, lambda: self._recordings.write(reel.began))
        return tape

    async def start(self) -> None:
        """Encode and store from now on."""
        self._backlog.start()
        try:
            await self._press.start()
        except PressFailed as failure:  # there is another try with the first conversation
            log.warning("recording.process_not_started", reason=str(failure))
        self._working = asyncio.create_task(self._work_often())

    async def aclose(self) -> None:
        """Encode and store what is left, in bounded time."""
        for job in self._jobs:
            job.reel.tape.close(EndReason.SERVER_LEAVING)
        self._ends.set()
        if self._working is not None:
            await asyncio.wait({self._working}, timeout=END_SECONDS)
            self._working.cancel()
            await asyncio.wait({self._working})
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while any(job.reel.is_over for job in self._jobs) and not self._backlog.is_away:
                    self.pump()
                    await self._backlog.written()
        await self._backlog.aclose()
        await self._press.aclose()
        if self._jobs:
            log.warning("recording.left_unfinished", recordings=len(self._jobs))

    async def work(self) -> None:
        """Have encoded what there is, one recording after the other."""
        for job in tuple(self._jobs):
            if not job.reel.is_over:
                await self._work_on(job.reel)

    def pump(self) -> None:
        """Hand over to the store what is due."""
        now = self._clock()
        for job in tuple(self._jobs):
            if not job.is_waited_for:
                self._next_step(job, now)

    async def _work_often(self) -> None:
        while not self._ends.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(WORK_SECONDS):
                    await self._ends.wait()
            await self.work()
            self.pump()
        while any(not job.reel.is_over for job in self._jobs):
            await self.work()

    async def _work_on(self, reel: Reel) -> None:
        forgotten, self._given_up = tuple(self._given_up), []
        try:
            made = await self._press.work(reel.task(self._clock(), forgotten))
        except PressFailed as failure:
            self._lost(str(failure))
            return
        if made.reason:
            log.warning("recording.failed", session_id=reel.began.session_id, reason=made.reason)
        if not reel.is_over:  # the store may have refused it meanwhile
            reel.add(made)

    def _lost(self, reason: str) -> None:
        """Give up the recordings that were begun in a process that is gone; what they have is stored."""
        lost = [job.reel for job in self._jobs if job.reel.is_begun and not job.reel.is_over]
        for reel in lost:
            reel.fail()
        self._counters.add("recording_process_lost")
        log.error("recording.process_lost", reason=reason, recordings=len(lost))

    def _next_step(self, job: _Job, now: float) -> None:
        """Hand over a part of a recording, or its end."""
        reel, waiting = job.reel, job.reel.waiting_bytes
        if waiting and (reel.is_over or waiting >= PART_BYTES or now - job.stored_at >= self._order.part_seconds):
            job.stored_at = now
            part = reel.take()

            async def store() -> None:
                await job.upload.part(part)
                reel.stored(len(part))

            self._hand_over(job, store, len(part))
        elif reel.is_over:
            self._hand_over(job, lambda: self._complete(job))

    def _hand_over(self, job: _Job, do: Callable[[], Awaitable[None]], size: int = 0) -> None:
        job.is_waited_for = self._backlog.put(_Step(job, do), size)
        if not job.is_waited_for:
            self._give_up(job)

    async def _complete(self, job: _Job) -> None:
        reel = job.reel
        await job.upload.complete(reel.head)
        finished = reel.finished()
        await self._recordings.write(finished)
        self._jobs.remove(job)
        self._counters.add("recording_completed" if finished.state is RecordingState.COMPLETE else "recording_failed")
        self._counters.add("recording_dropped_ms", finished.figures.dropped_ms)

    async def _write(self, steps: Sequence[_Step]) -> None:
        """Do what there is to do with the store, for all recordings at once.

        Raises:
            StorageError: of the first that failed; those that did not fail are not done again.
        """
        results = await asyncio.gather(*(self._do(step) for step in steps), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _do(self, step: _Step) -> None:
        if step.do is None:
            return
        try:
            await step.do()
        except InvalidRequest:
            self._give_up(step.job)
        step.do = None
        step.job.is_waited_for = False

    def _give_up(self, job: _Job) -> None:
        """Let go of a recording that the store never takes."""
        log.error("recording.refused_by_store", session_id=job.reel.began.session_id)
        self._counters.add("recording_failed")
        if not job.reel.is_over:
            job.reel.fail()
            self._given_up.append(job.reel.number)
        if job in self._jobs:
            self._jobs.remove(job)

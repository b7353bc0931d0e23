"""Records conversations beside them: caller left, assistant right, as they were heard.

The event loop only appends to a session's tape. One thread puts what is on the tapes in its place and encodes it; the event loop then hands
it to the store, part by part, through a backlog that waits while the store is away. What cannot be encoded or stored in time becomes
silence, is counted, and is told in the recording's metadata. A crash loses what was in no part: RECORDING_PART_SECONDS and five seconds.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from observers.backlog import Backlog
from observers.recording_encoders import Studio
from observers.recording_tape import RecordingTape
from observers.recording_work import WAITING_BYTES, RecordingWork
from session.events import EndReason
from session.label import SessionLabel
from storage.errors import InvalidRequest
from storage.objects import Upload
from storage.recordings import Recordings, RecordingState
from telemetry.counters import Counters

log = structlog.get_logger()

WORK_SECONDS: Final = 0.25
"""How often the thread looks for what there is."""
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

    def __init__(self, work: RecordingWork, upload: Upload, now: float) -> None:
        self.work = work
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
        studio: what recordings are made with.
        order: which conversations, and how.
        counters: gets `recording_*`.
        clock: monotonic seconds, as sessions have them.
    """

    def __init__(
        self,
        recordings: Recordings,
        studio: Studio,
        order: Order,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recordings = recordings
        self._studio = studio
        self._order = order
        self._counters = counters
        self._clock = clock
        self._jobs: list[_Job] = []
        total = order.at_once * 2 * WAITING_BYTES  # one part of each recording, however large: the works bound themselves
        self._backlog = Backlog[_Step](
            "recording_part", self._write, counters, entries=2 * order.at_once, total_bytes=total, store_seconds=STORE_SECONDS
        )
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None
        self._pump: asyncio.Task[None] | None = None

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
        work = RecordingWork(session, tape, self._studio)
        try:
            job = _Job(work, self._recordings.upload(work.began), self._clock())
        except InvalidRequest:  # no session of ours has such an id
            return None
        self._jobs.append(job)
        self._counters.add("recording_began")
        self._hand_over(job, lambda: self._recordings.write(work.began))
        return tape

    def start(self) -> None:
        """Encode and store from now on."""
        self._backlog.start()
        self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)
        self._thread.start()
        self._pump = asyncio.create_task(self._pump_often())

    async def aclose(self) -> None:
        """Encode and store what is left, in bounded time."""
        for job in self._jobs:
            job.work.tape.close(EndReason.SERVER_LEAVING)
        self._ends.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, END_SECONDS)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                while any(job.work.is_over for job in self._jobs) and not self._backlog.is_away:
                    self.pump()
                    await self._backlog.written()
        await self._backlog.aclose()
        if self._jobs:
            log.warning("recording.left_unfinished", recordings=len(self._jobs))

    def work(self) -> None:
        """Encode what there is; the thread calls it."""
        for job in tuple(self._jobs):
            if not job.work.is_over:
                self._work_on(job.work)

    def pump(self) -> None:
        """Hand over to the store what is due."""
        now = self._clock()
        for job in tuple(self._jobs):
            if not job.is_waited_for:
                self._next_step(job, now)

    def _run(self) -> None:
        while not self._ends.wait(WORK_SECONDS):
            self.work()
        until = time.monotonic() + END_SECONDS
        while any(not job.work.is_over for job in tuple(self._jobs)) and time.monotonic() < until:
            self.work()
            time.sleep(0)

    def _work_on(self, work: RecordingWork) -> None:
        try:
            work.work(self._clock())
        except Exception as error:  # noqa: BLE001 - the root of what is done for one recording
            log.warning("recording.failed", session_id=work.began.session_id, reason=type(error).__name__)
            work.state = RecordingState.FAILED

    async def _pump_often(self) -> None:
        while True:
            await asyncio.sleep(WORK_SECONDS)
            self.pump()

    def _next_step(self, job: _Job, now: float) -> None:
        """Hand over a part of a recording, or its end."""
        work = job.work
        is_over, waiting = work.is_over, work.waiting_bytes  # in this order: what came before the end is there
        if waiting and (is_over or waiting >= PART_BYTES or now - job.stored_at >= self._order.part_seconds):
            job.stored_at = now
            part = work.take()

            async def store() -> None:
                await job.upload.part(part)
                work.stored(len(part))

            self._hand_over(job, store, len(part))
        elif is_over:
            self._hand_over(job, lambda: self._complete(job))

    def _hand_over(self, job: _Job, do: Callable[[], Awaitable[None]], size: int = 0) -> None:
        job.is_waited_for = self._backlog.put(_Step(job, do), size)
        if not job.is_waited_for:
            self._give_up(job)

    async def _complete(self, job: _Job) -> None:
        work = job.work
        await job.upload.complete(work.head)
        finished = work.finished()
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
        log.error("recording.refused_by_store", session_id=job.work.began.session_id)
        self._counters.add("recording_failed")
        job.work.give_up()
        if job in self._jobs:
            self._jobs.remove(job)

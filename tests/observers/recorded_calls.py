"""Conversations for tests of recordings: sound whose samples tell their place, paced by the session's own queue, and what was recorded."""

import asyncio
import io
import wave
from array import array
from collections.abc import Callable
from datetime import UTC, datetime

from observers.recording import Order, RecordingDesk
from observers.recording_encoders import Studio, choose_studio
from observers.recording_press import Press
from observers.recording_process import Room
from observers.recording_tape import RecordingTape
from observers.recording_wire import LENGTH, Made, Task, pack_task, read_made
from session.events import EndReason, Interrupted, SessionEnded, SpeechChunk
from session.label import SessionLabel
from session.queues import PlaybackQueue
from storage.objects import ObjectStore
from storage.recordings import Recording, RecordingFormat, Recordings
from telemetry.counters import Counters

CODES = 65_535
BEGAN_AT = datetime(2030, 1, 16, 15, 0, 0, 250_000, tzinfo=UTC)
CALLER, ASSISTANT = 7_000, 30_000
"""Where the codes of each begin: neither can be taken for the other."""


def coded(first: int, length: int) -> bytes:
    """Return samples that tell their place: none is silence."""
    return b"".join((1 + at % CODES).to_bytes(2, "little") for at in range(first, first + length))


def places(channel: bytes) -> list[int]:
    """Return which sample of what was said is where; -1 for silence."""
    return [int.from_bytes(channel[at : at + 2], "little") - 1 for at in range(0, len(channel), 2)]


def channels(wav: bytes) -> tuple[list[int], list[int], int]:
    """Return what is in both channels of a file, and its rate."""
    with wave.open(io.BytesIO(wav)) as sound:
        stereo = array("h", sound.readframes(sound.getnframes()))
        return places(stereo[0::2].tobytes()), places(stereo[1::2].tobytes()), sound.getframerate()


def label(
    session_id: str = "s1", *, assistant: str = "carlos", rates: tuple[int, int] = (24_000, 24_000), user: str = "ana"
) -> SessionLabel:
    """Return who a session is."""
    return SessionLabel(session_id, user, "c1", assistant, "es", "carlos", "amazon.nova-2-sonic-v1:0", *rates, BEGAN_AT)


class NearPress:
    """Makes recordings as the process does, and with the same messages, here and now.

    Args:
        studio: what they are made with.
    """

    def __init__(self, studio: Studio) -> None:
        self.format = studio.format
        self._room = Room(studio)

    async def start(self) -> None:
        """It is always there."""

    async def work(self, task: Task) -> Made:
        """Do a task."""
        return read_made(self._room.answer(pack_task(task)[LENGTH.size :])[LENGTH.size :])

    async def aclose(self) -> None:
        """It holds nothing."""


class Desk:
    """A desk on a store, whose work and time are moved by hand."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        press: Press | None = None,
        at_once: int = 5,
        part_seconds: float = 1.0,
        assistants: frozenset[str] | None = None,
    ) -> None:
        self.now = 100.0
        self.waits = True
        """Whether everything is stored before the time goes on."""
        self.is_stuck = False
        """Whether nothing is encoded."""
        self.counters = Counters()
        self.recordings = Recordings(store)
        order = Order(assistants, at_once, part_seconds)
        own = press or NearPress(choose_studio(RecordingFormat.WAV))
        self.desk = RecordingDesk(self.recordings, own, order, self.counters, clock=lambda: self.now)
        self.desk._backlog.start()

    def begin(self, who: SessionLabel | None = None) -> RecordingTape:
        """Begin to record a session."""
        tape = self.desk.attend(who or label())
        assert tape is not None
        return tape

    async def work(self) -> None:
        """Do what is done every half a second; nobody waits for a store that is away."""
        if not self.is_stuck:
            await self.desk.work()
        self.desk.pump()
        if self.waits:
            await self.desk._backlog.written()
        else:
            await gave_way()

    async def end(self, *tapes: RecordingTape, reason: EndReason = EndReason.CLIENT) -> None:
        """End sessions and store what there is."""
        for tape in tapes:
            tape.on_event(SessionEnded(reason))
        while self.desk.live:
            await self.work()

    async def only(self, session_id: str = "s1") -> tuple[Recording, bytes]:
        """Return the one recording of a session, and its file."""
        (recording,) = await self.recordings.of_session(session_id)
        file = await self.recordings.store.get(recording.key)
        assert file is not None
        return recording, file

    async def close(self) -> None:
        """Let go of everything."""
        await self.desk.aclose()


class Call:
    """One conversation: the caller speaks all the time, the assistant through the queue that paces it.

    Args:
        desk: records it.
        rates: of caller and assistant.
        session_id: of the session.
        delay: of the caller's nth piece of sound on its way, in seconds.
    """

    def __init__(
        self,
        desk: Desk,
        rates: tuple[int, int] = (24_000, 24_000),
        session_id: str = "s1",
        delay: Callable[[int], float] = lambda number: 0.0,
    ) -> None:
        self.desk = desk
        self.tape = desk.begin(label(session_id, rates=rates))
        self.playback = PlaybackQueue(rates[1])
        self.heard: list[tuple[float, int, int]] = []
        """At which second of the recording which sample of which turn was heard, by the queue's own clock."""
        self._rates, self._delay = rates, delay
        self._began, self._said, self._spoken = desk.now, 0, 0
        self._turn = 0
        self._arrivals: list[tuple[float, bytes]] = []

    def speak(self, turn: int, seconds: float, code: int = ASSISTANT) -> None:
        """Have the assistant say something, which the model sends at once."""
        self._turn = turn
        self.playback.put(SpeechChunk(turn, coded(code, round(seconds * self._rates[1]))), self.desk.now)

    def interrupt(self) -> int:
        """Speak over the assistant; return how much was heard."""
        heard_ms = self.playback.heard_ms(self._turn, self.desk.now)
        self.playback.flush(self._turn, self.desk.now)
        self.tape.on_event(Interrupted(self._turn, heard_ms))
        return heard_ms

    async def run(self, seconds: float) -> None:
        """Let time pass, 20 ms at a time; the recorder works four times a second."""
        for _ in range(round(seconds * 50)):
            size = self._rates[0] // 50
            self._arrivals.append((self.desk.now + 0.02 + self._delay(self._said), coded(CALLER + self._said * size, size)))
            self._said += 1
            self._deliver()
            self.desk.now = self._began + self._said * 0.02
            while self._arrivals and self._arrivals[0][0] <= self.desk.now + 1e-9:
                self.tape.on_caller_audio(self._arrivals.pop(0)[1], self.desk.now)
            self.heard.append((self.desk.now - self._began, self._turn, self.playback.heard_samples(self._turn, self.desk.now)))
            if self._said % 12 == 0:
                await self.desk.work()

    def _deliver(self) -> None:
        while (ready_at := self.playback.ready_at()) is not None and ready_at <= self.desk.now:
            event = self.playback.pop(self.desk.now)
            if isinstance(event, SpeechChunk):
                self.tape.on_delivered(event, self.desk.now)


async def gave_way(times: int = 20) -> None:
    """Let everybody else go on for a while."""
    for _ in range(times):
        await asyncio.sleep(0)

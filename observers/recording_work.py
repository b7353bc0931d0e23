"""One recording as it is made: from what was said, over the time line, to the bytes of a file, a little at a time."""

from dataclasses import dataclass
from typing import Final

from observers.recording_encoders import Encoder, Riser, Studio, stereo_of
from observers.recording_tape import CALLER, Cut, Entry
from observers.recording_tracks import GRID, SAMPLE_BYTES, SETTLE_SECONDS, AssistantTrack, CallerTrack
from observers.recording_wire import Task
from storage.recordings import Figures, Interruption, RecordingState

LATE_PIECES: Final = 5 * GRID
"""How far encoding may be behind before what it has not got to becomes silence: five seconds of both voices are 480 KB."""
PIECES_AT_ONCE: Final = 2 * GRID
"""What is encoded of one recording before it is the next one's turn."""
WAITING_BYTES: Final = 2 * 1024 * 1024
"""What may wait to be stored: five minutes of Opus, twenty seconds of WAV. While it does, everything becomes silence."""
MOST_INTERRUPTIONS: Final = 1_000
"""That are told in the metadata."""


@dataclass(slots=True)
class _Channel:
    """One voice at the rate of the recording."""

    riser: Riser | None
    """None where it has that rate."""
    ready: bytes = b""
    """What waits for the other voice: a filter gives back less at first than it takes."""

    def feed(self, pcm: bytes) -> None:
        """Take the next piece."""
        self.ready += pcm if self.riser is None else self.riser.rise(pcm)

    def finish(self) -> None:
        """Take what a filter still holds."""
        if self.riser is not None:
            self.ready += self.riser.finish()

    def take(self, size: int) -> bytes:
        """Return so many bytes; silence for what is missing."""
        taken, self.ready = self.ready[:size].ljust(size, b"\0"), self.ready[size:]
        return taken


class RecordingWork:
    """Makes one recording.

    Args:
        rates: samples a second of caller and assistant.
        began: monotonic second of the first sample.
        studio: what recordings are made with.
    """

    def __init__(self, rates: tuple[int, int], began: float, studio: Studio) -> None:
        self.hertz = max(rates)
        self.state = RecordingState.RUNNING
        """COMPLETE or FAILED once no more bytes come."""
        self.head = b""
        """At the end, what has to stand in the place of the file's first bytes."""
        self._began = began
        self._encoded = bytearray()
        self._made = self._stored = 0  # bytes
        self._studio = studio
        self._encoder: Encoder | None = None
        self._caller, self._assistant = CallerTrack(rates[0], began), AssistantTrack(rates[1], began)
        self._left, self._right = (_Channel(None if rate == self.hertz else studio.riser(rate, self.hertz)) for rate in rates)
        self._pieces = 0
        """Taken of the time line."""
        self._silent = 0
        """Of these, how many are to be silence, and are still to be encoded."""
        self._dropped = 0
        self._samples = 0
        self._interruptions: list[Interruption] = []

    def take(self) -> bytes:
        """Return what the file grew by; it counts as waiting until a task says that it is stored."""
        taken = bytes(self._encoded)
        self._encoded.clear()
        return taken

    def work(self, task: Task) -> None:
        """Go on with what there is, for a bounded time."""
        self._stored = task.stored
        for entry in task.entries:
            self._place(entry)
        if task.ended is None:
            until = int(max(0.0, task.now - self._began - SETTLE_SECONDS) * GRID)
        else:
            self._caller.settle()
            self._assistant.stop(self._assistant.sample(task.ended))
            seconds = max(task.ended - self._began, self._caller.end / self._caller.hertz)
            until = -int(-seconds * GRID // 1)
        for _ in range(PIECES_AT_ONCE):
            if self._pieces >= until and not (self._silent and self._has_room):
                break
            self._one_piece(until)
        while until - self._pieces > LATE_PIECES:
            self._drop_piece()
        if task.ended is not None and self._pieces >= until and not self._silent and self.state is RecordingState.RUNNING:
            self._finish()

    def figures(self) -> Figures:
        """Return what came of it until now."""
        return Figures(
            samples=self._samples,
            caller_samples=self._caller.heard * self.hertz // self._caller.hertz,
            assistant_samples=self._assistant.heard * self.hertz // self._assistant.hertz,
            caller_gaps=self._caller.gaps,
            dropped_ms=self._dropped * 1_000 // GRID,
            ahead_ms=self._caller.dropped * 1_000 // self._caller.hertz,
            interruptions=tuple(self._interruptions),
        )

    @property
    def _has_room(self) -> bool:
        return self._made - self._stored < WAITING_BYTES

    def _place(self, entry: Entry) -> None:
        if isinstance(entry, Cut):
            self._interrupted(entry)
            return
        pcm = bytes(entry.pcm) if isinstance(entry.pcm, int) else entry.pcm
        if entry.turn == CALLER:
            self._caller.add(pcm, entry.now)
        else:
            self._assistant.add(entry.turn, pcm, entry.now)

    def _interrupted(self, cut: Cut) -> None:
        hertz = self._assistant.hertz
        found = self._assistant.cut(cut.turn, cut.heard_ms * hertz // 1_000)
        if found is not None and len(self._interruptions) < MOST_INTERRUPTIONS:
            at_ms, unheard_ms = (round(samples * 1_000 / hertz) for samples in (found.at, found.too_late))
            self._interruptions.append(Interruption(cut.turn, cut.heard_ms, at_ms, unheard_ms))

    def _one_piece(self, until: int) -> None:
        """Encode the next piece, or one of those that are silence by now."""
        if not self._has_room:
            if self._pieces < until:
                self._drop_piece()
        elif self._silent:
            self._silent -= 1
            self._feed(bytes(self._size(self._caller.hertz)), bytes(self._size(self._assistant.hertz)))
        else:
            self._pieces += 1
            left = self._caller.take(self._pieces * self._caller.hertz // GRID)
            self._feed(left, self._assistant.take(self._pieces * self._assistant.hertz // GRID))

    def _drop_piece(self) -> None:
        """Make silence of the next piece: it is encoded when there is time and room."""
        self._pieces += 1
        self._silent += 1
        left = self._caller.take(self._pieces * self._caller.hertz // GRID)
        right = self._assistant.take(self._pieces * self._assistant.hertz // GRID)
        self._dropped += any(left) or any(right)

    def _size(self, hertz: int) -> int:
        return hertz // GRID * SAMPLE_BYTES

    def _feed(self, left: bytes, right: bytes) -> None:
        self._left.feed(left)
        self._right.feed(right)
        self._encode(min(len(self._left.ready), len(self._right.ready)))

    def _encode(self, size: int) -> None:
        if not size:
            return
        if self._encoder is None:
            self._encoder = self._studio.encoder(self.hertz)
        self._give(self._encoder.encode(stereo_of(self._left.take(size), self._right.take(size))))
        self._samples += size // SAMPLE_BYTES

    def _finish(self) -> None:
        self._left.finish()
        self._right.finish()
        whole = self._pieces * self.hertz // GRID * SAMPLE_BYTES
        self._encode(whole - self._samples * SAMPLE_BYTES)
        encoder = self._encoder or self._studio.encoder(self.hertz)
        tail, self.head = encoder.finish()
        self._give(tail)
        self.state = RecordingState.COMPLETE

    def _give(self, data: bytes) -> None:
        self._encoded += data
        self._made += len(data)

"""One recording as the thread makes it: from the tape over the time line to the bytes of a file, a little at a time."""

import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from observers.recording_encoders import Encoder, Riser, Studio, stereo_of
from observers.recording_tape import CALLER, Cut, Entry, RecordingTape
from observers.recording_tracks import GRID, SAMPLE_BYTES, SETTLE_SECONDS, AssistantTrack, CallerTrack
from session.label import SessionLabel
from storage.recordings import Figures, Interruption, Recording, RecordingState

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
    """Makes one recording. Only `take`, `stored` and `give_up` are the event loop's to call; everything else belongs to the thread.

    Args:
        label: of the session.
        tape: of the same.
        studio: what recordings are made with.
    """

    def __init__(self, label: SessionLabel, tape: RecordingTape, studio: Studio) -> None:
        self.tape = tape
        self.hertz = max(label.input_hertz, label.output_hertz)
        self.began = Recording(
            session_id=label.session_id,
            user_id=label.user_id,
            assistant=label.assistant,
            language=label.language,
            voice_id=label.voice_id,
            model_id=label.model_id,
            began_at=label.began_at,
            format=studio.format,
            hertz=self.hertz,
            is_continued=label.is_adopted,
        )
        """What was known when it began."""
        self.state = RecordingState.RUNNING
        """COMPLETE or FAILED once no more bytes come."""
        self.head = b""
        """At the end, what has to stand in the place of the file's first bytes."""
        self._encoded: deque[bytes] = deque()
        self._made = self._taken = self._stored = 0  # bytes; each is written by one thread alone
        self._studio = studio
        self._encoder: Encoder | None = None
        self._caller = CallerTrack(label.input_hertz, tape.began)
        self._assistant = AssistantTrack(label.output_hertz, tape.began)
        self._left = _Channel(None if label.input_hertz == self.hertz else studio.riser(label.input_hertz, self.hertz))
        self._right = _Channel(None if label.output_hertz == self.hertz else studio.riser(label.output_hertz, self.hertz))
        self._pieces = 0
        """Taken of the time line."""
        self._silent = 0
        """Of these, how many are to be silence, and are still to be encoded."""
        self._dropped = 0
        self._samples = 0
        self._interruptions: list[Interruption] = []

    @property
    def is_over(self) -> bool:
        """Whether no more bytes come."""
        return self.state is not RecordingState.RUNNING

    @property
    def waiting_bytes(self) -> int:
        """How much is to be stored."""
        return self._made - self._taken

    def take(self) -> bytes:
        """Return what is to be stored; it counts as waiting until `stored`."""
        taken = b"".join(self._encoded.popleft() for _ in range(len(self._encoded)))
        self._taken += len(taken)
        return taken

    def stored(self, size: int) -> None:
        """Take note that so many bytes wait no more."""
        self._stored += size

    def give_up(self) -> None:
        """Make nothing more of it: the store never takes it."""
        self.state = RecordingState.FAILED

    def work(self, now: float) -> None:
        """Go on with what there is, for a bounded time.

        Args:
            now: monotonic seconds, as the session has them.
        """
        ending = self.tape.ending  # before the entries: what came before the end is on the tape
        while (entry := self.tape.take()) is not None:
            self._place(entry)
        if ending is None:
            until = int(max(0.0, now - self.tape.began - SETTLE_SECONDS) * GRID)
        else:
            self._caller.settle()
            self._assistant.stop(self._assistant.sample(ending.now))
            seconds = max(ending.now - self.tape.began, self._caller.end / self._caller.hertz)
            until = -int(-seconds * GRID // 1)
        for _ in range(PIECES_AT_ONCE):
            if self._pieces >= until and not (self._silent and self._has_room):
                break
            self._one_piece(until)
        while until - self._pieces > LATE_PIECES:
            self._drop_piece()
        if ending is not None and self._pieces >= until and not self._silent and not self.is_over:
            self._finish()

    def finished(self) -> Recording:
        """Return what is known at the end."""
        ending = self.tape.ending
        lost = self.tape.lost_bytes * 1_000 // SAMPLE_BYTES // self.hertz
        figures = Figures(
            samples=self._samples,
            caller_samples=self._caller.heard * self.hertz // self._caller.hertz,
            assistant_samples=self._assistant.heard * self.hertz // self._assistant.hertz,
            caller_gaps=self._caller.gaps,
            dropped_ms=self._dropped * 1_000 // GRID + lost,
            ahead_ms=self._caller.dropped * 1_000 // self._caller.hertz,
            interruptions=tuple(self._interruptions),
        )
        ended_at = None if ending is None else self.began.began_at + timedelta(seconds=ending.now - self.tape.began)
        reason = None if ending is None else ending.reason.value
        return replace(self.began, state=self.state, ended_at=ended_at, reason=reason, figures=figures)

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
        time.sleep(0)  # lets go of the interpreter: the event loop waits for no more than one piece

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
        if data:
            self._encoded.append(data)
            self._made += len(data)

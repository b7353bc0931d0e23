"""One recording as the server has it: what goes to the process that encodes it, and what comes back on its way to the store."""

from collections import deque
from dataclasses import replace
from datetime import timedelta
from itertools import count

from observers.recording_tape import RecordingTape
from observers.recording_wire import Made, Task
from session.label import SessionLabel
from storage.recordings import Figures, Recording, RecordingFormat, RecordingState

_numbers = count(1)


class Reel:
    """One recording. All of it belongs to the event loop, and nothing of it takes long.

    Args:
        label: of the session.
        tape: of the same.
        kind: format of the file.
    """

    def __init__(self, label: SessionLabel, tape: RecordingTape, kind: RecordingFormat) -> None:
        self.tape = tape
        self.number = next(_numbers)
        """Names it to the process."""
        self.began = Recording(
            session_id=label.session_id,
            user_id=label.user_id,
            assistant=label.assistant,
            language=label.language,
            voice_id=label.voice_id,
            model_id=label.model_id,
            began_at=label.began_at,
            format=kind,
            hertz=max(label.input_hertz, label.output_hertz),
            is_continued=label.is_adopted,
        )
        """What was known when it began."""
        self.state = RecordingState.RUNNING
        """COMPLETE or FAILED once no more bytes come."""
        self.head = b""
        """At the end, what has to stand in the place of the file's first bytes."""
        self.is_begun = False
        """Whether the process knows of it."""
        self._rates = (label.input_hertz, label.output_hertz)
        self._made: deque[bytes] = deque()
        self._stored = 0
        self._waiting = 0
        self._figures = Figures()

    @property
    def is_over(self) -> bool:
        """Whether no more bytes come."""
        return self.state is not RecordingState.RUNNING

    @property
    def waiting_bytes(self) -> int:
        """How much is to be stored."""
        return self._waiting

    def task(self, now: float, forgotten: tuple[int, ...] = ()) -> Task:
        """Return what there is to be done; what is on the tape is taken off it.

        Args:
            now: monotonic seconds, as the session has them.
            forgotten: other recordings that nobody asks for any more.
        """
        self.is_begun = True
        ending, tape = self.tape.ending, self.tape
        ended = None if ending is None else ending.now
        return Task(self.number, self._rates, tape.began, now, ended, self._stored, tape.take(), forgotten)

    def add(self, made: Made) -> None:
        """Take what came of a task."""
        if made.data:
            self._made.append(made.data)
            self._waiting += len(made.data)
        self.state, self.head, self._figures = made.state, made.head, made.figures

    def take(self) -> bytes:
        """Return what is to be stored; it counts in the process as waiting until `stored`."""
        taken = b"".join(self._made)
        self._made.clear()
        self._waiting = 0
        return taken

    def stored(self, size: int) -> None:
        """Take note that so many bytes wait no more."""
        self._stored += size

    def fail(self) -> None:
        """Make nothing more of it."""
        self.state = RecordingState.FAILED

    def finished(self) -> Recording:
        """Return what is known at the end."""
        ending = self.tape.ending
        lost_ms = self.tape.lost_bytes * 1_000 // 2 // self.began.hertz
        figures = replace(self._figures, dropped_ms=self._figures.dropped_ms + lost_ms)
        ended_at = None if ending is None else self.began.began_at + timedelta(seconds=ending.now - self.tape.began)
        reason = None if ending is None else ending.reason.value
        return replace(self.began, state=self.state, ended_at=ended_at, reason=reason, figures=figures)

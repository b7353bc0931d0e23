"""A conversation that is recorded, in memory and with lines as a file would have them."""

from collections.abc import Iterable

from bench.replay import Replay
from s2s.events import OutputEvent, ToolSpec
from session.assistant import SessionPlan
from session.effects import Begin, Effect, Emit, Flush, Input, ModelEvent, StreamOpened, Tick
from session.hearing import Ask
from session.origin import Origin
from session.trace import Kind, Note, Step, TraceWriter, bare_piece, piece_of
from session.trace_values import Conceal, unchanged
from tests.session.doubles import LOOK_UP, MODEL_ID, PLAN


def origin_of(plan: SessionPlan = PLAN, tools: tuple[ToolSpec, ...] = (LOOK_UP,)) -> Origin:
    """Return the origin of a session."""
    return Origin("session-1", MODEL_ID, plan, tools, "seed", 3.0, 0.5)


class Recorded:
    """A machine whose inputs and effects are written down."""

    def __init__(self, origin: Origin | None = None, conceal: Conceal = unchanged, started: float = 100.0) -> None:
        self.origin = origin or origin_of()
        self.machine, self.playback = self.origin.make(self._ear)
        self.now = started
        self._writer = TraceWriter(self.origin, started, conceal, is_masked=conceal is not unchanged)
        self._lines = [self._writer.header()]

    @property
    def data(self) -> bytes:
        """The trace until now."""
        self._lines.append(self._writer.flush())
        return b"".join(self._lines)

    def give(self, given: Input) -> list[Effect]:
        """Tell the machine something."""
        effects = self.machine.handle(given, self.now)
        piece = piece_of(given, self.now, effects)
        self._lines.append(self._writer.step(Step(self.now, given, effects)) if piece is None else self._writer.piece(piece))
        for effect in effects:
            if isinstance(effect, Emit):
                self.playback.put(effect.event, self.now)
            elif isinstance(effect, Flush):
                self.playback.flush(effect.turn, self.now)
        return effects

    def _ear(self, ask: Ask) -> bool:
        is_quiet = ask()
        self._lines.append(self._writer.piece(bare_piece(Kind.QUIET if is_quiet else Kind.NOISE, self.now)))
        return is_quiet

    def begin(self) -> None:
        """Open the stream."""
        self.give(Begin())
        self.give(StreamOpened(1))

    def says(self, *events: OutputEvent) -> None:
        """Let the model say something."""
        for event in events:
            self.give(ModelEvent(1, event))

    def listen(self, seconds: float) -> None:
        """Let the time pass, with a listener who takes what is ready, and the timer."""
        until = self.now + seconds
        while self.now < until:
            while self.playback.pop(self.now) is not None:
                self._lines.append(self._writer.piece(bare_piece(Kind.DELIVERED, self.now)))
            ready_at, deadline = self.playback.ready_at(), self.machine.next_deadline()
            moments = [moment for moment in (ready_at, deadline, until) if moment is not None and moment > self.now]
            self.now = min(moments)
            if deadline is not None and self.now >= deadline:
                self.give(Tick())

    def end(self) -> None:
        """Write the last line."""
        self._lines.append(self._writer.note(Note.END))


def replay(data: bytes | Iterable[bytes]) -> Replay:
    """Run a trace again."""
    lines = data.splitlines(keepends=True) if isinstance(data, bytes) else data
    again = Replay(lines)
    again.run()
    return again

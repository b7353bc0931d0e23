"""Conversations with everything going wrong run again from their traces, in the clear and masked."""

from collections.abc import Callable
from typing import Any

import pytest

from session.effects import Effect, Input
from session.events import SessionEvent
from session.hearing import Ask, Ear, live_ear
from session.machine import SessionMachine
from session.masking import Mask
from session.origin import Names, Origin
from session.queues import PlaybackQueue
from session.trace import Kind, Note, Step, TraceWriter, bare_piece, own_words, piece_of
from session.trace_values import Conceal, unchanged
from tests.session import simulated_call
from tests.session.recorded import replay
from tests.session.simulated_call import SimulatedCall

SECONDS = 900.0
NUMBERS = (*range(9), *range(10, 13))
"""The one that is left out is refused its first stream."""


class Taped:
    """Makes the machine and the queue of a simulated call, and writes down what happens to them."""

    def __init__(self, conceal: Callable[[Origin], Conceal]) -> None:
        self.lines: list[bytes] = []
        self._make_conceal = conceal
        self._writer: TraceWriter | None = None
        self._now = 0.0
        self._sounds_still: Ear = live_ear

    @property
    def data(self) -> bytes:
        """The whole trace."""
        assert self._writer is not None
        return b"".join([*self.lines, self._writer.note(Note.END)])

    def machine(self, **made_of: Any) -> SessionMachine:
        """Return a machine as `SessionMachine` would be."""
        del made_of["new_name"]
        playback, self._sounds_still = made_of.pop("playback"), made_of.pop("ear")
        origin = Origin(**made_of, names_seed="seed")
        self._writer = TraceWriter(origin, 0.0, self._make_conceal(origin))
        self.lines.append(self._writer.header())
        taped = self

        class Machine(SessionMachine):
            def handle(self, given: Input, now: float) -> list[Effect]:
                taped._now = now
                effects: list[Effect] | None = None
                try:
                    effects = super().handle(given, now)
                finally:
                    taped.write(piece_of(given, now, effects) or Step(now, given, effects))
                return effects

        return Machine(**made_of, playback=playback, new_name=Names("seed"), ear=self.ear)

    def queue(self, output_hertz: int) -> PlaybackQueue:
        """Return a queue as `PlaybackQueue` would be."""
        taped = self

        class Queue(PlaybackQueue):
            def pop(self, now: float) -> SessionEvent | None:
                before = self.dropped_ms
                event = super().pop(now)
                if event is not None or self.dropped_ms != before:
                    taped.write(bare_piece(Kind.DELIVERED, now))
                return event

        return Queue(output_hertz)

    def ear(self, ask: Ask) -> bool:
        """Listen."""
        is_quiet = self._sounds_still(ask)
        self.write(bare_piece(Kind.QUIET if is_quiet else Kind.NOISE, self._now))
        return is_quiet

    def write(self, entry: Any) -> None:
        """Write an entry down."""
        assert self._writer is not None
        self.lines.append(self._writer.step(entry) if isinstance(entry, Step) else self._writer.piece(entry))


def mask(origin: Origin) -> Conceal:
    return Mask(b"a key that nobody keeps", own_words(origin))


def clear(_: Origin) -> Conceal:
    return unchanged


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("conceal", [clear, mask])
def test_a_simulated_conversation_runs_again(number: int, conceal: Callable[[Origin], Conceal], monkeypatch: pytest.MonkeyPatch) -> None:
    taped = Taped(conceal)
    monkeypatch.setattr(simulated_call, "SessionMachine", taped.machine)
    monkeypatch.setattr(simulated_call, "PlaybackQueue", taped.queue)
    SimulatedCall(number, SECONDS).run()
    again = replay(taped.data)

    assert again.first is None
    assert again.figures.inputs > 1_000

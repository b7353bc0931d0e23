"""Tells the client how much audio was thrown away. Pure: `now` is monotonic seconds."""

from session.effects import Effect, Emit
from session.events import AudioDropped, Direction

TELL_SECONDS = 1.0
"""Audio that is dropped goes piece by piece; the client is told of each direction this often at most."""


class Drops:
    """Knows what the client was told already."""

    def __init__(self) -> None:
        self._told_ms = dict.fromkeys(Direction, 0)
        self._next_at = dict.fromkeys(Direction, float("-inf"))

    def due(self, up_ms: float, down_ms: float, now: float) -> list[Effect]:
        """Return what is to be told now.

        Args:
            up_ms: how much of the user's audio was dropped since the session began.
            down_ms: how much speech.
            now: monotonic seconds.
        """
        return [*self._of(Direction.UP, up_ms, now), *self._of(Direction.DOWN, down_ms, now)]

    def _of(self, direction: Direction, dropped_ms: float, now: float) -> list[Effect]:
        untold_ms = round(dropped_ms) - self._told_ms[direction]
        if untold_ms <= 0 or now < self._next_at[direction]:
            return []
        self._told_ms[direction] += untold_ms
        self._next_at[direction] = now + TELL_SECONDS
        return [Emit(AudioDropped(direction, untold_ms))]

"""When silence is sent in the user's place. Pure: `now` is monotonic seconds.

The model needs silence to end a turn, and any audio to keep the stream; clients that are muted, frozen or away send none.
"""

SILENCE_AFTER_SECONDS = 0.5
"""A client that sends no audio for this long is taken as silent, and silence is sent for it: the model needs it to end a turn and to keep
the stream. Half a second is more than busy browsers hold a microphone's frames back (267 ms at most, measured on a loaded machine)."""
LONG_PIECE_MS = 250.0
"""Recorders of browsers hand over what they recorded every 0.1 to 2 s; microphones send 11 to 86 pieces a second."""
SILENCE_EVERY_SECONDS = 0.1
"""Length and distance of the further pieces of silence, while the model may wait for them to end the user's turn."""
LONG_SILENCE_SECONDS = 3.0
"""After this much of it no turn is open any more: what is sent then only keeps the stream."""
LONG_SILENCE_EVERY_SECONDS = 0.3
"""Length and distance of the pieces from then on. A third of the work for everybody who listens, or is muted."""


class Silence:
    """Knows how much of the user's time is not covered by audio yet."""

    def __init__(self) -> None:
        self._covered_until = 0.0
        self._silent_since = 0.0
        self._patience = SILENCE_AFTER_SECONDS

    @property
    def due_at(self) -> float:
        """When silence is to be sent."""
        return self._covered_until + self._patience

    def begin(self, now: float) -> None:
        """Take note that the session listens from now on."""
        self._covered_until = self._silent_since = now

    def heard(self, now: float, duration_ms: float = 0.0) -> None:
        """Take note of audio of the user; after a long piece the next one may take as long."""
        self._covered_until = self._silent_since = now
        self._patience = SILENCE_AFTER_SECONDS + (duration_ms / 1_000 if duration_ms > LONG_PIECE_MS else 0.0)

    def microphone_closed(self) -> None:
        """Take note that no more audio comes for now: nobody waits for it."""
        self._patience = SILENCE_EVERY_SECONDS

    def take_ms(self, now: float) -> float:
        """Return how much silence is to be sent now, 0 for none, and count it as sent."""
        if now < self.due_at:
            return 0.0
        missing_ms = (now - self._covered_until) * 1_000
        self._covered_until = now
        is_long = now - self._silent_since > LONG_SILENCE_SECONDS
        self._patience = LONG_SILENCE_EVERY_SECONDS if is_long else SILENCE_EVERY_SECONDS
        return missing_ms

"""A session's machine played by hand, with a transcript that listens to it: what is written down of it, as a store would have it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from observers.transcript import LateResult, Transcript
from session.effects import Effect, Emit, Input
from session.events import SessionEvent, SpeechChunk
from storage.conversation_turns import Turn
from tests.session.doubles import OUTPUT_HERTZ, Conversation

BEGAN = datetime(2030, 1, 16, 15, 0, tzinfo=UTC)


class WrittenConversation(Conversation):
    """Writes as the observer does: each turn that is told again takes the place of what was told before."""

    def __init__(self) -> None:
        super().__init__()
        self.transcript = Transcript(OUTPUT_HERTZ)
        self.written: dict[int, Turn] = {}
        self.late: list[LateResult] = []
        self.writes = 0

    @property
    def at(self) -> datetime:
        """Return the time of day."""
        return BEGAN + timedelta(seconds=self.now)

    def give(self, given: Input) -> list[Effect]:
        """Tell the machine something, and the transcript what it says."""
        effects = super().give(given)
        for effect in effects:
            if isinstance(effect, Emit):
                self.take(effect.event)
        return effects

    def take(self, *events: SessionEvent) -> None:
        """Tell the transcript alone something."""
        for event in events:
            if isinstance(event, SpeechChunk):
                self.transcript.spoken(event)
            else:
                self.write(self.transcript.take(event, self.at, self.now))

    def listen(self, seconds: float) -> None:
        """Let the time pass, with a listener who takes what is ready."""
        until = self.now + seconds
        while True:
            while (event := self.playback.pop(self.now)) is not None:
                self.heard.append(event)
                if isinstance(event, SpeechChunk):
                    self.write(self.transcript.delivered(event, self.at, self.now))
            ready_at = self.playback.ready_at()
            if ready_at is None or ready_at > until:
                self.now = until
                return
            self.now = max(self.now, ready_at)

    def write(self, told: Sequence[Turn | LateResult]) -> None:
        """Keep what the transcript tells."""
        for one in told:
            self.writes += 1
            if isinstance(one, Turn):
                self.written[one.number] = one
            else:
                self.late.append(one)

    @property
    def said(self) -> list[tuple[str, str]]:
        """Who said what, as it is written down."""
        return [(turn.role.value, turn.text) for _, turn in sorted(self.written.items()) if turn.text]

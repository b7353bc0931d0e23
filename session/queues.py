"""The two queues of a session, both bounded in milliseconds of audio, both without clock or event loop.

UplinkQueue holds what waits for the model: above its high watermark the transport stops reading from the client, so that TCP pushes back.
PlaybackQueue holds what waits for the listener. Nova Sonic sends speech faster than it is played; passing it through would put seconds of
speech between an interruption and the ear that waits for it (a burst of 10 s behind 66 KB/s: 9.4 s). So speech leaves this queue at most
LEAD_MS ahead of the listener, everything else keeps its place among the speech, and what must be heard at once overtakes.
"""

from collections import deque

from session.effects import Send
from session.events import SessionEvent, SessionFailed, SpeechChunk, UserSpeechEnded, UserSpeechStarted

UPLINK_HIGH_MS = 1_000.0
"""Above this the client is not read any more; a second covers the opening of a stream on a slow network."""
UPLINK_LOW_MS = 500.0
"""Below this the client is read again."""
UPLINK_LIMIT_MS = 5_000.0
"""Beyond this the oldest audio goes: answers to older speech would come too late to make sense."""

LEAD_MS = 300.0
"""How far delivery runs ahead of the listener: enough for a player's jitter buffer (60 to 200 ms), little enough to flush at once."""
PLAYBACK_LIMIT_MS = 60_000.0
"""Beyond this the newest speech is dropped and counted; a minute is longer than any sensible answer."""
EVENTS_LIMIT = 4_000
"""Events that may wait for a client that does not read; a session with more is of no use to it."""


class UplinkQueue:
    """Groups of events on their way to the model, in order."""

    def __init__(self, limit_ms: float = UPLINK_LIMIT_MS) -> None:
        self._groups: deque[Send] = deque()
        self._limit_ms = limit_ms
        self.audio_ms = 0.0
        """Audio that waits."""
        self.dropped_ms = 0.0
        """Audio that was thrown away since the session began."""

    def put(self, group: Send) -> None:
        """Append a group; when too much audio waits, drop the oldest audio."""
        self._groups.append(group)
        self.audio_ms += group.audio_ms
        while self.audio_ms > self._limit_ms:
            oldest = next(waiting for waiting in self._groups if waiting.audio_ms)
            self._groups.remove(oldest)
            self.audio_ms -= oldest.audio_ms
            self.dropped_ms += oldest.audio_ms

    def pop(self) -> Send | None:
        """Return the next group, or None."""
        if not self._groups:
            return None
        group = self._groups.popleft()
        self.audio_ms -= group.audio_ms
        return group

    def clear(self) -> None:
        """Throw away everything: the stream that it was for is gone."""
        self._groups.clear()
        self.audio_ms = 0.0

    def __len__(self) -> int:
        return len(self._groups)


class PlaybackQueue:
    """Session events on their way to the client, speech paced by the listener's clock."""

    def __init__(self, output_hertz: int, lead_ms: float = LEAD_MS, limit_ms: float = PLAYBACK_LIMIT_MS) -> None:
        self._urgent: deque[SessionEvent] = deque()
        self._ordered: deque[SessionEvent] = deque()
        self._bytes_per_ms = output_hertz * 2 / 1_000
        self._lead_ms = lead_ms
        self._limit_ms = limit_ms
        self._played_until = 0.0
        self._turn = 0
        self._delivered_ms = 0.0
        self._report: tuple[float, float] | None = None
        self.waiting_ms = 0.0
        """Speech that waits."""
        self.dropped_ms = 0.0
        """Speech that did not fit since the session began."""
        self.flushed_ms = 0.0
        """Speech thrown away by interruptions since the session began."""

    def put(self, event: SessionEvent) -> None:
        """Append an event, or let it overtake when it must be known at once."""
        if isinstance(event, UserSpeechStarted | UserSpeechEnded | SessionFailed):
            self._urgent.append(event)
            return
        if isinstance(event, SpeechChunk):
            duration = len(event.pcm) / self._bytes_per_ms
            if self.waiting_ms + duration > self._limit_ms:
                self.dropped_ms += duration
                return
            self.waiting_ms += duration
        self._ordered.append(event)

    def pop(self, now: float) -> SessionEvent | None:
        """Return the next event that may be delivered now, or None."""
        if self._urgent:
            return self._urgent.popleft()
        if not self._ordered:
            return None
        event = self._ordered[0]
        if isinstance(event, SpeechChunk):
            if self._ahead_ms(now) > self._lead_ms:
                return None
            self._deliver(event, now)
        return self._ordered.popleft()

    def ready_at(self) -> float | None:
        """Return the monotonic second at which `pop` can give something, or None while nothing waits; may lie in the past."""
        if self._urgent:
            return 0.0
        if not self._ordered:
            return None
        if not isinstance(self._ordered[0], SpeechChunk):
            return 0.0
        return self._played_until - self._lead_ms / 1_000

    def flush(self, turn: int, now: float) -> None:
        """Throw away the waiting speech of this and older turns; everything else stays in order."""
        kept: deque[SessionEvent] = deque()
        for event in self._ordered:
            if isinstance(event, SpeechChunk) and event.turn <= turn:
                duration = len(event.pcm) / self._bytes_per_ms
                self.waiting_ms -= duration
                self.flushed_ms += duration
            else:
                kept.append(event)
        self._ordered = kept
        self._played_until = min(self._played_until, now)

    def is_playing(self, now: float) -> bool:
        """Tell whether the listener still hears, or will hear, speech that is here or on the way."""
        return self.waiting_ms > 0 or self._played_until > now

    def report(self, turn: int, heard_ms: float, now: float) -> None:
        """Take the listener's own word of how much of the turn it has heard."""
        if turn == self._turn:
            self._report = (heard_ms, now)

    def heard_ms(self, turn: int, now: float) -> int:
        """Return how much of the turn was heard: by the last report, else by the pacing clock."""
        if turn != self._turn:
            return 0
        if self._report is None:
            return round(self._delivered_ms - self._ahead_ms(now))
        heard, at = self._report
        return round(min(self._delivered_ms, heard + (now - at) * 1_000))

    def is_overfull(self) -> bool:
        """Tell whether more events wait than a client that reads could ever leave behind."""
        return len(self._ordered) + len(self._urgent) > EVENTS_LIMIT

    def _ahead_ms(self, now: float) -> float:
        return max(0.0, (self._played_until - now) * 1_000)

    def _deliver(self, chunk: SpeechChunk, now: float) -> None:
        duration = len(chunk.pcm) / self._bytes_per_ms
        if chunk.turn != self._turn:
            self._turn, self._delivered_ms, self._report = chunk.turn, 0.0, None
        self._delivered_ms += duration
        self._played_until = max(self._played_until, now) + duration / 1_000
        self.waiting_ms -= duration

"""The two queues of a session, both bounded in milliseconds of audio, both without clock or event loop.

UplinkQueue holds what waits for the model: above its high watermark the transport stops reading from the client, so that TCP pushes back.
PlaybackQueue holds what waits for the listener. Nova Sonic sends speech faster than it is played; passing it through would put seconds of
speech between an interruption and the ear that waits for it (a burst of 10 s behind 66 KB/s: 9.4 s). So speech leaves this queue at most
LEAD_MS ahead of the listener, and everything else keeps its place among the speech. What must be heard at once flushes the speech first.
"""

from collections import deque

from session.effects import Send
from session.events import SessionEvent, SpeechChunk

UPLINK_HIGH_MS = 1_000.0
"""Above this the client is not read any more; a second covers the opening of a stream on a slow network."""
UPLINK_LOW_MS = 500.0
"""Below this the client is read again."""
UPLINK_LIMIT_MS = 5_000.0
"""Beyond this the oldest audio goes: answers to older speech would come too late to make sense."""
UPLINK_HIGH_GROUPS = 200
"""Above this the client is not read any more either: it bounds what carries no audio, and is more than a second of the smallest pieces of
audio in use (86 a second)."""
UPLINK_LIMIT_GROUPS = 1_000
"""More than the smallest pieces of audio in use make of UPLINK_LIMIT_MS (430): the rest is words."""

LEAD_MS = 300.0
"""How far delivery runs ahead of the listener: enough for a player's jitter buffer (60 to 200 ms), little enough to flush at once."""
PIECE_MS = 96.0
"""Longer pieces of speech are cut to this length, so that the lead is kept however much the model sends at once. At 8, 16 and 24 kHz it is
a multiple of 6 bytes: whole samples, and base64 without padding."""
PLAYBACK_LIMIT_MS = 60_000.0
"""Beyond this the newest speech is dropped and counted; a minute is longer than any sensible answer."""
EVENTS_LIMIT = 10_000
"""Events that may wait for a client that does not read: a minute of speech in pieces of 10 ms, and as much again of everything else."""


class UplinkQueue:
    """Groups of events on their way to the model, in order."""

    def __init__(self, limit_ms: float = UPLINK_LIMIT_MS) -> None:
        self._groups: deque[Send] = deque()
        self._limit_ms = limit_ms
        self.audio_ms = 0.0
        """Audio that waits."""
        self.dropped_ms = 0.0
        """Audio that was thrown away since the session began."""

    @property
    def is_high(self) -> bool:
        """Whether the client should not be read any more."""
        return self.audio_ms > UPLINK_HIGH_MS or len(self._groups) > UPLINK_HIGH_GROUPS

    @property
    def is_full_of_words(self) -> bool:
        """Whether so much waits that carries no audio, and is never dropped, that the client should not be read on any account."""
        return len(self._groups) > UPLINK_LIMIT_GROUPS

    @property
    def is_low(self) -> bool:
        """Whether the client can be read again."""
        return self.audio_ms < UPLINK_LOW_MS and len(self._groups) < UPLINK_HIGH_GROUPS / 2

    def put(self, group: Send) -> None:
        """Append a group; when too much audio waits, drop the oldest audio.

        Filler is left out while anything waits: the model is not short of events then but slow, and silence must not get between the
        pieces of somebody's speech.
        """
        if group.is_filler and self._groups:
            return
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
        self.audio_ms = self.audio_ms - group.audio_ms if self._groups else 0.0
        return group

    def keep_audio(self) -> None:
        """Throw away what is no audio: it was worded for a stream that is gone."""
        self._groups = deque(group for group in self._groups if group.audio_ms)

    def clear(self) -> None:
        """Throw away everything: the stream that it was for is gone."""
        self._groups.clear()
        self.audio_ms = 0.0

    def __len__(self) -> int:
        return len(self._groups)


class PlaybackQueue:
    """Session events on their way to the client, speech paced by the listener's clock.

    Args:
        output_hertz: rate of the speech.
        lead_ms: how far delivery may run ahead of the listener, at least PIECE_MS.
        limit_ms: how much speech may wait.
    """

    def __init__(self, output_hertz: int, lead_ms: float = LEAD_MS, limit_ms: float = PLAYBACK_LIMIT_MS) -> None:
        self._events: deque[SessionEvent] = deque()
        self._bytes_per_ms = output_hertz * 2 / 1_000
        self._piece_bytes = 2 * round(PIECE_MS * self._bytes_per_ms / 2)
        self._lead_ms = lead_ms
        self._limit_ms = limit_ms
        self._waiting_bytes = 0  # whole numbers: a remainder of 1e-12 ms would count as speech that is still to be heard
        self._played_until = 0.0
        self._turn = 0
        self._delivered_ms = 0.0
        self._report: tuple[float, float] | None = None
        self.dropped_ms = 0.0
        """Speech that did not fit since the session began."""
        self.flushed_ms = 0.0
        """Speech thrown away by interruptions since the session began."""

    @property
    def waiting_ms(self) -> float:
        """Speech that waits."""
        return self._waiting_bytes / self._bytes_per_ms

    def put(self, event: SessionEvent) -> None:
        """Append an event; speech that is too much is dropped."""
        if not isinstance(event, SpeechChunk):
            self._events.append(event)
            return
        pcm, size = event.pcm, self._piece_bytes
        if self.waiting_ms + self._duration_ms(event) > self._limit_ms:
            self.dropped_ms += self._duration_ms(event)
            return
        self._waiting_bytes += len(pcm)
        if len(pcm) <= size:
            self._events.append(event)
            return
        self._events.extend(SpeechChunk(event.turn, pcm[at : at + size], event.content_id) for at in range(0, len(pcm), size))

    def pop(self, now: float) -> SessionEvent | None:
        """Return the next event if it may be delivered now, else None."""
        if not self._events:
            return None
        event = self._events[0]
        if isinstance(event, SpeechChunk):
            if now < self._due_at(event):
                return None
            self._deliver(event, now)
        return self._events.popleft()

    def ready_at(self) -> float | None:
        """Return the monotonic second at which `pop` gives something, or None while nothing waits; may lie in the past."""
        if not self._events:
            return None
        event = self._events[0]
        return self._due_at(event) if isinstance(event, SpeechChunk) else 0.0

    def flush(self, turn: int, now: float) -> None:
        """Throw away the waiting speech of this and older turns; everything else stays in order."""
        kept: deque[SessionEvent] = deque()
        for event in self._events:
            if isinstance(event, SpeechChunk) and event.turn <= turn:
                self._waiting_bytes -= len(event.pcm)
                self.flushed_ms += self._duration_ms(event)
            else:
                kept.append(event)
        self._events = kept
        self._played_until = min(self._played_until, now)

    def is_playing(self, now: float) -> bool:
        """Tell whether the listener still hears, or will hear, speech that is here or on the way."""
        return self._waiting_bytes > 0 or self._played_until > now

    def report(self, turn: int, heard_ms: float, now: float) -> None:
        """Take the listener's own word of how much of the turn it has heard."""
        if turn == self._turn:
            self._report = (heard_ms, now)

    def heard_ms(self, turn: int, now: float) -> int:
        """Return how much of the turn was heard: by the last report and the time since, else by the pacing clock."""
        if turn != self._turn:
            return 0
        if self._report is None:
            heard = self._delivered_ms - max(0.0, (self._played_until - now) * 1_000)
        else:
            reported, at = self._report
            heard = reported + (now - at) * 1_000
        return round(min(max(heard, 0.0), self._delivered_ms))

    def is_overfull(self) -> bool:
        """Tell whether more events wait than a client that reads could ever leave behind."""
        return len(self._events) > EVENTS_LIMIT

    def _duration_ms(self, chunk: SpeechChunk) -> float:
        return len(chunk.pcm) / self._bytes_per_ms

    def _due_at(self, chunk: SpeechChunk) -> float:
        """Return when the listener is so near the end of what it was given that this chunk, too, is within the lead."""
        return self._played_until + (self._duration_ms(chunk) - self._lead_ms) / 1_000

    def _deliver(self, chunk: SpeechChunk, now: float) -> None:
        duration = self._duration_ms(chunk)
        if chunk.turn != self._turn:
            self._turn, self._delivered_ms, self._report = chunk.turn, 0.0, None
        self._delivered_ms += duration
        self._played_until = max(self._played_until, now) + duration / 1_000
        self._waiting_bytes -= len(chunk.pcm)

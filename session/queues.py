"""The two queues of a session, both bounded in milliseconds of audio, both without clock or event loop.

UplinkQueue holds what waits for the model: above its high watermark the transport stops reading from the client, so that TCP pushes back.
PlaybackQueue holds what waits for the listener. Nova Sonic sends speech faster than it is played; passing it through would put seconds of
speech between an interruption and the ear that waits for it (a burst of 10 s behind 66 KB/s: 9.4 s). So speech leaves this queue at most
LEAD_MS ahead of the listener, and everything else keeps its place among the speech. What must be heard at once flushes the speech first.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from s2s.events import TextInput, ToolResult, UnknownEvent
from session.effects import Send
from session.events import GoingAway, ModelOutput, SessionEvent, SpeechChunk
from session.listener import BYTES_PER_SAMPLE, Listener

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
UPLINK_HIGH_BYTES = 65_536
"""Text above which the client is not read any more."""
UPLINK_LIMIT_BYTES = 262_144
"""Text above which it is not read on any account."""

LEAD_MS = 300.0
"""How far delivery runs ahead of the listener: enough for a player's jitter buffer (60 to 200 ms), little enough to flush at once."""
PIECE_MS = 96.0
"""Longer pieces of speech are cut to this length, so that the lead is kept however much the model sends at once. At 8, 16 and 24 kHz it is
a multiple of 6 bytes: whole samples, and base64 without padding."""
PLAYBACK_LIMIT_MS = 24_000.0
"""Beyond this the newest speech is dropped and counted: the end of an answer that is too long. At 24 kHz it is 1.15 MB, and all that a
session holds then is 1.7 MB (measured), of the 2 MB that it may. Of an answer that is sent twice as fast as it is played, 48 s fit."""
STALE_MS = 26_000.0
"""Speech that has waited for longer is not delivered: nobody wants an answer to what was asked half a minute ago. It is more than
PLAYBACK_LIMIT_MS, so that a client that reads hears everything."""
JOIN_MS = 1_000.0
"""Small pieces are joined to pieces of PIECE_MS while this much waits before them."""
EVENTS_LIMIT = 4_000
"""Events that may wait for a client that does not read: speech makes 300 of them at most, so that these are words."""
WORDS_LIMIT_BYTES = 262_144
"""How much text may wait for STALE_MS."""
UNKNOWN_LIMIT_BYTES = 65_536
"""An event that nobody knows and that is longer is no event for a client: AWS's own gateways take messages of 32 KB."""
ENTRY_BYTES = 200
"""What an event takes beside its text."""


class _Waiting(NamedTuple):
    event: SessionEvent
    since: float
    """The listener's time when it came."""
    mark: int
    """Of speech its first sample, counted in the turn; of anything else its size."""


class UplinkQueue:
    """Groups of events on their way to the model, in order."""

    def __init__(self, limit_ms: float = UPLINK_LIMIT_MS) -> None:
        self._groups: deque[Send] = deque()
        self._bound: deque[Send] = deque()
        """Groups that one stream alone understands; they overtake the others."""
        self._limit_ms = limit_ms
        self._words_bytes = 0
        self._again_ms = 0.0
        """Of the audio that waits, what another stream had taken."""
        self._taken = 0
        """Number of the audio that was taken last."""
        self.audio_ms = 0.0
        """Audio that waits."""
        self.dropped_ms = 0.0
        """The user's audio that was thrown away since the session began; filler is nobody's."""

    @property
    def is_high(self) -> bool:
        """Whether the client should not be read any more."""
        if len(self._groups) > UPLINK_HIGH_GROUPS or self._words_bytes > UPLINK_HIGH_BYTES:
            return True
        return self.audio_ms - self._again_ms > UPLINK_HIGH_MS

    @property
    def is_full_of_words(self) -> bool:
        """Whether so much waits that carries no audio, and is never dropped, that the client should not be read on any account."""
        return len(self._groups) > UPLINK_LIMIT_GROUPS or self._words_bytes > UPLINK_LIMIT_BYTES

    @property
    def is_low(self) -> bool:
        """Whether the client can be read again."""
        is_short = len(self._groups) < UPLINK_HIGH_GROUPS / 2 and self._words_bytes < UPLINK_HIGH_BYTES / 2
        return self.audio_ms - self._again_ms < UPLINK_LOW_MS and is_short

    def put(self, group: Send) -> None:
        """Append a group; when too much audio waits, drop the oldest audio.

        Filler is left out while anything waits: the model is not short of events then but slow, and silence must not get between the
        pieces of somebody's speech.
        """
        if group.is_filler and self._groups:
            return
        self._words_bytes += _words(group)
        if group.generation is not None:
            self._bound.append(group)
            return
        self._groups.append(group)
        self.audio_ms += group.audio_ms
        while self.audio_ms - self._again_ms > self._limit_ms:
            oldest = next(waiting for waiting in self._groups if waiting.audio_ms)
            self._groups.remove(oldest)
            self._let_go(oldest)
            self.dropped_ms += 0.0 if oldest.is_filler else oldest.audio_ms

    def put_first(self, groups: Sequence[Send]) -> None:
        """Put audio before everything that waits, but for what of it waits itself; it counts for no limit.

        Args:
            groups: in the order of their numbers. What was dropped and is among them is not lost after all.
        """
        oldest = next((waiting.number for waiting in self._groups if waiting.number), None)
        older = [group for group in groups if oldest is None or group.number < oldest]
        again = [group for group in older if group.number <= self._taken or not group.is_filler]
        self.dropped_ms -= sum(group.audio_ms for group in again if group.number > self._taken)
        self._groups.extendleft(reversed(again))
        length_ms = sum(group.audio_ms for group in again)
        self.audio_ms += length_ms
        self._again_ms += length_ms

    def pop_bound(self, generation: int) -> Send | None:
        """Return the next group that this stream alone understands, also while it is not the one that carries the session, or None."""
        found = next((group for group in self._bound if group.generation == generation), None)
        if found is not None:
            self._bound.remove(found)
            self._words_bytes -= _words(found)
        return found

    def forget(self, generation: int) -> None:
        """Throw away what only this stream would have understood: it is closed."""
        while self.pop_bound(generation) is not None:
            pass

    def pop(self) -> Send | None:
        """Return the next group for whichever stream carries the session, or None."""
        if not self._groups:
            return None
        group = self._groups.popleft()
        self._words_bytes -= _words(group)
        self._taken = group.number or self._taken
        self._let_go(group)
        return group

    def _let_go(self, group: Send) -> None:
        self.audio_ms = self.audio_ms - group.audio_ms if self._groups else 0.0
        self._again_ms = max(0.0, self._again_ms - group.audio_ms)

    def keep_audio(self) -> None:
        """Throw away what is no audio: it was worded for a stream that is gone."""
        self._bound.clear()
        self._groups = deque(group for group in self._groups if group.audio_ms)
        self._words_bytes = sum(map(_words, self._groups))

    def clear(self) -> None:
        """Throw away everything: the stream that it was for is gone."""
        self._bound.clear()
        self._groups.clear()
        self._words_bytes = 0
        self.audio_ms = self._again_ms = 0.0

    def __len__(self) -> int:
        return len(self._groups)


class PlaybackQueue:
    """Session events on their way to the client, speech paced by the listener's clock.

    Args:
        output_hertz: rate of the speech.
        lead_ms: how far delivery may run ahead of the listener, at least PIECE_MS.
        limit_ms: how much speech may wait.
        stale_ms: how long it may wait, and more than limit_ms.
    """

    def __init__(
        self, output_hertz: int, lead_ms: float = LEAD_MS, limit_ms: float = PLAYBACK_LIMIT_MS, stale_ms: float = STALE_MS
    ) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._listener = Listener(output_hertz)
        self._bytes_per_ms = output_hertz * BYTES_PER_SAMPLE / 1_000
        self._piece_bytes = BYTES_PER_SAMPLE * round(PIECE_MS * self._bytes_per_ms / BYTES_PER_SAMPLE)
        self._lead_ms = lead_ms
        self._limit_ms = limit_ms
        self._stale_seconds = stale_ms / 1_000
        self._speech_bytes = 0  # whole numbers: a remainder of 1e-12 ms would count as speech that is still to be heard
        self._words_bytes = 0
        self._turn = 0
        self._turn_samples = 0
        """Of the turn whose speech came last, how much came."""
        self.dropped_ms = 0.0
        """Speech that did not fit, or waited too long, since the session began."""
        self.flushed_ms = 0.0
        """Speech thrown away by interruptions since the session began."""

    @property
    def waiting_ms(self) -> float:
        """Speech that waits."""
        return self._speech_bytes / self._bytes_per_ms

    def put(self, event: SessionEvent, now: float) -> None:
        """Append an event; speech that is too much is dropped, and so is an unknown event of the model that no client could use."""
        time = self._listener.time(now)
        if isinstance(event, SpeechChunk):
            self._put_speech(event, time)
            return
        size = _size(event)
        if size > UNKNOWN_LIMIT_BYTES and isinstance(event, ModelOutput) and isinstance(event.event, UnknownEvent):
            return
        self._words_bytes += size
        if isinstance(event, GoingAway):  # who leaves says so at once, and not when everything has been said
            first = next((at for at, waiting in enumerate(self._waiting) if isinstance(waiting.event, SpeechChunk)), len(self._waiting))
            self._waiting.insert(first, _Waiting(event, time, size))
            return
        self._waiting.append(_Waiting(event, time, size))

    def pop(self, now: float) -> SessionEvent | None:
        """Return the next event if it may be delivered now, else None."""
        if not self._waiting or self._listener.is_away:
            return None
        time = self._listener.time(now)
        event, since, mark = self._waiting[0]
        if not isinstance(event, SpeechChunk):
            self._words_bytes -= mark
        elif time - since > self._stale_seconds:
            self._skip(time)
            return self.pop(now)
        elif now < self._due_at(event):
            return None
        else:
            self._speech_bytes -= len(event.pcm)
            self._listener.deliver(event.turn, mark, len(event.pcm) // BYTES_PER_SAMPLE, now)
        self._waiting.popleft()
        return event

    def ready_at(self) -> float | None:
        """Return the monotonic second at which `pop` gives something, or None while nothing waits; may lie in the past."""
        if not self._waiting or self._listener.is_away:
            return None
        event = self._waiting[0].event
        return self._due_at(event) if isinstance(event, SpeechChunk) else 0.0

    def flush(self, turn: int, now: float) -> None:
        """Throw away the waiting speech of this and older turns; everything else stays in order."""
        self.flushed_ms += self._remove(lambda chunk, _: chunk.turn <= turn)
        self._listener.stop(now)

    def hold(self, now: float, undelivered_samples: int = 0) -> None:
        """Take note that nobody listens: what waits stays here and grows no older, and of what was delivered so much was not heard."""
        self._listener.leave(now, undelivered_samples)

    def release(self, now: float, undelivered_samples: int = 0) -> None:
        """Take note that the listener is back, and is first given again what had not arrived."""
        self._listener.come_back(now, undelivered_samples)

    def is_playing(self, now: float) -> bool:
        """Tell whether the listener still hears, or will hear, speech that is here or on the way."""
        return self._speech_bytes > 0 or self._listener.played_until > self._listener.time(now)

    def report(self, turn: int, heard_ms: float, now: float) -> None:
        """Take the listener's own word of how much of the turn it has heard."""
        self._listener.report(turn, heard_ms, now)

    def heard_samples(self, turn: int, now: float) -> int:
        """Return the sample of the turn that is heard now: by the last report and the time since, else by the pacing clock."""
        return self._listener.heard_samples(turn, now)

    def heard_ms(self, turn: int, now: float) -> int:
        """Return the same in milliseconds."""
        return round(self.heard_samples(turn, now) * BYTES_PER_SAMPLE / self._bytes_per_ms)

    def is_overfull(self, now: float) -> bool:
        """Tell whether more waits than a client that reads could ever leave behind."""
        if len(self._waiting) > EVENTS_LIMIT:
            return True
        return self._words_bytes > WORDS_LIMIT_BYTES and self._listener.time(now) - self._waiting[0].since > self._stale_seconds

    def _put_speech(self, chunk: SpeechChunk, time: float) -> None:
        if chunk.turn != self._turn:
            self._turn, self._turn_samples = chunk.turn, 0
        start = self._turn_samples
        self._turn_samples += len(chunk.pcm) // BYTES_PER_SAMPLE
        duration = self._duration_ms(chunk)
        if self.waiting_ms + duration > self._limit_ms:
            self._skip(time)
        if self.waiting_ms + duration > self._limit_ms:
            self.dropped_ms += duration
            return
        self._speech_bytes += len(chunk.pcm)
        if self._join(chunk, start):
            return
        for at in range(0, len(chunk.pcm), self._piece_bytes):
            piece = chunk if len(chunk.pcm) <= self._piece_bytes else self._piece(chunk, at)
            self._waiting.append(_Waiting(piece, time, start + at // BYTES_PER_SAMPLE))

    def _piece(self, chunk: SpeechChunk, at: int) -> SpeechChunk:
        return SpeechChunk(chunk.turn, chunk.pcm[at : at + self._piece_bytes], chunk.content_id)

    def _join(self, chunk: SpeechChunk, start: int) -> bool:
        """Append to the piece that waits last where nobody waits for it yet: small pieces cost more memory than their samples."""
        if self.waiting_ms <= JOIN_MS or not self._waiting:
            return False
        last, since, last_start = self._waiting[-1]
        if not isinstance(last, SpeechChunk) or (last.turn, last.content_id) != (chunk.turn, chunk.content_id):
            return False
        if len(last.pcm) + len(chunk.pcm) > self._piece_bytes or last_start + len(last.pcm) // BYTES_PER_SAMPLE != start:
            return False
        self._waiting[-1] = _Waiting(SpeechChunk(last.turn, last.pcm + chunk.pcm, last.content_id), since, last_start)
        return True

    def _skip(self, time: float) -> None:
        """If speech has waited too long, drop all that has waited half as long: one gap is better than one after each piece."""
        oldest = next((since for event, since, _ in self._waiting if isinstance(event, SpeechChunk)), time)
        if time - oldest > self._stale_seconds:
            self.dropped_ms += self._remove(lambda _, since: time - since > self._stale_seconds / 2)

    def _remove(self, is_over: Callable[[SpeechChunk, float], bool]) -> float:
        """Take speech out and return how many milliseconds it was."""
        before = self._speech_bytes
        kept: deque[_Waiting] = deque()
        for waiting in self._waiting:
            event, since, _ = waiting
            if isinstance(event, SpeechChunk) and is_over(event, since):
                self._speech_bytes -= len(event.pcm)
            else:
                kept.append(waiting)
        self._waiting = kept
        return (before - self._speech_bytes) / self._bytes_per_ms

    def _duration_ms(self, chunk: SpeechChunk) -> float:
        return len(chunk.pcm) / self._bytes_per_ms

    def _due_at(self, chunk: SpeechChunk) -> float:
        """Return when the listener is so near the end of what it was given that this chunk, too, is within the lead."""
        return self._listener.clock(self._listener.played_until) + (self._duration_ms(chunk) - self._lead_ms) / 1_000


def _words(group: Send) -> int:
    """Return how many characters a group without audio holds."""
    return 0 if group.audio_ms else sum(len(event.content) for event in group.events if isinstance(event, TextInput | ToolResult))


def _size(event: object) -> int:
    """Return about how many bytes of text an event holds."""
    size = ENTRY_BYTES
    for name in getattr(event, "__slots__", ()):
        value = getattr(event, name)
        if isinstance(value, str):
            size += len(value)
        elif name == "event":
            size += _size(value)
    return size

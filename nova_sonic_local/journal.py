"""What went over the wire, stream by stream, with times: for the admin endpoint, for recordings, and for replays that follow a client.

It is written on the way of every event, so it does little: a row of a few words for a piece of audio, whose sound is not kept unless asked
for, and a reference to the JSON of everything else. Of a long stream the first events are kept, because a set-up explains what follows,
and the newest ones; what was dropped is counted.
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from nova_sonic_local.clock import Clock
from nova_sonic_local.ending import Cut
from nova_sonic_local.exchange import StreamLost
from nova_sonic_local.refusals import Refused
from nova_sonic_local.signing import SignatureError
from nova_sonic_local.states import State

STREAMS_KEPT = 100
"""Ended streams whose transcripts are kept."""
FIRST_EVENTS_KEPT = 200
NEWEST_EVENTS_KEPT = 1_800
AUDIO_EVENTS_KEPT = 2_000
"""The newest pieces of audio of both directions: half a minute of a conversation in pieces of 32 ms."""
JSON_KEPT_BYTES = 1024 * 1024
"""JSON of one stream; events beyond it are kept as their sizes."""
SOUND_KEPT_BYTES = 16 * 1024 * 1024
"""The same when the sound is kept too: six minutes of it."""
ALL_KEPT_BYTES = 256 * 1024 * 1024
"""JSON of all ended streams; the oldest are forgotten first."""


class Direction(StrEnum):
    """Which way an event went, as the emulator sees it."""

    IN = "in"
    OUT = "out"


class Row(NamedTuple):
    """One event."""

    number: int
    """From 1, over both directions."""
    seconds: float
    """Since the stream was opened."""
    direction: Direction
    size: int
    """Of the event's JSON, in bytes."""
    audio_bytes: int | None
    """Samples of a piece of audio; None for every other event."""
    data: bytes | None
    """The JSON, when it is kept."""


type _Sound = tuple[int, float, bool, int, int, bytes | None]
"""The row of a piece of audio, with `is_out` for the direction. Most events are these, and the garbage collector visits no bare tuple of
numbers: with 200,000 rows of a hundred streams a full collection took 60 ms, with as many tuples 10."""


class Observer(Protocol):
    """Who wants to know of each event of a stream at once; must return at once."""

    def observe(self, row: Row) -> None:
        """Take note of an event; its `data` is never None."""

    def observe_end(self, seconds: float, ending: Mapping[str, object]) -> None:
        """Take note of the end."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a stream when it is opened."""

    number: int
    """From 1; in the admin endpoint's paths it is the stream's id."""
    request_id: str
    model_id: str
    """As the client wrote it."""
    brain: str
    opened: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the request, those that say something about the client; never its credentials."""


@dataclass(slots=True)
class Traffic:
    """How much went one way."""

    events: int = 0
    audio_events: int = 0
    bytes: int = 0
    """Of the events' JSON."""

    def add(self, other: "Traffic") -> None:
        """Add another's figures."""
        self.events += other.events
        self.audio_events += other.audio_events
        self.bytes += other.bytes

    def as_json(self) -> dict[str, int]:
        """Return the figures by name."""
        return {"events": self.events, "audio_events": self.audio_events, "bytes": self.bytes}


class StreamLog:
    """The log of one stream.

    Args:
        card: which stream it is.
        clock: of the emulator.
        keeps_sound: whether the JSON of audio events is kept too.
        observers: are told each event.
        ended: called when the stream has ended.
    """

    def __init__(
        self,
        card: Card,
        clock: Clock,
        *,
        keeps_sound: bool = False,
        observers: tuple[Observer, ...] = (),
        ended: Callable[["StreamLog"], None] = lambda _log: None,
    ) -> None:
        self.card = card
        self.voice = ""
        """The voice that the client chose, when it is known."""
        self.state = State.NEW
        self.pending_tools: AbstractSet[str] = frozenset()
        """Tool calls whose results are awaited; the stream's own set."""
        self.ending: Mapping[str, object] | None = None
        """How the stream ended; None while it lives."""
        self.traffic_in = Traffic()
        self.traffic_out = Traffic()
        self.kept_bytes = 0
        self._now = clock.now
        self._ended = ended
        self._keeps_sound = keeps_sound
        self._limit_bytes = SOUND_KEPT_BYTES if keeps_sound else JSON_KEPT_BYTES
        self._observers = list(observers)
        self._opened = self._now()
        self._seconds = 0.0
        self._first: deque[Row] = deque(maxlen=FIRST_EVENTS_KEPT)
        self._newest: deque[Row] = deque(maxlen=NEWEST_EVENTS_KEPT)
        self._audio: deque[_Sound] = deque(maxlen=AUDIO_EVENTS_KEPT)
        self._number = 0

    @property
    def seconds(self) -> float:
        """How long the stream has lived, or did."""
        return self._seconds if self.ending is not None else self._now() - self._opened

    @property
    def inputs(self) -> int:
        """How many events came in that were no audio."""
        return self.traffic_in.events - self.traffic_in.audio_events

    @property
    def dropped(self) -> int:
        """How many events are no longer among the rows."""
        return self._number - len(self._first) - len(self._newest) - len(self._audio)

    def attach(self, observer: Observer) -> None:
        """Tell somebody else each event from now on."""
        self._observers.append(observer)

    def heard(self, data: bytes, audio_bytes: int | None = None) -> None:
        """Write down an event that came in, also one that will be refused."""
        self._note(Direction.IN, self.traffic_in, data, audio_bytes)

    def said(self, data: bytes, audio_bytes: int | None = None) -> None:
        """Write down an event that was sent."""
        self._note(Direction.OUT, self.traffic_out, data, audio_bytes)

    def _note(self, direction: Direction, traffic: Traffic, data: bytes, audio_bytes: int | None) -> None:
        size = len(data)
        self._number += 1
        traffic.events += 1
        traffic.bytes += size
        seconds = self._now() - self._opened
        if audio_bytes is not None:
            traffic.audio_events += 1
            self._keep_audio((self._number, seconds, direction is Direction.OUT, size, audio_bytes, data if self._keeps_sound else None))
        else:
            rows = self._newest if len(self._first) == FIRST_EVENTS_KEPT else self._first
            self._keep(rows, Row(self._number, seconds, direction, size, None, data))
        if self._observers:
            row = Row(self._number, seconds, direction, size, audio_bytes, data)
            for observer in self._observers:
                observer.observe(row)

    def _keep(self, rows: deque[Row], row: Row) -> None:
        if len(rows) == rows.maxlen:
            self.kept_bytes -= len(rows[0].data or b"")
        if self.kept_bytes + row.size > self._limit_bytes:
            rows.append(row._replace(data=None))
        else:
            self.kept_bytes += row.size
            rows.append(row)

    def _keep_audio(self, sound: _Sound) -> None:
        if self._keeps_sound:
            if len(self._audio) == self._audio.maxlen:
                self.kept_bytes -= len(self._audio[0][-1] or b"")
            if self.kept_bytes + sound[3] > self._limit_bytes:
                sound = (*sound[:-1], None)
            else:
                self.kept_bytes += sound[3]
        self._audio.append(sound)

    def rows(self) -> list[Row]:
        """Return what is kept, in the order in which it happened."""
        audio = (
            Row(number, seconds, Direction.OUT if is_out else Direction.IN, size, audio_bytes, data)
            for number, seconds, is_out, size, audio_bytes, data in self._audio
        )
        return sorted([*self._first, *self._newest, *audio])

    def end(self, ending: Mapping[str, object]) -> None:
        """Write down how the stream ended; only the first ending counts."""
        if self.ending is not None:
            return
        self._seconds = self._now() - self._opened
        self.ending = ending
        self.pending_tools = frozenset(self.pending_tools)
        for observer in self._observers:
            observer.observe_end(self._seconds, ending)
        self._observers.clear()
        self._ended(self)

    def summary(self) -> dict[str, object]:
        """Return the stream in a few lines, for JSON."""
        return {
            "id": str(self.card.number),
            "request_id": self.card.request_id,
            "model": self.card.model_id,
            "brain": self.card.brain,
            "voice": self.voice,
            "state": self.state.value if self.ending is None else "ended",
            "opened": self.card.opened.isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "in": self.traffic_in.as_json(),
            "out": self.traffic_out.as_json(),
            "pending_tools": sorted(self.pending_tools),
            "ending": self.ending,
        }


class Journal:
    """The logs of all streams: those that live, and the last ones that ended.

    Args:
        clock: of the emulator.
        keeps_sound: whether the JSON of audio events is kept too.
        streams_kept: how many ended streams are remembered.
    """

    def __init__(self, clock: Clock, *, keeps_sound: bool = False, streams_kept: int = STREAMS_KEPT) -> None:
        self.keeps_sound = keeps_sound
        self._clock = clock
        self._streams_kept = streams_kept
        self._live: dict[int, StreamLog] = {}
        self._ended: deque[StreamLog] = deque()
        self._ended_bytes = 0
        self._forget_counters()

    def _forget_counters(self) -> None:
        self._forgotten = 0
        self._opened = 0
        self._dropped = 0
        self._past_in = Traffic()
        self._past_out = Traffic()
        self._endings: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._calls: dict[str, Counter[str]] = {}

    def open(self, card: Card, observers: tuple[Observer, ...] = ()) -> StreamLog:
        """Begin the log of a stream."""
        self._opened += 1
        log = StreamLog(card, self._clock, keeps_sound=self.keeps_sound, observers=observers, ended=self._close)
        self._live[card.number] = log
        return log

    def _close(self, log: StreamLog) -> None:
        del self._live[log.card.number]
        self._past_in.add(log.traffic_in)
        self._past_out.add(log.traffic_out)
        self._dropped += log.dropped
        self._endings[str((log.ending or {}).get("how", ""))] += 1
        self._ended.append(log)
        self._ended_bytes += log.kept_bytes
        while len(self._ended) > self._streams_kept or self._ended_bytes > ALL_KEPT_BYTES:
            self._ended_bytes -= self._ended.popleft().kept_bytes
            self._forgotten += 1

    def refuse(self, code: str) -> None:
        """Count a request that never became a stream."""
        self._refused[code] += 1

    def call(self, operation: str, ending: str) -> None:
        """Count a request of another operation than Nova Sonic's, by how it ended."""
        self._calls.setdefault(operation, Counter())[ending] += 1

    def logs(self) -> list[StreamLog]:
        """Return the logs, the oldest stream first."""
        return sorted([*self._ended, *self._live.values()], key=lambda log: log.card.number)

    def find(self, name: str) -> StreamLog | None:
        """Return the log of a stream, by its id or its request id."""
        return next((log for log in self.logs() if name in (str(log.card.number), log.card.request_id)), None)

    def forget(self) -> None:
        """Forget the streams that ended, and set the counters to zero."""
        self._ended.clear()
        self._ended_bytes = 0
        self._forget_counters()

    def counters(self) -> dict[str, object]:
        """Return the sums over all streams since the start or the last reset, for JSON."""
        total_in, total_out = replace(self._past_in), replace(self._past_out)
        for log in self._live.values():
            total_in.add(log.traffic_in)
            total_out.add(log.traffic_out)
        return {
            "streams": {"opened": self._opened, "live": len(self._live), "ended": dict(self._endings)},
            "refused": dict(self._refused),
            "calls": {operation: dict(endings) for operation, endings in self._calls.items()},
            "in": total_in.as_json(),
            "out": total_out.as_json(),
            "dropped": {
                "streams": self._forgotten,
                "events": self._dropped + sum(log.dropped for log in self._live.values()),
            },
        }


def describe_ending(ending: BaseException | None) -> dict[str, object]:
    """Return how a stream ended, for JSON: `how` is completed, refused, cut or client_gone."""
    match ending:
        case None:
            return {"how": "completed"}
        case Refused():
            return {"how": "refused", "refusal": ending.refusal.name, "member": ending.member.value, "text": ending.text}
        case SignatureError():
            return {"how": "refused", "refusal": "SIGNATURE", "member": ending.code, "text": str(ending)}
        case Cut():
            return {"how": "cut", "fault": ending.fault.value}
        case StreamLost():
            return {"how": "client_gone"}
        case _:
            return {"how": "failed"}

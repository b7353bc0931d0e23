"""The trace of a session: what its machine was told, when, and what it answered, as JSON lines.

The first line is the header with the machine's origin, from which the same machine is made again. Then come steps, runs and notes:

- a step: an input with its effects, or without when the machine broke;
- a run: many inputs that do nothing but pass audio on or count time, deliveries to the listener, and where the machine asked, what the
  user's audio sounded like, each a kind, a time and a length;
- a note: the end of the session, of the room in the file, or of what could be kept.

Times are nanoseconds since the start. They are exact: the machine compares times, and one that is a little off can decide otherwise.
docs/reference/trace-format.md describes all of it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from s2s.events import AudioInput, AudioOutput, ToolUse
from s2s.wire import Json
from session.calls import Calls
from session.effects import Effect, Emit, Input, ModelEvent, Send, Tick
from session.events import SendAudio, SpeechChunk
from session.history import call_words
from session.origin import Origin
from session.trace_values import Conceal, TraceError, decode, encode, unchanged

VERSION = 1
NANOSECONDS = 1e9
RUN_LIMIT = 600
"""Pieces in one line: some seconds of a conversation."""


class Kind(StrEnum):
    """What a piece of a run is, and what it does."""

    AUDIO = "a"
    """The user's audio, sent on."""
    SPEECH = "s"
    """The assistant's speech, given to the listener's queue."""
    MUTED = "m"
    """The assistant's speech, of which nothing came."""
    FILLER = "f"
    """The timer, for which silence was sent."""
    TICK = "t"
    """The timer, of which nothing came."""
    DELIVERED = "d"
    """Something left the listener's queue."""
    QUIET = "q"
    """The user's audio was listened to for the next input, and was quiet."""
    NOISE = "n"
    """The same, and was not."""


class Note(StrEnum):
    """Why nothing follows."""

    END = "end"
    """The session is over."""
    LOST = "lost"
    """Inputs came faster than they could be written."""
    FULL = "full"
    """The file is as long as it may be."""


type Key = tuple[int | str, ...]
"""What the pieces of one kind have in common: ids of the stream's events, for the assistant's speech the turn."""
type Piece = tuple[float, Kind, int, Key]
"""Monotonic seconds, kind, bytes of audio and key."""

_NO_KEY: Key = ()
_BARE = (Kind.TICK, Kind.DELIVERED, Kind.QUIET, Kind.NOISE)


@dataclass(slots=True)
class Step:
    """An input and what it did."""

    now: float
    """Monotonic seconds."""
    given: Input
    effects: Sequence[Effect] | None
    """None when the machine raised an error instead."""


@dataclass(frozen=True, slots=True)
class RecordedStep:
    """A step as it was read."""

    now: float
    given: Input
    effects: Json
    """Encoded."""


def piece_of(given: Input, now: float, effects: Sequence[Effect] | None) -> Piece | None:
    """Return the input as a piece of a run if all that it did is what such a piece stands for, else None."""
    if effects is None or len(effects) > 1:
        return None
    effect = effects[0] if effects else None
    match given:
        case SendAudio(pcm):
            key = _audio_key(effect, len(pcm), is_filler=False)
            return None if key is None else (now, Kind.AUDIO, len(pcm), key)
        case ModelEvent(generation, AudioOutput() as event):
            return _speech_piece(generation, event, effect, now)
        case Tick():
            if effect is None:
                return bare_piece(Kind.TICK, now)
            size = _audio_bytes(effect)
            key = _audio_key(effect, size, is_filler=True)
            return None if key is None else (now, Kind.FILLER, size, key)
        case _:
            return None


def _audio_bytes(effect: Effect | None) -> int:
    if isinstance(effect, Send) and effect.events and isinstance(event := effect.events[0], AudioInput):
        return len(event.pcm)
    return 0


def _audio_key(effect: Effect | None, size: int, *, is_filler: bool) -> Key | None:
    if not isinstance(effect, Send) or effect.is_filler is not is_filler or len(effect.events) != 1:
        return None
    event = effect.events[0]
    return (event.prompt_name, event.content_name) if isinstance(event, AudioInput) and len(event.pcm) == size else None


def _speech_piece(generation: int, event: AudioOutput, effect: Effect | None, now: float) -> Piece | None:
    size = len(event.pcm)
    if effect is None:
        return (now, Kind.MUTED, size, (generation, event.session_id, event.prompt_name, event.completion_id, event.content_id))
    if not isinstance(effect, Emit) or not isinstance(chunk := effect.event, SpeechChunk):
        return None
    if len(chunk.pcm) != size or chunk.content_id != event.content_id:
        return None
    return (now, Kind.SPEECH, size, (generation, event.session_id, event.prompt_name, event.completion_id, event.content_id, chunk.turn))


def bare_piece(kind: Kind, now: float) -> Piece:
    """Return a piece without audio."""
    return (now, kind, 0, _NO_KEY)


def own_words(origin: Origin) -> tuple[str, ...]:
    """Return the texts of a session that are nobody's secret: names of its tools, markers, and the sentences of the machine itself."""
    calls = Calls()
    calls.called(ToolUse("", "", "", "", "", "", "{}"), 0, 0)
    calls.done("", "", None)
    sentences = (calls.note(), call_words("", '{"":""}', ""))
    tools = (f"{tool.name} {' '.join(_members(_parse(tool.input_schema)))}" for tool in origin.tools)
    return (*sentences, *tools, *origin.plan.hidden_markers)


def _members(schema: Json) -> Iterator[str]:
    """Return the names of members that a JSON Schema knows: they are told in words."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name == "properties" and isinstance(value, dict):
                yield from value
            yield from _members(value)
    elif isinstance(schema, list):
        for each in schema:
            yield from _members(each)


def effects_of(effects: Sequence[Effect] | None, given: Input, conceal: Conceal = unchanged) -> Json:
    """Return effects as they stand in a trace; an event of the model that is only passed on is not written twice."""
    if effects is None:
        return None
    rows = [encode(effect, conceal) for effect in effects]
    if isinstance(given, ModelEvent):
        passed_on = ["Emit", ["ModelOutput", encode(given.event, conceal)]]
        return [["Passed"] if row == passed_on else row for row in rows]
    return rows


class TraceWriter:
    """Turns steps and pieces into lines.

    Args:
        origin: makes the machine.
        started: monotonic second from which times count.
        conceal: masks texts.
        is_masked: whether the header says that texts are masked.
    """

    def __init__(self, origin: Origin, started: float, conceal: Conceal = unchanged, *, is_masked: bool = False) -> None:
        self._origin = origin
        self._started_ns = round(started * NANOSECONDS)
        self._conceal = conceal
        self._is_masked = is_masked
        self._keys: dict[Kind, Key] = dict.fromkeys(_BARE, _NO_KEY)
        self._new_keys: dict[str, Key] = {}
        self._run: list[str | int | float] = []
        self._run_since: int | float = 0
        self._run_at = 0

    def header(self) -> bytes:
        """Return the first line."""
        return _line(
            {
                "trace": VERSION,
                "masked": self._is_masked,
                "started_ns": self._started_ns,
                "origin": encode(self._origin, self._conceal),
            }
        )

    def step(self, step: Step) -> bytes:
        """Return the lines of a step, and of the run before it."""
        before = self.flush()
        given = encode(step.given, self._conceal)
        return before + _line({"t": self._time(step.now), "i": given, "e": effects_of(step.effects, step.given, self._conceal)})

    def piece(self, piece: Piece) -> bytes:
        """Take a piece; return the lines that are complete, if any."""
        now, kind, size, key = piece
        done = b""
        if self._keys.get(kind) != key or len(self._run) >= 3 * RUN_LIMIT:
            done = self.flush()
        if self._keys.get(kind) != key:
            self._keys[kind] = self._new_keys[kind.value] = key
        at = self._time(now)
        if not self._run:
            self._run_since = at
            self._run_at = at if isinstance(at, int) else 0
        if isinstance(at, int):
            self._run += (kind.value, at - self._run_at, size)
            self._run_at = at
        else:
            self._run += (kind.value, at, size)
            self._run_at = 0
        return done

    def note(self, note: Note, value: int = 1) -> bytes:
        """Return the last line, and the run before it."""
        return self.flush() + _line({note.value: value})

    def flush(self) -> bytes:
        """Return the line of the run that is open, if any."""
        if not self._run:
            return b""
        line: dict[str, object] = {"t": self._run_since, "r": self._run}
        if self._new_keys:
            line["of"] = self._new_keys
        data = _line(line)
        self._run, self._new_keys = [], {}
        return data

    def _time(self, now: float) -> int | float:
        """Return whole nanoseconds since the start where they tell the time exactly, as with the system's clock, else the time itself."""
        nanoseconds = round(now * NANOSECONDS)
        return nanoseconds - self._started_ns if nanoseconds / NANOSECONDS == now else float(now)


class TraceReader:
    """Turns the lines of a trace back, one by one and in order.

    Args:
        header: the first line.

    Raises:
        TraceError: it is not the header of a trace of this version.
    """

    def __init__(self, header: bytes) -> None:
        row = _parse(header)
        if row.get("trace") != VERSION:
            raise TraceError(f"not a trace of version {VERSION}")
        started_ns = row.get("started_ns")
        if not isinstance(started_ns, int):
            raise TraceError("the header has no start")
        self.origin: Origin = decode(row.get("origin"), Origin)
        self.started = started_ns / NANOSECONDS
        self.is_masked = row.get("masked") is True
        self._started_ns = started_ns
        self._keys: dict[str, list[Json]] = {kind: [] for kind in _BARE}

    def read(self, line: bytes) -> Iterable[RecordedStep | Piece | Note]:
        """Return what a line tells.

        Raises:
            TraceError: it is no line of a trace.
        """
        row = _parse(line)
        if "r" in row:
            return self._read_run(row)
        if "i" in row:
            return (RecordedStep(self._now(row.get("t")), decode(row["i"], Input), row.get("e")),)
        if not row.keys() <= set(Note):
            raise TraceError("a line of no known kind")
        return tuple(Note(name) for name in row)

    def _read_run(self, row: dict[str, Json]) -> Iterable[Piece]:
        keys, run, at = row.get("of", {}), row["r"], row.get("t")
        if not isinstance(keys, dict) or not isinstance(run, list) or len(run) % 3:
            raise TraceError("a run is broken")
        self._keys.update({kind: key for kind, key in keys.items() if isinstance(key, list)})
        pieces: list[Piece] = []
        for kind, step, size in zip(run[::3], run[1::3], run[2::3], strict=True):
            at = at + step if isinstance(at, int) and isinstance(step, int) else step
            if not isinstance(kind, str) or kind not in self._keys or not isinstance(size, int):
                raise TraceError("a run is broken")
            key: Any = tuple(self._keys[kind])
            pieces.append((self._now(at), Kind(kind), size, key))
        return pieces

    def _now(self, at: Json) -> float:
        if isinstance(at, int):
            return (self._started_ns + at) / NANOSECONDS
        if isinstance(at, float):
            return at
        raise TraceError("a line has no time")


def given_of(piece: Piece) -> Input | None:
    """Return the input that a piece stands for, or None; audio is silence."""
    _, kind, size, key = piece
    match kind:
        case Kind.AUDIO:
            return SendAudio(bytes(size))
        case Kind.SPEECH | Kind.MUTED:
            generation, *ids = key[:5]
            session_id, prompt_name, completion_id, content_id = map(str, ids)
            return ModelEvent(int(generation), AudioOutput(session_id, prompt_name, completion_id, content_id, bytes(size)))
        case Kind.FILLER | Kind.TICK:
            return Tick()
        case Kind.DELIVERED | Kind.QUIET | Kind.NOISE:
            return None


def _line(row: object) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _parse(line: bytes | str) -> dict[str, Json]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise TraceError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise TraceError("a line is no object")
    return row

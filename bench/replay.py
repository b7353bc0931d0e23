"""Runs recorded sessions again through the session machine and compares what it asks for, effect by effect.

Run as `python -m bench.replay FILE [FILE ...]`. Prints the first difference of each file and, as its last line, one JSON object with
figures; ends with 1 when anything differs. `--accept` writes what the machine asks for now into the files instead: for behaviour that was
changed on purpose. How traces are made is in docs/how-to/record-and-replay-a-session.md.
"""

import argparse
import gzip
import json
import sys
import time
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from os.path import commonprefix
from pathlib import Path

from s2s.wire import Json
from session.effects import Effect, Emit, Flush, Input
from session.hearing import Ask
from session.trace import (
    Kind,
    Note,
    Piece,
    RecordedStep,
    Step,
    TraceReader,
    TraceWriter,
    bare_piece,
    effects_of,
    given_of,
    piece_of,
)
from session.trace_values import TraceError, encode

GZIP = 31
"""For zlib: its largest window, in the format of gzip."""
READ_BYTES = 65_536
SHOWN_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a machine did something else than was recorded."""

    seconds: float
    """Since the start of the session."""
    number: int
    """Of the input, from 1."""
    given: str
    expected: Sequence[str]
    got: Sequence[str]

    def __str__(self) -> str:
        """Return it for a person: the effects that differ, around the place where they begin to."""
        lines = [f"at {self.seconds:.3f} s, input {self.number}: {_window(self.given, 0)}"]
        for number, (expected, got) in enumerate(zip_longest(self.expected, self.got, fillvalue="nothing"), 1):
            if expected != got:
                at = len(commonprefix([expected, got]))  # noqa: RUF071 - texts, not paths
                lines += [f"    effect {number} expected: {_window(expected, at)}", f"    effect {number} got:      {_window(got, at)}"]
        return "\n".join(lines)


@dataclass(slots=True)
class Figures:
    """What one or more replays came to."""

    files: int = 0
    inputs: int = 0
    effects: int = 0
    differences: int = 0
    complete: int = 0
    """Files that reach to the end of their session."""
    conversation_seconds: float = 0.0
    replay_seconds: float = 0.0

    def add(self, other: "Figures") -> None:
        """Count another replay in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def summary(self) -> dict[str, Json]:
        """Return them with what follows from them."""
        speed = round(self.conversation_seconds / self.replay_seconds) if self.replay_seconds else 0
        return {
            "files": self.files,
            "complete_files": self.complete,
            "inputs": self.inputs,
            "effects": self.effects,
            "conversation_seconds": round(self.conversation_seconds, 3),
            "replay_seconds": round(self.replay_seconds, 3),
            "times_real_time": speed,
            "differences": self.differences,
            "holds": self.files > 0 and self.differences == 0,
        }


class Replay:
    """Runs one trace.

    Args:
        lines: of the trace; the last may be cut.
        rewrites: whether to keep what the machine does now, as a trace.

    Raises:
        TraceError: they are no trace.
    """

    def __init__(self, lines: Iterable[bytes], *, rewrites: bool = False) -> None:
        self._lines = iter(lines)
        self._reader = TraceReader(next(self._lines, b""))
        self._machine, self._playback = self._reader.origin.make(self._ear)
        self._sounds: deque[Kind] = deque()
        """What the user's audio was when the machine listened to it for the next input."""
        self._now = self._reader.started
        self.is_masked = self._reader.is_masked
        """Whether what people said is masked."""
        self.figures = Figures(files=1)
        self.first: Difference | None = None
        self.rewritten: list[bytes] = []
        self._writer = _writer(self._reader) if rewrites else None

    def run(self) -> None:
        """Run the trace to its end, or to where it was cut."""
        began = time.perf_counter()
        for line in self._lines:
            if not line.endswith(b"\n"):
                break
            for entry in self._reader.read(line):
                self._take(entry)
        if self._writer is not None:
            self.rewritten = [self._writer.header(), *self.rewritten, self._writer.flush()]
        self.figures.replay_seconds = time.perf_counter() - began

    def _take(self, entry: RecordedStep | Piece | Note) -> None:
        if isinstance(entry, Note):
            self.figures.complete += entry is Note.END
            self._rewrite(entry)
            return
        if isinstance(entry, RecordedStep):
            effects = self._give(entry.given, entry.now)
            expected, got = entry.effects, effects_of(effects, entry.given)
            if expected != got:
                self._differs(entry.now, entry.given, _shown(expected), _shown(got))
            self._rewrite(Step(entry.now, entry.given, effects))
            return
        now, kind, _, _ = entry
        given = given_of(entry)
        if given is None:
            self._take_bare(kind, now)
            return
        effects = self._give(given, now)
        piece = piece_of(given, now, effects)
        if piece != entry:
            self._differs(now, given, _shown_piece(entry), _shown(effects_of(effects, given)))
        self._rewrite(piece or Step(now, given, effects))

    def _take_bare(self, kind: Kind, now: float) -> None:
        if kind is Kind.DELIVERED:
            self._playback.pop(now)
            self._rewrite(bare_piece(kind, now))
        else:
            self._sounds.append(kind)

    def _ear(self, ask: Ask) -> bool:
        """Answer as was recorded; audio that was not listened to then is as quiet as a trace's."""
        kind = self._sounds.popleft() if self._sounds else Kind.QUIET if ask() else Kind.NOISE
        self._rewrite(bare_piece(kind, self._now))
        return kind is Kind.QUIET

    def _rewrite(self, entry: Step | Piece | Note) -> None:
        if self._writer is None:
            return
        match entry:
            case Step():
                lines = self._writer.step(entry)
            case Note():
                lines = self._writer.note(entry)
            case _:
                lines = self._writer.piece(entry)
        self.rewritten.append(lines)

    def _give(self, given: Input, now: float) -> list[Effect] | None:
        """Give the machine an input and do what concerns the listener, as the runner does."""
        self.figures.inputs += 1
        self._now = now
        self.figures.conversation_seconds = now - self._reader.started
        try:
            effects = self._machine.handle(given, now)
        except Exception:  # noqa: BLE001 - that the machine broke is in the trace as well
            return None
        finally:
            self._sounds.clear()
        for effect in effects:
            match effect:
                case Emit(event):
                    self._playback.put(event, now)
                case Flush(turn):
                    self._playback.flush(turn, now)
                case _:
                    pass
        self.figures.effects += len(effects)
        return effects

    def _differs(self, now: float, given: Input, expected: Sequence[str], got: Sequence[str]) -> None:
        self.figures.differences += 1
        if self.first is None:
            shown = json.dumps(encode(given), ensure_ascii=False)
            self.first = Difference(now - self._reader.started, self.figures.inputs, shown, expected, got)


def _shown(effects: Json) -> list[str]:
    if not isinstance(effects, list):
        return ["an error was raised"]
    return [json.dumps(row, ensure_ascii=False) for row in effects]


def _shown_piece(piece: Piece) -> list[str]:
    _, kind, size, key = piece
    return [f"{Kind(kind).name.lower()} of {size} bytes {list(key)}"]


def _window(text: str, at: int) -> str:
    """Return a text, if it is long the part around a place."""
    start = max(0, at - SHOWN_CHARACTERS // 2) if len(text) > SHOWN_CHARACTERS else 0
    end = start + SHOWN_CHARACTERS
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}"


def _writer(reader: TraceReader) -> TraceWriter:
    return TraceWriter(reader.origin, reader.started, is_masked=reader.is_masked)


def read_lines(path: Path) -> Iterator[bytes]:
    """Read a trace line by line, compressed or not; one that was cut ends where it was cut.

    Raises:
        OSError: the file cannot be read.
    """
    rest = b""
    for data in _read_pieces(path):
        *lines, rest = (rest + data).split(b"\n")
        yield from (line + b"\n" for line in lines)
    if rest:
        yield rest


def _read_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            file.seek(0)
            while data := file.read(READ_BYTES):
                yield data
            return
        file.seek(0)
        decompressor = zlib.decompressobj(wbits=GZIP)
        try:
            while data := file.read(READ_BYTES):
                yield decompressor.decompress(data)
        except zlib.error as error:
            raise TraceError(f"{path.name}: {error}") from None


def accept(path: Path, replay: Replay) -> None:
    """Write the trace as the machine would make it now."""
    data = b"".join(replay.rewritten)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    fresh.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Replay the files and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.replay", description="Run recorded sessions again and compare the effects.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--accept", action="store_true", help="write what the machine asks for now into the files")
    options = parser.parse_args(arguments)
    total = Figures()
    for path in options.files:
        try:
            replay = Replay(read_lines(path), rewrites=options.accept)
            replay.run()
        except (OSError, TraceError) as error:
            print(f"{path}: {error}")
            total.add(Figures(files=1, differences=1))
            continue
        total.add(replay.figures)
        if replay.first is not None:
            print(f"{path}: {replay.figures.differences} inputs differ, the first\n  {replay.first}")
            if options.accept:
                accept(path, replay)
                print(f"{path}: written anew")
    print(json.dumps(total.summary()))
    return 0 if total.differences == 0 or options.accept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

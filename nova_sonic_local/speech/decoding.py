"""The recogniser process: pocketsphinx on closed grammars, driven by messages on standard input.

It is a process of its own because pocketsphinx holds the interpreter's lock while it decodes. Several utterances may be open at once; each
has a pair of decoders while it is open: one on the grammar, one on a free loop of phones. How much better the free loop explains the sound
tells whether somebody said something else (`recogniser.REJECTION`).
"""

import contextlib
import json
import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pocketsphinx import Decoder, FsgModel, get_model_path

from nova_sonic_local.speech.automaton import Automaton, compile_grammar
from nova_sonic_local.speech.frames import Frame, Kind, encode_frame, read_frame
from nova_sonic_local.speech.resample import Resampler, pcm_of, samples_of

MODEL_HERTZ = 16000
"""Rate of the acoustic model."""

PIECE_BYTES = 2 * MODEL_HERTZ * 32 // 1000
"""Decoding goes in pieces of 32 ms."""

NOISE_PEAK = 57
"""Uniform noise of -60 dBFS (RMS 33 of 32768): digital silence would break the cepstral mean (measured)."""

MAXIMUM_DECODERS = 4
"""Pairs of decoders, 11 MB each; more utterances at once wait for a pair with their audio kept."""

MAXIMUM_WAITING_BYTES = 2 * MODEL_HERTZ * 60
"""Audio kept for an utterance without decoders; the rest of it is dropped."""

_NOISE_LENGTH = 16381
"""A prime, so that the noise does not repeat in step with the frames."""

_LOG_UNIT = math.log(1.0001) * 1024
"""pocketsphinx's logarithms have base 1.0001, and its acoustic scores are divided by 1024."""

_PHONE_LOOP = "phones"
_CMN = "41.00,-5.29,-0.12,5.09,2.48,-4.07,-1.37,-1.78,-5.08,-2.05,-6.45,-1.42,1.17"
"""Cepstral mean to start from: that of the acoustic model's own configuration, so that no utterance depends on the one before."""


@dataclass(slots=True)
class DecoderPair:
    """Two decoders that hear the same utterance."""

    grammar: Decoder
    phones: Decoder
    known: dict[str, str] = field(default_factory=dict)
    """Grammar key -> name of the search."""
    words: set[str] = field(default_factory=set)

    def use(self, key: str, jsgf: str, words: dict[str, Sequence[str]]) -> None:
        """Switch to a grammar, compiling it at its first use."""
        if key not in self.known:
            for word, variants in words.items():
                for number, phones in enumerate(variants, 1):
                    name = word if number == 1 else f"{word}({number})"
                    if name not in self.words:
                        self.grammar.add_word(name, phones, False)
                        self.words.add(name)
            self.known[key] = f"grammar{len(self.known)}"
            self.grammar.add_fsg(self.known[key], network(self.grammar, compile_grammar(jsgf)))
        self.grammar.activate_search(self.known[key])


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the decoders made of an utterance."""

    text: str
    score: float
    """Natural log-likelihood per frame of the grammar over the free phone loop, times 1024."""
    frames: int


def network(decoder: Decoder, automaton: Automaton) -> FsgModel:
    """Return an automaton as a search network; all words are equally likely, and each end leads to the last state."""
    last = automaton.states
    steps: list[tuple[int, int, float] | tuple[int, int, float, str]] = [
        (source, target, 1.0, word) for source, word, target in automaton.transitions
    ]
    steps += [(state, last, 1.0) for state in sorted(automaton.accepting)]
    return decoder.create_fsg("scenario", start_state=0, final_state=last, transitions=steps)


def make_pair() -> DecoderPair:
    """Load two decoders; takes 15 ms."""
    model = Path(get_model_path()) / "en-us" / "en-us"
    empty = Path(__file__).parent / "data" / "empty.dict"
    settings = {"hmm": str(model), "dict": str(empty), "lm": None, "loglevel": "FATAL", "cmninit": _CMN}
    grammar, phones = Decoder(**settings), Decoder(**settings)
    phones.add_allphone_file(_PHONE_LOOP, None)
    phones.activate_search(_PHONE_LOOP)
    return DecoderPair(grammar, phones)


class Utterance:
    """One utterance under way."""

    def __init__(self, key: str, hertz: int) -> None:
        self.key = key
        self.pair: DecoderPair | None = None
        self.dropped = 0
        """Bytes that found no room while there was no pair."""
        self._resampler = Resampler(hertz, MODEL_HERTZ)
        self._waiting = bytearray()
        self._noise = _noise(_NOISE_LENGTH)
        self._noise_place = 0

    def begin(self, pair: DecoderPair) -> None:
        """Start decoding; the pair already uses the right grammar."""
        self.pair = pair
        for decoder in (pair.grammar, pair.phones):
            decoder.set_cmn(_CMN)
            decoder.start_utt()
        self._decode()

    def feed(self, pcm: bytes) -> None:
        """Take audio."""
        self._take(self._resampler.feed(pcm))

    def finish(self) -> Recognition:
        """Decode the rest and return what was said."""
        self._take(self._resampler.finish())
        pair = self.pair
        if pair is None:
            raise RuntimeError("an utterance was finished before it had decoders")
        self._decode(to_the_end=True)
        for decoder in (pair.grammar, pair.phones):
            decoder.end_utt()
        found, loop, frames = pair.grammar.hyp(), pair.phones.hyp(), pair.grammar.n_frames()
        if found is None or loop is None or not frames:
            return Recognition("", float("-inf"), frames)
        log = pair.grammar.get_logmath().log
        return Recognition(found.hypstr, (log(found.score) - log(loop.score)) * _LOG_UNIT / frames, frames)

    def abandon(self) -> None:
        """Give the decoders back without a result."""
        if self.pair is not None:
            self.pair.grammar.end_utt()
            self.pair.phones.end_utt()

    def _take(self, pcm: bytes) -> None:
        room = len(pcm) if self.pair is not None else max(0, MAXIMUM_WAITING_BYTES - len(self._waiting))
        self._waiting += pcm[:room]
        self.dropped += len(pcm) - len(pcm[:room])
        self._decode()

    def _decode(self, *, to_the_end: bool = False) -> None:
        pair = self.pair
        while pair is not None and (len(self._waiting) >= PIECE_BYTES or (to_the_end and self._waiting)):
            piece = self._noisy(bytes(self._waiting[:PIECE_BYTES]))
            del self._waiting[:PIECE_BYTES]
            pair.grammar.process_raw(piece, no_search=False, full_utt=False)
            pair.phones.process_raw(piece, no_search=False, full_utt=False)

    def _noisy(self, pcm: bytes) -> bytes:
        samples = samples_of(pcm)
        if self._noise_place + len(samples) > len(self._noise):
            self._noise_place = 0
        noise = self._noise[self._noise_place : self._noise_place + len(samples)]
        self._noise_place += len(samples)
        return pcm_of([max(-32768, min(32767, sample + extra)) for sample, extra in zip(samples, noise, strict=True)])


def _noise(length: int) -> list[int]:
    source = random.Random(1)  # noqa: S311 - dither, the same in each run
    return [source.randint(-NOISE_PEAK, NOISE_PEAK) for _ in range(length)]


class RecogniserProcess:
    """Answers messages until the stream ends."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._grammars: dict[str, tuple[str, dict[str, Sequence[str]]]] = {}
        self._live: dict[int, Utterance] = {}
        self._idle: list[DecoderPair] = [make_pair()]
        self._pairs = 1
        self._finishing: set[int] = set()

    def handle(self, frame: Frame) -> None:
        """Answer one message."""
        match frame.kind:
            case Kind.GRAMMAR:
                content = json.loads(frame.payload)
                self._grammars[content["key"]] = (content["jsgf"], content["words"])
                self._idle[0].use(content["key"], *self._grammars[content["key"]]) if self._idle else None
            case Kind.OPEN:
                content = json.loads(frame.payload)
                self._live[frame.utterance] = Utterance(content["grammar"], content["hertz"])
                self._serve()
            case Kind.AUDIO if frame.utterance in self._live:
                self._live[frame.utterance].feed(frame.payload)
            case Kind.FINISH if frame.utterance in self._live:
                self._finishing.add(frame.utterance)
                self._serve()
            case Kind.DROP if frame.utterance in self._live:
                utterance = self._live.pop(frame.utterance)
                utterance.abandon()
                self._release(utterance)
                self._serve()
            case _:
                pass

    def _serve(self) -> None:
        """Finish what can be finished and give free decoders to those who wait, oldest first."""
        for number in [number for number in self._live if number in self._finishing or self._live[number].pair is None]:
            utterance = self._live[number]
            if utterance.pair is None and (pair := self._free_pair()) is not None:
                pair.use(utterance.key, *self._grammars[utterance.key])
                utterance.begin(pair)
            if utterance.pair is not None and number in self._finishing:
                self._finishing.discard(number)
                del self._live[number]
                self._answer(number, utterance.finish())
                self._release(utterance)

    def _free_pair(self) -> DecoderPair | None:
        if not self._idle and self._pairs < MAXIMUM_DECODERS:
            self._idle.append(make_pair())
            self._pairs += 1
        return self._idle.pop() if self._idle else None

    def _release(self, utterance: Utterance) -> None:
        if utterance.pair is not None:
            self._idle.append(utterance.pair)
            utterance.pair = None

    def _answer(self, number: int, found: Recognition) -> None:
        content = {"text": found.text, "score": max(found.score, -1e6), "frames": found.frames}
        self._output.write(encode_frame(Frame(Kind.RESULT, number, json.dumps(content).encode())))
        self._output.flush()


def _frames(source: BinaryIO) -> Iterator[Frame]:
    while (frame := read_frame(source)) is not None:
        yield frame


def main() -> None:
    """Serve standard input until it ends: the emulator is gone then, or has no use for speech any more."""
    process = RecogniserProcess(sys.stdout.buffer)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        for frame in _frames(sys.stdin.buffer):
            process.handle(frame)


if __name__ == "__main__":
    main()

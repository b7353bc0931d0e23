"""The recogniser process: pocketsphinx on closed grammars, driven by messages on standard input.

It is a process of its own because pocketsphinx holds the interpreter's lock while it decodes. An utterance is decoded as a whole, since the
cepstral mean of the whole makes a third fewer errors than a running one; the decoding starts at the first pause, before the end of the turn
is certain, so that the result is usually there when it is asked for. A second decoder on a free loop of phones tells by how much better it
explains the sound whether somebody said something else (`recogniser.is_understood`).
"""

import array
import contextlib
import json
import math
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pocketsphinx import Decoder, FsgModel, get_model_path

from nova_sonic_local.speech.automaton import Automaton, compile_grammar
from nova_sonic_local.speech.frames import Frame, Kind, encode_frame, read_frame
from nova_sonic_local.speech.resample import Resampler, pcm_of, samples_of

MODEL_HERTZ = 16000
"""Rate of the acoustic model."""

PIECE_SAMPLES = MODEL_HERTZ * 32 // 1000
"""Loudness is measured in pieces of 32 ms."""

NOISE_PEAK = 57
"""Uniform noise of -60 dBFS (RMS 33 of 32768): digital silence would break the cepstral mean (measured)."""

LONGEST_SECONDS = 30
"""More of one utterance is dropped: the longest request of the built-in scenario takes 12 seconds."""

PAUSE_PIECES = 7
"""A pause of 224 ms may be the end: the decoding starts, and is over before the turn is (480 ms at medium sensitivity)."""

KEPT_PIECES = 9
"""Silence kept before and after the speech: the acoustic model wants 0.3 s, and more would pull the cepstral mean towards the noise."""

_QUIET_SHARE = 0.04
"""A piece below this share of the loudest piece (-28 dB) is silence."""

_QUIET_RMS = 60.0
"""A piece below this (-55 dBFS) is silence in any case."""

_WORD_PROBABILITY = 1e-5
"""Of each word; low, so that few long words win over many short ones."""

_LOG_UNIT = math.log(1.0001) * 1024
"""pocketsphinx's logarithms have base 1.0001, and its acoustic scores are divided by 1024."""

_FRAMES_PER_SECOND = 100
_FILLER_MARKS = "<[+"
"""Pauses and noises are words like <sil> and [NOISE]."""

_PHONE_LOOP = "phones"
_WORST_SCORE = -1e6


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the decoders made of an utterance."""

    text: str
    score: float
    """Natural log-likelihood per frame of the grammar over the free phone loop, times 1024."""
    coverage: float = 0.0
    """Share of the sounding time that is taken by words; the rest was taken for pauses."""


class Decoders:
    """Two decoders that hear the same utterance: one on the grammar, one on the free phone loop. Loading takes 15 ms and 11 MB."""

    def __init__(self) -> None:
        model = Path(get_model_path()) / "en-us" / "en-us"
        empty = Path(__file__).parent / "data" / "empty.dict"
        # Beams wider than usual: as fast, on so small a network, and fewer sentences are lost. The lattice search after the first
        # pass (bestpath) doubles the time and returns sentences that are not of the grammar.
        settings = {"hmm": str(model), "dict": str(empty), "lm": None, "loglevel": "FATAL", "bestpath": False}
        self._grammar = Decoder(**settings, beam=1e-60, wbeam=1e-40, pbeam=1e-60)
        # The phone loop scores every second frame: half the work, and it tells right from wrong as well.
        self._phones = Decoder(**settings, ds=2)
        self._phones.add_allphone_file(_PHONE_LOOP, None)
        self._phones.activate_search(_PHONE_LOOP)
        self._known: set[str] = set()
        self._words: set[str] = set()

    def learn(self, key: str, jsgf: str, words: Mapping[str, Sequence[str]]) -> None:
        """Compile a grammar; `words` are the pronunciations of its words."""
        if key in self._known:
            return
        for word, variants in words.items():
            for number, phones in enumerate(variants, 1):
                name = word if number == 1 else f"{word}({number})"
                if name not in self._words:
                    self._grammar.add_word(name, phones, False)
                    self._words.add(name)
        self._grammar.add_fsg(key, network(self._grammar, compile_grammar(jsgf)))
        self._known.add(key)

    def decode(self, key: str, pcm: bytes, sounding_seconds: float) -> Recognition:
        """Recognise a whole utterance; without a grammar of this key it is nothing.

        Args:
            key: The grammar.
            pcm: The utterance at the model's rate.
            sounding_seconds: How much of it is not silence.

        """
        if key not in self._known or not pcm:
            return Recognition("", _WORST_SCORE)
        self._grammar.activate_search(key)
        for decoder in (self._grammar, self._phones):
            decoder.start_utt()
            decoder.process_raw(pcm, no_search=False, full_utt=True)
            decoder.end_utt()
        found, loop, frames = self._grammar.hyp(), self._phones.hyp(), self._grammar.n_frames()
        if found is None or loop is None or not frames:
            return Recognition("", _WORST_SCORE)
        log = self._grammar.get_logmath().log
        spoken = sum(part.end_frame - part.start_frame + 1 for part in self._grammar.seg() if part.word[0] not in _FILLER_MARKS)
        coverage = spoken / _FRAMES_PER_SECOND / max(sounding_seconds, 1 / _FRAMES_PER_SECOND)
        return Recognition(found.hypstr, (log(found.score) - log(loop.score)) * _LOG_UNIT / frames, coverage)


def network(decoder: Decoder, automaton: Automaton) -> FsgModel:
    """Return an automaton as a search network; all words are equally likely, and each end leads to the last state."""
    last = automaton.states
    steps: list[tuple[int, int, float] | tuple[int, int, float, str]] = [
        (source, target, _WORD_PROBABILITY, word) for source, word, target in automaton.transitions
    ]
    steps += [(state, last, 1.0) for state in sorted(automaton.accepting)]
    return decoder.create_fsg("scenario", start_state=0, final_state=last, transitions=steps)


class Utterance:
    """The sound of one turn as it comes in."""

    def __init__(self, grammar: str, hertz: int) -> None:
        self.grammar = grammar
        self.dropped = 0
        """Samples beyond the longest utterance."""
        self.result: Recognition | None = None
        """Of all speech so far; None when there is speech that was not decoded."""
        self._resampler = Resampler(hertz, MODEL_HERTZ)
        self._samples = array.array("h")
        self._levels: list[float] = []
        self._loudest = 0.0

    def feed(self, pcm: bytes) -> None:
        """Take audio."""
        self._take(self._resampler.feed(pcm))

    def end(self) -> None:
        """Take what the resampler still holds."""
        self._take(self._resampler.finish())

    def _take(self, pcm: bytes) -> None:
        came = samples_of(pcm)
        room = max(0, LONGEST_SECONDS * MODEL_HERTZ - len(self._samples))
        self.dropped += max(0, len(came) - room)
        self._samples.extend(came[:room])
        while (len(self._levels) + 1) * PIECE_SAMPLES <= len(self._samples):
            start = len(self._levels) * PIECE_SAMPLES
            piece = self._samples[start : start + PIECE_SAMPLES]
            level = math.sqrt(math.sumprod(piece, piece) / PIECE_SAMPLES)
            self._levels.append(level)
            self._loudest = max(self._loudest, level)
            if not self._is_quiet(level):
                self.result = None

    def _is_quiet(self, level: float) -> bool:
        return level < max(_QUIET_RMS, self._loudest * _QUIET_SHARE)

    @property
    def pauses(self) -> bool:
        """Say whether there was speech, and a pause after it."""
        return len(self._levels) > PAUSE_PIECES and all(map(self._is_quiet, self._levels[-PAUSE_PIECES:])) and bool(self.speech())

    @property
    def sounding_seconds(self) -> float:
        """Return how much of the utterance is not silence."""
        return sum(not self._is_quiet(level) for level in self._levels) * PIECE_SAMPLES / MODEL_HERTZ

    def speech(self) -> bytes:
        """Return the speech with a little silence around it and the noise floor under it; empty when all was quiet."""
        loud = [place for place, level in enumerate(self._levels) if not self._is_quiet(level)]
        if not loud:
            return b""
        start = max(0, loud[0] - KEPT_PIECES) * PIECE_SAMPLES
        samples = self._samples[start : (loud[-1] + 1 + KEPT_PIECES) * PIECE_SAMPLES]
        noise = _noise(len(samples))
        return pcm_of([max(-32768, min(32767, sample + extra)) for sample, extra in zip(samples, noise, strict=True)])


def _noise(length: int) -> list[int]:
    source = random.Random(1)  # noqa: S311 - dither, the same in each run
    return [value % (2 * NOISE_PEAK + 1) - NOISE_PEAK for value in source.randbytes(length)]


class RecogniserProcess:
    """Answers messages until the stream ends."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._decoders = Decoders()
        self._live: dict[int, Utterance] = {}

    def handle(self, frame: Frame) -> None:
        """Answer one message."""
        utterance = self._live.get(frame.utterance)
        match frame.kind:
            case Kind.GRAMMAR:
                content = json.loads(frame.payload)
                self._decoders.learn(content["key"], content["jsgf"], content["words"])
            case Kind.OPEN:
                content = json.loads(frame.payload)
                self._live[frame.utterance] = Utterance(content["grammar"], content["hertz"])
            case Kind.AUDIO if utterance is not None:
                utterance.feed(frame.payload)
                if utterance.result is None and utterance.pauses:
                    self._decode(utterance)
            case Kind.FINISH if utterance is not None:
                utterance.end()
                self._answer(frame.utterance, utterance.result or self._decode(utterance))
                del self._live[frame.utterance]
            case Kind.DROP:
                self._live.pop(frame.utterance, None)
            case _:
                pass

    def _decode(self, utterance: Utterance) -> Recognition:
        utterance.result = self._decoders.decode(utterance.grammar, utterance.speech(), utterance.sounding_seconds)
        return utterance.result

    def _answer(self, number: int, found: Recognition) -> None:
        content = {"text": found.text, "score": found.score, "coverage": found.coverage}
        self._output.write(encode_frame(Frame(Kind.RESULT, number, json.dumps(content).encode())))
        self._output.flush()


def main() -> None:
    """Serve standard input until it ends: the emulator is gone then, or has no use for speech any more."""
    process = RecogniserProcess(sys.stdout.buffer)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        while (frame := read_frame(sys.stdin.buffer)) is not None:
            process.handle(frame)


if __name__ == "__main__":
    main()

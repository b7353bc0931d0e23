"""The recogniser process: pocketsphinx on closed grammars, driven by messages on standard input.

It is a process of its own because pocketsphinx holds the interpreter's lock while it decodes. An utterance is decoded as a whole, since
with the cepstral mean of the whole 10 of 60 sentences went wrong, and with a running one 13 to 25; the decoding starts at the first pause,
before the end of the turn is certain, so that the result is usually there when it is asked for. A second decoder on a free loop of phones
tells by how much better it explains the sound whether somebody said something else (`recogniser.is_understood`).
"""

import contextlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pocketsphinx import Decoder, FsgModel, get_model_path

from nova_sonic_local.speech.automaton import Automaton, compile_grammar
from nova_sonic_local.speech.frames import Frame, Kind, encode_frame, read_frame
from nova_sonic_local.speech.utterance import Utterance

MOST_READY = 6
"""Grammars kept compiled, at 9 MB each; compiling one again takes 60 ms."""

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


NOTHING = Recognition("", _WORST_SCORE)
"""What is recognised in silence, or without a grammar."""


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
        self._grammars: dict[str, str] = {}
        self._ready: list[str] = []
        """Keys of the grammars that are compiled, the one used last at the end."""
        self._words: set[str] = set()

    def learn(self, key: str, jsgf: str, words: Mapping[str, Sequence[str]]) -> None:
        """Make ready for a grammar; `words` are the pronunciations of its words."""
        self._grammars[key] = jsgf
        for word, variants in words.items():
            for number, phones in enumerate(variants, 1):
                name = word if number == 1 else f"{word}({number})"
                if name not in self._words:
                    self._grammar.add_word(name, phones, False)
                    self._words.add(name)
        self._use(key)

    def _use(self, key: str) -> None:
        """Switch to a grammar, compiling it when it is new or was put away."""
        if key in self._ready:
            self._ready.remove(key)
        else:
            self._grammar.add_fsg(key, network(self._grammar, compile_grammar(self._grammars[key])))
        self._ready.append(key)
        self._grammar.activate_search(key)
        while len(self._ready) > MOST_READY:
            self._grammar.remove_search(self._ready.pop(0))

    def decode(self, key: str, pcm: bytes, sounding_seconds: float) -> Recognition:
        """Recognise a whole utterance; without a grammar of this key it is nothing.

        Args:
            key: The grammar.
            pcm: The utterance at the model's rate.
            sounding_seconds: How much of it is not silence.

        """
        if key not in self._grammars or not pcm:
            return NOTHING
        self._use(key)
        for decoder in (self._grammar, self._phones):
            decoder.start_utt()
            decoder.process_raw(pcm, no_search=False, full_utt=True)
            decoder.end_utt()
        found, loop, frames = self._grammar.hyp(), self._phones.hyp(), self._grammar.n_frames()
        if found is None or loop is None or not frames:
            return NOTHING
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


class RecogniserProcess:
    """Answers messages until the stream ends."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._decoders = Decoders()
        self._live: dict[int, Utterance] = {}
        self._results: dict[int, Recognition] = {}
        """Of live utterances: what was recognised at their last pause."""

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
                if utterance.grew and utterance.pauses:
                    self._decode(frame.utterance, utterance)
            case Kind.FINISH if utterance is not None:
                utterance.end()
                if utterance.grew:
                    self._decode(frame.utterance, utterance)
                self._answer(frame.utterance, self._results.pop(frame.utterance, NOTHING))
                del self._live[frame.utterance]
            case Kind.DROP:
                self._live.pop(frame.utterance, None)
                self._results.pop(frame.utterance, None)
            case _:
                pass

    def _decode(self, number: int, utterance: Utterance) -> None:
        utterance.grew = False
        self._results[number] = self._decoders.decode(utterance.grammar, utterance.speech(), utterance.sounding_seconds)

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

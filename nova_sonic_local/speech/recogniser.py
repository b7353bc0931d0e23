"""Recognise speech in a process of its own, one per language, shared by all streams that speak it."""

import asyncio
import contextlib
import hashlib
import importlib.util
import itertools
import json
import logging
import sys
from dataclasses import dataclass

from nova_sonic_local.speech.dictionary import UnknownWordsError, pronounce
from nova_sonic_local.speech.frames import BrokenPipeFrameError, Frame, Kind, encode_frame, receive_frame
from nova_sonic_local.speech.grammar import Grammar
from nova_sonic_local.speech.language import Language, load_language

LEAST_COVERAGE = 0.8
"""Least share of the sounding time that words must take: right sentences have 0.87 and more, "yes please" found in a long sentence about
bread 0.1 to 0.6 (docs/reference/scenarios.md)."""

RESULT_SECONDS = 8.0
"""Most that a result is waited for; usual are a few milliseconds after the last sample."""

CLOSE_SECONDS = 2.0

MOST_STARTS = 5
"""A recogniser that ends this often is broken, and is left alone."""

_log = logging.getLogger(__name__)


class RecogniserUnavailable(RuntimeError):
    """Speech cannot be recognised here; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What an utterance was taken for."""

    text: str
    score: float
    """Log-likelihood per frame over a free loop of phones."""
    coverage: float
    """Share of the sounding time that is taken by words."""


def is_understood(found: Recognised, language: Language) -> bool:
    """Say whether it was a sentence of the grammar, and not something else for which the grammar has only this."""
    least = float(language.sections["recognition"].text("least_score"))
    return bool(found.text) and found.score >= least and found.coverage >= LEAST_COVERAGE


def is_available() -> bool:
    """Say whether the recogniser is installed; imports nothing."""
    return importlib.util.find_spec("pocketsphinx") is not None


class Recogniser:
    """The asyncio side of one recogniser process. Start it with `start`, end it with `close`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._results: dict[int, asyncio.Future[Recognised | None]] = {}
        self._known: set[str] = set()
        self._starting = asyncio.Lock()
        self._starts = 0

    async def prepare(self, grammar: Grammar) -> str:
        """Start the process if it is not running, make it know the grammar, and return the grammar's key.

        Raises:
            RecogniserUnavailable: pocketsphinx is missing, or a word has no pronunciation.

        """
        key = hashlib.sha256(grammar.jsgf.encode()).hexdigest()[:16]
        async with self._starting:
            if not self.is_running:
                await self._start()
            if key not in self._known:
                try:
                    words = await asyncio.to_thread(pronounce, grammar.words, grammar.language)
                except UnknownWordsError as error:
                    raise RecogniserUnavailable(str(error)) from error
                content = {"key": key, "jsgf": grammar.jsgf, "words": words}
                await self.send(Frame(Kind.GRAMMAR, 0, json.dumps(content).encode()))
                self._known.add(key)
        return key

    @property
    def is_running(self) -> bool:
        """Say whether the process lives."""
        return self._process is not None and self._process.returncode is None and self._reading is not None and not self._reading.done()

    async def _start(self) -> None:
        if not is_available():
            raise RecogniserUnavailable("speech is not recognised: the package pocketsphinx is not installed")
        if self._starts >= MOST_STARTS:
            raise RecogniserUnavailable("the recogniser ended again and again; speech is not recognised any more")
        self._starts += 1
        await self.close()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nova_sonic_local.speech.decoding", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            return
        try:
            while (frame := await receive_frame(process.stdout)) is not None:
                waiting = self._results.pop(frame.utterance, None)
                if frame.kind is Kind.RESULT and waiting is not None and not waiting.done():
                    content = json.loads(frame.payload)
                    waiting.set_result(Recognised(content["text"], content["score"], content["coverage"]))
        except BrokenPipeFrameError:
            _log.exception("the recogniser sent something else than messages")
        finally:
            for waiting in self._results.values():
                if not waiting.done():
                    waiting.set_result(None)
            self._results.clear()

    async def send(self, frame: Frame) -> None:
        """Write a message; silently nothing when the process is gone, which shows in the missing result."""
        if self._process is None or self._process.stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(encode_frame(frame))
            await self._process.stdin.drain()

    def expect(self) -> "tuple[int, asyncio.Future[Recognised | None]]":
        """Return the number of a new utterance and the future of its result."""
        number = next(self._numbers)
        future: asyncio.Future[Recognised | None] = asyncio.get_running_loop().create_future()
        self._results[number] = future
        return number, future

    def forget(self, number: int) -> None:
        """Expect no result any more."""
        self._results.pop(number, None)

    async def close(self) -> None:
        """End the process: its input ends, and if that is not enough it is killed."""
        process, reading = self._process, self._reading
        self._process = self._reading = None
        self._known.clear()
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if reading is not None:
            await reading


class SpeechListener:
    """Recognises one turn; satisfies `Listener`.

    Args:
        recogniser: The process.
        grammar: What can be said now.
        hertz: Rate of the audio.
    """

    def __init__(self, recogniser: Recogniser, grammar: Grammar, hertz: int) -> None:
        self._recogniser = recogniser
        self._grammar = grammar
        self._hertz = hertz
        self._number: int | None = None
        self._result: asyncio.Future[Recognised | None] | None = None
        self.found: Recognised | None = None
        """The result, understood or not."""

    async def feed(self, pcm: bytes) -> None:
        """Take the next piece of speech at the input rate."""
        try:
            await self._open()
        except (RecogniserUnavailable, OSError) as error:
            _log.warning("%s", error)
            return
        if self._number is not None:
            await self._recogniser.send(Frame(Kind.AUDIO, self._number, pcm))

    async def _open(self) -> None:
        if self._number is None:
            key = await self._recogniser.prepare(self._grammar)
            self._number, self._result = self._recogniser.expect()
            content = {"grammar": key, "hertz": self._hertz}
            await self._recogniser.send(Frame(Kind.OPEN, self._number, json.dumps(content).encode()))

    async def finish(self) -> str | None:
        """Return the text, or None when it was nothing of the grammar."""
        if self._number is None or self._result is None:
            return None
        try:
            await self._recogniser.send(Frame(Kind.FINISH, self._number))
            async with asyncio.timeout(RESULT_SECONDS):
                self.found = await self._result
        except TimeoutError:
            await self._recogniser.send(Frame(Kind.DROP, self._number))
            return None
        except asyncio.CancelledError:
            await self._recogniser.send(Frame(Kind.DROP, self._number))
            raise
        finally:
            self._recogniser.forget(self._number)
        return self.found.text if self.found is not None and is_understood(self.found, load_language(self._grammar.language)) else None

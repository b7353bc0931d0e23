"""Speak: espeak-ng or flite as a program of its own, or the built-in voice.

espeak-ng is GPL-3.0-or-later and therefore only ever run as an executable that the user installed. Synthesis happens in its process; the
conversion to the prompt's rate happens here in pieces of 2 ms, between which the event loop serves others.
"""

import asyncio
import contextlib
import io
import re
import shutil
import wave
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from nova_sonic_local.babble import BabbleVoice
from nova_sonic_local.brains.interface import Voice
from nova_sonic_local.speech.resample import Resampler
from nova_sonic_local.speech.tokens import fold

LONGEST_TEXT = 1000
"""Characters of one sentence group; more is cut at a word. About 70 seconds of speech."""

SYNTHESIS_SECONDS = 10.0
"""A synthesiser that takes longer is stopped, and the built-in voice speaks instead. Usual are 20 ms."""

CACHED_BYTES = 8 * 1024 * 1024
"""Recent sentences are kept: questions and greetings come again."""

_PIECE_BYTES = 4096
"""Converting this much takes about 2 ms."""

_MARKER = re.compile(r"\[[A-Z_ ]+\]")
"""A marker such as [FINAL], which is written and not spoken."""


class Gender(Enum):
    """Which voice of a synthesiser comes closest."""

    FEMALE = "f"
    MALE = "m"


@dataclass(frozen=True, slots=True)
class Speaker:
    """How a voice id of Nova Sonic sounds here."""

    espeak: str
    """Voice of espeak-ng."""
    gender: Gender

    @property
    def is_english(self) -> bool:
        """Say whether flite, which knows English only, can stand in."""
        return self.espeak.startswith("en")


# Languages and genders of the voice ids: Amazon Nova 2 user guide, "Available voices". espeak-ng has no Australian or Indian English.
_FEMALE, _MALE = Gender.FEMALE, Gender.MALE
_SPEAKERS = {
    "matthew": Speaker("en-us", _MALE),
    "tiffany": Speaker("en-us+f2", _FEMALE),
    "amy": Speaker("en-gb+f2", _FEMALE),
    "olivia": Speaker("en-gb+f4", _FEMALE),
    "kiara": Speaker("en-gb+f3", _FEMALE),
    "arjun": Speaker("en-gb+m3", _MALE),
    "lupe": Speaker("es-419+f2", _FEMALE),
    "carlos": Speaker("es-419", _MALE),
    "ambre": Speaker("fr+f2", _FEMALE),
    "florian": Speaker("fr", _MALE),
    "beatrice": Speaker("it+f2", _FEMALE),
    "lorenzo": Speaker("it", _MALE),
    "greta": Speaker("de+f2", _FEMALE),
    "tina": Speaker("de+f2", _FEMALE),
    "lennart": Speaker("de", _MALE),
    "carolina": Speaker("pt-br+f2", _FEMALE),
    "leo": Speaker("pt-br", _MALE),
}
_UNKNOWN = Speaker("en-us", _MALE)


class SynthesisFailed(RuntimeError):
    """The synthesiser is gone, failed, or took too long."""


class Engine(Protocol):
    """A program that synthesises."""

    def command(self, speaker: Speaker, text: str) -> tuple[list[str], bytes]:
        """Return (command, its standard input); a WAV file comes on standard output."""


@dataclass(frozen=True, slots=True)
class Espeak:
    """espeak-ng; 22050 Hz."""

    program: str
    words_per_minute: int = 165

    def command(self, speaker: Speaker, text: str) -> tuple[list[str], bytes]:
        """Return the command; the text goes to standard input, so that it cannot be an option."""
        return [self.program, "--stdin", "--stdout", "-v", speaker.espeak, "-s", str(self.words_per_minute)], text.encode()


@dataclass(frozen=True, slots=True)
class Flite:
    """flite; 16000 Hz, English only, no accents."""

    program: str
    voice: str = ""
    """One of flite's own; by default slt or rms, by gender."""

    def command(self, speaker: Speaker, text: str) -> tuple[list[str], bytes]:
        """Return the command; the text is the value of an option, because flite cannot open asyncio's standard input as a file."""
        voice = self.voice or ("slt" if speaker.gender is Gender.FEMALE else "rms")
        return [self.program, "-voice", voice, "-t", fold(text), "-o", "/dev/stdout"], b""


class SynthesisedVoice:
    """Speaks with an installed synthesiser, and with the built-in voice where that cannot."""

    def __init__(self, engine: Engine, *, english_only: bool = False) -> None:
        self._engine = engine
        self._english_only = english_only
        self._fallback = BabbleVoice()
        self._recent: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
        self._recent_bytes = 0
        self.failures = 0
        """How often the built-in voice had to stand in."""

    async def speak(self, text: str, voice_id: str, hertz: int) -> bytes:
        """Return the text as 16-bit little-endian mono speech at the given rate; markers in brackets are not spoken."""
        spoken = spoken_text(text)
        if not spoken:
            return b""
        key = (spoken, voice_id, hertz)
        if key in self._recent:
            self._recent.move_to_end(key)
            return self._recent[key]
        speaker = _SPEAKERS.get(voice_id.casefold(), _UNKNOWN)
        if self._english_only and not speaker.is_english:
            return await self._fallback.speak(spoken, voice_id, hertz)
        try:
            pcm = await synthesise(self._engine, speaker, spoken, hertz)
        except SynthesisFailed:
            self.failures += 1
            return await self._fallback.speak(spoken, voice_id, hertz)
        self._remember(key, pcm)
        return pcm

    def _remember(self, key: tuple[str, str, int], pcm: bytes) -> None:
        self._recent[key] = pcm
        self._recent_bytes += len(pcm)
        while self._recent_bytes > CACHED_BYTES:
            _, oldest = self._recent.popitem(last=False)
            self._recent_bytes -= len(oldest)


def find_speaker(voice: str) -> Speaker:
    """Return how a voice id of Nova Sonic sounds here; any other name is taken for one of espeak-ng's."""
    return _SPEAKERS.get(voice.casefold(), Speaker(voice, Gender.MALE))


def spoken_text(text: str) -> str:
    """Return what is to be spoken: without markers, on one line, not too long."""
    plain = " ".join(_MARKER.sub(" ", text).split())
    return plain if len(plain) <= LONGEST_TEXT else plain[:LONGEST_TEXT].rsplit(" ", 1)[0]


async def synthesise(engine: Engine, speaker: Speaker, text: str, hertz: int) -> bytes:
    """Run the synthesiser once.

    Raises:
        SynthesisFailed: It is gone, failed, took too long, or returned no WAV file of 16-bit mono.

    """
    command, given = engine.command(speaker, text)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError as error:
        raise SynthesisFailed(str(error)) from error
    try:
        async with asyncio.timeout(SYNTHESIS_SECONDS):
            output, _ = await process.communicate(given)
    except TimeoutError as error:
        raise SynthesisFailed("the synthesiser took too long") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise SynthesisFailed(f"the synthesiser ended with {process.returncode}")
    pcm, rate = _read_wav(output)
    return await _convert(pcm, rate, hertz)


def _read_wav(content: bytes) -> tuple[bytes, int]:
    """Return (samples, rate). On a pipe espeak-ng cannot know the length, so the header's is not to be trusted."""
    try:
        with wave.open(io.BytesIO(content)) as file:
            if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                raise SynthesisFailed("the synthesiser made something else than 16-bit mono")
            return file.readframes(len(content)), file.getframerate()
    except (wave.Error, EOFError) as error:
        raise SynthesisFailed("the synthesiser made no sound") from error


async def _convert(pcm: bytes, from_hertz: int, to_hertz: int) -> bytes:
    resampler = Resampler(from_hertz, to_hertz)
    pieces: list[bytes] = []
    for start in range(0, len(pcm), _PIECE_BYTES):
        pieces.append(resampler.feed(pcm[start : start + _PIECE_BYTES]))
        await asyncio.sleep(0)
    pieces.append(resampler.finish())
    return b"".join(pieces)


def choose_voice(preference: str) -> Voice:
    """Return a voice: "espeak", "flite", "builtin", or "auto" for the best that is installed.

    Raises:
        ValueError: It is not known, or not installed.

    """
    espeak, flite = shutil.which("espeak-ng"), shutil.which("flite")
    match preference:
        case "builtin":
            return BabbleVoice()
        case "espeak" | "auto" if espeak is not None:
            return SynthesisedVoice(Espeak(espeak))
        case "flite" | "auto" if flite is not None:
            return SynthesisedVoice(Flite(flite), english_only=True)
        case "auto":
            return BabbleVoice()
        case "espeak" | "flite":
            program = "espeak-ng" if preference == "espeak" else "flite"
            raise ValueError(f"the voice {preference!r} needs the program {program} on the PATH; install it or choose auto or builtin")
        case _:
            raise ValueError(f"the voice {preference!r} is not known: choose auto, espeak, flite or builtin")

"""Pronunciations of words, from three places: the files in `data/`, the recogniser's own English dictionary, and espeak-ng.

`python -m nova_sonic_local.speech.dictionary` writes `data/es.dict` and `data/en.dict` for the scenarios here, so that a machine without
espeak-ng understands it too. Words of other scenarios are looked up with espeak-ng once and kept in the user's cache.
"""

import argparse
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from nova_sonic_local.speech.language import load_language
from nova_sonic_local.speech.phonemes import VARIANTS, pronunciations
from nova_sonic_local.speech.tokens import fold

type Pronunciations = dict[str, tuple[str, ...]]

ESPEAK_VOICES: Mapping[str, str] = {"es": "es-419", "en": "en-us"}
"""espeak-ng has no Argentine voice; es-419 is Latin America, which like it has no "th" sound."""

_ALTERNATIVE = re.compile(r"\(\d+\)$")
_LOOK_UP_SECONDS = 20.0


class UnknownWordsError(LookupError):
    """Nobody can tell how some words are pronounced."""


def parse_dictionary(text: str) -> Pronunciations:
    """Parse the CMU dictionary format: "word PH ON ES" and "word(2) PH ON ES"."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, _, phones = line.partition(" ")
        if phones:
            found.setdefault(_ALTERNATIVE.sub("", word), []).append(phones.strip())
    return {word: tuple(phones) for word, phones in found.items()}


def format_dictionary(words: Mapping[str, Sequence[str]]) -> str:
    """Write the CMU dictionary format, sorted by word."""
    lines = [
        f"{word}{f'({number})' if number > 1 else ''} {phones}" for word in sorted(words) for number, phones in enumerate(words[word], 1)
    ]
    return "\n".join(lines) + "\n"


def shipped(language: str) -> Pronunciations:
    """Return the pronunciations that come with the emulator."""
    path = resources.files("nova_sonic_local.speech") / "data" / f"{language}.dict"
    return parse_dictionary(path.read_text(encoding="utf-8")) if path.is_file() else {}


def pronounce(words: Iterable[str], language: str, cache: Path | None = None) -> Pronunciations:
    """Return how the words are pronounced.

    Reads files and may run espeak-ng for seconds: not for the event loop.

    Args:
        words: Words in lower case.
        language: "es" or "en".
        cache: Where looked-up words are kept; by default the user's cache directory.

    Raises:
        UnknownWordsError: A word is in no dictionary, and espeak-ng is not there or cannot say it.

    """
    wanted = set(words)
    found = _take(shipped(language), wanted)
    if missing := wanted - found.keys():
        path = (cache or _cache_directory()) / f"{language}.dict"
        found |= _take(_read(path), missing)
        if missing := wanted - found.keys():
            looked_up = look_up(missing, language)
            found |= looked_up
            _keep(path, looked_up)
    return found


def look_up(words: Iterable[str], language: str) -> Pronunciations:
    """Return pronunciations from the recogniser's English dictionary, otherwise from espeak-ng.

    Raises:
        UnknownWordsError: Neither knows a word.

    """
    wanted = sorted(set(words))
    language_file = load_language(language)
    table = language_file.sections["phonemes"]
    sounds = {sound: table.texts(sound) for sound in table.values}
    by_hand = language_file.sections.get("pronunciations")
    found: Pronunciations = {word: by_hand.texts(word) for word in by_hand.values if word in wanted} if by_hand else {}
    english = _english_dictionary() if language == "en" else {}
    found = {word: english[word] for word in wanted if word in english} | found
    missing = [word for word in wanted if word not in found]
    try:
        for word, ipa in zip(missing, _espeak_ipa(missing, language), strict=True) if missing else ():
            known = english.get(fold(word), ())[: VARIANTS - 1]  # "pérez" is a foreign word, "perez" is in the dictionary
            found[word] = tuple(dict.fromkeys((*known, *pronunciations(ipa, sounds))))[:VARIANTS]
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UnknownWordsError(f"no pronunciation for {', '.join(missing)} ({language}): {error}") from error
    return found


def _take(known: Pronunciations, wanted: set[str]) -> Pronunciations:
    return {word: known[word] for word in wanted & known.keys()}


def _english_dictionary() -> Pronunciations:
    try:
        from pocketsphinx import get_model_path  # noqa: PLC0415 - optional: without it nothing is recognised anyway
    except ImportError:
        return {}
    path = Path(get_model_path()) / "en-us" / "cmudict-en-us.dict"
    return parse_dictionary(path.read_text(encoding="utf-8"))


def _espeak_ipa(words: Sequence[str], language: str) -> list[str]:
    program = shutil.which("espeak-ng")
    if program is None:
        raise OSError("espeak-ng is not installed")
    lines: list[str] = []
    for word in words:
        command = [program, "-q", "--ipa", "-v", ESPEAK_VOICES[language], "--", word]
        done = subprocess.run(command, capture_output=True, check=True, timeout=_LOOK_UP_SECONDS, text=True)  # noqa: S603 - a fixed program; the word is an argument after "--"
        lines.append(" ".join(done.stdout.split()))
    return lines


def _cache_directory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nova-sonic-local"


def _read(path: Path) -> Pronunciations:
    try:
        return parse_dictionary(path.read_text(encoding="utf-8"))
    except OSError:
        return {}


def _keep(path: Path, words: Pronunciations) -> None:
    """Add words to the cache; a cache that cannot be written is none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.tmp")
        draft.write_text(format_dictionary(_read(path) | words), encoding="utf-8")
        draft.replace(path)
    except OSError:
        return


def main() -> None:
    """Write the dictionaries of the built-in scenarios."""
    from nova_sonic_local.brains.hearing import scenario_words  # noqa: PLC0415 - the brains use this module

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="directory of the files")
    out: Path = parser.parse_args().out
    for language, words in scenario_words().items():
        path = out / f"{language}.dict"
        path.write_text(format_dictionary(look_up(words, language)), encoding="utf-8")


if __name__ == "__main__":
    main()

"""Write a word's International Phonetic Alphabet in ARPAbet, the phones of the recogniser's acoustic model.

The only free acoustic model that comes with pocketsphinx is American English. Spanish is recognised with it by writing Spanish words in
English phones; because no English phone fits exactly, each word gets up to three pronunciations with different neighbours. Which neighbours
are worth it was measured with synthetic voices (docs/reference/scenarios.md); real Spanish speakers have not been measured.
"""

import itertools
from collections.abc import Mapping, Sequence

VARIANTS = 3
"""Most pronunciations of a word: more made recognition worse, as the words come to sound alike."""

_IGNORED = frozenset("\u02c8\u02cc\u02d0\u02d1\u203f\u0361\u0329\u032f\u0303\u200d\u02b0.-_' ")
"""Marks of stress, length, ties and syllables, unless the table names them."""

_VOWELS = frozenset("AEIOU")


def pronunciations(ipa: str, table: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return up to three pronunciations of one word, the likeliest first.

    Args:
        ipa: The word as espeak-ng writes it.
        table: Sound -> phones, the likelier first; `[phonemes]` of a language file.

    Raises:
        ValueError: The word holds a sound that is not in the table, or none at all.

    """
    sounds = [table[sound] for sound in _cut(ipa, table)]
    if not sounds:
        raise ValueError(f"{ipa!r} cannot be written in the phones of the acoustic model")
    return tuple(itertools.islice(dict.fromkeys(_variants(sounds)), VARIANTS))


def _cut(ipa: str, table: Mapping[str, Sequence[str]]) -> list[str]:
    longest = max(map(len, table))
    found: list[str] = []
    place = 0
    while place < len(ipa):
        piece = next((ipa[place : place + length] for length in range(longest, 0, -1) if ipa[place : place + length] in table), None)
        if piece is None and ipa[place] not in _IGNORED:
            return []
        if piece is not None:
            found.append(piece)
        place += len(piece or " ")
    return found


def _variants(sounds: Sequence[Sequence[str]]) -> list[str]:
    """Return first choices everywhere, then second choices of all consonants, then of all vowels."""
    first = [options[0] for options in sounds]
    second_vowels = [options[-1] if options[0][0] in _VOWELS else options[0] for options in sounds]
    second_consonants = [options[-1] if options[0][0] not in _VOWELS else options[0] for options in sounds]
    return [" ".join(variant) for variant in (first, second_consonants, second_vowels)]

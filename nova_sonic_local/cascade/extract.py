"""Notes without a language model: the sentences of a text that say most of what it is about, as they were said."""

import re
from collections import Counter
from typing import Final

MOST_SENTENCES: Final = 6
_ASKS_FOR_NOTES: Final = re.compile(
    r"\b(?:summar(?:y|ies|i[sz]e|i[sz]es|i[sz]ing)|notes|minutes|resum(?:en|e|ir|í)|notas|minuta)\b", re.IGNORECASE
)
_SENTENCE: Final = re.compile(r"[^.!?\n]+[.!?]*")
_WORD: Final = re.compile(r"\w{4,}")


def asks_for_notes(system: str) -> bool:
    """Say whether a system prompt wants notes of a text, and no conversation."""
    return _ASKS_FOR_NOTES.search(system) is not None


def extract(text: str) -> str:
    """Return the sentences with the most frequent words of a text, in their order."""
    sentences = [sentence for found in _SENTENCE.findall(text) if (sentence := found.strip())]
    weights = Counter(_words(text))
    scores = [sum(weights[word] for word in set(_words(sentence))) for sentence in sentences]
    best = sorted(sorted(range(len(sentences)), key=lambda index: -scores[index])[:MOST_SENTENCES])
    return " ".join(sentences[index] for index in best) or text.strip()


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]

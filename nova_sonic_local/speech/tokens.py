"""Cut what was typed or recognised into tokens that compare without regard to case, accents and punctuation."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAXIMUM_CHARACTERS = 600
"""Longer typed text is cut: a spoken turn of 30 seconds has about 400 characters."""

MAXIMUM_TOKENS = 80
"""Matching is done on the event loop and grows with the number of tokens."""

_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # an e-mail address
    r"|\d{4}-\d{2}-\d{2}"  # an ISO date
    r"|\d{1,2}[/-]\d{1,2}(?:[/-]\d{2,4})?"  # day/month
    r"|\d{1,2}:\d{2}"  # a time
    r"|\d{1,3}(?:\.\d{3})+(?!\d)"  # 12.345.678
    r"|\d+(?:[.,]\d{1,2})?"  # a number or a price
    r"|[^\W\d_]+(?:'[^\W\d_]+)*",  # a word, with its apostrophe
)
_DOTTED = re.compile(r"\b([ap])\.\s?m\.?(?=\W|$)", re.IGNORECASE)
_DIGIT_THEN_LETTERS = re.compile(r"(\d)(am|pm|hs|h|min)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number or address of an utterance."""

    raw: str
    """As it was written."""
    folded: str
    """Lower case without accents; what patterns compare."""

    @property
    def is_word(self) -> bool:
        """Say whether it consists of letters only."""
        return self.folded.replace("'", "").isalpha()


def fold(text: str) -> str:
    """Return the text in lower case without accents."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def tokenise(text: str, synonyms: Mapping[str, str] | None = None) -> tuple[Token, ...]:
    """Cut a text into tokens; `synonyms` replaces folded words, as "dr" by "doctor" ("" drops the word)."""
    text = unicodedata.normalize("NFC", text[:MAXIMUM_CHARACTERS]).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    text = _DIGIT_THEN_LETTERS.sub(r"\1 \2", _DOTTED.sub(r"\1m ", text))
    tokens: list[Token] = []
    for raw in _TOKEN.findall(text):
        folded = fold(raw)
        replacement = fold((synonyms or {}).get(folded, folded))
        tokens.extend(Token(raw if replacement == folded else part, part) for part in replacement.split())
    return tuple(tokens[:MAXIMUM_TOKENS])


def words(tokens: Sequence[Token]) -> str:
    """Return the folded words of the tokens, joined by blanks."""
    return " ".join(token.folded for token in tokens)

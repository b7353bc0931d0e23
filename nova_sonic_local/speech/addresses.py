"""Readers of names and e-mail addresses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nova_sonic_local.speech.language import Language
from nova_sonic_local.speech.readers import Table
from nova_sonic_local.speech.tokens import Token, fold

_LONGEST_NAME = 4
_JOINTS_IN_NAMES = frozenset(("de", "del", "la", "las", "los", "da", "van", "von"))


@dataclass(frozen=True, slots=True)
class Name:
    """A person's name: one of a list, or (typed) any words which the scenario does not use otherwise."""

    listed: Table
    vocabulary: frozenset[str]
    """Folded words of the scenario's phrases: they end a name."""
    shortest: int = 2
    """Fewest words of a name that is not in the list."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the listed names found here, then free ones, longest first."""
        yield from self.listed.read(tokens, start)
        end = start
        while end < len(tokens) and end - start < _LONGEST_NAME and self._may_belong(tokens[end], is_first=end == start):
            end += 1
        for stop in range(end, start + self.shortest - 1, -1):
            if tokens[stop - 1].folded not in _JOINTS_IN_NAMES:
                yield stop, " ".join(_capitalised(token) for token in tokens[start:stop])

    def _may_belong(self, token: Token, *, is_first: bool) -> bool:
        if token.folded in _JOINTS_IN_NAMES:
            return not is_first
        return token.is_word and token.folded not in self.vocabulary

    def jsgf(self) -> str:
        """Return the listed names."""
        return self.listed.jsgf()


def _capitalised(token: Token) -> str:
    return token.raw if token.raw != token.raw.lower() or token.folded in _JOINTS_IN_NAMES else token.raw.capitalize()


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail address, typed or spelt out as "juan punto perez arroba email punto com"."""

    names: tuple[str, ...]
    """Words before the at sign which the recogniser knows."""
    domains: tuple[str, ...]
    """First words of domains which the recogniser knows."""
    endings: tuple[str, ...]
    marks: dict[str, str]
    """Folded word -> character: dot, dash, underscore."""
    at: frozenset[str]
    dot: str

    @classmethod
    def of(cls, language: Language, names: Sequence[str], domains: Sequence[str]) -> "Email":
        """Build the reader of a language; `names` are people's names."""
        section = language.sections["emails"]
        marks = {fold(word): "." for word in section.texts("dot")}
        marks |= {fold(word): "-" for word in section.texts("dash")} | {fold(word): "_" for word in section.texts("underscore")}
        parts = tuple(dict.fromkeys(part.casefold() for name in names for part in name.split() if part.isalpha()))
        return cls(parts, tuple(domains), section.texts("domain_words"), marks, frozenset(section.texts("at")), section.texts("dot")[0])

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the address that begins here."""
        if start < len(tokens) and "@" in tokens[start].folded:
            yield start + 1, tokens[start].folded
            return
        place, local = self._run(tokens, start)
        if not local or place >= len(tokens) or tokens[place].folded not in self.at:
            return
        end, domain = self._run(tokens, place + 1)
        if "." in domain:
            yield end, f"{local}@{domain}"

    def _run(self, tokens: Sequence[Token], start: int) -> tuple[int, str]:
        """Read words and digits joined by marks: (end, text); two words in a row end it, digits may follow a word at once."""
        place, text = start, ""
        while place < len(tokens):
            word = tokens[place].folded
            two = f"{word} {tokens[place + 1].folded}" if place + 1 < len(tokens) else ""
            mark, length = (self.marks[two], 2) if two in self.marks else (self.marks.get(word, ""), 1)
            if mark and text and text[-1].isalnum():
                text, place = text + mark, place + length
            elif word not in self.at and word.isalnum() and (not text or not text[-1].isalnum() or word.isdecimal()):
                text, place = text + word, place + 1
            else:
                break
        while text and not text[-1].isalnum():
            text, place = text[:-1], place - 1
        return place, text

    def jsgf(self) -> str:
        """Return the addresses that can be made of the known words."""
        name = f"( {' | '.join(self.names)} )"
        domain, ending, at = (f"( {' | '.join(words)} )" for words in (self.domains, self.endings, sorted(self.at)))
        return f"{name} [ {self.dot} {name} ] {at} {domain} {self.dot} {ending}" if self.names and self.domains else ""

"""Readers made of patterns: tables of words, numbers, digits, and rules that build a value from other readers."""

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nova_sonic_local.speech.patterns import Captures, Node
from nova_sonic_local.speech.tokens import Token, tokenise

_DIGIT_RANGE = range(10)


def _word(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].folded if place < len(tokens) else ""


@dataclass(frozen=True, slots=True)
class Table:
    """A fixed list of spoken forms, each with its value; longer forms are tried first."""

    spoken: tuple[str, ...]
    """The forms that can be spoken, in the dictionary's spelling."""
    forms: tuple[tuple[tuple[str, ...], object], ...]
    """(folded words, value)."""

    @classmethod
    def of(cls, forms: Iterable[tuple[str, object]], spoken: Iterable[str] | None = None) -> "Table":
        """Build a table from (form, value) pairs; `spoken` are the forms for the recogniser, all of them by default."""
        listed = tuple((form.casefold(), value) for form, value in forms)
        cut = ((tuple(token.folded for token in tokenise(form)), value) for form, value in listed)
        said = tuple(dict.fromkeys(form for form, _ in listed) if spoken is None else spoken)
        return cls(said, tuple(sorted(cut, key=lambda pair: -len(pair[0]))))

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the values of the forms found here."""
        for form, value in self.forms:
            end = start + len(form)
            if end <= len(tokens) and all(token.folded == word for token, word in zip(tokens[start:end], form, strict=True)):
                yield end, value

    def jsgf(self) -> str:
        """Return the forms as alternatives."""
        return f"( {' | '.join(self.spoken)} )" if self.spoken else ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Alternatives of patterns, each with a function that makes the value of its captures (None: does not count)."""

    alternatives: tuple[tuple[Node, Callable[[Captures], object]], ...]
    typed: tuple[tuple[Node, Callable[[Captures], object]], ...] = ()
    """Alternatives that are read but not offered to the recogniser."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the values, longest match first."""
        found = [
            (end, value)
            for node, build in itertools.chain(self.alternatives, self.typed)
            for end, captures in node.match(tokens, start)
            if end > start and (value := build(captures)) is not None
        ]
        yield from sorted(found, key=lambda pair: -pair[0])

    def jsgf(self) -> str:
        """Return the alternatives that can be spoken."""
        parts = [part for node, _ in self.alternatives if (part := node.jsgf())]
        return f"( {' | '.join(parts)} )" if parts else ""


@dataclass(frozen=True, slots=True)
class NumberWords:
    """How a language says whole numbers. Words are folded; `spelling` gives the accents back for the recogniser."""

    units: Mapping[str, int]
    """Words that stand alone: 0 to 29 in Spanish, 0 to 19 in English."""
    tens: Mapping[str, int]
    hundreds: Mapping[str, int]
    """Words for whole hundreds: Spanish "doscientos"; empty in English."""
    hundred: str
    """The word that multiplies the unit before it: English "hundred"; empty in Spanish."""
    scales: Mapping[str, int]
    """Thousand and million, which multiply what stands before."""
    joint: str
    """The word between the parts: "y", "and"."""
    joins_units: bool
    """Whether the joint stands between tens and units, as in Spanish; otherwise it stands after the hundreds."""
    also: Mapping[str, int]
    """Other words for single numbers, read but not offered to the recogniser."""
    spelling: Mapping[str, str]

    def read(self, tokens: Sequence[Token], start: int) -> tuple[int, int] | None:
        """Return (end, value) of the longest number in words that begins here, or None."""
        total, place, limit = 0, start, math.inf
        while place < len(tokens):
            end, value = self._below_thousand(tokens, place) or (place, 1)
            scale = self.scales.get(_word(tokens, end), 0)
            if not 0 < scale < limit:
                return (end, total + value) if end > place else ((place, total) if place > start else None)
            total, place, limit = total + value * scale, end + 1, scale
        return (place, total) if place > start else None

    def _below_thousand(self, tokens: Sequence[Token], start: int) -> tuple[int, int] | None:
        first = self._below_hundred(tokens, start)
        if (value := self.hundreds.get(_word(tokens, start))) is not None:
            after = start + 1
        elif self.hundred and first is not None and _word(tokens, first[0]) == self.hundred:
            after, value = first[0] + 1, first[1] * 100
        else:
            return first
        joined = after + 1 if not self.joins_units and _word(tokens, after) == self.joint else after
        rest = self._below_hundred(tokens, joined)
        return (rest[0], value + rest[1]) if rest is not None and rest[1] else (after, value)

    def _below_hundred(self, tokens: Sequence[Token], start: int) -> tuple[int, int] | None:
        word = _word(tokens, start)
        if (value := self.tens.get(word)) is None:
            alone = self.units.get(word, self.also.get(word))
            return None if alone is None else (start + 1, alone)
        after = start + 1
        if self.joins_units:
            after = after + 1 if _word(tokens, after) == self.joint else len(tokens)
        unit = self.units.get(_word(tokens, after), 0)
        return (after + 1, value + unit) if unit in _DIGIT_RANGE and unit else (start + 1, value)

    def jsgf_digit(self) -> str:
        """Return the ten digits as alternatives."""
        return f"( {' | '.join(self._spelt(self.units, _DIGIT_RANGE))} )"

    def jsgf_below_hundred(self) -> str:
        """Return the numbers 0 to 99 as alternatives."""
        joint = f"{self.joint} " if self.joins_units else ""
        units = " | ".join(self._spelt(self.units, _DIGIT_RANGE[1:]))
        return f"( {' | '.join(self._spelt(self.units))} | ( {' | '.join(self._spelt(self.tens))} ) [ {joint}( {units} ) ] )"

    def jsgf_between(self, low: int, high: int) -> str:
        """Return the numbers of a range (within 0 to 99) as alternatives."""
        listed = self._spelt(self.units, range(low, high + 1))
        joint = f"{self.joint} " if self.joins_units else ""
        for ten, value in self.tens.items():
            units = " | ".join(self._spelt(self.units, range(max(1, low - value), min(9, high - value) + 1)))
            if low <= value <= high:
                listed.append(self.spelling.get(ten, ten))
            if units and value <= high:
                listed.append(f"{self.spelling.get(ten, ten)} {joint}( {units} )")
        return f"( {' | '.join(listed)} )"

    def _spelt(self, words: Mapping[str, int], wanted: range | None = None) -> list[str]:
        return [self.spelling.get(word, word) for word, value in words.items() if wanted is None or value in wanted]


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number within bounds, in digits or words."""

    words: NumberWords
    low: int
    high: int
    spoken: str
    """The expansion for the recogniser; empty when it is only typed."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the number that begins here."""
        if start < len(tokens) and tokens[start].folded.isdecimal():
            found: tuple[int, int] | None = (start + 1, int(tokens[start].folded))
        else:
            found = self.words.read(tokens, start)
        if found is not None and self.low <= found[1] <= self.high:
            yield found

    def jsgf(self) -> str:
        """Return the expansion."""
        return self.spoken


@dataclass(frozen=True, slots=True)
class Digits:
    """An identifier: digits one by one, in groups or as a number; the value is a string of digits."""

    words: NumberWords
    shortest: int
    longest: int
    spoken: str

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the digits from here, longest run first."""
        found: list[tuple[int, str]] = []
        place, text = start, ""
        while place < len(tokens) and len(text) <= self.longest:
            raw = tokens[place].folded
            plain = raw.replace(".", "")
            if plain.isdecimal() and (raw == plain or len(plain) > 3):  # noqa: PLR2004 - 12.345.678 has groups of three, 25.99 is a price
                place, text = place + 1, text + plain
            elif (number := self.words.read(tokens, place)) is not None:
                place, text = number[0], text + str(number[1])
            else:
                break
            found.append((place, text))
        yield from ((end, value) for end, value in reversed(found) if self.shortest <= len(value) <= self.longest)

    def jsgf(self) -> str:
        """Return the expansion."""
        return self.spoken


@dataclass(frozen=True, slots=True)
class Price:
    """An amount of money, typed with or without cents."""

    words: NumberWords

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the amount that begins here as a float."""
        if start >= len(tokens):
            return
        text = tokens[start].folded.replace(",", ".")
        if text.replace(".", "", 1).isdecimal():
            yield start + 1, float(text)
        elif (found := self.words.read(tokens, start)) is not None:
            yield found[0], float(found[1])

    def jsgf(self) -> str:
        """Return nothing: prices come from the scenario's catalogue and are only typed."""
        return ""


@dataclass(frozen=True, slots=True)
class TypedForm:
    """A single token of a certain shape, such as 15:00; it is only typed."""

    shape: str
    """Regular expression of the whole token."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the token when it has the shape."""
        if start < len(tokens) and re.fullmatch(self.shape, tokens[start].folded):
            yield start + 1, tokens[start].folded

    def jsgf(self) -> str:
        """Return nothing: it cannot be spoken."""
        return ""


@dataclass(frozen=True, slots=True)
class Items:
    """A list of products with quantities: "dos unidades del producto a y un producto be"."""

    item: Rule
    """Reads one item as a mapping."""
    joint: str
    """The word between items."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield the longest list from here."""
        found: list[object] = []
        place = end = start
        while (first := next(self.item.read(tokens, place), None)) is not None:
            found.append(first[1])
            end = first[0]
            place = end + 1 if _word(tokens, end) == self.joint else end
        if found:
            yield end, found

    def jsgf(self) -> str:
        """Return one or two items."""
        one = self.item.jsgf()
        return f"{one} [ {self.joint} {one} ]"


@dataclass(frozen=True, slots=True)
class FreeText:
    """Any words to the end of the utterance; they can only be typed."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield all remaining words as they were written."""
        if start < len(tokens):
            yield len(tokens), " ".join(token.raw for token in tokens[start:])

    def jsgf(self) -> str:
        """Return nothing: free speech is not recognised."""
        return ""

"""Phrase patterns: one notation for what may be said, read by the recogniser's grammar and by the text matcher alike.

    quiero (ver|consultar) [mi] pedido [número] {order}

Words stand for themselves, `[...]` may be left out, `(a|b)` is a choice, `{name}` is a slot, `word?` is always spoken and may be missing
when typed. A pattern is parsed into nodes. A node can list its matches at a place of a token sequence, and can write itself as an
expansion of JSGF (the W3C note of 5 June 2000), the grammar format of pocketsphinx. Because both come from the same nodes, whatever the
recogniser can return is understood by the matcher.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nova_sonic_local.speech.tokens import Token, fold

type Captures = Mapping[str, object]
type Match = tuple[int, Captures]
"""(index after the last matched token, values of the slots)."""

_NOTHING: Captures = {}
_LEXEME = re.compile(r"[\[\]()|]|\{[\w.]+\}|[^\s\[\](){}|,.;:!?¿¡]+\??")


class PatternError(ValueError):
    """The text of a pattern is not well-formed, or names an unknown slot."""


class Node(Protocol):
    """A piece of a pattern."""

    def match(self, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        """Yield each way to match from `start`, preferred first."""

    def first(self) -> frozenset[str] | None:
        """Return the folded words with which a match can begin; None means anything (or nothing at all)."""

    def jsgf(self) -> str:
        """Return the expansion; empty when it cannot be spoken."""


class Reader(Protocol):
    """What fills a slot: reads a value from tokens, and says how such a value is spoken."""

    def read(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, object]]:
        """Yield (end, value) for each reading from `start`, preferred first."""

    def jsgf(self) -> str:
        """Return the expansion; empty when it cannot be spoken."""


@dataclass(frozen=True, slots=True)
class Word:
    """One fixed word."""

    text: str
    folded: str

    def match(self, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        """Match this word without regard to case and accents."""
        if start < len(tokens) and tokens[start].folded == self.folded:
            yield start + 1, _NOTHING

    def first(self) -> frozenset[str] | None:
        """Return this word."""
        return frozenset((self.folded,))

    def jsgf(self) -> str:
        """Return the word as the dictionary writes it."""
        return self.text


@dataclass(frozen=True, slots=True)
class Marker:
    """A word that the recogniser needs to hear, because it tells what comes next, and which may be missing in typed text."""

    word: Word

    def match(self, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        """Match the word, or nothing."""
        yield from self.word.match(tokens, start)
        yield start, _NOTHING

    def first(self) -> frozenset[str] | None:
        """Return None: what follows it may begin."""
        return None

    def jsgf(self) -> str:
        """Return the word."""
        return self.word.jsgf()


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value."""

    name: str
    reader: Reader

    def match(self, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        """Match what the reader reads."""
        for end, value in self.reader.read(tokens, start):
            yield end, {self.name: value}

    def first(self) -> frozenset[str] | None:
        """Return None: values begin with anything."""
        return None

    def jsgf(self) -> str:
        """Return the spoken forms of the values."""
        return self.reader.jsgf()


@dataclass(frozen=True, slots=True)
class Sequel:
    """Nodes one after the other."""

    items: tuple[Node, ...]

    def match(self, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        """Match all items in order."""
        yield from self._from(0, tokens, start)

    def _from(self, index: int, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        if index == len(self.items):
            yield start, _NOTHING
            return
        for middle, captures in self.items[index].match(tokens, start):
            for end, more in self._from(index + 1, tokens, middle):
                yield end, {**captures, **more} if captures else more

    def first(self) -> frozenset[str] | None:
        """Join the beginnings of the leading optional items with those of the first one that must be there."""
        found: frozenset[str] = frozenset()
        for item in self.items:
            beginning = item.first()
            if beginning is None:
                if not isinstance(item, Choice) or not item.is_optional:
                    return None
                beginning = item.present().first()
                if beginning is None:
                    return None
                found |= beginning
                continue
            return found | beginning
        return None

    def jsgf(self) -> str:
        """Return the items in order; empty when one of them cannot be spoken."""
        parts = [item.jsgf() for item in self.items]
        return " ".join(parts) if all(parts) else ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several nodes; an empty sequel among them makes it optional."""

    options: tuple[Node, ...]

    @property
    def is_optional(self) -> bool:
        """Say whether it may be left out."""
        return any(isinstance(option, Sequel) and not option.items for option in self.options)

    def present(self) -> "Choice":
        """Return it without the way to leave it out."""
        return Choice(tuple(option for option in self.options if not (isinstance(option, Sequel) and not option.items)))

    def match(self, tokens: Sequence[Token], start: int) -> Iterator[Match]:
        """Match the options in order."""
        for option in self.options:
            yield from option.match(tokens, start)

    def first(self) -> frozenset[str] | None:
        """Join the beginnings of the options."""
        found: frozenset[str] = frozenset()
        for option in self.options:
            beginning = option.first()
            if beginning is None:
                return None
            found |= beginning
        return found

    def jsgf(self) -> str:
        """Return the options that can be spoken."""
        parts = [part for option in self.present().options if (part := option.jsgf())]
        if not parts:
            return ""
        return f"[ {' | '.join(parts)} ]" if self.is_optional else f"( {' | '.join(parts)} )"


@dataclass(slots=True)
class _Parser:
    lexemes: list[str]
    readers: Mapping[str, Reader]
    place: int = field(default=0)

    def choice(self, closing: str | None) -> Node:
        options = [self.sequel()]
        while self.place < len(self.lexemes) and self.lexemes[self.place] == "|":
            self.place += 1
            options.append(self.sequel())
        here = self.lexemes[self.place] if self.place < len(self.lexemes) else None
        if here != closing:
            raise PatternError(f"expected {closing or 'the end'}, found {here or 'the end'}")
        self.place += 1
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequel(self) -> Node:
        items: list[Node] = []
        while self.place < len(self.lexemes) and self.lexemes[self.place] not in "])|":
            lexeme = self.lexemes[self.place]
            self.place += 1
            if lexeme == "[":
                items.append(optional(self.choice("]")))
            elif lexeme == "(":
                items.append(self.choice(")"))
            elif lexeme.startswith("{"):
                items.append(self.slot(lexeme[1:-1]))
            elif lexeme.endswith("?"):
                items.append(Marker(Word(lexeme[:-1].casefold(), fold(lexeme[:-1]))))
            else:
                items.append(Word(lexeme.casefold(), fold(lexeme)))
        return items[0] if len(items) == 1 else Sequel(tuple(items))

    def slot(self, name: str) -> Node:
        if name not in self.readers:
            raise PatternError(f"there is no slot {name!r}")
        return Slot(name, self.readers[name])


def optional(node: Node) -> Choice:
    """Return a node that may be left out."""
    options = node.options if isinstance(node, Choice) else (node,)
    return Choice((*options, Sequel(())))


def parse_pattern(text: str, readers: Mapping[str, Reader] | None = None) -> Node:
    """Parse a pattern.

    Raises:
        PatternError: A bracket is missing or too many, or a slot is unknown.

    """
    parser = _Parser(_LEXEME.findall(text), readers or {})
    try:
        return parser.choice(None)
    except PatternError as error:
        raise PatternError(f"{error} in {text!r}") from None

"""Compile a JSGF grammar to the smallest deterministic automaton.

pocketsphinx compiles JSGF itself, but to a network full of null transitions: the built-in scenario then needs up to seven times real time.
The same language as a minimal deterministic automaton is decoded in a fraction of real time (docs/reference/scenarios.md has the figures).
Thompson's construction, subset construction, and Moore's partition refinement.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_LEXEME = re.compile(r"<\w+>|[()\[\]|*+]|[^\s()\[\]|*+<>]+")
_RULE = re.compile(r"(public )?<(\w+)> = ([^;]*);")


class GrammarError(ValueError):
    """The text is not in the subset of JSGF that is written here."""


@dataclass(frozen=True, slots=True)
class Automaton:
    """A deterministic automaton; state 0 is the start."""

    transitions: tuple[tuple[int, str, int], ...]
    """(from, word, to)."""
    accepting: frozenset[int]

    @property
    def states(self) -> int:
        """Return the number of states."""
        return 1 + max((max(source, target) for source, _, target in self.transitions), default=0)

    def accepts(self, words: Iterable[str]) -> bool:
        """Say whether a sentence belongs to the language."""
        steps = {(source, word): target for source, word, target in self.transitions}
        state: int | None = 0
        for word in words:
            state = steps.get((state, word)) if state is not None else None
        return state in self.accepting


def compile_grammar(jsgf: str) -> Automaton:
    """Compile a grammar.

    Raises:
        GrammarError: A rule is missing, calls itself, or is not well-formed.

    """
    rules: dict[str, list[str]] = {}
    public = ""
    for is_public, name, expansion in _RULE.findall(jsgf):
        rules[name] = _LEXEME.findall(expansion)
        public = name if is_public else public
    if public not in rules:
        raise GrammarError("there is no public rule")
    network = _Network(rules)
    start, end = network.rule(public)
    return _minimal(*_determined(network, start, end))


@dataclass(slots=True)
class _Network:
    """A non-deterministic automaton under construction."""

    rules: Mapping[str, list[str]]
    steps: "defaultdict[int, list[tuple[str, int]]]" = field(default_factory=lambda: defaultdict(list))
    nulls: "defaultdict[int, list[int]]" = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    open_rules: list[str] = field(default_factory=list)
    groups: dict[tuple[str, ...], Automaton] = field(default_factory=dict)
    """Groups of words and rules met before, compiled: the same slot stands in many phrases."""

    def state(self) -> int:
        self.count += 1
        return self.count - 1

    def rule(self, name: str) -> tuple[int, int]:
        if name not in self.rules or name in self.open_rules:
            raise GrammarError(f"the rule <{name}> {'calls itself' if name in self.open_rules else 'does not exist'}")
        self.open_rules.append(name)
        found = self.whole(tuple(self.rules[name]))
        self.open_rules.pop()
        return found

    def choice(self, lexemes: list[str], place: int) -> tuple[int, int, int]:
        start, end = self.state(), self.state()
        while True:
            first, last, place = self.sequel(lexemes, place)
            self.nulls[start].append(first)
            self.nulls[last].append(end)
            if place == len(lexemes) or lexemes[place] != "|":
                return start, end, place
            place += 1

    def sequel(self, lexemes: list[str], place: int) -> tuple[int, int, int]:
        start = end = self.state()
        while place < len(lexemes) and lexemes[place] not in "])|":
            first, last, place = self.item(lexemes, place)
            while place < len(lexemes) and lexemes[place] in "*+":
                first, last = self.repeated(first, last, may_be_missing=lexemes[place] == "*")
                place += 1
            self.nulls[end].append(first)
            end = last
        return start, end, place

    def item(self, lexemes: list[str], place: int) -> tuple[int, int, int]:
        lexeme = lexemes[place]
        if lexeme in "([":
            inside = lexemes[place + 1 : _closing(lexemes, place)]
            first, last = self.group(tuple(inside))
            if lexeme == "[":
                self.nulls[first].append(last)
            return first, last, place + len(inside) + 2
        if lexeme.startswith("<"):
            return *self.group((lexeme,)), place + 1
        first, last = self.state(), self.state()
        self.steps[first].append((lexeme, last))
        return first, last, place + 1

    def group(self, lexemes: tuple[str, ...]) -> tuple[int, int]:
        """Add the smallest automaton of a group: far fewer states than its phrases have."""
        if lexemes not in self.groups:
            inner = _Network(self.rules, open_rules=self.open_rules, groups=self.groups)
            self.groups[lexemes] = _minimal(*_determined(inner, *inner.whole(lexemes)))
        automaton = self.groups[lexemes]
        base, last = self.count, self.count + automaton.states
        self.count += automaton.states + 1
        for source, word, target in automaton.transitions:
            self.steps[base + source].append((word, base + target))
        for state in automaton.accepting:
            self.nulls[base + state].append(last)
        return base, last

    def whole(self, lexemes: tuple[str, ...]) -> tuple[int, int]:
        if len(lexemes) == 1 and lexemes[0].startswith("<"):
            return self.rule(lexemes[0][1:-1])
        start, end, place = self.choice(list(lexemes), 0)
        if place != len(lexemes):
            raise GrammarError(f"{lexemes[place]!r} is too many")
        return start, end

    def repeated(self, first: int, last: int, *, may_be_missing: bool) -> tuple[int, int]:
        start, end = self.state(), self.state()
        self.nulls[start].append(first)
        self.nulls[last] += [first, end]
        if may_be_missing:
            self.nulls[start].append(end)
        return start, end

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        found, pending = set(states), list(states)
        while pending:
            for state in self.nulls.get(pending.pop(), ()):
                if state not in found:
                    found.add(state)
                    pending.append(state)
        return frozenset(found)


def _closing(lexemes: list[str], opening: int) -> int:
    """Return the place of the bracket that closes the one at `opening`."""
    depth = 0
    for place in range(opening, len(lexemes)):
        depth += lexemes[place] in "(["
        depth -= lexemes[place] in ")]"
        if not depth:
            if (lexemes[opening], lexemes[place]) not in (("(", ")"), ("[", "]")):
                break
            return place
    raise GrammarError(f"a {lexemes[opening]} is not closed")


def _determined(network: _Network, start: int, end: int) -> tuple[list[dict[str, int]], set[int]]:
    """Return (per state: word -> state, accepting states) of the subset construction."""
    first = network.closure([start])
    numbers = {first: 0}
    table: list[dict[str, int]] = []
    pending = [first]
    for states in pending:
        targets: defaultdict[str, set[int]] = defaultdict(set)
        for state in states:
            for word, target in network.steps.get(state, ()):
                targets[word].add(target)
        row: dict[str, int] = {}
        for word, reached in targets.items():
            closed = network.closure(reached)
            if closed not in numbers:
                numbers[closed] = len(numbers)
                pending.append(closed)
            row[word] = numbers[closed]
        table.append(row)
    return table, {number for states, number in numbers.items() if end in states}


def _minimal(table: list[dict[str, int]], accepting: set[int]) -> Automaton:
    """Merge states that accept the same rests."""
    block = [int(state in accepting) for state in range(len(table))]
    count = len(set(block))
    while True:
        signatures = [(block[state], frozenset((word, block[target]) for word, target in row.items())) for state, row in enumerate(table)]
        numbers: dict[tuple[int, frozenset[tuple[str, int]]], int] = {}
        block = [numbers.setdefault(signature, len(numbers)) for signature in signatures]
        if len(numbers) == count:
            break
        count = len(numbers)
    transitions = {(block[state], word, block[target]) for state, row in enumerate(table) for word, target in row.items()}
    return Automaton(tuple(sorted(transitions)), frozenset(block[state] for state in accepting))

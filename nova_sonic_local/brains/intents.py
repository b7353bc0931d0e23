"""Understand an utterance: which intent, and which slots with which values.

An utterance is searched for the phrases of the intents at any place, and around them for the phrases of that intent's slots. What covers
the most tokens wins. Recognised speech fits the grammar exactly; typed text may say more around it.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nova_sonic_local.brains.scenario import IntentSpec, Scenario, ScenarioError
from nova_sonic_local.brains.slots import SlotReaders, make_readers
from nova_sonic_local.speech.language import Language, load_language
from nova_sonic_local.speech.moments import Today
from nova_sonic_local.speech.patterns import Node, PatternError, Slot, parse_pattern
from nova_sonic_local.speech.tokens import Token, fold, tokenise

_CANDIDATES = 6
"""Places of an intent's phrases that are looked at with what stands around them."""

_PATTERN_WORD = re.compile(r"\{[\w.]+\}|[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood."""

    intent: IntentSpec | None
    slots: Mapping[str, object] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.intent is not None or bool(self.slots)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A compiled pattern with the words at which it can begin."""

    node: Node
    first: frozenset[str] | None

    def matches(self, tokens: Sequence[Token], start: int) -> Iterator[tuple[int, Mapping[str, object]]]:
        """Yield the matches from `start`."""
        if self.first is None or tokens[start].folded in self.first:
            yield from self.node.match(tokens, start)


@dataclass(frozen=True, slots=True)
class Intent:
    """An intent compiled for a language."""

    spec: IntentSpec
    heard: tuple[Phrase, ...]
    typed: tuple[Phrase, ...]


@dataclass(frozen=True, slots=True)
class _Spot:
    score: int
    """Tokens covered."""
    slots: Mapping[str, object]


class Understanding:
    """The phrases of a scenario in one language, for the tools that are there."""

    def __init__(self, scenario: Scenario, language_id: str, tools: frozenset[str], today: Today) -> None:
        try:
            self.language: Language = load_language(language_id)
        except ValueError as error:
            raise ScenarioError(str(error)) from error
        self.phrases = scenario.languages[language_id]
        self.vocabulary = _vocabulary(scenario, language_id)
        self.readers: Mapping[str, SlotReaders] = make_readers(scenario, self.language, self.vocabulary, today)
        self.intents = tuple(self._intent(spec) for spec in scenario.intents)
        self.offered = tuple(intent for intent in self.intents if not intent.spec.tool or intent.spec.tool in tools)
        """Those that can be spoken; the others are still recognised when typed, to be refused."""
        used = dict.fromkeys(slot for intent in self.offered for slot in intent.spec.slots)
        self.follows = {name: scenario.slots[name].follows for name in used}
        said = {name: scenario.slots[name].phrases[language_id] for name in used}
        self.spoken_clauses = {name: self._phrases(phrases.hear, f"slots.{name}") for name, phrases in said.items()}
        self.clauses = {name: self.spoken_clauses[name] + self._phrases(phrases.read, f"slots.{name}") for name, phrases in said.items()}
        self.prefix = parse_pattern(self.phrases.prefix)
        self.suffix = parse_pattern(self.phrases.suffix)

    def _intent(self, spec: IntentSpec) -> Intent:
        said = spec.phrases[self.phrases.id]
        place = f"intent {spec.name!r}"
        return Intent(spec, self._phrases(said.hear, place), self._phrases(said.read, place))

    def _phrases(self, texts: Sequence[str], place: str) -> tuple[Phrase, ...]:
        readers = {name: slot.usual for name, slot in self.readers.items()}
        try:
            nodes = [parse_pattern(text, readers) for text in texts]
        except PatternError as error:
            raise ScenarioError(f"{place} in {self.phrases.id}: {error}") from error
        return tuple(Phrase(node, node.first()) for node in nodes)

    def understand(self, text: str, expected: Sequence[str] = ()) -> Reading:
        """Read an utterance; `expected` are the slots that were asked for, which then need no phrase around them."""
        tokens = tokenise(text, self.phrases.synonyms)
        best: tuple[int, Intent, _Spot] | None = None
        for intent in self.intents:
            spot = self._spot(intent, tokens)
            if spot is not None and (best is None or spot.score > best[0]):
                best = (spot.score, intent, spot)
        if best is not None and (best[1].spec.tool or best[0] * 2 >= len(tokens) - self._politeness(tokens)):
            chosen = Reading(best[1].spec, best[2].slots)
        else:
            chosen = Reading(None)
        answered = self._answer(tokens, expected) if expected and not (chosen.intent and chosen.intent.tool) else {}
        return Reading(None, answered) if answered else chosen

    def _politeness(self, tokens: Sequence[Token]) -> int:
        """Count the tokens of "hello" before and "please" after what is wanted."""
        before = max((end for end, _ in self.prefix.match(tokens, 0)), default=0)
        starts = range(before, len(tokens))
        after = max(
            (len(tokens) - start for start in starts if any(end == len(tokens) for end, _ in self.suffix.match(tokens, start))), default=0
        )
        return before + after

    def _spot(self, intent: Intent, tokens: Sequence[Token]) -> _Spot | None:
        """Find the phrase of an intent which, with the slots' phrases around it, covers the most."""
        found = {
            (start, end): slots
            for start in range(len(tokens))
            for phrase in itertools.chain(intent.typed, intent.heard)
            for end, slots in phrase.matches(tokens, start)
        }
        longest = sorted(found, key=lambda span: span[0] - span[1])[:_CANDIDATES]
        spots = [self._extended(intent, tokens, start, end, found[start, end]) for start, end in longest]
        return max(spots, key=lambda spot: spot.score, default=None)

    def _extended(self, intent: Intent, tokens: Sequence[Token], start: int, end: int, own: Mapping[str, object]) -> _Spot:
        slots: dict[str, object] = {}
        before = self._clauses(intent.spec.slots, tokens[:start], slots)
        after = self._clauses(intent.spec.slots, tokens[end:], slots)
        return _Spot(end - start + before + after, {**slots, **own})

    def _clauses(self, names: Sequence[str], tokens: Sequence[Token], slots: dict[str, object]) -> int:
        """Collect slots from the phrases found anywhere in the tokens; return the number of tokens covered."""
        place = covered = 0
        while place < len(tokens):
            found = [
                (end, values)
                for name in names
                for phrase in self.clauses.get(name, ())
                for end, values in phrase.matches(tokens, place)
                if not values.keys() <= slots.keys()
            ]
            if not found:
                place += 1
                continue
            end, values = max(found, key=lambda match: match[0])
            slots.update({name: value for name, value in values.items() if name not in slots})
            covered += end - place
            place = end
        return covered

    def _answer(self, tokens: Sequence[Token], expected: Sequence[str]) -> dict[str, object]:
        """Read the answer to a question: phrases of any slot first, then bare values of the slots asked for."""
        slots: dict[str, object] = {}
        asked = [(name, self.readers[name].bare) for name in expected if name in self.readers]
        bare = [
            (end - start, name, value)
            for start in range(len(tokens))
            for name, reader in asked
            for end, value in itertools.islice(reader.read(tokens, start), 1)
        ]
        self._clauses(tuple(self.clauses), tokens, slots)
        for _, name, value in sorted(bare, key=lambda found: -found[0]):
            if name not in slots and not any(other in slots for other in expected):
                slots[name] = value
        return slots


def _vocabulary(scenario: Scenario, language_id: str) -> frozenset[str]:
    spoken = scenario.languages[language_id]
    texts = [spoken.prefix, spoken.suffix, *spoken.synonyms, *spoken.synonyms.values()]
    texts += [text for intent in scenario.intents for text in (*intent.phrases[language_id].hear, *intent.phrases[language_id].read)]
    texts += [text for slot in scenario.slots.values() for text in (*slot.phrases[language_id].hear, *slot.phrases[language_id].read)]
    texts += [
        form
        for slot in scenario.slots.values()
        if slot.kind != "name"
        for value, forms in slot.values.items()
        for form in forms.get(language_id, ())
    ]
    language = load_language(language_id)
    texts += [*language.numbers.units, *language.numbers.tens, *language.numbers.also, language.numbers.joint]
    texts += [
        *language.sections["dates"].table("relative"),
        *language.sections["dates"].texts("weekdays"),
        *language.sections["emails"].texts("at"),
    ]
    return frozenset(fold(word) for text in texts for word in _PATTERN_WORD.findall(text) if not word.startswith("{"))


def slot_names(node: Node) -> frozenset[str]:
    """Return the names of the slots inside a node."""
    if isinstance(node, Slot):
        return frozenset((node.name,))
    inside: Sequence[Node] = getattr(node, "items", getattr(node, "options", ()))
    return frozenset(name for item in inside for name in slot_names(item))

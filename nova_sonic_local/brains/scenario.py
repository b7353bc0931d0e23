"""Scenario files: what the demo brain can talk about, as data.

A scenario names slots (values that can be said) and intents (what the user may want), each with the phrases of one or more languages. The
format is described in docs/reference/scenarios.md. Reading it checks it: a wrong file is refused with the place of the mistake.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BUILT_IN = Path(__file__).resolve().parent.parent / "scenarios" / "carlos.toml"
"""The scenario that is used when none is named, and the prompt is of no persona that another one plays."""

_SLOT_KINDS = frozenset(("choice", "name", "digits", "number", "price", "email", "date", "time", "duration", "items", "text"))


class ScenarioError(ValueError):
    """The scenario file is not usable; the text says where and why."""


@dataclass(frozen=True, slots=True)
class SlotPhrases:
    """A slot in one language."""

    ask: str
    """The question for it."""
    hear: tuple[str, ...]
    """Patterns that may stand anywhere in an utterance, such as "mi dni es {dni}"."""
    read: tuple[str, ...]
    """The same for typed text only."""


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """A value that can be said."""

    name: str
    kind: str
    values: Mapping[str, Mapping[str, Sequence[str]]]
    """Value -> language -> spoken forms; an empty mapping means the value itself."""
    many: Mapping[str, Mapping[str, Sequence[str]]]
    """The same for more than one; kind "items" only."""
    prices: Mapping[str, float]
    """Value -> unit price; kind "items" only."""
    shortest: int
    longest: int
    low: int
    high: int
    words: tuple[str, ...]
    """Kind "email": first words of known domains."""
    names_from: str
    """Kind "email": the slot whose names may stand before the at sign."""
    follows: str
    """A slot right after which this one is spoken, as a time after its date; empty for any place."""
    phrases: Mapping[str, SlotPhrases]


@dataclass(frozen=True, slots=True)
class IntentPhrases:
    """An intent in one language."""

    hear: tuple[str, ...]
    """Patterns for speech and typed text."""
    read: tuple[str, ...]
    """Patterns for typed text only."""
    say: tuple[str, ...]
    """Templates of the answer; the first one whose fields all exist is spoken."""


@dataclass(frozen=True, slots=True)
class IntentSpec:
    """Something the user may want."""

    name: str
    tool: str
    """Empty for small talk."""
    drops_task: bool
    """Whether this small talk ends what was being asked for, such as "never mind"."""
    needs: tuple[tuple[str, ...], ...]
    """Groups of slots; of each group one must be filled."""
    slots: tuple[str, ...]
    """All slots that it can take."""
    arguments: Mapping[str, tuple[str, ...]]
    """Tool argument -> templates over the slots; the first whose slots are filled counts."""
    defaults: Mapping[str, object]
    """Tool argument -> value when the template's slots are not filled."""
    phrases: Mapping[str, IntentPhrases]
    knows: tuple[str, ...] = ()
    """Words that a system prompt holds, all of them, for this to be something that the brain can talk about."""


@dataclass(frozen=True, slots=True)
class ScenarioLanguage:
    """What belongs to a language as a whole."""

    id: str
    voices: frozenset[str]
    prefix: str
    """Pattern of what may stand before any request, such as "[hola] [carlos]"."""
    suffix: str
    synonyms: Mapping[str, str]
    """Folded word -> words it stands for; "" drops it."""
    hints: tuple[str, ...]
    """Words in a system prompt which show that it asks for this language."""
    say: Mapping[str, tuple[str, ...]]
    errors: Mapping[str, str]
    """Error code of a tool result -> what to say instead of its message."""
    words: Mapping[str, Mapping[str, str]]
    """Filter name -> value -> how it is said, such as status pending -> "pendiente"."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything the demo brain knows."""

    name: str
    default_language: str
    time_zone: str
    languages: Mapping[str, ScenarioLanguage]
    slots: Mapping[str, SlotSpec]
    intents: tuple[IntentSpec, ...]
    corrections: Mapping[str, tuple[str, ...]]
    """Error code of a tool result -> slots to ask again."""
    persona: tuple[str, ...] = ()
    """Words that a system prompt holds, all of them, to be played by this scenario where none was named."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A TOML table which knows its place, for messages."""

    place: str
    values: Mapping[str, object] = field(default_factory=dict)

    def table(self, key: str) -> "_Table":
        value = self.values.get(key, {})
        if not isinstance(value, Mapping):
            raise ScenarioError(f"{self.place}.{key} must be a table")
        return _Table(f"{self.place}.{key}", value)

    def tables(self) -> "dict[str, _Table]":
        return {key: self.table(key) for key in self.values}

    def text(self, key: str, default: str = "") -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise ScenarioError(f"{self.place}.{key} must be a text")
        return value

    def whole(self, key: str, default: int) -> int:
        value = self.values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ScenarioError(f"{self.place}.{key} must be a whole number")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.values.get(key, ())
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
            raise ScenarioError(f"{self.place}.{key} must be a list of texts")
        return tuple(value)

    def mapping(self, key: str) -> dict[str, str]:
        return {name: self.table(key).text(name) for name in self.table(key).values}


def load_scenario(path: Path | None = None) -> Scenario:
    """Read a scenario file, the built-in one by default.

    Raises:
        ScenarioError: The file is missing, is no TOML, or says something impossible.

    """
    path = path or BUILT_IN
    try:
        return parse_scenario(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, ScenarioError) as error:
        raise ScenarioError(f"{path.name}: {error}") from error


def built_in_scenarios() -> tuple[Scenario, ...]:
    """Read the scenarios that come with the emulator; the first is for prompts that no other is made for."""
    others = sorted(path for path in BUILT_IN.parent.glob("*.toml") if path != BUILT_IN)
    return tuple(load_scenario(path) for path in (BUILT_IN, *others))


def parse_scenario(text: str) -> Scenario:
    """Parse the text of a scenario.

    Raises:
        ScenarioError: It says something impossible.
        tomllib.TOMLDecodeError: It is no TOML.

    """
    root = _Table("scenario", tomllib.loads(text))
    languages = {name: _language(name, table) for name, table in root.table("languages").tables().items()}
    if not languages:
        raise ScenarioError("scenario.languages is empty")
    default = root.text("default_language", next(iter(languages)))
    if default not in languages:
        raise ScenarioError(f"scenario.default_language {default!r} is not among the languages")
    slots = {name: _slot(name, table, tuple(languages)) for name, table in root.table("slots").tables().items()}
    listed = root.values.get("intents", [])
    if not isinstance(listed, list):
        raise ScenarioError("scenario.intents must be a list of tables")
    intents = tuple(_intent(_Table(f"intents[{index}]", value), slots, tuple(languages)) for index, value in enumerate(listed))
    return Scenario(
        name=root.text("name", "scenario"),
        default_language=default,
        time_zone=root.text("time_zone"),
        languages=languages,
        slots=slots,
        intents=intents,
        corrections={code: root.table("corrections").texts(code) for code in root.table("corrections").values},
        persona=root.texts("persona"),
    )


def _language(name: str, table: _Table) -> ScenarioLanguage:
    say = table.table("say")
    return ScenarioLanguage(
        id=name,
        voices=frozenset(table.texts("voices")),
        prefix=table.text("prefix"),
        suffix=table.text("suffix"),
        synonyms=table.mapping("synonyms"),
        hints=table.texts("hints"),
        say={key: say.texts(key) for key in say.values},
        errors=table.mapping("errors"),
        words={key: table.table("words").mapping(key) for key in table.table("words").values},
    )


def _slot(name: str, table: _Table, languages: tuple[str, ...]) -> SlotSpec:
    kind = table.text("kind")
    if kind not in _SLOT_KINDS:
        raise ScenarioError(f"{table.place}.kind must be one of {', '.join(sorted(_SLOT_KINDS))}, not {kind!r}")
    values, many, prices = _values(table)
    return SlotSpec(
        name=name,
        kind=kind,
        values=values,
        many=many,
        prices=prices,
        shortest=table.whole("shortest", 1),
        longest=table.whole("longest", 12),
        low=table.whole("low", 0),
        high=table.whole("high", 99),
        words=table.texts("domains"),
        names_from=table.text("names_from"),
        follows=table.text("follows"),
        phrases={language: _slot_phrases(table.table(language)) for language in languages},
    )


def _slot_phrases(table: _Table) -> SlotPhrases:
    return SlotPhrases(ask=table.text("ask"), hear=table.texts("hear"), read=table.texts("read"))


type _Forms = dict[str, dict[str, tuple[str, ...]]]


def _values(table: _Table) -> tuple[_Forms, _Forms, dict[str, float]]:
    """Return the forms of each value, those for more than one of it, and its price."""
    if isinstance(table.values.get("values", []), list):
        return {value: {} for value in table.texts("values")}, {}, {}
    values: _Forms = {}
    many: _Forms = {}
    prices: dict[str, float] = {}
    for value, forms in table.table("values").tables().items():
        price = forms.values.get("price")
        if isinstance(price, int | float):
            prices[value] = float(price)
        values[value] = {language: forms.texts(language) for language in forms.values if language not in ("price", "many")}
        many[value] = {language: forms.table("many").texts(language) for language in forms.table("many").values}
    return values, many, prices


def _intent(table: _Table, slots: Mapping[str, SlotSpec], languages: tuple[str, ...]) -> IntentSpec:
    needs = table.values.get("needs", [])
    if not isinstance(needs, list):
        raise ScenarioError(f"{table.place}.needs must be a list")
    groups = tuple(tuple(str(name) for name in need) if isinstance(need, list) else (str(need),) for need in needs)
    named = (*(name for group in groups for name in group), *table.texts("slots"))
    for name in named:
        if name not in slots:
            raise ScenarioError(f"{table.place} names the slot {name!r}, which does not exist")
    return IntentSpec(
        name=table.text("name"),
        tool=table.text("tool"),
        drops_task=bool(table.values.get("drops_task")),
        needs=groups,
        slots=tuple(dict.fromkeys(named)),
        arguments={name: table.table("arguments").texts(name) for name in table.table("arguments").values},
        defaults=table.table("defaults").values,
        phrases={language: _intent_phrases(table.table(language)) for language in languages},
        knows=table.texts("knows"),
    )


def _intent_phrases(table: _Table) -> IntentPhrases:
    return IntentPhrases(hear=table.texts("hear"), read=table.texts("read"), say=table.texts("say"))

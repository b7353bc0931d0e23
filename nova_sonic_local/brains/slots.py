"""Make the reader of each slot of a scenario in a language."""

from collections.abc import Mapping
from dataclasses import dataclass

from nova_sonic_local.brains.scenario import Scenario, ScenarioError, SlotSpec
from nova_sonic_local.speech.addresses import Email, Name
from nova_sonic_local.speech.language import Language
from nova_sonic_local.speech.moments import Today, date_reader, duration_reader, time_reader
from nova_sonic_local.speech.patterns import Captures, Reader, parse_pattern
from nova_sonic_local.speech.readers import Digits, FreeText, Items, Number, Price, Rule, Table

_MOST_OF_A_PRODUCT = 10
"""Largest quantity that is offered to the recogniser; more can be typed."""


@dataclass(frozen=True, slots=True)
class SlotReaders:
    """The readers of a slot."""

    usual: Reader
    """Used inside patterns."""
    bare: Reader
    """Used for the answer to the question for this slot, where less needs to be said."""


def make_readers(scenario: Scenario, language: Language, vocabulary: frozenset[str], today: Today) -> dict[str, SlotReaders]:
    """Return the readers of all slots.

    Args:
        scenario: The scenario with the slots.
        language: The language to read.
        vocabulary: Folded words of the scenario's phrases, which therefore are no names.
        today: Tells the day from which relative dates count.

    """
    return {name: _readers(spec, scenario, language, vocabulary, today) for name, spec in scenario.slots.items()}


def _readers(spec: SlotSpec, scenario: Scenario, language: Language, vocabulary: frozenset[str], today: Today) -> SlotReaders:
    numbers = language.numbers
    reader: Reader
    match spec.kind:
        case "name":
            table = _table(spec, language.id)
            return SlotReaders(Name(table, vocabulary), Name(table, vocabulary, shortest=1))
        case "time":
            return SlotReaders(time_reader(language), time_reader(language, bare=True))
        case "choice":
            reader = _table(spec, language.id)
        case "digits":
            reader = Digits(numbers, spec.shortest, spec.longest, _spoken_digits(spec, language))
        case "number":
            reader = Number(numbers, spec.low, spec.high, numbers.jsgf_between(max(spec.low, 0), min(spec.high, 99)))
        case "price":
            reader = Price(numbers)
        case "email":
            people = scenario.slots.get(spec.names_from)
            reader = Email.of(language, tuple(people.values) if people else (), spec.words)
        case "date":
            reader = date_reader(language, today)
        case "duration":
            reader = duration_reader(language)
        case "items":
            reader = _items(spec, language)
        case "text":
            reader = FreeText()
        case _:
            raise ScenarioError(f"slots.{spec.name}.kind {spec.kind!r} is not known")
    return SlotReaders(reader, reader)


def _forms(spec: SlotSpec, language_id: str) -> list[tuple[str, object]]:
    return [(form, value) for value, forms in spec.values.items() for form in forms.get(language_id) or (value,)]


def _table(spec: SlotSpec, language_id: str) -> Table:
    return Table.of(_forms(spec, language_id))


def _spoken_digits(spec: SlotSpec, language: Language) -> str:
    """Return digits one by one for long identifiers, also numbers up to 99 for short ones."""
    digit = language.numbers.jsgf_digit()
    if spec.shortest == 1:
        return language.numbers.jsgf_below_hundred()
    more = f"[ {digit} ] " * (spec.longest - spec.shortest)
    return f"{digit} " * spec.shortest + more.strip()


def _items(spec: SlotSpec, language: Language) -> Items:
    section, numbers = language.sections["quantities"], language.numbers
    several = [(form, value) for value, forms in spec.many.items() for form in forms.get(language.id, ())]
    readers: dict[str, Reader] = {
        "one": Table.of((word, 1) for word in section.texts("one")),
        "quantity": Number(numbers, 1, 999, numbers.jsgf_between(2, _MOST_OF_A_PRODUCT)),
        "product": _table(spec, language.id),
        "products": Table.of(several) if several else _table(spec, language.id),
        "units": Table.of((word, None) for word in section.texts("units")),
        "of": Table.of((word, None) for word in section.texts("of")),
    }
    prices: Mapping[str, float] = spec.prices

    def build(captures: Captures) -> Mapping[str, object]:
        product = str(captures.get("product", captures.get("products")))
        item: dict[str, object] = {"name": product, "quantity": captures.get("quantity", 1)}
        return item | ({"price": prices[product]} if product in prices else {})

    spoken = ("{one} {product}", "{quantity} {products}", "{quantity} {units} {of} {product}")
    typed = ("[{quantity}] [{units}] [{of}] ({product}|{products})", "({product}|{products}) (x|por) {quantity}")
    item = Rule(
        tuple((parse_pattern(text, readers), build) for text in spoken), tuple((parse_pattern(text, readers), build) for text in typed)
    )
    return Items(item, numbers.joint)

"""What the demo brain knows of a language: number words, dates, times, addresses. One TOML file each in `data/`."""

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from nova_sonic_local.speech.readers import NumberWords
from nova_sonic_local.speech.tokens import fold

_LANGUAGE_ID = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class Section:
    """One table of a language file."""

    title: str
    values: Mapping[str, object]

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.values.get(key, ())
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise TypeError(f"{self.title}.{key} must be a list")
        return tuple(str(item) for item in value)

    def text(self, key: str) -> str:
        """Return one text."""
        return str(self.values.get(key, ""))

    def table(self, key: str) -> dict[str, str | int]:
        """Return a table from words to a number or a text."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping):
            raise TypeError(f"{self.title}.{key} must be a table")
        return {str(word): item if isinstance(item, int) else str(item) for word, item in value.items()}

    def counts(self, key: str) -> dict[str, int]:
        """Return a table from words to whole numbers."""
        return {word: int(item) for word, item in self.table(key).items()}


@dataclass(frozen=True, slots=True)
class Language:
    """A language that can be heard."""

    id: str
    numbers: NumberWords
    sections: Mapping[str, Section]


@functools.cache
def load_language(language_id: str) -> Language:
    """Read the file of a language.

    Raises:
        ValueError: There is no such file.

    """
    path = resources.files("nova_sonic_local.speech") / "data" / f"{language_id}.toml"
    if not _LANGUAGE_ID.fullmatch(language_id) or not path.is_file():
        raise ValueError(f"the language {language_id!r} is not known: there is no speech/data/{language_id}.toml")
    with path.open("rb") as file:
        loaded = tomllib.load(file)
    sections = {title: Section(title, values) for title, values in loaded.items()}
    return Language(language_id, _numbers(sections["numbers"]), sections)


def _numbers(section: Section) -> NumberWords:
    spelt = [*section.texts("units"), *section.counts("tens"), *section.counts("hundreds"), *section.counts("scales")]
    return NumberWords(
        units={fold(word): value for value, word in enumerate(section.texts("units"))},
        tens=_folded(section.counts("tens")),
        hundreds=_folded(section.counts("hundreds")),
        hundred=section.text("hundred"),
        scales=_folded(section.counts("scales")),
        joint=section.text("joint"),
        joins_units=bool(section.values.get("joins_units")),
        also=_folded(section.counts("also")),
        spelling={fold(word): word for word in spelt},
    )


def _folded(table: Mapping[str, int]) -> dict[str, int]:
    return {fold(word): value for word, value in table.items()}

"""Fill templates: tool arguments from slots, and spoken answers from tool results.

`{order.estimatedDelivery|date}` takes a field of the values, dots lead into objects, and passes it through a filter: `date`, `time`,
`money`, `items`, `total`, `doctor`, or the name of a table of words in the scenario.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence

from nova_sonic_local.brains.scenario import ScenarioLanguage
from nova_sonic_local.speech.language import Language
from nova_sonic_local.speech.moments import Today

_FIELD = re.compile(r"\{([\w.]+)(?:\|(\w+))?\}")
_TITLES = {"es": {"Dr.": "el doctor", "Dra.": "la doctora"}, "en": {"Dr.": "doctor", "Dra.": "doctor"}}


class MissingField(LookupError):
    """A template needs a value that is not there."""


class Phrasing:
    """Fills templates in one language."""

    def __init__(self, language: Language, phrases: ScenarioLanguage, today: Today) -> None:
        self._language = language
        self._phrases = phrases
        self._today = today
        self._filters: Mapping[str, Callable[[object], object]] = {
            "date": self._date,
            "time": _time,
            "money": _money,
            "items": self._items,
            "total": _total,
            "doctor": self._doctor,
        }

    def value(self, template: str, values: Mapping[str, object]) -> object:
        """Return the value of a template: that of its field when it is nothing else, otherwise a text.

        Raises:
            MissingField: A field is not there.

        """
        whole = _FIELD.fullmatch(template)
        if whole:
            return self._field(whole[1], whole[2], values)
        return _FIELD.sub(lambda found: str(self._field(found[1], found[2], values)), template)

    def first_value(self, templates: Sequence[str], values: Mapping[str, object]) -> object:
        """Return the value of the first template whose fields are all there; None when there is none."""
        for template in templates:
            try:
                return self.value(template, values)
            except MissingField:
                continue
        return None

    def sentence(self, templates: Sequence[str], values: Mapping[str, object]) -> str | None:
        """Return the first template whose fields are all there, filled; None when there is none."""
        said = self.first_value(templates, values)
        return None if said is None else str(said)

    def _field(self, path: str, name: str | None, values: Mapping[str, object]) -> object:
        value: object = values
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        if value is None or value == "":
            raise MissingField(path)
        if not name:
            return value
        if name in self._filters:
            return self._filters[name](value)
        return self._phrases.words.get(name, {}).get(str(value), value)

    def _date(self, value: object) -> str:
        say = self._language.sections["say"]
        day = _moment(value)
        if day is None:
            raise MissingField("date")
        ahead = (day.date() - self._today()).days
        if ahead in (0, 1):
            return say.text("today" if ahead == 0 else "tomorrow")
        dates = self._language.sections["dates"]
        names = {"weekday": dates.texts("weekdays")[day.weekday()], "month": dates.texts("months")[day.month - 1], "day": str(day.day)}
        return say.text("date").format(**names)

    def _items(self, value: object) -> str:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise MissingField("items")
        listed = [f"{item.get('quantity', 1)} {item.get('name', '')}" for item in value if isinstance(item, Mapping)]
        joint = f" {self._language.sections['say'].text('and')} "
        return joint.join([", ".join(listed[:-1]), listed[-1]]) if len(listed) > 1 else "".join(listed)

    def _doctor(self, value: object) -> str:
        title, _, name = str(value).partition(" ")
        spoken = _TITLES.get(self._language.id, {}).get(title)
        return f"{spoken} {name}" if spoken else str(value)


def _moment(value: object) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _time(value: object) -> str:
    moment = _moment(value)
    if moment is None:
        raise MissingField("time")
    return f"{moment:%H:%M}"


def _money(value: object) -> str:
    try:
        amount = float(str(value))
    except ValueError:
        raise MissingField("money") from None
    return f"${amount:.2f}"


def _total(value: object) -> float:
    if not isinstance(value, Sequence):
        raise MissingField("total")
    lines = [item for item in value if isinstance(item, Mapping) and "price" in item]
    return round(sum(float(item["price"]) * int(item.get("quantity", 1)) for item in lines), 2)

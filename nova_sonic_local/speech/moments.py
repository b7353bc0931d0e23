"""Readers of dates, times and durations."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from nova_sonic_local.speech.language import Language
from nova_sonic_local.speech.patterns import Captures, Reader, parse_pattern
from nova_sonic_local.speech.readers import Number, Rule, Table, TypedForm

type Today = Callable[[], dt.date]

_OPENING_HOUR = 8
"""An hour without "am" or "pm" below this one is meant in the afternoon: nobody books a table or a doctor at three in the night."""

_NOON = 12
_DAY_HOURS = 24


def _number(captures: Captures, name: str, default: int = 0) -> int:
    value = captures.get(name, default)
    return value if isinstance(value, int) else default


@dataclass(frozen=True, slots=True)
class _DateBuilder:
    today: Today

    def __call__(self, captures: Captures) -> str | None:
        today = self.today()
        if "relative" in captures or "relative_days" in captures:
            ahead = _number(captures, "relative") + _number(captures, "relative_days")
            return (today + dt.timedelta(days=ahead)).isoformat()
        if isinstance(iso := captures.get("iso", captures.get("slash")), str):
            return self._written(iso, today)
        if "weekday" in captures and "month" not in captures:
            ahead = (_number(captures, "weekday") - today.weekday() - 1) % 7 + 1
            return (today + dt.timedelta(days=ahead)).isoformat()
        day = _number(captures, "day") or _number(captures, "ordinal")
        return _upcoming(today, _number(captures, "month"), day, _number(captures, "year"))

    def _written(self, text: str, today: dt.date) -> str | None:
        parts = [int(part) for part in text.replace("/", "-").split("-")]
        if len(str(parts[0])) == 4:  # noqa: PLR2004 - an ISO date begins with the year
            return _upcoming(today, parts[1], parts[2], parts[0])
        year = parts[2] if len(parts) > 2 else 0  # noqa: PLR2004 - day, month, year
        return _upcoming(today, parts[1], parts[0], year + 2000 if 0 < year < 100 else year)  # noqa: PLR2004 - 25 means 2025


def _upcoming(today: dt.date, month: int, day: int, year: int) -> str | None:
    """Return the day as ISO; without a year the next one that is not over; None when the calendar has no such day."""
    try:
        found = dt.date(year or today.year, month, day)
        if not year and found < today:
            found = found.replace(year=today.year + 1)
    except ValueError:
        return None
    return found.isoformat()


def date_reader(language: Language, today: Today) -> Rule:
    """Return the reader of dates; values are ISO dates, relative ones counted from `today()`."""
    section, numbers = language.sections["dates"], language.numbers
    readers: dict[str, Reader] = {
        "relative": Table.of(section.counts("relative").items()),
        "weekday": Table.of((name, place) for place, name in enumerate(section.texts("weekdays"))),
        "month": Table.of((name, place) for place, name in enumerate(section.texts("months"), 1)),
        "ordinal": Table.of(section.counts("ordinals").items()),
        "day": Number(numbers, 1, 31, numbers.jsgf_between(1, 31)),
        "year": Number(numbers, 2000, 2100, ""),
        "relative_days": Number(numbers, 1, 60, ""),
        "iso": TypedForm(r"\d{4}-\d{2}-\d{2}"),
        "slash": TypedForm(r"\d{1,2}[/-]\d{1,2}([/-]\d{2,4})?"),
    }
    build = _DateBuilder(today)
    spoken = tuple((parse_pattern(text, readers), build) for text in section.texts("spoken"))
    typed = tuple((parse_pattern(text, readers), build) for text in section.texts("typed"))
    return Rule(spoken, typed)


def _clock(captures: Captures) -> str | None:
    if isinstance(noon := captures.get("noon"), str):
        return noon
    if isinstance(clock := captures.get("clock"), str):
        hour, minute = (int(part) for part in clock.split(":"))
    else:
        hour, minute = _number(captures, "hour", _number(captures, "one", -1)), _number(captures, "past")
    period = captures.get("period")
    if minute < 0:
        hour, minute = hour - 1, minute + 60
    if hour < _NOON and (period == "pm" or (period is None and hour < _OPENING_HOUR and "clock" not in captures)):
        hour += _NOON
    elif hour == _NOON and period == "am":
        hour = 0
    return f"{hour:02}:{minute:02}" if 0 <= hour < _DAY_HOURS and minute < 60 else None  # noqa: PLR2004 - minutes


def time_reader(language: Language, *, bare: bool = False) -> Rule:
    """Return the reader of times of the day; values are HH:MM of 24 hours; `bare` also takes an hour without "at"."""
    section, numbers = language.sections["times"], language.numbers
    readers: dict[str, Reader] = {
        "hour": Number(numbers, 0, 23, numbers.jsgf_between(2, 23)),
        "one": Table.of((word, 1) for word in section.texts("one")),
        "past": Table.of(section.counts("past").items(), section.texts("spoken_past")),
        "period": Table.of(section.table("periods").items(), section.texts("spoken_periods")),
        "noon": Table.of(section.table("noon").items()),
        "clock": TypedForm(r"\d{1,2}:\d{2}"),
    }
    forms = (*section.texts("spoken"), *(section.texts("bare") if bare else ()))
    spoken = tuple((parse_pattern(text, readers), _clock) for text in forms)
    return Rule(spoken, tuple((parse_pattern(text, readers), _clock) for text in section.texts("typed")))


def duration_reader(language: Language) -> Rule:
    """Return the reader of durations; values are whole minutes."""
    section, numbers = language.sections["durations"], language.numbers
    amounts = " | ".join(word for word, value in _named(language, section.texts("amounts")))
    readers: dict[str, Reader] = {
        "half": Table.of((word, 30) for word in section.texts("half")),
        "hour": Table.of((word, 60) for word in section.texts("hour")),
        "amount": Number(numbers, 5, 240, f"( {amounts} )"),
        "minutes": Table.of((word, 0) for word in section.texts("minutes")),
    }

    def build(captures: Captures) -> int:
        return next(_number(captures, name) for name in ("half", "hour", "amount") if name in captures)

    spoken = tuple((parse_pattern(text, readers), build) for text in section.texts("spoken"))
    return Rule(spoken, ((parse_pattern("{amount} {minutes}", readers), build),))


def _named(language: Language, amounts: tuple[str, ...]) -> list[tuple[str, int]]:
    numbers = language.numbers
    names = {value: numbers.spelling.get(word, word) for word, value in (*numbers.units.items(), *numbers.tens.items())}
    tens = {value: word for word, value in numbers.tens.items()}
    named = []
    for amount in map(int, amounts):
        joint = f" {numbers.joint} " if numbers.joins_units else " "
        text = names[amount] if amount in names else f"{tens[amount // 10 * 10]}{joint}{names[amount % 10]}"
        named.append((text, amount))
    return named

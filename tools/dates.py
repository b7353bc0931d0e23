"""Days and times as models and people write them, in the clinic's time zone.

ISO 8601 is what the model is asked for. "mañana a las 10", "el viernes a las 3 de la tarde", "15 de enero 10:30", "tomorrow at noon" are
understood as a safety net, since the model does not know today's date for certain.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NoReturn
from zoneinfo import ZoneInfo

from storage.names import fold
from tools.errors import InvalidArguments
from tools.spoken import number_word

_DAYS = {
    name: day
    for row in ("lunes martes miercoles jueves viernes sabado domingo", "monday tuesday wednesday thursday friday saturday sunday")
    for day, name in enumerate(row.split())
}
_MONTHS = {
    name: month
    for row in (
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        "january february march april may june july august september october november december",
        "- - - - - - - - setiembre - - -",
    )
    for month, name in enumerate(row.split(), start=1)
    if name != "-"
}
_MONTH = "|".join(_MONTHS)
_FIRST_UNSAID_MORNING_HOUR = 7
"""A clinic is closed at 3 in the night: "a las 3" is 15:00, "a las 7" is 07:00, "03:00" stays as it is written."""

_MERIDIEM = r"(?:\s*(?P<half>a\.?m|p\.?m)\b)?"
_TIMES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\b(?P<hour>\d{1,2})\s?[:h]\s?(?P<minute>\d{2})(?::\d{2})?(?:\s*(?:hs|hrs|horas)\b)?" + _MERIDIEM,
        r"\b(?P<special>half|quarter)\s+(?P<side>past|to)\s+(?P<hour>\d{1,2})\b" + _MERIDIEM,
        r"\b(?:a la|a las|las|la|at)\s+(?P<hour>\d{1,2})\s+(?P<side>y|menos)\s+(?P<special>media|cuarto|\d{1,2})\b" + _MERIDIEM,
        r"\b(?:a la|a las|las|la|at)\s+(?P<hour>\d{1,2})(?:\.(?P<minute>\d{2}))?(?:\s*(?:hs|hrs|horas|en punto|o'clock)\b)?" + _MERIDIEM,
        r"\b(?P<hour>\d{1,2})\s*(?P<half>a\.?m|p\.?m)\b",
        r"\b(?P<hour>\d{1,2})\s*(?:hs|hrs|horas|h|o'clock)\b",
        r"\b(?P<hour>\d{1,2})\s+(?=(?:de|por|in) (?:la|the) )",
        r"\b(?:al? )?(?P<noon>mediodia|noon|midday)\b",
    )
)
_AFTERNOON = re.compile(r"\b(?:(?:de|por|en|a) la (?:tarde|noche)|esta (?:tarde|noche)|in the (?:afternoon|evening)|at night|tonight)\b")
_MORNING = re.compile(r"\b(?:(?:de|por|en|a) la manana|in the morning)\b")


@dataclass(frozen=True, slots=True)
class Moment:
    """What was said: a day, a time, or both."""

    day: date | None = None
    at: time | None = None
    instant: datetime | None = None
    """Set when the text named a zone: nothing is left to be guessed then."""


def parse_when(day: str | None, hour: str | None, *, now: datetime, zone: ZoneInfo, keep: datetime | None = None) -> datetime:
    """Return the instant that is meant, in UTC.

    Args:
        day: a date, a date with a time, or words.
        hour: a time; counts more than a time in `day`.
        now: with a zone; "mañana" is relative to it.
        zone: the clinic's.
        keep: the instant whose day or time stands in for what was not said.

    Raises:
        InvalidArguments: no such day or time, or one of them is missing.
    """
    try:
        return _when(day, hour, now=now, zone=zone, keep=keep)
    except OverflowError:  # the last evening of the year 9999, west of Greenwich
        _refuse()


def _when(day: str | None, hour: str | None, *, now: datetime, zone: ZoneInfo, keep: datetime | None) -> datetime:
    said = parse_moment(day, now.astimezone(zone).date()) if day else Moment()
    if said.instant is not None and not hour:
        return said.instant.astimezone(UTC)
    if said.instant is not None:
        said = Moment(said.instant.astimezone(zone).date())
    chosen = said.at
    if hour:
        chosen = parse_time(hour)
    kept = keep.astimezone(zone) if keep is not None else None
    that_day = said.day or (kept.date() if kept else None)
    that_time = chosen or (kept.time() if kept else None)
    if that_day is None:
        raise InvalidArguments("Ask the user for the day.", "date_required")
    if that_time is None:
        raise InvalidArguments("Ask the user for the time of day.", "time_required")
    return _localise(that_day, that_time, zone)


def parse_moment(text: str, today: date) -> Moment:
    """Return the day and the time that a text names; the day is always there, midnight counts as no time.

    Models write T00:00:00 for "some time that day", and no clinic is open then.

    Raises:
        InvalidArguments: it names no day, unless it is nothing but a time.
    """
    iso = _iso(text.strip())
    if iso is not None:
        return iso
    rest = _with_digits(fold(text))
    numeric = _numeric_day(rest, today)
    if numeric is not None:
        found, rest = numeric
        return Moment(found, _take_time(rest)[0])
    at, rest = _take_time(rest)
    named = _named_day(rest, today)
    if named is None and at is None:
        _refuse()
    return Moment(named, at)


def parse_time(text: str) -> time:
    """Return the time that a text names: "15:00", "3 de la tarde", "a las diez y media", "10".

    Raises:
        InvalidArguments: it names none.
    """
    folded = _with_digits(fold(text))
    iso = re.fullmatch(r"(?:\d{4}-\d{2}-\d{2})?t?(\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?z?", folded)
    if iso is not None:
        folded = iso[1]
    at, _ = _take_time(f"a las {folded}" if re.match(r"\d{1,2}(?:$|\s(?:y|menos|\d))", folded) else folded)
    if at is None:
        raise InvalidArguments("Ask the user for the time of day.", "time_required")
    return at


def _iso(text: str) -> Moment | None:
    if re.match(r"\d{4}-\d{2}-\d{2}", text) is None:
        return None
    try:
        instant = datetime.fromisoformat(text.upper().replace(" ", "T", 1) if len(text) > 10 else text)  # noqa: PLR2004 - a date alone
    except ValueError:
        return None if re.match(r"\d{4}-\d{2}-\d{2}\s+\D", text) else _refuse()
    if instant.time() == time():
        return Moment(instant.date())
    if instant.tzinfo is not None:
        return Moment(instant.date(), instant.time(), instant)
    return Moment(instant.date(), instant.time().replace(second=0, microsecond=0))


def _with_digits(text: str) -> str:
    """Write number words as digits: "a las diez y media" -> "a las 10 y media", "treinta y uno" -> "31"."""
    words = [_digit_word(word) for word in text.replace(",", " ").split()]
    return re.sub(r"(?<!las )\b([2-5])0 (?:y |)([1-9])\b(?! de la)", lambda found: found[1] + found[2], " ".join(words))


def _digit_word(word: str) -> str:
    # "un" is an article and "cuarto" a quarter of an hour before they are numbers.
    value = number_word(word) if word not in ("un", "cuarto") else None
    return word if value is None else str(value)


def _numeric_day(text: str, today: date) -> tuple[date, str] | None:
    found = re.search(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b", text)
    if found is not None:
        return _day(int(found[1]), int(found[2]), int(found[3])), text.replace(found[0], " ", 1)
    found = re.search(r"\b(\d{1,2})[/-](\d{1,2})(?:[/-](\d{4}))?\b", text)
    if found is not None:
        return _coming(today, int(found[2]), int(found[1]), found[3]), text.replace(found[0], " ", 1)
    return None


def _named_day(text: str, today: date) -> date | None:
    for pattern, rule in _NAMED_DAYS:
        found = pattern.search(text)
        if found is not None:
            return rule(found, today)
    return None


def _take_time(text: str) -> tuple[time | None, str]:
    """Return the time in a text, and the text without it."""
    for pattern in _TIMES:
        found = pattern.search(text)
        if found is None:
            continue
        around = text[: found.start()] + " " + text[found.end() :]
        is_afternoon, is_morning = _AFTERNOON.search(text) is not None, _MORNING.search(text) is not None
        rest = _MORNING.sub(" ", _AFTERNOON.sub(" hoy " if "esta" in text or "tonight" in text else " ", around))
        return _clock(found.groupdict(), is_afternoon=is_afternoon, is_morning=is_morning), rest
    return None, _MORNING.sub(" ", text)


def _clock(said: dict[str, str | None], *, is_afternoon: bool, is_morning: bool) -> time:
    if said.get("noon"):
        return time(12)
    hour, minute = int(said["hour"] or 0), int(said.get("minute") or 0)
    special = said.get("special")
    if special:
        minute = {"media": 30, "half": 30, "cuarto": 15, "quarter": 15}.get(special) or int(special if special.isdigit() else 0)
    half = (said.get("half") or "").replace(".", "")
    if (half == "pm" or is_afternoon) and hour < 12:  # noqa: PLR2004 - noon
        hour += 12
    elif half == "am" and hour == 12:  # noqa: PLR2004 - midnight
        hour = 0
    elif not half and not is_morning and hour and str(hour) == said["hour"] and hour < _FIRST_UNSAID_MORNING_HOUR:
        hour += 12
    if hour > 23 or minute > 59:  # noqa: PLR2004 - a day's hours, an hour's minutes
        raise InvalidArguments("There is no such time of day. Ask the user again.", "invalid_date")
    if said.get("side") in ("menos", "to"):
        total = (hour * 60 - minute) % (24 * 60)
        return time(total // 60, total % 60)
    return time(hour, minute)


def _day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        _refuse()


def _coming(today: date, month: int, day: int, year: str | None) -> date:
    """Return the day of this year, or of the next when it is over."""
    if year is not None:
        return _day(int(year), month, day)
    this = _day(today.year, month, day) if (month, day) != (2, 29) else _leap(today)
    return this if this >= today else _day(today.year + 1, month, day)


def _leap(today: date) -> date:
    year = today.year
    while True:
        try:
            candidate = date(year, 2, 29)
        except ValueError:
            year += 1
            continue
        if candidate >= today:
            return candidate
        year += 1


def _weekday(found: re.Match[str], today: date) -> date:
    """Return the next such day after today: whoever means today says so."""
    return today + timedelta(days=(_DAYS[found[1]] - today.weekday() - 1) % 7 + 1)


def _day_of_month(found: re.Match[str], today: date) -> date:
    wanted = int(found[1])
    month = date(today.year, today.month, 1)
    for _ in range(12):
        try:
            candidate = month.replace(day=wanted)
        except ValueError:
            candidate = date.min
        if candidate >= today:
            return candidate
        month = (month + timedelta(days=32)).replace(day=1)
    return _refuse()


_NAMED_DAYS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], date], date]], ...] = (
    (
        re.compile(rf"\b(\d{{1,2}})(?:st|nd|rd|th)? (?:de |of )?({_MONTH})(?: (?:de |del )?(\d{{4}}))?\b"),
        lambda found, today: _coming(today, _MONTHS[found[2]], int(found[1]), found[3]),
    ),
    (
        re.compile(rf"\b({_MONTH}) (?:the )?(\d{{1,2}})(?:st|nd|rd|th)?(?: (?:of )?(\d{{4}}))?\b"),
        lambda found, today: _coming(today, _MONTHS[found[1]], int(found[2]), found[3]),
    ),
    (re.compile(r"\b(?:pasado manana|day after tomorrow)\b"), lambda _, today: today + timedelta(days=2)),
    (re.compile(r"\b(?:manana|tomorrow)\b"), lambda _, today: today + timedelta(days=1)),
    (re.compile(r"\b(?:hoy|today)\b"), lambda _, today: today),
    (
        re.compile(r"\b(?:en|in|dentro de) (\d{1,2}|un|a) (?:dias?|days?)\b"),
        lambda found, today: today + timedelta(days=int(found[1]) if found[1].isdigit() else 1),
    ),
    (
        re.compile(r"\b(?:en|in|dentro de) (\d{1,2}|un|a) (?:semanas?|weeks?)\b"),
        lambda found, today: today + timedelta(weeks=int(found[1]) if found[1].isdigit() else 1),
    ),
    (re.compile(rf"\b({'|'.join(_DAYS)})\b"), _weekday),
    (re.compile(r"\b(?:el|dia|the) (\d{1,2})(?:st|nd|rd|th)?\b"), _day_of_month),
)


def _localise(day: date, at: time, zone: ZoneInfo) -> datetime:
    local = datetime.combine(day, at.replace(second=0, microsecond=0), tzinfo=zone)
    instant = local.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise InvalidArguments("The clocks are put forward at that time, so it does not exist. Ask the user for another.", "invalid_date")
    return instant


def _refuse() -> NoReturn:
    raise InvalidArguments("The day was not understood. Ask the user for the day, and send it as YYYY-MM-DD.", "invalid_date")

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.storage.databases import NOW, ZONE
from tools.dates import parse_when
from tools.errors import InvalidArguments

KEEP = datetime(2030, 1, 22, 10, 30, tzinfo=ZONE)


def when(day: str | None, hour: str | None = None, keep: datetime | None = None, zone: ZoneInfo = ZONE) -> str:
    """Return the clinic's local time, or the code of the refusal."""
    try:
        return f"{parse_when(day, hour, now=NOW, zone=zone, keep=keep).astimezone(zone):%Y-%m-%d %H:%M}"
    except InvalidArguments as error:
        return error.code


# NOW is Wednesday 2030-01-16, noon.
@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        ("2030-01-17T10:00", None, "2030-01-17 10:00"),
        ("2030-01-17T10:00:00", None, "2030-01-17 10:00"),
        ("2030-01-17 10:00", None, "2030-01-17 10:00"),
        ("2030-01-17T10:00:00Z", None, "2030-01-17 07:00"),
        ("2030-01-17T10:00:00.000-03:00", None, "2030-01-17 10:00"),
        ("2030-01-17T23:30:00-05:00", None, "2030-01-18 01:30"),
        ("2030-01-17", "10:00", "2030-01-17 10:00"),
        ("2030-01-17T00:00:00", "10:00", "2030-01-17 10:00"),
        ("2030-01-17T00:00:00Z", "10:00", "2030-01-17 10:00"),
        ("2030-01-17T09:00", "10:00", "2030-01-17 10:00"),
        ("2030-01-17 a las 10", None, "2030-01-17 10:00"),
        ("17/01/2030", "10", "2030-01-17 10:00"),
        ("17-1-2030 10:30", None, "2030-01-17 10:30"),
        ("17/1 a las 11hs", None, "2030-01-17 11:00"),
        ("15/1", "10:00", "2031-01-15 10:00"),
        ("mañana a las 10", None, "2030-01-17 10:00"),
        ("Mañana, a las diez y media.", None, "2030-01-17 10:30"),
        ("mañana a las nueve menos cuarto", None, "2030-01-17 08:45"),
        ("mañana a las dos y veinticinco", None, "2030-01-17 14:25"),
        ("mañana a las veinte y treinta y cinco", None, "2030-01-17 20:35"),
        ("mañana por la mañana a las 9", None, "2030-01-17 09:00"),
        ("mañana a las 9 de la mañana", None, "2030-01-17 09:00"),
        ("mañana a las 6 de la mañana", None, "2030-01-17 06:00"),
        ("mañana a la una", None, "2030-01-17 13:00"),
        ("mañana al mediodía", None, "2030-01-17 12:00"),
        ("mañana", "15:00:00", "2030-01-17 15:00"),
        ("mañana", "quince", "2030-01-17 15:00"),
        ("mañana", "tres y cuarto de la tarde", "2030-01-17 15:15"),
        ("pasado mañana a las 9:15", None, "2030-01-18 09:15"),
        ("hoy a las 18", None, "2030-01-16 18:00"),
        ("esta tarde a las 5", None, "2030-01-16 17:00"),
        ("el viernes a las 15:00", None, "2030-01-18 15:00"),
        ("viernes a las 3 de la tarde", None, "2030-01-18 15:00"),
        ("el miércoles que viene a las 10", None, "2030-01-23 10:00"),
        ("el viernes veinticinco de enero a las diez", None, "2030-01-25 10:00"),
        ("1 de enero 10:00", None, "2031-01-01 10:00"),
        ("primero de marzo a las 10", None, "2030-03-01 10:00"),
        ("el 25 a las 16", None, "2030-01-25 16:00"),
        ("el 3 a las 16", None, "2030-02-03 16:00"),
        ("29 de febrero a las 10", None, "2032-02-29 10:00"),
        ("en tres días a las 8", None, "2030-01-19 08:00"),
        ("en una semana a las 8", None, "2030-01-23 08:00"),
        ("tomorrow at 3 pm", None, "2030-01-17 15:00"),
        ("tomorrow at ten", None, "2030-01-17 10:00"),
        ("next friday at 10am", None, "2030-01-18 10:00"),
        ("friday at noon", None, "2030-01-18 12:00"),
        ("day after tomorrow at quarter to 4", None, "2030-01-18 15:45"),
        ("January 22nd at half past nine", None, "2030-01-22 09:30"),
        ("22 January 2031", "9:30 am", "2031-01-22 09:30"),
        ("in two weeks at 11 o'clock", None, "2030-01-30 11:00"),
        ("tomorrow", "12 am", "2030-01-17 00:00"),
        ("mañana", "03:00", "2030-01-17 03:00"),
    ],
)
@pytest.mark.req("S4-51")
def test_days_and_times_are_understood(day: str | None, hour: str | None, expected: str) -> None:
    assert when(day, hour) == expected


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        ("2030-01-25", None, "2030-01-25 10:30"),
        ("2030-01-25T00:00:00", None, "2030-01-25 10:30"),
        ("viernes", None, "2030-01-18 10:30"),
        (None, "15:00", "2030-01-22 15:00"),
        ("a las 15", None, "2030-01-22 15:00"),
        ("a las 4 de la tarde", None, "2030-01-22 16:00"),
        ("2030-01-25", "11:00", "2030-01-25 11:00"),
    ],
)
@pytest.mark.req("S4-51")
def test_what_is_not_said_stays_as_it_was(day: str | None, hour: str | None, expected: str) -> None:
    assert when(day, hour, KEEP) == expected


@pytest.mark.parametrize(
    ("day", "hour", "expected"),
    [
        ("2030-01-17", None, "time_required"),
        ("mañana", None, "time_required"),
        (None, "10:00", "date_required"),
        ("a las 10", None, "date_required"),
        ("cuando sea", None, "invalid_date"),
        ("2030-02-30", "10:00", "invalid_date"),
        ("2030-13-01T10:00", None, "invalid_date"),
        ("31/02/2030", "10:00", "invalid_date"),
        ("31 de abril a las 10", None, "invalid_date"),
        ("mañana", "25:00", "invalid_date"),
        ("mañana", "10:75", "invalid_date"),
        ("mañana", "pronto", "time_required"),
        ("mañana a las treinta", None, "invalid_date"),
        ("el 32 a las 10", None, "invalid_date"),
        ("", None, "date_required"),
    ],
)
def test_what_is_not_understood_is_asked_for(day: str | None, hour: str | None, expected: str) -> None:
    assert when(day, hour) == expected


def test_a_time_that_the_clocks_skip_is_refused() -> None:
    madrid = ZoneInfo("Europe/Madrid")

    assert when("2030-03-31T02:30", zone=madrid) == "invalid_date"
    assert when("2030-03-31T03:30", zone=madrid) == "2030-03-31 03:30"


@given(st.text(max_size=60), st.none() | st.text(max_size=20))
def test_any_text_gives_a_time_or_a_question(day: str, hour: str | None) -> None:
    outcome = when(day, hour, KEEP)

    assert outcome in {"invalid_date", "time_required", "date_required"} or datetime.fromisoformat(outcome)


@given(st.integers(0, 70 * 365 * 24 * 60))
def test_every_iso_time_is_read_as_written(minutes: int) -> None:
    moment = (NOW + timedelta(minutes=minutes)).replace(tzinfo=None)
    expected = moment.replace(tzinfo=ZONE)
    kept = (moment + timedelta(days=1)).replace(hour=1, minute=1, tzinfo=ZONE)
    is_midnight = moment.hour == moment.minute == 0

    read = parse_when(moment.isoformat(), None, now=NOW, zone=ZONE, keep=kept)
    assert read.tzinfo is UTC
    assert read == (expected.replace(hour=1, minute=1) if is_midnight else expected)


@pytest.mark.req("S2-28")
@pytest.mark.parametrize("day", ["9999-12-31T23:59", "0001-01-01T00:30+14:00", "9999-12-31T23:59-12:00"])
def test_a_day_beyond_the_calendar_is_refused(day: str) -> None:
    assert when(day) == "invalid_date"

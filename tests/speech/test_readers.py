import datetime as dt

import pytest

from nova_sonic_local.speech.addresses import Email, Name
from nova_sonic_local.speech.language import load_language
from nova_sonic_local.speech.moments import date_reader, duration_reader, time_reader
from nova_sonic_local.speech.patterns import Reader
from nova_sonic_local.speech.readers import Digits, FreeText, Number, Price, Table, TypedForm
from nova_sonic_local.speech.tokens import tokenise
from tests.speech.stage import today, understanding

ES, EN = load_language("es"), load_language("en")


def whole(reader: Reader, text: str) -> object:
    """Return the value of the reading that takes all of the text, None when there is none."""
    tokens = tokenise(text)
    return next((value for end, value in reader.read(tokens, 0) if end == len(tokens)), None)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "cero", 0),
        ("es", "veintitrés", 23),
        ("es", "treinta y uno", 31),
        ("es", "cien", 100),
        ("es", "ciento cinco", 105),
        ("es", "dos mil veinticinco", 2025),
        ("es", "mil", 1000),
        ("es", "doce millones trescientos cuarenta y cinco mil seiscientos setenta y ocho", 12_345_678),
        ("es", "treinta uno", None),
        ("en", "zero", 0),
        ("en", "twenty three", 23),
        ("en", "one hundred and five", 105),
        ("en", "two thousand twenty five", 2025),
        ("en", "twelve million three hundred forty five thousand six hundred seventy eight", 12_345_678),
        ("en", "twenty twelve", None),
        ("en", "42", 42),
        ("en", "apple", None),
    ],
)
def test_numbers_are_read_from_words_and_digits(language: str, text: str, expected: int | None) -> None:
    numbers = load_language(language).numbers

    assert whole(Number(numbers, 0, 10**9, ""), text) == expected


@pytest.mark.parametrize(("number", "expected"), [("3", 3), ("2", None), ("11", None)])
def test_numbers_outside_their_bounds_are_not_read(number: str, expected: int | None) -> None:
    assert whole(Number(ES.numbers, 3, 10, ""), number) == expected


@pytest.mark.req("S4-55")
@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "uno dos tres cuatro cinco seis siete ocho", "12345678"),
        ("es", "12345678", "12345678"),
        ("es", "12.345.678", "12345678"),
        ("es", "12 345 678", "12345678"),
        ("es", "doce treinta y cuatro cincuenta y seis setenta y ocho", "12345678"),
        ("es", "doce millones trescientos cuarenta y cinco mil seiscientos setenta y ocho", "12345678"),
        ("es", "uno dos tres", None),
        ("es", "123456789", None),
        ("es", "25.99", None),
        ("en", "oh one two three four five six seven", "01234567"),
        ("en", "one two three four five six seven", "1234567"),
    ],
)
def test_identifiers_become_digits(language: str, text: str, expected: str | None) -> None:
    numbers = load_language(language).numbers

    assert whole(Digits(numbers, 7, 8, ""), text) == expected


@pytest.mark.parametrize(("text", "expected"), [("25.99", 25.99), ("25,50", 25.5), ("treinta y dos", 32.0), ("caro", None)])
def test_prices_are_read(text: str, expected: float | None) -> None:
    assert whole(Price(ES.numbers), text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "hoy", "2025-11-19"),
        ("es", "mañana", "2025-11-20"),
        ("es", "pasado mañana", "2025-11-21"),
        ("es", "el viernes", "2025-11-21"),
        ("es", "miércoles", "2025-11-26"),
        ("es", "el próximo lunes", "2025-11-24"),
        ("es", "el cinco de diciembre", "2025-12-05"),
        ("es", "el 5 de diciembre de 2026", "2026-12-05"),
        ("es", "primero de enero", "2026-01-01"),
        ("es", "5/12", "2025-12-05"),
        ("es", "5/12/26", "2026-12-05"),
        ("es", "2025-12-05", "2025-12-05"),
        ("es", "en tres días", "2025-11-22"),
        ("es", "el treinta de febrero", None),
        ("en", "today", "2025-11-19"),
        ("en", "tomorrow", "2025-11-20"),
        ("en", "the day after tomorrow", "2025-11-21"),
        ("en", "on friday", "2025-11-21"),
        ("en", "next monday", "2025-11-24"),
        ("en", "december fifth", "2025-12-05"),
        ("en", "the twenty first of december", "2025-12-21"),
        ("en", "december 5 2026", "2026-12-05"),
        ("en", "in two days", "2025-11-21"),
        ("en", "february thirtieth", None),
    ],
)
def test_dates_count_from_today(language: str, text: str, expected: str | None) -> None:
    assert whole(date_reader(load_language(language), today), text) == expected


def test_a_day_of_this_year_that_is_over_is_next_year_even_on_29_february() -> None:
    leap_day = date_reader(ES, lambda: dt.date(2027, 6, 1))

    assert whole(leap_day, "el 29 de febrero") is None
    assert whole(leap_day, "el 1 de marzo") == "2028-03-01"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "a las diez", "10:00"),
        ("es", "a las diez y media", "10:30"),
        ("es", "a las once menos cuarto", "10:45"),
        ("es", "a las quince", "15:00"),
        ("es", "a la una", "13:00"),
        ("es", "a las tres de la tarde", "15:00"),
        ("es", "a las tres", "15:00"),
        ("es", "a las nueve de la noche", "21:00"),
        ("es", "a las 15:00", "15:00"),
        ("es", "15:30", "15:30"),
        ("es", "10 hs", "10:00"),
        ("es", "al mediodía", "12:00"),
        ("es", "a las 25:00", None),
        ("es", "diez", None),
        ("en", "at ten", "10:00"),
        ("en", "at ten thirty", "10:30"),
        ("en", "at three pm", "15:00"),
        ("en", "at 3 p.m.", "15:00"),
        ("en", "at twelve am", "00:00"),
        ("en", "at noon", "12:00"),
        ("en", "15:00", "15:00"),
    ],
)
def test_times_are_read_as_24_hours(language: str, text: str, expected: str | None) -> None:
    assert whole(time_reader(load_language(language)), text) == expected


def test_the_answer_to_a_question_for_the_time_may_be_just_the_hour() -> None:
    assert whole(time_reader(ES, bare=True), "diez y media") == "10:30"
    assert whole(time_reader(EN, bare=True), "ten thirty") == "10:30"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "media hora", 30),
        ("es", "una hora", 60),
        ("es", "cuarenta y cinco minutos", 45),
        ("es", "20 min", 20),
        ("en", "half an hour", 30),
        ("en", "forty five minutes", 45),
        ("en", "two minutes", None),
    ],
)
def test_durations_are_minutes(language: str, text: str, expected: int | None) -> None:
    assert whole(duration_reader(load_language(language)), text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "juan punto perez arroba email punto com", "juan.perez@email.com"),
        ("es", "maría arroba empresa punto com punto ar", "maria@empresa.com.ar"),
        ("es", "ana guion bajo gomez arroba x punto org", "ana_gomez@x.org"),
        ("es", "luis dos tres arroba email punto com", None),
        ("es", "luis 23 arroba email punto com", "luis23@email.com"),
        ("es", "Juan.Perez@Email.com", "juan.perez@email.com"),
        ("es", "juan arroba email", None),
        ("es", "arroba email punto com", None),
        ("en", "john dot smith at example dot com", "john.smith@example.com"),
        ("en", "john at example", None),
    ],
)
def test_addresses_are_read_spelt_out_or_typed(language: str, text: str, expected: str | None) -> None:
    assert whole(Email.of(load_language(language), ["Juan Pérez"], ["email"]), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("juan perez", "Juan Pérez"),
        ("ramiro gutiérrez", "Ramiro Gutiérrez"),
        ("María de la Cruz", "María de la Cruz"),
        ("Ramiro", None),
        ("mi dni", None),
        ("Ramiro de", None),
        ("R2 D2", None),
    ],
)
def test_names_are_listed_or_unknown_words(text: str, expected: str | None) -> None:
    reader = Name(Table.of([("Juan Pérez", "Juan Pérez")]), frozenset(("mi", "dni")))

    assert whole(reader, text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("es", "dos productos a", [("Producto A", 2)]),
        ("es", "un producto a y 3 unidades del producto b", [("Producto A", 1), ("Producto B", 3)]),
        ("es", "producto c", [("Producto C", 1)]),
        ("en", "two units of product a and one product b", [("Producto A", 2), ("Producto B", 1)]),
        ("en", "two houses", None),
    ],
)
def test_products_are_read_with_quantity_and_price(language: str, text: str, expected: list[tuple[str, int]] | None) -> None:
    found = whole(understanding(language).readers["items"].usual, text)

    prices = {"Producto A": 25.99, "Producto B": 15.5, "Producto C": 9.9}
    assert found == (None if expected is None else [{"name": name, "quantity": count, "price": prices[name]} for name, count in expected])


def test_what_can_only_be_typed_is_not_in_the_grammar() -> None:
    assert [reader.jsgf() for reader in (Price(ES.numbers), FreeText(), TypedForm(r"\d+"))] == ["", "", ""]


def test_a_language_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="'xx' is not known"):
        load_language("xx")

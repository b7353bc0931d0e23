import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.spoken import digits

SPANISH_UNITS = ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"]
ENGLISH_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.mark.req("S4-55")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6", "6"),
        ("seis", "6"),
        ("Séis.", "6"),
        ("uno dos tres cuatro cinco seis siete ocho", "12345678"),
        ("doce treinta y cuatro cincuenta y seis setenta y ocho", "12345678"),
        ("doce millones trescientos cuarenta y cinco mil seiscientos setenta y ocho", "12345678"),
        ("twelve million three hundred forty five thousand six hundred seventy eight", "12345678"),
        ("one hundred and twenty-three", "123"),
        ("12.345.678", "12345678"),
        ("12 345 678", "12345678"),
        ("doce 345 seis", "123456"),
        ("cero uno", "01"),
        ("veintidós", "22"),
        ("ciento uno", "101"),
        ("quinientos", "500"),
        ("mil", "1000"),
        ("dos mil cinco", "2005"),
        ("treinta y uno mil", "31000"),
        ("un millón", "1000000"),
        ("número uno", "1"),
        ("el pedido número #2", "2"),
        ("order number seven", "7"),
        ("second", "2"),
        ("doble cinco", "55"),
        ("triple cero siete", "0007"),
        ("uno doble dos tres", "1223"),
        ("treinta doble cinco", "3055"),
        ("double 5 one", "551"),
        ("mi DNI es uno dos tres", "123"),
        ("１２", "12"),  # noqa: RUF001 - full-width digits
    ],
)
def test_number_words_become_digits(text: str, expected: str) -> None:
    assert digits(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "y", "abc", "seis abc", "hundred", "a1", "ORDER#1", "uno " * 41, "número", "1;2", "-", "doble", "doble veinte", "doble doble uno"],
)
def test_what_is_no_number_is_none(text: str) -> None:
    assert digits(text) is None


@pytest.mark.req("S4-55")
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.sampled_from([SPANISH_UNITS, ENGLISH_UNITS]))
def test_dictated_digits_come_out_one_by_one(numbers: list[int], words: list[str]) -> None:
    assert digits(" ".join(words[number] for number in numbers)) == "".join(map(str, numbers))


@given(st.text(max_size=80))
def test_any_text_gives_digits_or_none(text: str) -> None:
    found = digits(text)

    assert found is None or (found.isascii() and found.isdigit())

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.names import doctor_keys, fold


@pytest.mark.req("S4-53", "S4-54")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Juan Pérez", "juan perez"),
        ("  JUAN\tPÉREZ\n", "juan perez"),
        ("Juan Pe\u0301rez.", "juan perez"),
        ("Ju\u200ban Pérez", "juan perez"),
        ("Muñoz", "munoz"),
        ("O'Brien-Smith", "o'brien-smith"),
        ("ＪＵＡＮ", "juan"),  # noqa: RUF001 - full-width letters, as some keyboards type
        ("", ""),
        (" . ", ""),
    ],
)
def test_names_are_folded(text: str, expected: str) -> None:
    assert fold(text) == expected


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dr. Rodríguez", ("dr rodriguez",)),
        ("doctor Rodriguez", ("dr rodriguez",)),
        ("Doctora López", ("dra lopez",)),
        ("Rodríguez", ("dr rodriguez", "dra rodriguez", "rodriguez")),
        ("Doctor", ("dr doctor", "dra doctor", "doctor")),
    ],
)
def test_a_doctor_is_known_whatever_the_title_looks_like(name: str, expected: tuple[str, ...]) -> None:
    assert doctor_keys(name) == expected

import pytest

from nova_sonic_local.speech.tokens import MAXIMUM_CHARACTERS, MAXIMUM_TOKENS, fold, tokenise, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("¿Cómo va mi PEDIDO?", "como va mi pedido"),
        ("mi DNI es 12.345.678.", "mi dni es 12.345.678"),
        ("juan.perez@email.com, por favor", "juan.perez@email.com por favor"),
        ("a las 15:00", "a las 15:00"),
        ("at 3pm", "at 3 pm"),
        ("at 3 p.m.", "at 3 pm"),
        ("el 2025-12-05 o el 5/12", "el 2025-12-05 o el 5/12"),
        ("25.99 or 25,99", "25.99 or 25,99"),
        ("I'd like what\N{RIGHT SINGLE QUOTATION MARK}s new", "i'd like what's new"),
        ("...", ""),
        ("", ""),
    ],
)
def test_text_is_cut_into_folded_tokens(text: str, expected: str) -> None:
    assert words(tokenise(text)) == expected


def test_accents_fall_whether_they_are_composed_or_not() -> None:
    assert fold("Rodri\u0301guez") == fold("Rodríguez") == "rodriguez"


def test_synonyms_replace_words_with_several_or_none() -> None:
    synonyms = {"dr": "doctor", "doc": "número de documento", "porfa": ""}

    assert words(tokenise("Dr. Gómez doc porfa", synonyms)) == "doctor gomez numero de documento"


def test_endless_text_is_cut() -> None:
    assert len(tokenise("a " * 10_000)) == MAXIMUM_TOKENS
    assert len(tokenise("a" * 10_000)[0].raw) == MAXIMUM_CHARACTERS

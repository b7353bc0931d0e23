"""What a text says is gone when it is masked, and how it is made stays."""

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from session.history import shortened
from session.masking import Mask

KEY = b"a key that nobody keeps"


def mask(text: str) -> str:
    return Mask(KEY, ("[FINAL]", "Tool lookUp returned:"))(text)


def core(text: str) -> str:
    """Return what the session compares texts by."""
    return "".join(character for character in text.casefold() if character.isalnum())


def test_equal_words_stay_equal_and_others_become_others() -> None:
    one, two = mask("Hola, ¿qué tal? HOLA."), mask("hola")

    assert re.findall(r"\w+", one)[0] == two.capitalize()
    assert re.findall(r"\w+", one)[-1] == two.upper()
    assert Mask(b"another key", ())("Hola, ¿qué tal? HOLA.") != one


@given(st.text())
def test_a_masked_text_has_the_same_shape(text: str) -> None:
    masked = mask(text)

    assert [character.isalnum() for character in masked] == [character.isalnum() for character in text]
    assert [len(c.encode("utf-8", "surrogatepass")) for c in masked] == [len(c.encode("utf-8", "surrogatepass")) for c in text]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"\A[a-z_]{1,8}\Z"), inner, max_size=3),
)


def structure(value: object) -> object:
    """Return JSON without what its texts and numbers say."""
    match value:
        case bool() | None:
            return value
        case dict():
            return {name: structure(each) for name, each in value.items()}
        case list():
            return [structure(each) for each in value]
        case str():
            return "text"
        case _:
            return "number"


@settings(deadline=None)
@given(_JSON, st.booleans())
def test_masked_json_is_json_of_the_same_structure(value: object, is_ascii: bool) -> None:  # noqa: FBT001 - drawn
    text = json.dumps({"value": value}, ensure_ascii=is_ascii)

    assert structure(json.loads(mask(text))) == structure({"value": value})


def test_json_in_json_is_masked_as_well() -> None:
    text = json.dumps(json.dumps({"name": "Guadalupe", "ok": True}))
    masked = json.loads(json.loads(mask(text)))

    assert list(masked) == ["name", "ok"]
    assert masked["ok"] is True
    assert masked["name"] != "Guadalupe"


def test_words_that_are_nobodys_secret_stay() -> None:
    assert mask("[final] returned true, null") == "[final] returned true, null"


def test_texts_that_differ_in_punctuation_alone_stay_equal() -> None:
    assert core(mask("Son las 10, ¿no? O'Higgins")) == core(mask("son las 10 no OHiggins"))


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters='"\\')), min_size=2, max_size=5))
def test_masking_and_joining_can_change_places(texts: list[str]) -> None:
    assert mask(" ".join(texts)) == " ".join(mask(text) for text in texts)


def test_a_letter_that_json_writes_as_an_escape_is_the_same_letter() -> None:
    clear, escaped = json.dumps({"name": "José Núñez"}, ensure_ascii=False), json.dumps({"name": "José Núñez"})

    assert json.loads(mask(clear)) == json.loads(mask(escaped))
    assert json.loads(mask(escaped))["name"] != "José Núñez"
    assert json.loads(json.loads(mask(json.dumps(escaped)))) == json.loads(mask(clear))


@given(st.from_regex(r"\A[a-zA-Z]{1,100}\Z"))
def test_a_plain_word_is_masked_like_one_with_an_apostrophe(word: str) -> None:
    assert mask(f"{word}'") == f"{mask(word)}'"


def test_a_number_stays_one_number_however_it_is_written() -> None:
    assert json.loads(mask('{"total": 104.50}'))["total"] == json.loads(mask('{"total": 104.5}'))["total"]
    assert mask("12345678") != "12345678"
    assert mask("12345678.") == f"{mask('12345678')}."


@given(st.integers(20, 120))
def test_a_masked_text_that_is_shortened_is_the_shortened_text_masked(limit: int) -> None:
    text = '{"customer": "Guadalupe O\'Higgins", "items": ["zanahoria", 12.50], "total": 104.50, "address": "Calle Falsa 123"}'

    assert mask(shortened(text, limit)) == shortened(mask(text), limit)

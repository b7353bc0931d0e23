"""What is stored of conversations can be read by holders of the key alone."""

import pytest

from storage.cipher import CannotOpen, Cipher

OLD, NEW = bytes(32), bytes(range(32))


def test_what_was_sealed_can_be_opened() -> None:
    cipher = Cipher([NEW])

    assert cipher.open(cipher.seal("Señora".encode(), "one"), "one") == "Señora".encode()


def test_the_same_text_is_sealed_differently_each_time() -> None:
    cipher = Cipher([NEW])

    assert cipher.seal(b"Hola.", "one") != cipher.seal(b"Hola.", "one")


def test_the_first_key_seals_and_all_open() -> None:
    both = Cipher([NEW, OLD])

    assert both.open(Cipher([OLD]).seal(b"Hola.", "one"), "one") == b"Hola."
    assert Cipher([NEW]).open(both.seal(b"Hola.", "one"), "one") == b"Hola."
    with pytest.raises(CannotOpen, match="another key"):
        Cipher([OLD]).open(both.seal(b"Hola.", "one"), "one")


@pytest.mark.parametrize("place", [9, 30, -3])
def test_a_change_of_one_character_is_noticed(place: int) -> None:
    sealed = Cipher([NEW]).seal(b"Hola.", "one")
    changed = list(sealed)
    changed[place] = "A" if changed[place] != "A" else "B"

    with pytest.raises(CannotOpen):
        Cipher([NEW]).open("".join(changed), "one")


def test_a_text_is_only_what_it_was_sealed_as() -> None:
    with pytest.raises(CannotOpen):
        Cipher([NEW]).open(Cipher([NEW]).seal(b"Hola.", "one"), "other")


@pytest.mark.parametrize("sealed", ["", ".", "no-key.AAAA", "é"])
def test_what_was_never_sealed_cannot_be_opened(sealed: str) -> None:
    with pytest.raises(CannotOpen):
        Cipher([NEW]).open(sealed, "one")


@pytest.mark.parametrize("rest", ["", "!", "AAAA", "é"])
def test_what_has_a_key_and_is_too_short_cannot_be_opened(rest: str) -> None:
    key_id = Cipher([NEW]).seal(b"", "one").partition(".")[0]

    with pytest.raises(CannotOpen):
        Cipher([NEW]).open(f"{key_id}.{rest}", "one")


@pytest.mark.parametrize("keys", [[], [b"short"], [bytes(32), bytes(31)]])
def test_keys_have_256_bits(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Cipher(keys)

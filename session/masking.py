"""Masks what people said in texts, so that a conversation can be shown to somebody who may not know it, and still runs as it did.

Each word becomes another of the same shape: letters for letters, digits for digits, small for small. Within one session a word always
becomes the same, so texts that are equal, repeat each other or begin alike still do. Everything else of a text stays: white space,
punctuation, the structure of JSON, its members' names, true, false and null. So the session machine, which compares, joins and cuts texts
but does not understand them, decides as before. Numbers that begin alike become such numbers, because 1.50 and 1.5 are one. Who has the
masked text and not the key cannot tell what a word was.
"""

import re
from collections.abc import Iterable
from hashlib import blake2b

LIMIT_CHARACTERS = 65_536
"""What is longer comes from nobody's mouth and is not read to its end."""
CACHE_WORDS = 5_000
"""More different words than a conversation of an hour has."""

_PARTS = re.compile(
    r"""(?P<member>\\*"[A-Za-z_][A-Za-z0-9_-]{0,39}\\*"(?=\s*:))"""
    r"""|(?P<word>(?:[^\s"\\{}\[\]:,;()<>|/]|\\+u[0-9a-fA-F]{4})+)"""
    r"""|(?P<escape>\\+.?)""",
    re.DOTALL,
)
_UNIT = re.compile(r"\\+u([0-9a-fA-F]{4})|.", re.DOTALL)
"""A character, or a letter as JSON may write it."""
_EXPONENT = re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+")
_LITERALS = ("true", "false", "null")
_SMALL = "abcdefghijklmnopqrstuvwxyz"
_FIRST_LETTER = ord("a")
_ACCENTED = "àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþ"
"""Small letters of two bytes whose capitals have two bytes as well."""
_DIGITS = "123456789"
"""Zero stays zero: no number may begin with one in JSON."""
_IDEOGRAPHS = {3: 0x4E00, 4: 0x20000}
"""First ideograph of so many bytes; they are letters without capitals."""
_IDEOGRAPHS_USED = 4_096
_DIGEST_BYTES = 64


class Mask:
    """Masks the texts of one session.

    Args:
        key: 16 random bytes or more, kept nowhere.
        kept: texts whose words are nobody's secret: our own sentences, names of tools, markers.
    """

    def __init__(self, key: bytes, kept: Iterable[str] = ()) -> None:
        self._key = key
        self._masked: dict[str, str] = {}
        self._kept = {_core(match["word"]) for text in (*_LITERALS, *kept) for match in _PARTS.finditer(text) if match["word"]}

    def __call__(self, text: str) -> str:
        """Return the text masked; it has as many characters and, up to LIMIT_CHARACTERS, as many bytes of UTF-8."""
        masked = _PARTS.sub(self._part, text[:LIMIT_CHARACTERS])
        return masked + "." * (len(text) - LIMIT_CHARACTERS)

    def _part(self, match: re.Match[str]) -> str:
        word = match["word"]
        if word is None:
            return match[0]
        masked = self._masked.get(word)
        if masked is None:
            masked = self._word(word)
            if len(self._masked) < CACHE_WORDS:
                self._masked[word] = masked
        return masked

    def _word(self, word: str) -> str:
        return self._plain_word(word) if len(word) <= _DIGEST_BYTES and word.isascii() and word.isalpha() else self._any_word(word)

    def _plain_word(self, word: str) -> str:
        """Do the same as `_any_word` for what most words are, in a third of the time."""
        small = word.lower()
        if small in self._kept:
            return word
        masked = "".join(
            [_SMALL[(ord(letter) - _FIRST_LETTER + by) % len(_SMALL)] for letter, by in zip(small, self._digest(small), strict=False)]
        )
        if word == small:
            return masked
        return "".join([other.upper() if letter.isupper() else other for letter, other in zip(word, masked, strict=True)])

    def _any_word(self, word: str) -> str:
        units = [(chr(int(match[1], 16)) if match[1] else match[0], match[0]) for match in _UNIT.finditer(word)]
        core = _core("".join(character for character, _ in units))
        if core in self._kept:
            return word
        digest = self._digest(core)
        is_number = core.isascii() and core.isdigit()
        has_exponent = _EXPONENT.fullmatch(word) is not None
        masked: list[str] = []
        place = 0
        for character, written in units:
            if not character.isalnum() or (has_exponent and character.isalpha()):
                masked.append(written)
                continue
            by = self._digest(core[:place])[0] if is_number else digest[place % _DIGEST_BYTES] + place // _DIGEST_BYTES
            other = _moved(character, by)
            masked.append(other if written == character else f"{written[:-4]}{ord(other):04x}")
            place += 1
        return "".join(masked)

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=_DIGEST_BYTES).digest()


def _core(word: str) -> str:
    """Return what makes two words equal: letters and digits, small."""
    return "".join(character for character in word.casefold() if character.isalnum())


def _moved(character: str, by: int) -> str:
    small = character.lower()
    for alphabet in (_SMALL, _ACCENTED, _DIGITS):
        if (at := alphabet.find(small)) >= 0:
            other = alphabet[(at + by) % len(alphabet)]
            return other if small == character else other.upper()
    size = len(character.encode("utf-8", "surrogatepass"))
    if size == 1:
        return character  # zero
    if size in _IDEOGRAPHS:
        return chr(_IDEOGRAPHS[size] + (ord(small[0]) + by * 16) % _IDEOGRAPHS_USED)
    other = _ACCENTED[(ord(small[0]) + by) % len(_ACCENTED)]
    return other.upper() if character.isupper() else other

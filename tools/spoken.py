"""Digits out of what people say, in Spanish and English: a safety net, since the prompt asks the model for digits.

"seis" -> 6, "uno dos tres" -> 123, "doble cinco" -> 55, "doce treinta y cuatro" -> 1234, "doce millones trescientos mil" -> 12300000,
"twenty-one" -> 21.
"""

import re

from storage.names import fold

_UNITS = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete dieciocho diecinueve",
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "o un - - - - - - - -",
    "oh una - - - - - - - -",
    "- first second third fourth fifth sixth seventh eighth ninth tenth",
    "- primero segundo tercero cuarto quinto sexto septimo octavo noveno decimo",
    "- primera segunda tercera cuarta quinta sexta septima octava novena decima",
)
_TWENTIES = "veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete veintiocho veintinueve"
_TENS = (
    "- - veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "- - twenty thirty forty fifty sixty seventy eighty ninety",
)
_HUNDREDS = "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"

_WORDS: dict[str, int] = {word: value for row in _UNITS for value, word in enumerate(row.split()) if word != "-"}
_WORDS |= {word: 20 + value for value, word in enumerate(_TWENTIES.split())}
_WORDS |= {word: 10 * value for row in _TENS for value, word in enumerate(row.split()) if word != "-"}
_WORDS |= {word: 100 * value for value, word in enumerate(_HUNDREDS.split()) if word != "-"}
_WORDS |= {"cien": 100, "veintiun": 21, "veintiuna": 21}
_SCALES = {"hundred": 100, "mil": 1000, "thousand": 1000, "millon": 10**6, "millones": 10**6, "million": 10**6}
_FILLERS = frozenset(
    "numero nro no num number the el la de order orden pedido cita turno appointment dni documento id es is mi my con with".split()  # noqa: SIM905 - words read best as a line
)
_REPEATS = {"doble": 2, "double": 2, "triple": 3}
MAX_WORDS = 40
"""More words than this are no number."""


def number_word(word: str) -> int | None:
    """Return the value of one folded number word, or None: "quince" -> 15."""
    return _WORDS.get(word)


def digits(text: str) -> str | None:
    """Return the digits of a text that is nothing but digits and number words, or None.

    Groups that cannot be one number are written one after the other, as people dictate: "doce 345 seis" -> 123456.
    """
    words = [word for part in re.split(r"[\s.,\-]+", fold(text)) if (word := part.removeprefix("#")) and word not in _FILLERS]
    if not words or len(words) > MAX_WORDS:
        return None
    groups: list[str] = []
    number = _Number()
    times = 1
    for word in words:
        if times > 1 or word in _REPEATS:
            digit = _digit(word)
            if (digit is None) == (times > 1):
                return None  # what is said twice is one digit
            groups += [*number.take(), (digit or "") * times]
            times = _REPEATS.get(word, 1)
        elif word.isascii() and word.isdigit():
            groups += [*number.take(), word]
        elif word in ("y", "and"):
            if number.is_empty:
                return None
        elif word not in _WORDS and word not in _SCALES:
            return None
        elif not number.extend(word):
            groups += number.take()
            if not number.extend(word):
                return None
    groups += number.take()
    return ("".join(groups) or None) if times == 1 else None


def _digit(word: str) -> str | None:
    """Return the one digit that a word is: "cinco" and "5" are "5"."""
    text = str(_WORDS.get(word, word))
    return text if len(text) == 1 and text.isascii() and text.isdigit() else None


class _Number:
    """One number while its words come in: millions and thousands done so far, and the part below a thousand."""

    def __init__(self) -> None:
        self._done = 0
        self._part: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no word was taken yet."""
        return self._part is None and self._done == 0

    def extend(self, word: str) -> bool:
        """Take a word into the number; False when it has to begin another one."""
        if word in _SCALES:
            return self._scale(_SCALES[word])
        value = _WORDS[word]
        if self._part is None:
            if value == 0 and self._done:
                return False
            self._part = value
            return True
        # "treinta" + "cuatro", "doscientos" + "doce": only into the zeros at the end.
        is_tens = self._part % 100 in range(20, 100, 10)
        room = 100 if self._part % 100 == 0 else 10 if is_tens else 1
        if self._part == 0 or value == 0 or value >= room:
            return False
        self._part += value
        return True

    def take(self) -> list[str]:
        """Return the number, if there is one, and begin anew."""
        result = [] if self.is_empty else [str(self._done + (self._part or 0))]
        self._done, self._part = 0, None
        return result

    def _scale(self, scale: int) -> bool:
        if scale == 100:  # noqa: PLR2004 - English "two hundred"
            if self._part is None or not 0 < self._part < 10:  # noqa: PLR2004 - a single digit
                return False
            self._part *= scale
            return True
        if self._done % scale or (self._done and self._done <= scale):
            return False
        if self._part is None and self._done:
            return False
        self._done += (1 if self._part is None else self._part) * scale
        self._part = None
        return True

"""Names as people say them, made comparable."""

import unicodedata

_TITLES = {"dr": "dr", "doctor": "dr", "dra": "dra", "doctora": "dra"}


def fold(text: str) -> str:
    """Return a text without accents, case, punctuation at the ends of words, invisible characters, or surplus spaces.

    Two texts are the same name when their folded forms are equal; nothing shorter than the whole name ever is.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    kept = (" " if letter.isspace() else letter for letter in decomposed if unicodedata.category(letter) not in ("Mn", "Cf"))
    words = (word.strip(".,;:!?¡¿\"'()") for word in "".join(kept).casefold().split())
    return " ".join(word for word in words if word)


def doctor_keys(name: str) -> tuple[str, ...]:
    """Return the keys under which a doctor may be known: "Doctor Rodríguez" and "Dr. Rodriguez" are ("dr rodriguez",).

    A name without a title may be either title's, in this order.
    """
    words = fold(name).split()
    if len(words) > 1 and words[0] in _TITLES:
        return (" ".join([_TITLES[words[0]], *words[1:]]),)
    plain = " ".join(words)
    return (f"dr {plain}", f"dra {plain}", plain)

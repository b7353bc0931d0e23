"""Sentences of an answer that is still being written: speech begins with the first one. Pure."""

import re
from typing import Final

LONGEST: Final = 300
"""Characters after which a sentence is cut at a space: nobody waits for the end of one without a full stop."""
SHORTEST: Final = 12
"""Characters that are worth a request: `No.` is spoken with what follows."""
_END: Final = re.compile(r"[.!?…][\"'”»)\]]*(?=\s)|\n+")
_ABBREVIATION: Final = re.compile(
    r"(?:^|[\s(.])(?:[^\W\d_]|Dr|Dra|Sr|Sra|Srta|Ud|Uds|Mr|Mrs|Ms|St|No|Nr|Bzw|bzw|M|Mme|etc|ca|vs|approx|núm)\.$"
)
_MARKER: Final = re.compile(r"\[[A-Z_ ]{2,20}\]")
_MARKUP: Final = re.compile(r"[*_`#>]+|^\s*[-•]\s+", re.MULTILINE)


class SentenceSplitter:
    """Cuts a text that comes in pieces into sentences."""

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> list[str]:
        """Return the sentences that are whole now; a full stop counts once a space has come after it."""
        self._text += text
        found = []
        while (end := self._end()) is not None:
            sentence, self._text = self._text[:end].strip(), self._text[end:].lstrip()
            if sentence:
                found.append(sentence)
        return found

    def finish(self) -> list[str]:
        """Return what is left at the end of the answer."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []

    def _end(self) -> int | None:
        for match in _END.finditer(self._text):
            before = self._text[: match.end()].rstrip()
            if len(before) >= SHORTEST and not _ABBREVIATION.search(before):
                return match.end()
        if len(self._text) <= LONGEST:
            return None
        space = self._text.rfind(" ", 0, LONGEST)
        return space if space > 0 else LONGEST


def spoken_text(text: str) -> str:
    """Return what is to be said of a text: no Markdown, and no marker such as [FINAL]; empty when nothing is left."""
    said = " ".join(_MARKUP.sub(" ", _MARKER.sub(" ", text)).split())
    return said if any(letter.isalnum() for letter in said) else ""

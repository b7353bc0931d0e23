"""Cuts the text of a language model into sentences while it is still being written, and leaves out what nobody would say aloud."""

import re
from typing import Final

LONGEST: Final = 300
"""Characters without the end of a sentence after which it is cut all the same, at a comma or a space: the listener waits."""
_SHORTEST = 12
"""A shorter sentence ("Yes.") is spoken together with the next one."""

_THOUGHTS = ("<think>", "</think>")
"""Models that reason write their thoughts between these, at the beginning of the answer."""
_END = re.compile(r"(?:[.!?\u2026]+[\"'\u201d\u00bb)\]]*(?=\s)|[\u3002\uff01\uff1f]|\n)\s*")
_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|Dra|Sr|Sra|Srta|St|No|vs|etc|Prof|e\.g|i\.e)|\b[A-Z]|^\s*\d+)\.$")
_MARKUP = re.compile(r"[*`]+|^[#>\s]+|^-\s+", re.MULTILINE)


class Sentences:
    """The sentences of one answer."""

    def __init__(self) -> None:
        self._text = ""
        self._has_begun = False

    def feed(self, text: str) -> list[str]:
        """Take the next piece and return the sentences that are complete."""
        self._text += text
        if not self._has_begun and not self._begin():
            return []
        found: list[str] = []
        while (end := self._next_end()) is not None:
            found.append(self._text[:end])
            self._text = self._text[end:]
        return list(filter(None, map(speakable, found)))

    def finish(self) -> list[str]:
        """Return what is left."""
        rest, self._text = self._text, ""
        if not self._has_begun and rest.lstrip().startswith(_THOUGHTS[0]):
            return []
        return list(filter(None, [speakable(rest)]))

    def _begin(self) -> bool:
        """Drop the thoughts, and tell whether the answer proper has begun."""
        opening, closing = _THOUGHTS
        text = self._text.lstrip()
        if text.startswith(opening):
            _, closed, answer = text.partition(closing)
            self._text = answer if closed else text[: len(opening)] + text[-len(closing) :]
            self._has_begun = bool(closed)
        else:
            self._has_begun = not opening.startswith(text)
        return self._has_begun

    def _next_end(self) -> int | None:
        for match in _END.finditer(self._text):
            before = self._text[: match.end()].rstrip()
            if len(before) >= _SHORTEST and not _ABBREVIATION.search(before):
                return match.end()
        if len(self._text) <= LONGEST:
            return None
        return self._text.rfind(", ", 0, LONGEST) + 1 or self._text.rfind(" ", 0, LONGEST) + 1 or LONGEST


def speakable(text: str) -> str:
    """Return a text without the signs of Markdown, in one line."""
    return " ".join(_MARKUP.sub("", text).split())

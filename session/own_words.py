"""What the model writes as said by the user although nobody said it now: texts of ours, and what it hears for the second time."""

from collections import deque

from session.unconfirmed import normalised

TEXTS_LIMIT = 8
"""Texts of ours that the model may repeat as the user's, and that are remembered for that."""


class OwnWords:
    """Texts that are no news when the model says that the user said them. Each is expected once, before the next answer begins."""

    def __init__(self) -> None:
        self._hidden: deque[str] = deque(maxlen=TEXTS_LIMIT)
        self._again: list[str] = []
        """The words of a question whose sound was sent again."""

    def hide(self, text: str) -> None:
        """Expect a text that the model was sent."""
        self._hidden.append(normalised(text))

    def sound_again(self, question: str) -> None:
        """Expect the words of a question whose sound another stream is sent, in any number of texts; its beginning may be missing."""
        self._again = [word for written in question.split() if (word := normalised(written))]

    def clear(self) -> None:
        """Expect nothing any more."""
        self._hidden.clear()
        self._again.clear()

    def holds(self, text: str, *, is_users: bool) -> bool:
        """Tell whether the text is expected, without taking note of it."""
        return normalised(text) in self._hidden or (is_users and self._found(text) > 0)

    def repeats(self, text: str) -> bool:
        """Tell whether the text is one of ours; from now on it is not expected any more."""
        if (said := normalised(text)) not in self._hidden:
            return False
        self._hidden.remove(said)
        return True

    def is_heard_again(self, text: str) -> bool:
        """Tell whether the text is part of the question that was sent again; from now on what comes after it is expected."""
        end = self._found(text)
        del self._again[:end]
        return end > 0

    def _found(self, text: str) -> int:
        """Return behind how many of the expected words the text ends, 0 if it is not among them."""
        said = [word for written in text.split() if (word := normalised(written))]
        ends = range(len(said), len(self._again) + 1) if said else ()
        return next((end for end in ends if self._again[end - len(said) : end] == said), 0)

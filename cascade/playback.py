"""What of the assistant's speech the listener has heard by now. Pure: `now` is monotonic seconds.

Speech is made faster than it is heard. It is taken that the listener hears each piece when it comes, or after the piece before it.
"""

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class Sentence:
    """A sentence on its way to the listener."""

    answer: int
    """Number of the answer that it belongs to."""
    text: str
    starts: float
    ends: float
    is_last: bool = False
    """Whether it ends the assistant's turn."""

    def heard(self, now: float) -> str:
        """Return what was heard of it, in whole words."""
        if now >= self.ends:
            return self.text
        words = self.text.split()
        share = max(0.0, now - self.starts) / (self.ends - self.starts)
        return " ".join(words[: int(share * len(words))])


class Playback:
    """The listener's player."""

    def __init__(self) -> None:
        self._waiting: list[Sentence] = []
        self._heard: dict[int, list[str]] = {}
        self._ends = 0.0

    @property
    def next_end(self) -> float | None:
        """When the next sentence has been heard; None when there is none."""
        return min((sentence.ends for sentence in self._waiting), default=None)

    def is_playing(self, now: float) -> bool:
        """Tell whether the listener still hears something."""
        return now < self._ends

    def begin(self, answer: int, text: str, now: float) -> Sentence:
        """Start a sentence; its speech follows by `add`."""
        starts = max(now, self._ends)
        sentence = Sentence(answer, text, starts, starts)
        self._waiting.append(sentence)
        return sentence

    def add(self, sentence: Sentence, seconds: float, now: float) -> None:
        """Play a piece of a sentence after what is queued."""
        self._ends = max(now, self._ends) + seconds
        sentence.ends = self._ends

    def end_turn(self, answer: int) -> None:
        """Take note that the latest sentence is the last of the assistant's turn, if it is of this answer and still to be heard."""
        if self._waiting and self._waiting[-1].answer == answer:
            self._waiting[-1].is_last = True

    def finished(self, now: float) -> list[Sentence]:
        """Remove and return the sentences that were heard to their end."""
        done = [sentence for sentence in self._waiting if sentence.ends <= now]
        self._waiting = [sentence for sentence in self._waiting if sentence.ends > now]
        for sentence in done:
            self._heard.setdefault(sentence.answer, []).append(sentence.text)
        return done

    def flush(self, now: float) -> list[tuple[Sentence, str]]:
        """Throw away what has not been heard; return the sentences concerned, each with what was heard of it."""
        cut = [(sentence, sentence.heard(now)) for sentence in self._waiting]
        for sentence, heard in cut:
            self._heard.setdefault(sentence.answer, []).append(heard)
        self._waiting, self._ends = [], now
        return cut

    def heard_of(self, answer: int) -> str:
        """Return what was heard of an answer, as far as it was given out."""
        return " ".join(text for text in self._heard.get(answer, []) if text)

    def forget_before(self, answer: int) -> None:
        """Forget what was heard of the answers before one, but for those that are still to be heard."""
        waiting = {sentence.answer for sentence in self._waiting}
        self._heard = {number: texts for number, texts in self._heard.items() if number >= answer or number in waiting}

"""What of the assistant's speech the listener has heard by now.

Speech is sent faster than it is played. The emulator takes it that the listener plays each piece when it comes, or after the piece before:
that clock, and not what was sent, tells whether the user interrupts, and where. Pure: `now` is monotonic seconds.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Sentence:
    """A sentence group on its way to the listener."""

    text: str
    answer: object
    """Identifies the answer that it belongs to."""
    starts: float
    ends: float
    is_last: bool = False
    """Whether it ends the assistant's turn."""

    def heard(self, now: float) -> str:
        """Return the text that was played so far, in whole words."""
        if now >= self.ends:
            return self.text
        share = max(0.0, (now - self.starts) / (self.ends - self.starts)) if self.ends > self.starts else 0.0
        words = self.text.split()
        return " ".join(words[: int(share * len(words))])


class Playback:
    """The listener's player."""

    def __init__(self) -> None:
        self._sentences: list[Sentence] = []
        self._ends = 0.0

    def begin(self, now: float, text: str, answer: object) -> Sentence:
        """Start a sentence group; its audio follows by `add`."""
        starts = max(now, self._ends)
        sentence = Sentence(text, answer, starts, starts)
        self._sentences.append(sentence)
        return sentence

    def add(self, now: float, sentence: Sentence, seconds: float) -> None:
        """Play a piece of a sentence after what is queued."""
        self._ends = max(now, self._ends) + seconds
        sentence.ends = self._ends

    def is_playing(self, now: float) -> bool:
        """Tell whether the listener still hears something."""
        return now < self._ends

    def holds(self, sentence: Sentence) -> bool:
        """Tell whether a sentence was neither given out by `finished` nor flushed."""
        return any(held is sentence for held in self._sentences)

    def finished(self, now: float) -> list[Sentence]:
        """Remove and return the sentences that were played to their end."""
        done = [sentence for sentence in self._sentences if sentence.ends <= now]
        self._sentences = [sentence for sentence in self._sentences if sentence.ends > now]
        return done

    def next_end(self) -> float | None:
        """Return when the next sentence has been played, None when there is none."""
        return min((sentence.ends for sentence in self._sentences), default=None)

    def flush(self, now: float) -> list[Sentence]:
        """Throw away what has not been played and return the sentences concerned."""
        self._ends = now
        dropped, self._sentences = self._sentences, []
        return dropped

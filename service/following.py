"""What a model makes of one piece of audio or text: when it has heard everything, when it has answered. Pure: `now` is monotonic seconds.

A conversation has no end by itself. What is said here is over when a recording has been sent, nobody is taken to be speaking, all that was
said has a text, and the model has turned to something else or has been quiet for a moment.
"""

from dataclasses import dataclass
from typing import Final

from s2s.events import Role, Stage
from session.events import (
    Interrupted,
    SessionEvent,
    SpeechChunk,
    SpeechEnded,
    SpeechStarted,
    ToolFinished,
    ToolStarted,
    TranscriptUpdated,
    UserSpeechEnded,
    UserSpeechStarted,
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long nothing has to happen until something is over."""

    quiet_seconds: float = 2.0
    """After the last sign that somebody was heard; the text of an utterance takes up to 1.5 s."""
    nothing_seconds: float = 4.0
    """After a recording in which the model has noticed nobody."""
    settled_seconds: float = 1.0
    """After an answer, in which the model may call a tool or say more."""


USUAL: Final = Patience()


class Heard:
    """What the model has heard of a recording."""

    def __init__(self, patience: Patience = USUAL) -> None:
        self._patience = patience
        self._texts: dict[int, list[str]] = {}
        self._speaking: int | None = None
        self._owed: set[int] = set()
        """Turns whose text is still to come."""
        self._sent_at: float | None = None
        self._sign_at: float | None = None
        self._is_answered = False

    @property
    def text(self) -> str:
        """What was said so far."""
        return " ".join(text for _, texts in sorted(self._texts.items()) for text in texts)

    def sent(self, now: float) -> None:
        """Take note that the model has been given everything."""
        self._sent_at = now

    def take(self, event: SessionEvent, now: float) -> None:
        """Take note of an event."""
        match event:
            case UserSpeechStarted(turn):
                self._speaking, self._is_answered = turn, False
                self._sign_at = now
            case UserSpeechEnded(turn):
                self._speaking = None
                if turn not in self._texts:
                    self._owed.add(turn)
                self._sign_at = now
            case TranscriptUpdated(turn, Role.USER, Stage.FINAL, text):
                self._texts.setdefault(turn, []).append(text)
                self._owed.discard(turn)
                self._sign_at = now
            case SpeechStarted() | TranscriptUpdated(_, Role.ASSISTANT, Stage.SPECULATIVE, _) | ToolStarted():
                self._is_answered = True
            case _:
                pass

    def done_at(self) -> float | None:
        """Return when everything has been heard if nothing else happens; None while something is expected."""
        if self._sent_at is None or self._speaking is not None or self._owed:
            return None
        if self._sign_at is None:
            return self._sent_at + self._patience.nothing_seconds
        last = max(self._sent_at, self._sign_at)
        return last if self._is_answered and self._texts else last + self._patience.quiet_seconds


class Answered:
    """What the model answers: its words, and its speech as it comes, faster than it is heard."""

    def __init__(self, patience: Patience = USUAL) -> None:
        self._patience = patience
        self._planned: dict[int, list[str]] = {}
        self._final: dict[int, list[str]] = {}
        self._speech: dict[int, bytearray] = {}
        self._speaking: int | None = None
        self._tools: set[str] = set()
        self._ended_at: float | None = None
        """When the latest speech did."""
        self.hertz = 24_000
        """Rate of the speech."""

    @property
    def text(self) -> str:
        """What is said, or about to be."""
        turns = sorted({*self._planned, *self._final})
        return " ".join(text for turn in turns for text in self._planned.get(turn) or self._final[turn])

    @property
    def pcm(self) -> bytes:
        """The speech: signed 16-bit little-endian mono."""
        return b"".join(bytes(pcm) for _, pcm in sorted(self._speech.items()))

    @property
    def has_begun(self) -> bool:
        """Whether there are words or speech."""
        return bool(self._planned or self._final or self._speech)

    def forget(self) -> None:
        """Leave aside what was answered so far: it was an answer to a part of what is said."""
        self._planned.clear()
        self._final.clear()
        self._speech.clear()
        self._speaking = self._ended_at = None

    def take(self, event: SessionEvent, now: float) -> None:
        """Take note of an event."""
        match event:
            case TranscriptUpdated(turn, Role.ASSISTANT, stage, text):
                (self._final if stage is Stage.FINAL else self._planned).setdefault(turn, []).append(text)
            case SpeechStarted(turn, hertz):
                self._speaking, self.hertz = turn, hertz
            case SpeechChunk(turn, pcm):
                self._speech.setdefault(turn, bytearray()).extend(pcm)
            case SpeechEnded():
                self._speaking, self._ended_at = None, now
            case Interrupted(turn) if self._speaking == turn:
                self._speaking, self._ended_at = None, now
            case ToolStarted(_, tool_use_id):
                self._tools.add(tool_use_id)
            case ToolFinished(_, tool_use_id):
                self._tools.discard(tool_use_id)
                self._ended_at = None  # the answer is what is said of its result
            case _:
                pass

    def done_at(self) -> float | None:
        """Return when the answer is complete if nothing else happens; None while something is expected."""
        if self._ended_at is None or self._speaking is not None or self._tools:
            return None
        return self._ended_at + self._patience.settled_seconds


class Following:
    """Follows a recording, or a text, to the answer to it.

    Args:
        wants_answer: whether what was heard is not all that is wanted.
        patience: how long nothing has to happen until something is over.
    """

    def __init__(self, *, wants_answer: bool, patience: Patience = USUAL) -> None:
        self.heard = Heard(patience)
        self.answered = Answered(patience)
        self._wants_answer = wants_answer
        self._user_turn = 0
        """The user's latest turn: what is still told of earlier answers is none of this one."""
        self.transcribed_at: float | None = None
        """When everything had been heard."""
        self.began_at: float | None = None
        """When the answer began, after that."""
        self.done_at: float | None = None
        """When there was nothing more to wait for."""

    def take(self, event: SessionEvent, now: float) -> None:
        """Take note of an event."""
        if isinstance(event, UserSpeechStarted):
            self.answered.forget()
            self.transcribed_at = self.began_at = None
        if isinstance(event, UserSpeechStarted) or (isinstance(event, TranscriptUpdated) and event.role is Role.USER):
            self._user_turn = max(self._user_turn, event.turn)
        if isinstance(event, _OF_TURNS) and event.turn < self._user_turn:
            return
        self.heard.take(event, now)
        self.answered.take(event, now)

    def look(self, now: float) -> float | None:
        """Note what has been reached by now; return when to look again, None while something else has to happen first."""
        if self.transcribed_at is None:
            at = self.heard.done_at()
            if at is None or at > now:
                return at
            self.transcribed_at = now
        if self._wants_answer and self.heard.text:
            if self.began_at is None and self.answered.has_begun:
                self.began_at = now
            at = self.answered.done_at()
            if at is None or at > now:
                return at
        self.done_at = now
        return None


_OF_TURNS: Final = (TranscriptUpdated, SpeechStarted, SpeechChunk, SpeechEnded, Interrupted, ToolStarted, ToolFinished)

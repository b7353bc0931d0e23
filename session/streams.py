"""Which stream carries the session. Pure: `now` is monotonic seconds.

A stream gives way to the next one as planned (`continuation.py`), or dies and is replaced as far as its failure allows
(`resumption.py`). Either way there is one stream at most that is being opened, and one that is listened to for its last words.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from s2s.events import InputEvent, OutputEvent
from session.continuation import NEVER, Continuation, LeftStream, Moment
from session.effects import FIRST_GENERATION, CloseStream, Effect, Emit, KeepAudio, OpenStream, Route, Send, StreamFailed
from session.errors import model_failure
from session.events import ContinueReason, SessionContinued, SessionStalled
from session.resumption import CURES, STALL_SECONDS, Resumption

type Compose = Callable[[], tuple[InputEvent, ...]]
"""Makes the opening of a stream with what was said so far."""


class Life(StrEnum):
    """What carries the session."""

    CARRIED = "carried"
    CHANGING = "changing"
    """The next stream is being opened beside the present one."""
    WAITING = "waiting"
    """The stream has died, and it is not time for a new one."""
    RESUMING = "resuming"
    """The stream has died, and a new one is being opened."""


class Move(StrEnum):
    """What changes it."""

    OPENING = "opening"
    OPENED = "opened"
    STAYED = "stayed"
    LOST = "lost"
    LOST_BESIDE = "lost beside the next"
    """Nothing was said since the next stream was asked for: it takes over."""
    GIVEN_UP = "given up"
    """The new stream was refused."""


LIVES: Mapping[tuple[Life, Move], Life] = {
    (Life.CARRIED, Move.OPENING): Life.CHANGING,
    (Life.CARRIED, Move.LOST): Life.WAITING,
    (Life.CHANGING, Move.OPENED): Life.CARRIED,
    (Life.CHANGING, Move.STAYED): Life.CARRIED,
    (Life.CHANGING, Move.LOST): Life.WAITING,
    (Life.CHANGING, Move.LOST_BESIDE): Life.RESUMING,
    (Life.WAITING, Move.OPENING): Life.RESUMING,
    (Life.RESUMING, Move.OPENED): Life.CARRIED,
    (Life.RESUMING, Move.GIVEN_UP): Life.WAITING,
}
"""Every pair that moves."""


class Streams:
    """The streams of one session, by generation.

    Args:
        renewal_jitter_seconds: how much earlier than others this session changes its stream.
        resume_jitter: 0 to 1, how much longer than others it waits after a failure.
    """

    def __init__(self, renewal_jitter_seconds: float = 0.0, resume_jitter: float = 0.0) -> None:
        self.life = Life.CARRIED
        self.current = FIRST_GENERATION
        """The stream that carries the session, or did when it died."""
        self.next: int | None = None
        """The stream that is being opened."""
        self.left = LeftStream()
        self.resumption = Resumption(resume_jitter)
        self._continuation = Continuation(renewal_jitter_seconds)
        self._opened = FIRST_GENERATION
        """How many were opened."""
        self._plans = self._opened_by = 0
        """How many other plans there were, now and when the latest stream was opened."""
        self._told = 0
        """How many texts there were when the last one was."""
        self._retry_at = NEVER
        self._lost_at = NEVER
        self._stalled_at = NEVER
        self._code = ""

    @property
    def is_alive(self) -> bool:
        """Whether a stream carries the session."""
        return self.life in (Life.CARRIED, Life.CHANGING)

    @property
    def living(self) -> int | None:
        """The stream that takes results of tools and whose word counts."""
        return self.current if self.is_alive else None

    @property
    def deadline(self) -> float:
        """When to call `tick`, or ask `wants_next`."""
        check_at = self._continuation.check_at if self.life is Life.CARRIED else NEVER
        return min(check_at, self.left.close_at, self._retry_at, self._stalled_at)

    def first_opened(self, now: float, signed_for_seconds: float | None) -> None:
        """Take note of the session's first stream."""
        self._begins(now, signed_for_seconds)

    def revise(self, now: float) -> None:
        """Change the stream soon: the next one is opened by another plan."""
        self._plans += 1
        self._continuation.hurry(now)

    def used(self, now: float) -> None:
        """Take note of speech of the user, or of text."""
        self._continuation.used(now)

    def wants_next(self, now: float, look: Callable[[], Moment]) -> bool:
        """Tell whether to change the stream now."""
        return self.life is Life.CARRIED and self._continuation.wants_next(now, look)

    def change(self, texts: int, compose: Compose) -> list[Effect]:
        """Open the next stream; what the user says meanwhile waits for it.

        Args:
            texts: how many there are in the conversation.
            compose: makes the opening.
        """
        self._told = texts
        return [Route(None), self._open(compose)]

    def stay(self, now: float) -> list[Effect]:
        """Go on with the present stream; the next one is closed as soon as it is open."""
        if self.life is not Life.CHANGING:
            return []
        self._move(Move.STAYED)
        self.next = None
        self._continuation.refused(now)
        return [Route(self.current)]

    def may_take_over(self, generation: int, texts: int, now: float, moment: Moment) -> bool:
        """Tell whether a stream that was accepted is still wanted: nobody has begun to speak to the old one, and it was told everything."""
        if self.life is not Life.CHANGING or generation != self.next:
            return generation == self.next
        is_up_to_date = self.has_told(texts) or self._continuation.is_last_chance(now)
        return is_up_to_date and self._continuation.may_switch(now, moment)

    def has_told(self, texts: int) -> bool:
        """Tell whether the stream that was opened last was told all of so many texts."""
        return texts == self._told

    def refuse(self, generation: int, now: float) -> list[Effect]:
        """Close a stream that was accepted and is not wanted any more."""
        if generation == self.living:
            return []
        return [*(self.stay(now) if generation == self.next else []), CloseStream(generation)]

    def take_over(self, signed_for_seconds: float | None, again: tuple[Send, ...], now: float, *, speaks: bool) -> list[Effect]:
        """Let the stream that was accepted carry the session.

        Args:
            signed_for_seconds: until its credentials expire; None for never.
            again: what it is sent before what waits.
            now: monotonic seconds.
            speaks: whether the old stream is in the middle of an answer.
        """
        generation, effects = self._opened, self.close_left()
        reason, waited = ContinueReason.RENEWED, 0.0
        if self.life is Life.CHANGING:
            self.left.leave(self.current, now, speaks=speaks)
        else:
            reason, waited = ContinueReason.RESUMED, now - self._lost_at
        self._move(Move.OPENED)
        self.current, self.next = generation, None
        self._stalled_at = self._lost_at = NEVER
        self._begins(now, signed_for_seconds)
        return [*effects, Route(generation, again), Emit(SessionContinued(reason, round(waited * 1_000)))]

    def lost(self, failure: StreamFailed, turn: int, texts: int, now: float, *, is_shortened: bool = False) -> list[Effect] | None:
        """Take leave of the stream that carried the session; None when no other may be opened.

        Args:
            failure: what ended it.
            turn: the conversation's latest turn.
            texts: how many there are in it.
            now: monotonic seconds.
            is_shortened: whether the next one is told less of the past.
        """
        pause = self.resumption.pause(failure.remedy, turn, now, crowd=failure.crowd, is_other=is_shortened)
        if pause is None:
            return None
        self._code, self._lost_at, self._stalled_at = failure.code, now, now + STALL_SECONDS
        if self.life is Life.CHANGING and self.has_told(texts) and not CURES[failure.remedy].drops_exchange:
            self._move(Move.LOST_BESIDE)
        else:
            self._move(Move.LOST)
            self.next = None  # if there is one, it was told too little or too much, and is closed when it opens
            self._retry_at = now + pause
        return [Route(None), CloseStream(self.current)]

    def refused(self, failure: StreamFailed, turn: int, now: float, *, is_shortened: bool = False) -> list[Effect] | None:
        """Take note that the stream that was being opened is not to be had; None when the session has none and may open no other.

        Args:
            failure: why.
            turn: the conversation's latest turn.
            now: monotonic seconds.
            is_shortened: whether the next attempt tells less of the past.
        """
        if self.life is Life.CHANGING:
            return self.stay(now)
        pause = self.resumption.pause(failure.remedy, turn, now, crowd=failure.crowd, is_other=is_shortened)
        if pause is None:
            return None
        self._move(Move.GIVEN_UP)
        self.next = None
        self._code, self._retry_at = failure.code, now + pause
        return []

    def tick(self, now: float, compose: Compose) -> list[Effect]:
        """Do what is due: close the stream that was left, try again, tell the client."""
        effects: list[Effect] = self.close_left() if now >= self.left.close_at else []
        if now >= self._stalled_at:
            self._stalled_at = NEVER
            effects.append(Emit(SessionStalled(model_failure(self._code).code)))
        if now >= self._retry_at:
            self._retry_at = NEVER
            effects += [KeepAudio(), self._open(compose)]
        return effects

    def close_left(self) -> list[Effect]:
        """Close the stream that was left."""
        generation = self.left.generation
        self.left.forget()
        return [] if generation is None else [CloseStream(generation)]

    def takes_late(self, generation: int, event: OutputEvent) -> bool:
        """Tell whether an event of a stream that was left still counts."""
        return self.left.takes(generation, event)

    def _open(self, compose: Compose) -> Effect:
        self._move(Move.OPENING)
        self._opened += 1
        self._opened_by = self._plans
        self.next = self._opened
        return OpenStream(self.next, compose())

    def _begins(self, now: float, signed_for_seconds: float | None) -> None:
        self._continuation.opened(now, signed_for_seconds)
        if self._opened_by != self._plans:
            self._continuation.hurry(now)

    def _move(self, move: Move) -> None:
        self.life = LIVES[self.life, move]

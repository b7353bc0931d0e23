"""Which stream carries the session. Pure: `now` is monotonic seconds.

A stream gives way to the next one as planned (`continuation.py`), or dies and is replaced as far as its failure allows
(`resumption.py`). Either way there is one stream at most that is being opened, and one that is listened to for its last words.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum

from s2s.errors import Remedy
from s2s.events import InputEvent, OutputEvent
from session.continuation import NEVER, Continuation, LeftStream
from session.effects import FIRST_GENERATION, CloseStream, Effect, Emit, KeepAudio, OpenStream, Route
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
        self._told_turn = 0
        """The conversation's latest turn when the last one was."""
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
        self._continuation.opened(now, signed_for_seconds)

    def wants_next(self, now: float, *, is_quiet: bool) -> bool:
        """Tell whether to change the stream now."""
        return self.life is Life.CARRIED and self._continuation.wants_next(now, is_quiet=is_quiet)

    def change(self, turn: int, compose: Compose) -> list[Effect]:
        """Open the next stream; what the user says meanwhile waits for it."""
        self._told_turn = turn
        return [Route(None), self._open(compose)]

    def stay(self, now: float) -> list[Effect]:
        """Go on with the present stream; the next one is closed as soon as it is open."""
        if self.life is not Life.CHANGING:
            return []
        self._move(Move.STAYED)
        self.next = None
        self._continuation.refused(now)
        return [Route(self.current)]

    def opened(self, generation: int, signed_for_seconds: float | None, now: float, *, is_quiet: bool) -> list[Effect]:
        """Let the stream that was accepted take over, unless nobody waits for it any more."""
        if generation != self.next:
            return [] if generation == self.living else [CloseStream(generation)]
        if self.life is Life.CHANGING and not self._continuation.may_switch(now, is_quiet=is_quiet):
            # Somebody began to speak while it was being opened: that belongs to the old stream.
            return [*self.stay(now), CloseStream(generation)]
        effects = self.close_left()
        reason, waited = ContinueReason.RENEWED, 0.0
        if self.life is Life.CHANGING:
            self.left.leave(self.current, now)
        else:
            reason, waited = ContinueReason.RESUMED, now - self._lost_at
        self._move(Move.OPENED)
        self.current, self.next = generation, None
        self._stalled_at = self._lost_at = NEVER
        self._continuation.opened(now, signed_for_seconds)
        return [*effects, Route(generation), Emit(SessionContinued(reason, round(waited * 1_000)))]

    def lost(self, code: str, remedy: Remedy, turn: int, now: float) -> list[Effect] | None:
        """Take leave of the stream that carried the session; None when no other may be opened.

        Args:
            code: slug of the ModelError.
            remedy: its remedy.
            turn: the conversation's latest turn.
            now: monotonic seconds.
        """
        pause = self.resumption.pause(remedy, turn, now)
        if pause is None:
            return None
        self._code, self._lost_at, self._stalled_at = code, now, now + STALL_SECONDS
        if self.life is Life.CHANGING and turn == self._told_turn and not CURES[remedy].drops_exchange:
            self._move(Move.LOST_BESIDE)
        else:
            self._move(Move.LOST)
            self.next = None  # if there is one, it was told too little or too much, and is closed when it opens
            self._retry_at = now + pause
        return [Route(None), CloseStream(self.current)]

    def refused(self, code: str, remedy: Remedy, turn: int, now: float) -> list[Effect] | None:
        """Take note that the stream that was being opened is not to be had; None when the session has none and may open no other."""
        if self.life is Life.CHANGING:
            return self.stay(now)
        pause = self.resumption.pause(remedy, turn, now)
        if pause is None:
            return None
        self._move(Move.GIVEN_UP)
        self.next = None
        self._code, self._retry_at = code, now + pause
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
        self.next = self._opened
        return OpenStream(self.next, compose())

    def _move(self, move: Move) -> None:
        self.life = LIVES[self.life, move]

"""A caller as a simulation: speaks, types, interrupts, falls silent, and listens to what it is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from session.events import (
    AudioDropped,
    Command,
    ContinueReason,
    Direction,
    ExchangeRefused,
    Interrupt,
    Interrupted,
    ReportPlayback,
    SendAudio,
    SendText,
    SessionContinued,
    SessionEvent,
    SessionStalled,
    SpeechChunk,
    SpeechStarted,
    StopAudio,
    ToolFinished,
    ToolStarted,
)
from tests.session.doubles import OUTPUT_HERTZ
from tests.session.simulated_model import HEAD, PIECE_SECONDS
from tests.session.simulated_time import Agenda

INPUT_BYTES = int(PIECE_SECONDS * 16_000) * 2
REST = bytes(INPUT_BYTES - HEAD.size)
ANSWER_SECONDS = 25.0
"""A caller who has asked something learns something within this time: an answer, or what keeps it from coming."""
PATIENCE_SECONDS = 30.0
"""A caller who has learned nothing asks again."""
GRACE_SECONDS = 30.0
BACKLOG_PIECES = 75
"""What a browser keeps while it is not read; beyond, the oldest goes before it was ever given to the server."""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a caller behaves; shares of the occasions."""

    types: float = 0.1
    interrupts: float = 0.2
    presses_interrupt: float = 0.05
    falls_silent: float = 0.05
    """Says nothing for minutes."""
    mutes: float = 0.03
    """Closes the microphone meanwhile."""
    reports_playback: bool = True
    loses_network_per_hour: float = 0.0


class Server(Protocol):
    """What the caller reaches of the session."""

    @property
    def has_room(self) -> bool:
        """Whether the client is read."""

    def command(self, command: Command) -> None:
        """Take a command."""

    def client_lost(self, grace_seconds: float, undelivered_samples: int) -> None:
        """Go on without the caller for a while."""

    def client_back(self, undelivered_samples: int) -> None:
        """Go on with the caller."""


class SimulatedCaller:
    """Somebody who talks with the assistant for an hour.

    Args:
        agenda: the time.
        chance: decides.
        habits: how often it does what.
        server: takes commands.
        may_type: whether the model answers typed turns.
    """

    def __init__(self, agenda: Agenda, chance: Random, habits: Habits, server: Server, *, may_type: bool) -> None:
        self.given_pieces = 0
        """Pieces of the microphone that the server took."""
        self.questions = 0
        self.unanswered: list[tuple[float, int]] = []
        """When and which: nothing at all followed within ANSWER_SECONDS."""
        self.longest_wait = 0.0
        self._agenda = agenda
        self._chance = chance
        self._habits = habits
        self._server = server
        self._may_type = may_type
        self.says_it_again = not may_type
        """Whether it has to be said again after a resumption: models without text are told no results of tools in words, and what was said
        to a stream that hears nothing is lost with it."""
        self.network_losses = 0
        self.is_lost = False
        """Whether the caller has no network."""
        self._is_stalled = False
        """Whether the caller knows that the model is away."""
        self._spoke_at = 0.0
        self._pieces = 0
        self._to_say: list[int] = []
        self._backlog: list[bytes] = []
        self._is_muted = False
        self._asked_at: float | None = None
        self._learned_at = 0.0
        self._playing_until = 0.0
        self._turn = 0
        self._heard_ms = 0.0
        self._silenced: set[int] = set()

    def begin(self) -> None:
        """Pick up."""
        self._agenda.play(self._microphone())
        self._agenda.play(self._talk())
        self._agenda.play(self._watch())
        if self._habits.reports_playback:
            self._agenda.play(self._report())
        if self._habits.loses_network_per_hour:
            self._agenda.play(self._lose_network())

    def _has_network(self) -> bool:
        return not self.is_lost

    @property
    def is_heard(self) -> bool:
        """Whether the latest audio that the server took is speech."""
        return self._agenda.now < self._spoke_at + PIECE_SECONDS

    def _microphone(self) -> Iterator[float]:
        while True:
            if not self._is_muted:
                self._pieces += 1
                utterance = self._to_say.pop() if self._to_say else 0
                self._backlog.append(HEAD.pack(self._pieces, utterance) + REST)
                del self._backlog[:-BACKLOG_PIECES]
                self._send()
            yield PIECE_SECONDS

    def _send(self) -> None:
        while self._backlog and self._server.has_room and not self.is_lost:
            self.given_pieces += 1
            piece = self._backlog.pop(0)
            if HEAD.unpack_from(piece)[1]:
                self._spoke_at = self._agenda.now
            self._server.command(SendAudio(piece))

    def _lose_network(self) -> Iterator[float]:
        """Lose the connection now and then, with the last of what was on its way; come back, if not too late."""
        chance = self._chance
        while True:
            yield chance.expovariate(self._habits.loses_network_per_hour / 3_600)
            self.network_losses += 1
            left = max(0.0, self._playing_until - self._agenda.now)
            missing = round(min(left, chance.uniform(0.0, 0.3)) * OUTPUT_HERTZ)
            self._heard_ms -= missing / OUTPUT_HERTZ * 1_000
            self._playing_until -= missing / OUTPUT_HERTZ
            self.is_lost = True
            self._server.client_lost(GRACE_SECONDS, missing)
            yield min(chance.expovariate(1 / 6), 2 * GRACE_SECONDS)
            self.is_lost = False
            self._heard_ms += missing / OUTPUT_HERTZ * 1_000
            self._playing_until = max(self._playing_until, self._agenda.now) + missing / OUTPUT_HERTZ
            self._learned_at = self._agenda.now
            self._server.client_back(missing)

    def _watch(self) -> Iterator[float]:
        while True:
            if self._asked_at is not None and not self.is_lost and not self._is_stalled:
                waited = self._agenda.now - max(self._asked_at, self._learned_at)
                self.longest_wait = max(self.longest_wait, waited)
                if waited > ANSWER_SECONDS:
                    self.unanswered.append((self._agenda.now, self.questions))
                    self._asked_at = None
            yield 0.5

    def _report(self) -> Iterator[float]:
        while True:
            if self._turn and self._is_hearing and not self.is_lost:
                left_ms = (self._playing_until - self._agenda.now) * 1_000
                self._server.command(ReportPlayback(self._turn, round(max(0.0, self._heard_ms - left_ms))))
            yield 0.7

    def _talk(self) -> Iterator[float]:
        chance, habits = self._chance, self._habits
        while True:
            yield chance.uniform(0.5, 8.0)
            if chance.random() < habits.falls_silent:
                yield from self._fall_silent()
            while self.is_lost:
                yield 0.5
            if self._may_type and chance.random() < habits.types:
                self._type()
            else:
                yield from self._speak()
            yield from self._wait_for_answer()
            while self._is_hearing and not self.is_lost and chance.random() < habits.interrupts:
                yield chance.uniform(0.2, 3.0)
                if not self._has_network():
                    break
                if chance.random() < habits.presses_interrupt:
                    self._server.command(Interrupt())
                elif self._may_type and chance.random() < habits.types:
                    self._type()
                    yield from self._wait_for_answer()
                else:
                    yield from self._speak()
                    yield from self._wait_for_answer()
            while self._is_hearing:
                yield 0.5

    def _fall_silent(self) -> Iterator[float]:
        chance = self._chance
        if chance.random() < self._habits.mutes:
            self._is_muted = True
            if not self.is_lost:
                self._server.command(StopAudio())
        yield chance.uniform(20.0, 300.0)
        self._is_muted = False

    def _speak(self) -> Iterator[float]:
        self.questions += 1
        self._to_say = [self.questions] * self._chance.randint(2, 12)
        self._asked_at = None
        while self._to_say or self._backlog:
            yield PIECE_SECONDS
        self._asks()

    def _type(self) -> None:
        self.questions += 1
        self._asks()
        self._server.command(SendText(f"u{self.questions}"))

    def _asks(self) -> None:
        self._asked_at = self._learned_at = self._agenda.now

    def _wait_for_answer(self) -> Iterator[float]:
        until = self._agenda.now + PATIENCE_SECONDS
        while self._asked_at is not None and self._agenda.now < until:
            yield 0.5

    @property
    def _is_hearing(self) -> bool:
        return self._playing_until > self._agenda.now

    def hear(self, event: SessionEvent) -> None:
        """Take an event, speech at the moment at which it arrives."""
        now = self._agenda.now
        match event:
            case SpeechChunk(turn, pcm):
                assert turn not in self._silenced, "no speech of a turn that was interrupted"
                if turn != self._turn:
                    self._turn, self._heard_ms = turn, 0.0
                duration = len(pcm) / 2 / OUTPUT_HERTZ
                self._heard_ms += duration * 1_000
                self._playing_until = max(self._playing_until, now) + duration
                self._asked_at = None
            case Interrupted(turn, heard_ms):
                assert turn not in self._silenced
                self._silenced.add(turn)
                assert 0 <= heard_ms <= (self._heard_ms + 0.5 if turn == self._turn else 0.0)
                self._playing_until = min(self._playing_until, now)
            case ExchangeRefused() | AudioDropped(Direction.UP):  # it has to be said again
                self._asked_at = None
            case SessionStalled():
                self._is_stalled = True
            case SessionContinued(reason):
                self._is_stalled, self._learned_at = False, now
                if reason is ContinueReason.RESUMED and self.says_it_again:
                    self._asked_at = None
            case SpeechStarted() | ToolStarted() | ToolFinished():
                self._learned_at = now
            case _:
                pass

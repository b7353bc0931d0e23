"""Nova Sonic as a simulation: streams that hear, answer, call tools, and fail.

Simulated speech is silence with a head that says which utterance it belongs to, so that it can be told what a stream understood. The texts
are made of words that occur once in a conversation: what a stream is told of it can be compared with what was said.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from s2s.errors import Remedy
from s2s.events import (
    AudioContentStart,
    AudioInput,
    ContentEnd,
    InputEvent,
    OutputEvent,
    PromptStart,
    Role,
    SessionStart,
    StopReason,
    TextContentStart,
    TextInput,
    TokenCounts,
    ToolContentStart,
    ToolResult,
)
from s2s.limits import CONNECTION_SECONDS, HISTORY_BYTES, HISTORY_MESSAGES, IDLE_SECONDS, TEXT_INPUT_BYTES
from session.effects import Input, ModelEvent, StreamFailed, StreamOpened
from tests.session.doubles import Nova
from tests.session.simulated_time import Agenda

HEAD = struct.Struct(">II")
"""Number of the piece, number of the utterance; pieces of silence are numbered as well, and filler is not."""
HANGOVER_MS = 800.0
"""Silence after which the user's turn has ended."""
OPENING_SECONDS = 10.0
"""How long the client waits for a stream to be accepted."""
READING_SECONDS = 5.0
"""How long it waits for a stream to take what is sent."""
PIECE_SECONDS = 0.4
RETRYABLE = (
    ("model_lost", Remedy.RESUME),
    ("model_unstable", Remedy.RESUME),
    ("model_throttled", Remedy.BACKOFF),
    ("model_unreachable", Remedy.BACKOFF),
    ("model_validation", Remedy.RESUME_ONCE),
    ("model_content_blocked", Remedy.DROP_LAST_AND_RESUME),
)


@dataclass(frozen=True, slots=True)
class ModelFaults:
    """How a model misbehaves. Rates are shares of the occasions, unless they name their unit."""

    deaths_per_hour: float = 0.0
    """Of streams that carry the session."""
    refusals: float = 0.0
    """Of new streams."""
    slow_openings: float = 0.0
    """Streams that are neither accepted nor refused."""
    outages_per_hour: float = 0.0
    outage_seconds: float = 0.0
    """For how long no stream is accepted, at most."""
    silences: float = 0.0
    """Questions that are understood and never answered."""
    breaks_off: float = 0.0
    """Answers in the middle of which the stream gets stuck: it takes everything, and says nothing any more."""
    blocked: float = 0.0
    """Questions that the content filter ends the stream over."""
    stops_reading_per_hour: float = 0.0
    credentials_seconds: float = 0.0
    """Life of credentials; 0 for those that do not expire."""


class SimulatedModel:
    """The service, and what all streams of one conversation share.

    Args:
        agenda: the time.
        chance: decides.
        faults: how often what goes wrong.
        has_speech_marks: whether the model tells when the user begins and ends to speak.
    """

    def __init__(self, agenda: Agenda, chance: Random, faults: ModelFaults, *, has_speech_marks: bool = True) -> None:
        self.agenda = agenda
        self.chance = chance
        self.faults = faults
        self.has_speech_marks = has_speech_marks
        self.answers = 0
        self.tool_calls = 0
        self.pieces: set[int] = set()
        """Numbers of the microphone's pieces that a stream took."""
        self.expired_streams = 0
        """Streams that were used until the service or their credentials ended them."""
        self.invalid = 0
        """Openings and streams that were called invalid."""
        self.refused_at: list[float] = []
        self.failed_at: list[tuple[float, Remedy]] = []
        self._away_until = 0.0
        self._renewed_at = 0.0
        agenda.play(self._outages())

    def _outages(self) -> Iterator[float]:
        while self.faults.outages_per_hour:
            yield self.chance.expovariate(self.faults.outages_per_hour / 3_600)
            self._away_until = self.agenda.now + self.chance.uniform(0, self.faults.outage_seconds)

    @property
    def is_away(self) -> bool:
        """Whether no stream is accepted."""
        return self.agenda.now < self._away_until

    def signed_for(self) -> float | None:
        """Return how long the credentials are good that sign a stream now; they are renewed well before their end."""
        life, now = self.faults.credentials_seconds, self.agenda.now
        if not life:
            return None
        if now > self._renewed_at + life - 300.0:
            self._renewed_at = now
        return self._renewed_at + life - now


class SimulatedStream:
    """One stream; `tell` takes what the client learns of it.

    Args:
        generation: its number.
        model: the service.
        opening: what it is sent first.
        tell: takes inputs of the session.
    """

    def __init__(self, generation: int, model: SimulatedModel, opening: Sequence[InputEvent], tell: Callable[[Input], None]) -> None:
        self.generation = generation
        self.is_open = False
        self.is_alive = True
        self.is_reading = True
        self.opened_at = model.agenda.now
        self._model = model
        self._agenda = model.agenda
        self._chance = model.chance
        self._tell = tell
        self._nova = Nova()
        self._is_stuck = False
        self._emits_at = 0.0
        self._final_at = 0.0
        self._heard: list[int] = []
        self._silence_ms: float | None = None
        """Since the last speech; None while nobody speaks."""
        self._answer: Iterator[float | None] | None = None
        self._is_speaking = False
        self._asked: set[str] = set()
        self._results: set[str] = set()
        self._last_piece = 0
        self._fed_at = self._agenda.now
        self._counts = TokenCounts()
        self._interactive = ""
        self.history, self.question = read_opening(opening)
        self._begin()

    # How it opens and ends

    def _begin(self) -> None:
        model, chance = self._model, self._chance
        latency = chance.uniform(0.05, 0.6)
        if model.is_away:
            self._agenda.after(latency, lambda: self.fail("model_throttled", Remedy.BACKOFF))
        elif chance.random() < model.faults.refusals:
            code, remedy = chance.choice(RETRYABLE)
            self._agenda.after(latency, lambda: self.fail(code, remedy))
        elif chance.random() < model.faults.slow_openings:
            self._agenda.after(OPENING_SECONDS, lambda: self.fail("model_timeout_opening", Remedy.BACKOFF))
        else:
            self._agenda.after(latency, self._accepted)
        self._agenda.after(CONNECTION_SECONDS, self._expired)

    def _accepted(self) -> None:
        if not self.is_alive:
            return
        signed_for = self._model.signed_for()
        if signed_for is not None:
            self._agenda.after(signed_for, self._expired)
        faults = self._model.faults
        if faults.deaths_per_hour:
            code, remedy = self._chance.choice(RETRYABLE)
            self._agenda.after(self._chance.expovariate(faults.deaths_per_hour / 3_600), lambda: self.fail(code, remedy))
        if faults.stops_reading_per_hour:
            self._agenda.after(self._chance.expovariate(faults.stops_reading_per_hour / 3_600), self._stop_reading)
        self.is_open = True
        self._agenda.after(IDLE_SECONDS, self._check_idle)
        self._tell(StreamOpened(self.generation, signed_for))
        if self.question:
            self._asked_in_words(self.question)

    def _expired(self) -> None:
        if self.is_alive and self.is_open:
            self._model.expired_streams += 1
            self.fail("model_time_limit", Remedy.RESUME)

    def _stop_reading(self) -> None:
        self.is_reading = False

    def _check_idle(self) -> None:
        if not self.is_alive:
            return
        if self._agenda.now >= self._fed_at + IDLE_SECONDS:
            self.fail("model_idle_limit", Remedy.RESUME)
        else:
            self._agenda.at(self._fed_at + IDLE_SECONDS, self._check_idle)

    def fail(self, code: str, remedy: Remedy) -> None:
        """Be refused, or die."""
        if not self.is_alive:
            return
        self.is_alive = False
        now = self._agenda.now
        self._model.invalid += code == "model_validation"
        (self._model.failed_at.append((now, remedy)) if self.is_open else self._model.refused_at.append(now))
        self._tell(StreamFailed(self.generation, code, remedy))

    def close(self) -> None:
        """Be closed by the client."""
        self.is_alive = False

    # What it is sent

    def take(self, events: Sequence[InputEvent]) -> None:
        """Take a group."""
        self._fed_at = self._agenda.now
        for event in events:
            match event:
                case AudioInput():
                    self._hear(event.pcm)
                case TextContentStart():
                    assert event.interactive, "history comes before audio"
                    self._interactive = ""
                case TextInput():
                    self._interactive += event.content
                case ToolContentStart():
                    assert event.tool_use_id in self._asked, "a result that nobody asked for ends the stream"
                    assert event.tool_use_id not in self._results, "a second result ends the stream"
                    self._results.add(event.tool_use_id)
                case ToolResult():
                    self._continue_after_tools()
                case ContentEnd():
                    if self._interactive:
                        words, self._interactive = self._interactive, ""
                        self._asked_in_words(words)
                case _:
                    raise AssertionError(f"{type(event).__name__} in the middle of a stream")

    def _hear(self, pcm: bytes) -> None:
        piece, utterance = HEAD.unpack_from(pcm) if len(pcm) >= HEAD.size else (0, 0)
        if piece:
            assert piece > self._last_piece, "speech in order, and once"
            self._last_piece = piece
            self._model.pieces.add(piece)
        if utterance:
            if utterance not in self._heard:
                self._heard.append(utterance)
            if self._silence_ms is None:
                self._say(self._user_begins, self._chance.uniform(0.05, 0.3))
            self._silence_ms = 0.0
        elif self._silence_ms is not None:
            self._silence_ms += len(pcm) / 32
            if self._silence_ms >= HANGOVER_MS:
                heard, self._heard, self._silence_ms = self._heard, [], None
                self._say(lambda: self._user_ends(heard), self._chance.uniform(0.05, 0.3))

    # What it says

    def _say(self, action: Callable[[], None], seconds: float = 0.0) -> None:
        """Do something a little later, in order, if the stream still lives then."""
        self._emits_at = max(self._emits_at, self._agenda.now + seconds)

        def act() -> None:
            if self.is_alive:
                action()

        self._agenda.at(self._emits_at, act)

    def _emit(self, events: Sequence[OutputEvent]) -> None:
        for event in events:
            if not self.is_alive or self._is_stuck:
                return
            self._tell(ModelEvent(self.generation, event))

    def _user_begins(self) -> None:
        if self._model.has_speech_marks:
            self._emit(self._nova.hears())
        self._stop_answer()

    def _stop_answer(self) -> None:
        """End what is being said: the user says something else."""
        self._answer = None
        if self._is_speaking:
            self._is_speaking = False
            self._emit(self._nova.closes_audio(StopReason.INTERRUPTED))
            self._emit(self._nova.marker())

    def _user_ends(self, heard: Sequence[int]) -> None:
        if self._model.has_speech_marks:
            self._emit(self._nova.heard_out())
        self._emit(self._nova.user(" ".join(f"u{number}" for number in heard)))
        self._answer_it()

    def _asked_in_words(self, words: str) -> None:
        def understood() -> None:
            self._stop_answer()
            if self._chance.random() < 0.5:
                self._emit(self._nova.user(words))
            self._answer_it()

        self._say(understood, self._chance.uniform(0.05, 0.3))

    def _answer_it(self) -> None:
        luck, faults = self._chance.random(), self._model.faults
        if luck < faults.silences:
            return
        if luck < faults.silences + faults.blocked:
            self._say(lambda: self.fail("model_content_blocked", Remedy.DROP_LAST_AND_RESUME), 0.5)
        else:
            self._answer = self._answering()
            self._go_on(self._answer)

    def _go_on(self, answer: Iterator[float | None]) -> None:
        """Take the next step of an answer, if it is still wanted."""
        if answer is not self._answer or not self.is_alive:
            return
        seconds = next(answer, None)
        if seconds is not None:
            self._agenda.after(seconds, lambda: self._go_on(answer))

    def _continue_after_tools(self) -> None:
        if self._asked == self._results and self._answer is not None and not self._is_speaking:
            answer = self._answer
            self._agenda.after(self._chance.uniform(0.3, 1.5), lambda: self._go_on(answer))

    def _answering(self) -> Iterator[float | None]:
        """Answer, perhaps after tools; yields how long to wait, or None for the results of tools."""
        chance, nova, model = self._chance, self._nova, self._model
        yield chance.uniform(0.4, 2.0)
        if chance.random() < 0.3:
            for _ in range(chance.choice((1, 1, 1, 2, 5))):
                model.tool_calls += 1
                call = f"tool-{model.tool_calls}"
                self._asked.add(call)
                events = nova.calls(call)
                self._emit(events * 2 if chance.random() < 0.05 else events)
            if self._asked != self._results:
                yield None
        sentences = chance.choice((1, 1, 2, 3))
        breaks_off = chance.random() < model.faults.breaks_off
        model.answers += 1
        number = model.answers
        for index in range(sentences):
            words = chance.randint(2, 14)
            text = " ".join(f"a{number}s{index}w{word}" for word in range(words)) + "."
            self._emit(nova.plans(text))
            self._is_speaking = True
            self._emit(nova.opens_audio())
            pace = PIECE_SECONDS / chance.uniform(1.5, 6.0)
            for _ in range(max(1, words // 2)):
                self._emit(nova.audio(PIECE_SECONDS * 1_000))
                yield pace
                if breaks_off:
                    self._is_stuck = True
                    return
            self._is_speaking = False
            self._emit(nova.closes_audio(StopReason.END_TURN if index == sentences - 1 else StopReason.PARTIAL_TURN))
            self._final_at = max(self._final_at, self._agenda.now + chance.choice((0.1, 1.0, 9.0)))
            self._agenda.at(self._final_at, lambda text=text: self._emit(nova.said(text)))  # type: ignore[misc]
        self._counts = TokenCounts(self._counts.input_speech + 50, 0, self._counts.output_speech + 100, 20)
        self._emit(nova.usage(self._counts))
        self._answer = None


def read_opening(opening: Sequence[InputEvent]) -> tuple[list[tuple[Role, str]], str]:
    """Check the order of an opening as the service does; return the history, and what is to be answered."""
    assert isinstance(opening[0], SessionStart)
    assert isinstance(opening[1], PromptStart)
    audio = [index for index, event in enumerate(opening) if isinstance(event, AudioContentStart)]
    assert len(audio) == 1, "one audio block"
    texts: list[tuple[Role, str]] = []
    for event in opening[2 : audio[0]]:
        match event:
            case TextContentStart(_, _, role, interactive):
                assert not interactive, "history is not to be answered"
                texts.append((role, ""))
            case TextInput(_, _, content):
                assert 0 < len(content.encode()) <= TEXT_INPUT_BYTES
                texts[-1] = (texts[-1][0], texts[-1][1] + content)
            case _:
                assert isinstance(event, ContentEnd)
    (first, _), *history = texts
    assert first is Role.SYSTEM
    roles = [role for role, _ in history]
    assert roles == [(Role.USER, Role.ASSISTANT)[index % 2] for index in range(len(roles))], "the user first, then in turns"
    assert len(history) <= HISTORY_MESSAGES
    assert sum(len(text.encode()) for _, text in history) <= HISTORY_BYTES
    assert all(text for _, text in history), "no empty turn"
    return history, "".join(event.content for event in opening[audio[0] + 1 :] if isinstance(event, TextInput))

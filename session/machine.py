"""The session machine: what may happen in a conversation, without socket, clock or database.

`handle(input, now)` answers with effects, `next_deadline()` with the next moment at which it wants a Tick. It joins smaller ones:
the TurnTracker (who speaks), the Continuation (when the next stream takes over) and the life cycle below. The model's streams are numbered
by generation; of what an old one says only the late texts count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from s2s.events import AudioOutput, OutputEvent, TextOutput, TokenCounts, ToolSpec, ToolUse, UsageEvent
from s2s.limits import clean_text
from session.assistant import SessionPlan
from session.continuation import Continuation, LeftStream
from session.effects import (
    FIRST_GENERATION,
    Begin,
    Broken,
    CloseStream,
    Drain,
    Effect,
    Emit,
    Finish,
    Flush,
    Input,
    ModelEvent,
    OpenStream,
    Route,
    Send,
    StartTool,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.errors import InternalError, InvalidAudio, ModelLost, NotAllowed, SessionError, TooLarge, TooSlow, WrongOrder, model_failure
from session.events import (
    Command,
    End,
    EndReason,
    Interrupt,
    ModelOutput,
    ReportPlayback,
    SendAudio,
    SendText,
    SessionEnded,
    SessionStarted,
    Start,
    StopAudio,
    ToolAnswered,
    ToolFinished,
    UsageReported,
)
from session.opening import Wording
from session.queues import PlaybackQueue
from session.turns import Speaker, TurnTracker

SILENCE_AFTER_SECONDS = 0.5
"""A client that sends no audio for this long is taken as silent, and silence is sent for it: the model needs it to end a turn and to keep
the stream. Half a second is more than busy browsers hold a microphone's frames back (267 ms at most, measured on a loaded machine)."""
SILENCE_EVERY_SECONDS = 0.1
"""Length and distance of the further pieces of silence."""
DRAIN_CHECK_SECONDS = 0.1
"""How often a session that is to end looks whether everything has been heard."""
SILENT_MODEL_SECONDS = 10.0
"""A model that says nothing at all for this long after a typed turn is given up: it reads, so that no write ever fails, and is stuck."""
TEXT_LIMIT_BYTES = 4_000
"""Longest typed turn, in UTF-8."""
AUDIO_LIMIT_MS = 2_000.0
"""Longest single piece of audio."""
TOOLS_LIMIT = 16
"""Tool calls that may be open at once: far more than the model starts on its own."""


class State(StrEnum):
    """Life cycle of a session."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    DRAINING = "draining"
    CLOSED = "closed"


class Step(StrEnum):
    """What moves a session along."""

    OPENED = "opened"
    DRAIN = "drain"
    OVER = "over"


LIFE_CYCLE: Mapping[tuple[State, Step], State] = {
    (State.CONNECTING, Step.OPENED): State.ACTIVE,
    (State.CONNECTING, Step.OVER): State.CLOSED,
    (State.ACTIVE, Step.DRAIN): State.DRAINING,
    (State.ACTIVE, Step.OVER): State.CLOSED,
    (State.DRAINING, Step.OVER): State.CLOSED,
}
"""Every pair that moves; any other pair leaves the state as it is."""


@dataclass(slots=True)
class Statistics:
    """Counters of one session, written into its last event."""

    audio_in_ms: float = 0.0
    audio_out_ms: float = 0.0
    tool_calls: int = 0
    tool_errors: int = 0
    duplicate_tool_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class SessionMachine:
    """One conversation.

    Args:
        session_id: names the session everywhere.
        plan: what the session is opened with.
        model_id: the Bedrock model id, for the client's information.
        tools: specs of the plan's tools.
        playback: the listener's queue, shared with the runner that empties it.
        new_name: makes names for prompts and contents.
        renewal_jitter_seconds: how much earlier than others this session changes its stream.
    """

    def __init__(
        self,
        *,
        session_id: str,
        plan: SessionPlan,
        model_id: str,
        tools: Sequence[ToolSpec],
        playback: PlaybackQueue,
        new_name: Callable[[], str],
        renewal_jitter_seconds: float = 0.0,
    ) -> None:
        self.state = State.CONNECTING
        self.statistics = Statistics()
        self.turns = TurnTracker(playback, plan.output_hertz, plan.hidden_markers)
        self._session_id = session_id
        self._plan = plan
        self._model_id = model_id
        self._tools = tools
        self._playback = playback
        self._new_name = new_name
        self._generation = FIRST_GENERATION
        """The stream that carries the session."""
        self._next: int | None = None
        """The stream that is being opened to take over."""
        self._streams = FIRST_GENERATION
        """How many were opened."""
        self._continuation = Continuation(renewal_jitter_seconds)
        self._left = LeftStream()
        self._is_stream_alive = True
        self._usage: dict[int, TokenCounts] = {}
        self._wording = Wording(plan, tools, new_name)
        self._pending_tools: dict[str, tuple[ToolUse, int, int]] = {}
        """Call, turn and stream by toolUseId."""
        self._answered_tools: set[str] = set()
        self._untold: list[Effect] = []
        self._covered_until = 0.0
        self._patience = SILENCE_AFTER_SECONDS
        self._answer_by: float | None = None
        self._drain_by: float | None = None
        self._drain_check_at = 0.0

    def next_deadline(self) -> float | None:
        """Return the monotonic second at which a Tick is wanted, or None."""
        if self.state is State.CLOSED:
            return None
        wanted: list[float] = []
        if self.state is not State.CONNECTING:
            wanted += (self._covered_until + self._patience, self._continuation.check_at, self._left.close_at)
            if self._answer_by is not None:
                wanted.append(self._answer_by)
        if self._drain_by is not None:
            wanted.append(min(self._drain_by, self._drain_check_at))
        return min(wanted, default=None)

    def handle(self, given: Input, now: float) -> list[Effect]:
        """Take an input and return what shall be done, in this order.

        Raises:
            SessionError: a command cannot be carried out; the session goes on.
        """
        if self.state is State.CLOSED:
            return []
        effects = self._take(given, now)
        if self.state is State.ACTIVE and self._continuation.wants_next(now, is_quiet=self._is_quiet(now)):
            effects = [*effects, *self._open_next()]
        return effects

    def _take(self, given: Input, now: float) -> list[Effect]:
        match given:
            case Begin():
                return self._open_stream()
            case StreamOpened(generation, signed_for_seconds):
                return self._stream_opened(generation, signed_for_seconds, now)
            case ModelEvent(generation, event):
                if generation == self._generation:
                    return self._model_said(event, now)
                return self._said_late(generation, event, now)
            case StreamEnded(generation):
                return self._finish(EndReason.CLIENT) if generation == self._generation else []
            case StreamFailed(generation, code, _):
                return self._stream_failed(generation, code, now)
            case ToolDone():
                return self._tool_done(given, now)
            case Drain(within_seconds):
                return self._drain(now + within_seconds, now)
            case Broken(ref):
                return self._failed(InternalError(), ref)
            case Tick():
                return self._tick(now)
            case _:
                return self._command(given, now)

    def _move(self, step: Step) -> None:
        self.state = LIFE_CYCLE.get((self.state, step), self.state)

    def _open_stream(self) -> list[Effect]:
        """Open the session's stream with the names that a command given before it has used already."""
        return [OpenStream(self._generation, self._wording.opening(self._plan.history))]

    def _is_quiet(self, now: float) -> bool:
        """Tell whether nobody speaks or is about to, and no tool runs: the moment to change the stream."""
        return self.turns.speaker is Speaker.LISTENING and not self.turns.awaits_answer(now) and not self._pending_tools

    def _open_next(self) -> list[Effect]:
        """Open the next stream with what was said so far; what the user says meanwhile waits for it."""
        if self._pending_tools:  # their results belong to this stream alone
            return []
        self._continuation.opening()
        self._streams += 1
        self._next = self._streams
        return [Route(None), OpenStream(self._next, self._wording.opening((*self._plan.history, *self.turns.history())))]

    def _stream_opened(self, generation: int, signed_for_seconds: float | None, now: float) -> list[Effect]:
        if self.state is State.CONNECTING and generation == self._generation:
            self._continuation.opened(now, signed_for_seconds)
            return self._opened(now)
        if generation != self._next:
            return [CloseStream(generation)] if generation != self._generation else []
        if self._is_stream_alive and not self._continuation.may_switch(now, is_quiet=self._is_quiet(now)):
            # Somebody began to speak while it was being opened: that belongs to the old stream.
            return [*self._stay(now), CloseStream(generation)]
        self._next = None
        self._continuation.opened(now, signed_for_seconds)
        effects = [*self._close_left(), *self.turns.stream_left(), Route(generation)]
        if self._is_stream_alive:
            self._left.leave(self._generation, now)
        else:
            effects.append(CloseStream(self._generation))
        self._generation, self._is_stream_alive = generation, True
        return effects

    def _stay(self, now: float) -> list[Effect]:
        """Go on with the present stream; the next one is closed as soon as it is open."""
        if self._next is None:
            return []
        self._next = None
        self._continuation.refused(now)
        return [Route(self._generation)]

    def _close_left(self) -> list[Effect]:
        generation = self._left.generation
        self._left.forget()
        return [] if generation is None else [CloseStream(generation)]

    def _stream_failed(self, generation: int, code: str, now: float) -> list[Effect]:
        if generation == self._next:
            staying = self._stay(now)
            if self._is_stream_alive:
                return staying
        elif generation != self._generation:
            return []
        elif self._next is not None:
            self._is_stream_alive = False  # another one is on its way
            return []
        return self._failed(model_failure(code, was_open=self.state is not State.CONNECTING))

    def _said_late(self, generation: int, event: OutputEvent, now: float) -> list[Effect]:
        if not self._left.takes(generation, event):
            return []
        if isinstance(event, UsageEvent):
            return [Emit(ModelOutput(event)), self._used(generation, event)]
        return [Emit(ModelOutput(event)), *self.turns.receive(event, now)]

    def _opened(self, now: float) -> list[Effect]:
        self._move(Step.OPENED)
        self._covered_until = now
        self._answer_by = self._answer_by and now + SILENT_MODEL_SECONDS
        plan, told = self._plan, self._untold
        self._untold = []
        started = SessionStarted(
            self._session_id, plan.assistant, plan.language, plan.voice_id, self._model_id, plan.input_hertz, plan.output_hertz
        )
        return [Emit(started), *told]

    def _command(self, command: Command, now: float) -> list[Effect]:
        match command:
            case SendAudio(pcm):
                return self._audio(pcm, now)
            case SendText(text):
                return self._typed(text, now)
            case Interrupt():
                return self.turns.interrupt(now)
            case ReportPlayback(turn, heard_ms):
                self._playback.report(turn, heard_ms, now)
                return []
            case StopAudio():
                self._patience = SILENCE_EVERY_SECONDS
                return []
            case End():
                return self._finish(EndReason.CLIENT)
            case Start():
                raise WrongOrder("The session has been started already.")
            case _:
                assert_never(command)

    def _audio(self, pcm: bytes, now: float) -> list[Effect]:
        duration = self._wording.duration_ms(pcm)
        if len(pcm) % 2 or not pcm:
            raise InvalidAudio
        if duration > AUDIO_LIMIT_MS:
            raise TooLarge("A piece of audio is too long; send 20 to 100 ms at a time.")
        self._covered_until = now
        self._patience = SILENCE_AFTER_SECONDS
        self.statistics.audio_in_ms += duration
        return [Send(self._wording.audio(pcm), duration)]

    def _typed(self, text: str, now: float) -> list[Effect]:
        text = clean_text(text).strip()
        if not self._plan.takes_text:
            raise NotAllowed("This model does not answer typed text; speak to it.")
        if not text:
            raise WrongOrder("The text is empty.")
        if len(text.encode()) > TEXT_LIMIT_BYTES:
            raise TooLarge(f"A text can have {TEXT_LIMIT_BYTES} bytes at most.")
        self._answer_by = now + SILENT_MODEL_SECONDS
        effects = [*self.turns.interrupt(now), *self.turns.user_typed(text, now)]
        if self.state is State.CONNECTING:  # the first thing that a client is told is that the session has started
            self._untold += effects
            effects = []
        return [*effects, Send(self._wording.typed_turn(text))]

    def _model_said(self, event: OutputEvent, now: float) -> list[Effect]:
        self._answer_by = None
        if self._playback.is_overfull():
            return self._failed(TooSlow())
        if isinstance(event, ToolUse) and (event.tool_use_id in self._pending_tools or event.tool_use_id in self._answered_tools):
            self.statistics.duplicate_tool_calls += 1  # a second result for one id would end the stream
            return []
        effects = self.turns.receive(event, now)
        if isinstance(event, AudioOutput):
            self.statistics.audio_out_ms += len(event.pcm) / 2 / self._plan.output_hertz * 1_000
            return effects
        if isinstance(event, TextOutput):
            event = self.turns.visible(event)
        effects = [Emit(ModelOutput(event)), *effects]
        if isinstance(event, ToolUse):
            return self._tool_called(event, effects, now)
        if isinstance(event, UsageEvent):
            effects.append(self._used(self._generation, event))
        return effects if self._drain_by is None else [*effects, *self._maybe_leave(now)]

    def _used(self, generation: int, event: UsageEvent) -> Effect:
        """Count tokens: the service's totals begin anew with each stream."""
        self._usage[generation] = event.total
        totals = self._usage.values()
        usage = UsageReported(
            sum(total.input_speech for total in totals),
            sum(total.input_text for total in totals),
            sum(total.output_speech for total in totals),
            sum(total.output_text for total in totals),
        )
        self.statistics.input_tokens = usage.input_speech + usage.input_text
        self.statistics.output_tokens = usage.output_speech + usage.output_text
        return Emit(usage)

    def _tool_called(self, use: ToolUse, effects: list[Effect], now: float) -> list[Effect]:
        effects = [*self._stay(now), *effects]  # its result belongs to this stream alone
        self._pending_tools[use.tool_use_id] = (use, self.turns.tool_turn, self._generation)
        self.statistics.tool_calls += 1
        if len(self._pending_tools) > TOOLS_LIMIT:
            refusal = '{"success":false,"error":"too_many_calls","message":"Too many tools at once. Ask again, one thing at a time."}'
            return [*effects, *self._answer_tool(ToolDone(use.tool_use_id, refusal, "too_many_calls", 0), now)]
        return [*effects, StartTool(use)]

    def _tool_done(self, done: ToolDone, now: float) -> list[Effect]:
        if done.tool_use_id not in self._pending_tools:
            return []
        effects = self._answer_tool(done, now)
        return effects if self._drain_by is None else [*effects, *self._maybe_leave(now)]

    def _answer_tool(self, done: ToolDone, now: float) -> list[Effect]:
        use, turn, generation = self._pending_tools.pop(done.tool_use_id)
        self._answered_tools.add(done.tool_use_id)
        self.statistics.tool_errors += done.error_code is not None
        if not self._pending_tools:
            self.turns.tools_answered(now)
        group = self._wording.tool_result(done.tool_use_id, done.content)
        finished = ToolFinished(turn, use.tool_use_id, use.tool_name, done.content, done.error_code, done.duration_ms)
        told = [Emit(finished), Emit(ToolAnswered(done.tool_use_id, self._new_name(), done.content))]
        return [Send(group), *told] if generation == self._generation else [*told]  # another stream does not know the call, and would end

    def _tick(self, now: float) -> list[Effect]:
        if self._drain_by is not None and now >= min(self._drain_by, self._drain_check_at):
            self._drain_check_at = now + DRAIN_CHECK_SECONDS
            if leaving := self._leave() if now >= self._drain_by else self._maybe_leave(now):
                return leaving
        if self.state is State.CONNECTING:
            return []
        if now >= self._left.close_at:
            return self._close_left()
        if self._answer_by is not None and now >= self._answer_by:
            return self._failed(ModelLost("The assistant does not answer any more. Please start again."))
        if now < self._covered_until + self._patience:
            return []
        missing_ms = min((now - self._covered_until) * 1_000, AUDIO_LIMIT_MS)
        self._covered_until = now
        self._patience = SILENCE_EVERY_SECONDS
        return [Send(self._wording.silence(missing_ms), missing_ms, is_filler=True)]

    def _drain(self, by: float, now: float) -> list[Effect]:
        if self.state is State.CONNECTING:
            return self._leave()
        self._move(Step.DRAIN)
        self._drain_by = by
        return self._maybe_leave(now)

    def _maybe_leave(self, now: float) -> list[Effect]:
        """Leave when nobody speaks, no answer is due, nothing is to be heard and no tool runs."""
        turns = self.turns
        if turns.speaker is not Speaker.LISTENING or turns.awaits_answer(now) or self._pending_tools or self._playback.is_playing(now):
            return []
        return self._leave()

    def _leave(self) -> list[Effect]:
        return self._finish(EndReason.SERVER_LEAVING, 1012)

    def _failed(self, error: SessionError, ref: str = "") -> list[Effect]:
        flush, *ending = self._finish(EndReason.FAILED, error.close_code)
        return [flush, Emit(error.event(ref)), *ending]

    def _finish(self, reason: EndReason, close_code: int = 1_000) -> list[Effect]:
        self._move(Step.OVER)
        return [Flush(self.turns.number), Emit(SessionEnded(reason, close_code, self._figures())), Finish()]

    def _figures(self) -> dict[str, int | float]:
        counted = self.statistics
        return {
            "audio_in_ms": round(counted.audio_in_ms),
            "audio_out_ms": round(counted.audio_out_ms),
            "audio_out_dropped_ms": round(self._playback.dropped_ms),
            "audio_out_flushed_ms": round(self._playback.flushed_ms),
            "turns": self.turns.number,
            "interruptions": self.turns.interruptions,
            "tool_calls": counted.tool_calls,
            "tool_errors": counted.tool_errors,
            "duplicate_tool_calls": counted.duplicate_tool_calls,
            "input_tokens": counted.input_tokens,
            "output_tokens": counted.output_tokens,
        }

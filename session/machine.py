"""The session machine: what may happen in a conversation, without socket, clock or database.

`handle(input, now)` answers with effects, `next_deadline()` with the next moment at which it wants a Tick. It joins smaller ones:
the TurnTracker (who speaks), the Streams (which stream carries the session), the Calls (which tools run) and the life cycle below. The
model's streams are numbered by generation; of what an old one says only the late texts count.
"""

from collections.abc import Callable, Sequence
from typing import assert_never

from s2s.errors import Remedy
from s2s.events import (
    AudioOutput,
    ContentStarted,
    ContentType,
    OutputEvent,
    TextOutput,
    ToolSpec,
    ToolUse,
    UsageEvent,
)
from s2s.limits import STRICT, TextProfile
from session.acknowledgement import Acknowledgement
from session.assistant import SessionPlan
from session.calls import Calls
from session.client_input import AUDIO_LIMIT_MS, check_audio, typed_words
from session.client_tools import ClientCalls
from session.departure import Departure
from session.drops import Drops
from session.effects import (
    Begin,
    Broken,
    ClientBack,
    ClientLost,
    Drain,
    Effect,
    Emit,
    Finish,
    Flush,
    Input,
    ModelEvent,
    OpenStream,
    Overflowed,
    Park,
    Replan,
    Send,
    StartTool,
    Stay,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.errors import (
    InternalError,
    SessionError,
    SessionIdle,
    TooSlow,
    WrongOrder,
    model_failure,
)
from session.events import (
    Command,
    End,
    EndReason,
    GoingAway,
    Interrupt,
    ModelOutput,
    ReportPlayback,
    Revise,
    SendAudio,
    SendText,
    SessionEnded,
    SessionStarted,
    Start,
    StopAudio,
    SubmitToolResult,
    ToolAnswered,
    ToolFinished,
)
from session.figures import figures
from session.hearing import Ear, Hearing, live_ear
from session.history import call_words
from session.idleness import Idleness
from session.life_cycle import LIFE_CYCLE, State, Step
from session.opening import Wording
from session.presence import Presence
from session.queues import PlaybackQueue
from session.revision import revised
from session.silence import Silence
from session.snapshot import SessionSnapshot
from session.speaker import Speaker
from session.statistics import Statistics
from session.streams import Life, Streams
from session.succession import Succession
from session.turns import TurnTracker

ADOPTED_CODE = "adopted"
"""Of the stream that a session had in another process."""
HUNG_CODE = "model_stalled"
"""Of a model that reads and does not answer; the same as of one that does not read."""
STUCK_SECONDS = 10.0
"""A model in the middle of an answer that says nothing for this long is stuck: speech comes faster than it is played."""
TOOLS_LIMIT = 16
"""Tool calls that may be open at once: far more than the model starts on its own."""


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
        resume_jitter: 0 to 1, how much longer than others it waits before it looks for a new stream.
        limits: how much text a stream may be given.
        ear: tells whether the user's audio is quiet.
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
        resume_jitter: float = 0.0,
        limits: TextProfile = STRICT,
        ear: Ear = live_ear,
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
        self._streams = Streams(renewal_jitter_seconds, resume_jitter)
        self._wording = Wording(plan, tools, new_name, limits)
        self._calls = Calls()
        self._client_calls = ClientCalls(plan.client_tools, plan.client_tool_seconds)
        self._idleness = Idleness(plan.idle_seconds, self._calls, playback, ear)
        self._drops = Drops()
        self._untold: list[Effect] = []
        self._hearing = Hearing(plan.input_hertz, listens_itself=not plan.takes_text, ear=ear)
        self._succession = Succession(
            plan, self._wording, turns=self.turns, calls=self._calls, streams=self._streams, hearing=self._hearing
        )
        self._silence = Silence()
        self._departure = Departure()
        self._is_restored = False
        self._presence = Presence(playback)
        self._said_at = 0.0
        self._acknowledgement = Acknowledgement(
            plan,
            self._wording,
            turns=self.turns,
            calls=self._calls,
            streams=self._streams,
            hearing=self._hearing,
            presence=self._presence,
            playback=playback,
        )

    def restore(self, snapshot: SessionSnapshot) -> None:
        """Go on, once it begins, with a conversation that another process began."""
        self._is_restored = True
        self.turns.restore(snapshot.history, snapshot.turns)
        self._calls.restore(snapshot)
        self.statistics.restore(snapshot.usage)

    def snapshot(self, now: float, upstream: int = 0, principal: str = "") -> SessionSnapshot:
        """Return what is needed to go on elsewhere: what was heard until now, and what the transport knows of the client."""
        start, turns = self._plan.start, self.turns
        answered, untold, running = self._calls.parked()
        return SessionSnapshot(
            self._session_id, start, turns.heard(now), turns.number, answered, untold, running, self.statistics.total, upstream, principal
        )

    def next_deadline(self) -> float | None:
        """Return the monotonic second at which a Tick is wanted, or None."""
        if self.state is State.CLOSED:
            return None
        wanted = [self._presence.deadline] if self._presence.is_away else []
        if self.state is not State.CONNECTING:
            wanted += (self._silence.due_at, self._streams.deadline, self._acknowledgement.due_at, self._client_calls.deadline)
            wanted.append(self._idleness.deadline)
            if (hung_at := self._hung_at) is not None:
                wanted.append(hung_at)
        if self._departure.is_asked:
            wanted.append(self._departure.deadline)
        return min(wanted, default=None)

    def handle(self, given: Input, now: float) -> list[Effect]:
        """Take an input and return what shall be done, in this order.

        Raises:
            SessionError: a command cannot be carried out; the session goes on.
        """
        if self.state is State.CLOSED and not isinstance(given, ClientLost | ClientBack):  # its last words wait for the client
            return []
        effects = self._take(given, now)
        self._idleness.take(given, now)
        if self.state in (State.CONNECTING, State.CLOSED):
            return effects
        if self._calls.has_untold:
            effects = [*effects, *self._tell_results(now)]
        dropped = self._drops.due(self.statistics.audio_in_dropped_ms, self._playback.dropped_ms, now)
        return [*effects, *self._succession.step(now), *self._acknowledgement.step(now), *dropped]

    def _take(self, given: Input, now: float) -> list[Effect]:
        match given:
            case Begin():
                if self._is_restored:
                    return self._adopted(now)
                return [OpenStream(self._streams.current, self._wording.opening(self._plan.history))]
            case StreamOpened(generation, signed_for_seconds):
                return self._stream_opened(generation, signed_for_seconds, now)
            case ModelEvent(generation, event):
                return self._said(generation, event, now)
            case StreamEnded(generation):
                return self._finish(EndReason.CLIENT) if generation == self._streams.living else []
            case StreamFailed():
                return self._stream_failed(given, now)
            case ToolDone():
                return self._tool_done(given, now)
            case Drain() | Park() | Stay():
                return self._asked_to_leave(given, now)
            case Overflowed() | ClientLost() | ClientBack() | Replan():
                self._take_note(given, now)
                return []
            case Broken(ref):
                return self._failed(InternalError(), ref)
            case Tick():
                return self._tick(now)
            case _:
                return self._command(given, now)

    def _take_note(self, given: Overflowed | ClientLost | ClientBack | Replan, now: float) -> None:
        match given:
            case Overflowed(total_ms):
                self.statistics.audio_in_dropped_ms = total_ms
            case Replan():
                self._plan = revised(self._plan, given)
                self._wording.revise(self._plan, given.tools)
                self._client_calls.revise(given.client_tools)
                self._streams.revise(now)
            case _:
                self._presence.take(given, now)

    def _move(self, step: Step) -> None:
        self.state = LIFE_CYCLE.get((self.state, step), self.state)

    def _begin(self, now: float) -> None:
        self._move(Step.OPENED)
        self._silence.begin(now)
        self._idleness.begin(now)

    def _adopted(self, now: float) -> list[Effect]:
        """Go on as if the stream had died just now; tools that ran are run again under their ids, which they know."""
        self._begin(now)
        resumed = self._lost(StreamFailed(self._streams.current, ADOPTED_CODE, Remedy.RESUME), now)
        return [*resumed, *(effect for call in self._calls.running.values() for effect in self._start_tool(call.use, now))]

    def _tell_results(self, now: float) -> list[Effect]:
        """Tell the model in words what tools returned after their stream had died, when nobody speaks: it would interrupt."""
        turns = self.turns
        if not self._plan.takes_text:
            self._calls.forget()
        if not self._plan.takes_text or not self._streams.is_alive or not self._succession.is_quiet(now):
            return []
        note = self._calls.note()
        turns.hide(note)
        turns.asked(now)
        return [Send(self._wording.typed_turn(note))]

    @property
    def _hung_at(self) -> float | None:
        """When the model is stuck; while a tool runs it may be silent, whatever the user says meanwhile."""
        if self._streams.life is not Life.CARRIED or self._calls.running:
            return None
        if self.turns.owes_the_rest and not self._streams.left.speaks:
            return self._said_at + STUCK_SECONDS
        return self.turns.hung_at

    def _stream_opened(self, generation: int, signed_for_seconds: float | None, now: float) -> list[Effect]:
        if self.state is State.CONNECTING and generation == self._streams.current:
            self._streams.first_opened(now, signed_for_seconds)
            return self._opened(now)
        return self._succession.opened(generation, signed_for_seconds, now)

    def _stream_failed(self, failure: StreamFailed, now: float) -> list[Effect]:
        if self.state is State.CONNECTING:  # nothing was said yet that could be lost
            return self._failed(model_failure(failure.code, was_open=False), failure.ref)
        if failure.generation == self._streams.living:
            return self._lost(failure, now)
        if failure.generation == self._streams.left.generation:
            return self._succession.left_ended()
        if failure.generation != self._streams.next:
            return []
        effects = self._succession.refused(failure, now)
        return self._failed(model_failure(failure.code), failure.ref) if effects is None else effects

    def _lost(self, failure: StreamFailed, now: float) -> list[Effect]:
        """Go on without the stream that carried the session, if its failure allows."""
        effects = self._succession.lost(failure, now)
        return self._failed(model_failure(failure.code), failure.ref) if effects is None else effects

    def _said(self, generation: int, event: OutputEvent, now: float) -> list[Effect]:
        if generation == self._streams.living:
            self._said_at = now
            return self._model_said(event, now)
        if not self._streams.takes_late(generation, event):
            return []
        if isinstance(event, UsageEvent):
            return [Emit(ModelOutput(event)), self._used(generation, event)]
        return [Emit(ModelOutput(event)), *self.turns.receive(event, now, is_late=True)]

    def _opened(self, now: float) -> list[Effect]:
        self._begin(now)
        if self.turns.hung_at is not None:  # something was typed meanwhile
            self.turns.asked(now)
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
                self.turns.listener_told(turn, now)
                return []
            case SubmitToolResult(tool_use_id, content):
                return self._tool_done(self._client_calls.answered(tool_use_id, content, now), now)
            case StopAudio():
                self._silence.microphone_closed()
                return []
            case End():
                return self._finish(EndReason.CLIENT)
            case Start() | Revise():
                raise WrongOrder("The session has been started already.")
            case _:
                assert_never(command)

    def _audio(self, pcm: bytes, now: float) -> list[Effect]:
        duration = self._wording.duration_ms(pcm)
        check_audio(pcm, duration)
        self._silence.heard(now, duration)
        self.statistics.audio_in_ms += duration
        return [self._hearing.take(self._wording.audio(pcm), duration, now)]

    def _typed(self, text: str, now: float) -> list[Effect]:
        text = typed_words(text, takes_text=self._plan.takes_text)
        effects = [*self.turns.interrupt(now), *self.turns.user_typed(text, now)]
        if self.state is State.CONNECTING:  # the first thing that a client is told is that the session has started
            self._untold += effects
            effects = []
        self._streams.used(now)
        return [*effects, Send(self._wording.typed_turn(text))]

    def _model_said(self, event: OutputEvent, now: float) -> list[Effect]:
        if self._playback.is_overfull(now):
            return self._failed(TooSlow())
        if isinstance(event, ToolUse) and self._calls.knows(event.tool_use_id):
            self.statistics.duplicate_tool_calls += 1  # a second result for one id would end the stream
            return []
        visible = self.turns.visible(event) if isinstance(event, TextOutput) else event
        silenced = self._succession.hush_left(event)
        effects = [*silenced, *self.turns.receive(event, now)]
        if isinstance(event, AudioOutput):
            self.statistics.audio_out_ms += len(event.pcm) / 2 / self._plan.output_hertz * 1_000
            return effects
        self._succession.follow(event, effects, now)
        if isinstance(event, ContentStarted) and event.type is ContentType.AUDIO and not self._acknowledgement.begins():
            self._calls.spoken()
        effects = [Emit(ModelOutput(visible)), *effects]
        if isinstance(event, ToolUse):
            return self._tool_called(event, effects, now)
        if isinstance(event, UsageEvent):
            effects.append(self._used(self._streams.current, event))
        return effects if not self._departure.is_asked else [*effects, *self._maybe_leave(now)]

    def _used(self, generation: int, event: UsageEvent) -> Effect:
        return Emit(self.statistics.used(generation, event.total))

    def _tool_called(self, use: ToolUse, effects: list[Effect], now: float) -> list[Effect]:
        effects = [*self._streams.stay(now), *effects]  # its result belongs to this stream alone
        self._calls.called(use, self.turns.tool_turn, self._streams.current)
        self.statistics.tool_calls += 1
        if len(self._calls.running) > TOOLS_LIMIT:
            refusal = '{"success":false,"error":"too_many_calls","message":"Too many tools at once. Ask again, one thing at a time."}'
            return [*effects, *self._answer_tool(ToolDone(use.tool_use_id, refusal, "too_many_calls", 0), now)]
        return [*effects, *self._start_tool(use, now)]

    def _start_tool(self, use: ToolUse, now: float) -> list[Effect]:
        if not self._client_calls.owns(use.tool_name):
            return [StartTool(use)]
        self._client_calls.called(use.tool_use_id, now)
        return []

    def _tool_done(self, done: ToolDone, now: float) -> list[Effect]:
        if done.tool_use_id not in self._calls.running:
            return []
        effects = self._answer_tool(done, now)
        return effects if not self._departure.is_asked else [*effects, *self._maybe_leave(now)]

    def _answer_tool(self, done: ToolDone, now: float) -> list[Effect]:
        living = self._streams.living
        call = self._calls.done(done.tool_use_id, done.content, living)
        self.statistics.tool_errors += done.error_code is not None
        self.turns.remember_call(call_words(call.use.tool_name, call.use.content, done.content))
        if not self._calls.running:
            self.turns.tools_answered(now, is_told=call.generation == living, is_owed=self._acknowledgement.is_given)
        group = self._wording.tool_result(done.tool_use_id, done.content)
        finished = ToolFinished(call.turn, done.tool_use_id, call.use.tool_name, done.content, done.error_code, done.duration_ms)
        told = [Emit(finished), Emit(ToolAnswered(done.tool_use_id, self._new_name(), done.content))]
        if call.generation != living:  # another stream does not know the call, and would end
            return [*told]
        return [Send(group, generation=living), *told]

    def _tick(self, now: float) -> list[Effect]:
        if self._presence.is_given_up(now):
            return self._finish(EndReason.CLIENT_LOST)
        if self.state is not State.CONNECTING and self._idleness.is_over(now):
            return self._failed(SessionIdle(), reason=EndReason.IDLE)
        if self._departure.look(now) and (leaving := self._leave() if self._departure.is_over(now) else self._maybe_leave(now)):
            return leaving
        due = [effect for done in self._client_calls.overdue(now) for effect in self._tool_done(done, now)]
        if (state := self.state) is State.CONNECTING or state is State.CLOSED:
            return due
        due += self._succession.tick(now)
        if (hung_at := self._hung_at) is not None and now >= hung_at:
            due += self._lost(StreamFailed(self._streams.current, HUNG_CODE, Remedy.RESUME), now)
        if self.state is State.CLOSED or not (missing_ms := min(self._silence.take_ms(now), AUDIO_LIMIT_MS)):
            return due
        return [*due, self._hearing.take(self._wording.silence(missing_ms), missing_ms, now, is_filler=True)]

    def _asked_to_leave(self, how: Drain | Park | Stay, now: float) -> list[Effect]:
        if isinstance(how, Stay):
            if self._departure.take_back(how.reason):
                self._move(Step.STAY)
            return []
        if isinstance(how, Park):
            return self._finish(EndReason.PARKED, 1_012)
        self._departure.ask(now + how.within_seconds, now, is_held=how.is_parked, reason=how.reason)
        if self.state is State.CONNECTING:
            return self._leave()
        is_news = self.state is State.ACTIVE and how.reason is EndReason.SERVER_LEAVING
        told = [Emit(GoingAway(round(how.within_seconds * 1_000)))] if is_news else []
        self._move(Step.DRAIN)
        return [*told, *self._maybe_leave(now)]

    def is_at_rest(self, now: float) -> bool:
        """Tell whether nobody speaks, no answer is due, nobody hears anything and no tool runs: little is lost by an end or a move."""
        turns = self.turns
        is_busy = turns.speaker is not Speaker.LISTENING or turns.awaits_answer(now) or bool(self._calls.running)
        return not is_busy and (self._presence.is_away or not self._playback.is_playing(now))

    def may_be_parked(self, now: float) -> bool:
        """Tell whether nothing is lost when another process goes on: at rest, and nobody is about to speak."""
        return self.is_at_rest(now) and self._hearing.sounds_still()

    def _maybe_leave(self, now: float) -> list[Effect]:
        if self._departure.is_held or not self.is_at_rest(now) or self._calls.has_untold or not self._streams.is_alive:
            return []
        return self._leave()

    def _leave(self) -> list[Effect]:
        return self._finish(self._departure.reason, self._departure.close_code)

    def _failed(self, error: SessionError, ref: str = "", reason: EndReason = EndReason.FAILED) -> list[Effect]:
        flush, *ending = self._finish(reason, error.close_code)
        return [flush, Emit(error.event(ref)), *ending]

    def _finish(self, reason: EndReason, close_code: int = 1_000) -> list[Effect]:
        self._move(Step.OVER)
        return [Flush(self.turns.number), Emit(SessionEnded(reason, close_code, self._figures())), Finish()]

    def _figures(self) -> dict[str, int | float]:
        return figures(self.statistics, hearing=self._hearing, playback=self._playback, turns=self.turns, streams=self._streams)

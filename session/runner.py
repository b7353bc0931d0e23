"""The session runner: performs what the machine asks for, with one TaskGroup and one timer per session.

Everything that changes the machine goes through `_apply`, which is synchronous: commands of the client, events of the model, results of
tools and the timer never overlap. Tasks only wait for the world and then call it. A bug that shows there, or in a task, ends this session
with a reference to the log; an observer that fails is reported and the conversation goes on.
"""

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import assert_never

import structlog

from s2s.errors import LocalProtocolError, ModelError, Remedy
from session.client_link import ClientLink
from session.effects import (
    FIRST_GENERATION,
    Begin,
    Broken,
    ClientBack,
    ClientLost,
    CloseStream,
    Drain,
    Effect,
    Emit,
    Finish,
    Flush,
    Input,
    KeepAudio,
    ModelEvent,
    OpenStream,
    Overflowed,
    Park,
    Route,
    Send,
    StartTool,
    Stay,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.errors import SessionError
from session.events import Command, End, EndReason, HistoryTurn, Revise, SendAudio, SessionEvent, SpeechChunk
from session.interfaces import AudioObserver, Clock, ModelClient, ModelStream, Observer, SessionObserver, Tape, ToolRunner
from session.machine import SessionMachine
from session.origin import Origin
from session.overview import SessionOverview
from session.queues import PlaybackQueue, UplinkQueue
from session.resumption import Crowd
from session.revision import Reconsider
from session.snapshot import SessionSnapshot

log = structlog.get_logger()

SHORTEST_WAIT_SECONDS = 0.001
"""No timer is shorter: the loop's clock and ours differ a little (uvloop's counts milliseconds), and a timer that fires just before its
time would be set again and again."""
UNKNOWN_TOOL = "unknown_tool"
"""Error code of a tool that does not exist."""


class SessionRunner:
    """Runs one session.

    Call `run` once, as a task; `submit` and `next_event` from the connection beside it.

    Args:
        session_id: names the session in logs and events.
        machine: decides.
        playback: the machine's own queue, emptied here.
        model: opens the stream.
        tools: runs tools.
        observers: listen to every event.
        clock: monotonic time.
        crowd: counts the streams that are lost in all sessions.
        tape: keeps what happens, if the session is recorded.
        origin: what the session is made of.
        reconsider: joins other wishes of the client with the plan; None refuses them.
    """

    def __init__(
        self,
        *,
        session_id: str,
        machine: SessionMachine,
        playback: PlaybackQueue,
        model: ModelClient,
        tools: ToolRunner,
        observers: Sequence[Observer],
        clock: Clock,
        crowd: Crowd | None = None,
        tape: Tape | None = None,
        origin: Origin | None = None,
        reconsider: Reconsider | None = None,
    ) -> None:
        self.session_id = session_id
        self.client = ClientLink()
        self.flushed_turn = 0
        """The latest turn whose speech nobody wants to hear any more."""
        self._machine = machine
        self._playback = playback
        self._model = model
        self._tools = tools
        self._observers = observers
        self._clock = clock
        self._crowd = crowd or Crowd()
        self._tape = tape
        self.origin = origin
        self._reconsider = reconsider
        self._began_at = datetime.now(UTC)
        self._streams_opened = 0
        self._uplink = UplinkQueue()
        self._dropped_ms = 0.0
        """What the machine knows of what the uplink has dropped."""
        self._uplink_changed = asyncio.Event()
        self._downlink_changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._over = asyncio.Event()
        self._streams: dict[int, ModelStream] = {}
        self._dead: set[int] = set()
        """Streams that failed."""
        self._route: int | None = FIRST_GENERATION
        """Which stream takes what waits in the uplink."""
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.Handle | None = None
        self._fires_at = 0.0
        """When the timer does, by the loop's clock; uvloop makes no timer of what is due at once."""
        self._own_observers: tuple[SessionObserver, ...] = ()
        self._audio_observers: tuple[AudioObserver, ...] = ()
        self._faulty: list[object] = []

    @property
    def history(self) -> tuple[HistoryTurn, ...]:
        """The conversation so far."""
        return self._machine.turns.history()

    @property
    def is_over(self) -> bool:
        """Whether the session has ended; events may still wait for delivery."""
        return self._over.is_set()

    def attend(self, observers: Sequence[SessionObserver], audio_observers: Sequence[AudioObserver]) -> None:
        """Let these listen to this session alone; call it before `run`."""
        self._own_observers = (*observers, *audio_observers)
        self._audio_observers = tuple(audio_observers)

    async def run(self) -> None:
        """Run the session until it is over and everything that it opened is closed. May be cancelled, with the same result."""
        with structlog.contextvars.bound_contextvars(session_id=self.session_id):
            try:
                await self._run_tasks()
            except* Exception as failure:  # noqa: BLE001 - the task root of a session
                self._crashed(failure.exceptions[0])
            finally:
                await self._end()

    async def submit(self, command: Command) -> None:
        """Carry out a command; return when there is room for more audio, so that the client is pushed back.

        Raises:
            SessionError: the command cannot be carried out; the session goes on.
        """
        self._apply(self._reconsider(command.start) if isinstance(command, Revise) and self._reconsider is not None else command)
        if self._audio_observers and isinstance(command, SendAudio):
            now = self._clock.now()
            for observer in self._audio_observers:
                self._tell(observer, observer.on_caller_audio, command.pcm, now)
        if self._uplink.is_high and not self._is_cut_off:
            self._has_room.clear()
        if not self.is_over:
            await self._has_room.wait()

    @property
    def _is_cut_off(self) -> bool:
        """Whether no stream lives that could take what waits: the client is read on, and the oldest audio is dropped."""
        return self._route is None and not self._streams.keys() - self._dead and not self._uplink.is_full_of_words

    async def next_event(self) -> SessionEvent | None:
        """Return the next event for the client, speech at the pace of the listener; None after SessionEnded. May be cancelled."""
        while True:
            now, dropped_ms = self._clock.now(), self._playback.dropped_ms
            event = self._playback.pop(now)
            if self._tape is not None and (event is not None or self._playback.dropped_ms != dropped_ms):
                self._tape.delivered(now)
            if event is not None:
                if self._audio_observers and isinstance(event, SpeechChunk):
                    for observer in self._audio_observers:
                        self._tell(observer, observer.on_delivered, event, now)
                return event
            ready_at = self._playback.ready_at()
            if ready_at is None and self.is_over:
                return None
            self._downlink_changed.clear()
            await self._wait_for_downlink(ready_at)

    def drain(self, within_seconds: float, *, is_parked: bool = False, reason: EndReason = EndReason.SERVER_LEAVING) -> None:
        """End the session politely: when nobody speaks, or when `park` says so, and at the latest after this time."""
        self._apply(Drain(within_seconds, is_parked, reason))

    def stay(self, reason: EndReason) -> None:
        """Go on with a session that was to end for this reason and has not ended yet."""
        self._apply(Stay(reason))

    def park(self) -> None:
        """End the session here: another process has it, or may have it."""
        self._apply(Park())

    def snapshot(self) -> SessionSnapshot:
        """Return what another process needs to go on with the session."""
        return self._machine.snapshot(self._clock.now(), self.client.upstream, self.client.principal)

    def overview(self) -> SessionOverview:
        """Return what an operator sees of the session."""
        machine, assistant = self._machine, "" if self.origin is None else self.origin.plan.assistant
        figures = (self._streams_opened, machine.turns.number, machine.statistics.tool_calls)
        return SessionOverview(self.session_id, self.client.principal, assistant, machine.state.value, self._began_at, *figures)

    @property
    def has_unheard(self) -> bool:
        """Whether speech is still to be heard."""
        return self._playback.is_playing(self._clock.now())

    @property
    def may_be_parked(self) -> bool:
        """Whether nobody speaks or is about to, nothing is to be heard and no tool runs."""
        return self._machine.may_be_parked(self._clock.now())

    def client_lost(self, grace_seconds: float, undelivered_samples: int) -> None:
        """Go on without the client for a while; of what it was given last, so many samples did not arrive."""
        self._apply(ClientLost(grace_seconds, undelivered_samples))

    def client_back(self, undelivered_samples: int) -> None:
        """Go on with the client, which is given again now what did not arrive."""
        self._apply(ClientBack(undelivered_samples))
        self._downlink_changed.set()

    async def _wait_for_downlink(self, ready_at: float | None) -> None:
        timer: asyncio.TimerHandle | None = None
        if ready_at is not None:
            delay = max(SHORTEST_WAIT_SECONDS, ready_at - self._clock.now())
            timer = asyncio.get_running_loop().call_later(delay, self._downlink_changed.set)
        try:
            await self._downlink_changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._apply(Begin())
            await self._over.wait()
            for task in self._running:
                task.cancel()

    async def _end(self) -> None:
        """Close whatever is open; the machine is told in case nobody did, because `run` was cancelled."""
        self._apply(End())
        if self._timer is not None:
            self._timer.cancel()
        self._uplink.clear()
        self._has_room.set()
        self._downlink_changed.set()
        try:
            closed = await asyncio.gather(*(stream.close() for stream in self._streams.values()), return_exceptions=True)
            for failure in filter(None, closed):
                log.error("stream.close_failed", exc_info=failure)
        finally:
            self._tools.forget(self.session_id)
            if self._tape is not None:
                self._tape.close()

    def _apply(self, given: Input) -> None:
        """Tell the machine and do what it asks for.

        Raises:
            SessionError: a command cannot be carried out; the session goes on.
        """
        try:
            self._step(given)
        except SessionError:
            raise
        except Exception as error:  # noqa: BLE001 - whoever calls, it is this session that is broken and not its caller
            self._crashed(error)

    def _step(self, given: Input) -> None:
        now = self._clock.now()
        effects: list[Effect] | None = None
        try:
            effects = self._machine.handle(given, now)
        finally:  # what breaks the machine is worth knowing most
            if self._tape is not None:
                self._tape.record(given, now, effects)
        for effect in effects:
            self._perform(effect, now)
        if self._uplink.dropped_ms != self._dropped_ms:
            self._dropped_ms = self._uplink.dropped_ms
            self._step(Overflowed(self._dropped_ms))
        self._arm(now)

    def _perform(self, effect: Effect, now: float) -> None:
        match effect:
            case Send():
                self._uplink.put(effect)
                self._uplink_changed.set()
            case Emit(event):
                self._tell_observers(event)
                self._playback.put(event, now)
                self._downlink_changed.set()
            case Flush(turn):
                self.flushed_turn = max(self.flushed_turn, turn)
                self._playback.flush(turn, now)
            case StartTool(use):
                self._spawn(self._run_tool(use.tool_use_id, use.tool_name, use.content))
            case OpenStream():
                self._spawn(self._run_stream(effect))
            case Route(generation, first):
                self._uplink.put_first(first)
                self._route = generation
                self._uplink_changed.set()
            case KeepAudio():
                self._uplink.keep_audio()
            case CloseStream(generation):
                self._spawn(self._close_stream(generation))
            case Finish():
                self._over.set()
                self._has_room.set()
            case _:
                assert_never(effect)

    def _tell_observers(self, event: SessionEvent) -> None:
        for observer in self._observers:
            self._tell(observer, observer.on_event, self.session_id, event)
        for own in self._own_observers:
            self._tell(own, own.on_event, event)

    def _tell[**P](self, observer: object, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception:
            if observer not in self._faulty:  # once: there can be hundreds of events a second
                self._faulty.append(observer)
                log.exception("observer.failed", observer=type(observer).__name__)

    def _crashed(self, error: BaseException) -> None:
        """End the session after a bug of ours; the log has the details, the client the reference."""
        ref = uuid.uuid4().hex[:12]
        log.error("session.crashed", ref=ref, exc_info=error)
        try:
            self._step(Broken(ref))
        except Exception:
            log.exception("session.crashed", ref=ref)
            self._over.set()
            self._has_room.set()
            self._downlink_changed.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        if self._tasks is None:
            work.close()
            raise RuntimeError("run() has not been called")
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _arm(self, now: float) -> None:
        """Keep one timer that fires no later than the machine wants; firing early is harmless and saves a timer per piece of audio."""
        deadline = self._machine.next_deadline()
        if deadline is None:
            return
        loop = asyncio.get_running_loop()
        fires_at = loop.time() + max(SHORTEST_WAIT_SECONDS, deadline - now)
        if self._timer is not None:
            if self._fires_at <= fires_at and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer, self._fires_at = loop.call_at(fires_at, self._on_timer), fires_at

    def _on_timer(self) -> None:
        self._timer = None
        self._apply(Tick())

    async def _run_stream(self, wanted: OpenStream) -> None:
        generation = wanted.generation
        try:
            stream = await self._model.open(wanted.opening)
        except (ModelError, LocalProtocolError) as error:
            self._stream_failed(generation, error)
            return
        self._streams[generation] = stream
        self._streams_opened += 1
        signed_until = stream.signed_until
        signed_for = None if signed_until is None else (signed_until - datetime.now(UTC)).total_seconds()
        self._apply(StreamOpened(generation, signed_for))
        self._spawn(self._send(stream, generation))
        await self._receive(stream, generation)

    async def _close_stream(self, generation: int) -> None:
        stream = self._streams.get(generation)
        if stream is not None:
            await stream.close()
            self._streams.pop(generation, None)
            self._uplink.forget(generation)

    async def _receive(self, stream: ModelStream, generation: int) -> None:
        try:
            while (event := await stream.receive()) is not None:
                self._apply(ModelEvent(generation, event))
        except ModelError as error:
            self._stream_failed(generation, error)
        else:
            self._apply(StreamEnded(generation))

    async def _send(self, stream: ModelStream, generation: int) -> None:
        try:
            while generation in self._streams:
                group = self._uplink.pop_bound(generation) or (self._uplink.pop() if generation == self._route else None)
                if group is None:
                    self._uplink_changed.clear()
                    await self._uplink_changed.wait()
                    continue
                await stream.send(group.events)
                if self._uplink.is_low:
                    self._has_room.set()
        except (ModelError, LocalProtocolError) as error:
            if generation in self._streams:  # else it was closed under a group that had no room yet
                self._stream_failed(generation, error)

    def _stream_failed(self, generation: int, error: ModelError | LocalProtocolError) -> None:
        """Tell the machine; a local protocol error is our own bug, but to the client it is a lost stream."""
        if self.is_over or generation in self._dead:
            return  # sender and receiver both learn of it
        self._dead.add(generation)
        code, remedy = (error.code, error.remedy) if isinstance(error, ModelError) else ("local_protocol", Remedy.FATAL_CONFIG)
        ref = uuid.uuid4().hex[:12]
        log.warning("stream.failed", code=code, remedy=remedy.value, detail=str(error), ref=ref)
        self._apply(StreamFailed(generation, code, remedy, ref, self._crowd.join(self._clock.now())))
        if self._is_cut_off:
            self._has_room.set()

    async def _run_tool(self, tool_use_id: str, name: str, arguments: str) -> None:
        started_at = self._clock.now()
        call = {"tool_use_id": tool_use_id, "name": name, "arguments": arguments}
        patient_id = self.origin.plan.start.patient_id if self.origin is not None else ""
        outcome = await self._tools.run(session_id=self.session_id, caller=self.client.caller, patient_id=patient_id, **call)
        duration_ms = round((self._clock.now() - started_at) * 1_000)
        tool = None if outcome.error_code == UNKNOWN_TOOL else name  # a made-up name can hold the user's words
        log.info("tool.finished", tool=tool, error_code=outcome.error_code, duration_ms=duration_ms)
        self._apply(ToolDone(tool_use_id, outcome.content, outcome.error_code, duration_ms))

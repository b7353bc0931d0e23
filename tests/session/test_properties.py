"""Whatever comes in whatever order: the session stays in a legal state and keeps its promises to client and model."""

from collections.abc import Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from s2s.codec import encode_output
from s2s.errors import Remedy
from s2s.events import (
    AudioOutput,
    CompletionEnd,
    ContentEnded,
    ContentStarted,
    ContentType,
    OutputEvent,
    Role,
    Stage,
    StopReason,
    TextOutput,
    ToolContentStart,
    ToolUse,
    UnknownEvent,
    UserSpeechEnd,
    UserSpeechStart,
)
from s2s.models import capabilities
from s2s.protocol import StreamProtocol
from session.effects import (
    Begin,
    Broken,
    ClientBack,
    ClientLost,
    CloseStream,
    Drain,
    Emit,
    Finish,
    Flush,
    Input,
    KeepAudio,
    ModelEvent,
    OpenStream,
    Park,
    Route,
    Send,
    StartTool,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    Tick,
    ToolDone,
)
from session.errors import SessionError
from session.events import (
    Command,
    End,
    Interrupt,
    Interrupted,
    ReportPlayback,
    SendAudio,
    SendText,
    SessionEnded,
    SessionEvent,
    SessionFailed,
    SessionStarted,
    SpeechChunk,
    SpeechStarted,
    Start,
    StopAudio,
    ToolFinished,
    ToolStarted,
)
from session.life_cycle import State
from session.queues import LEAD_MS
from session.speaker import Speaker
from tests.session.doubles import INTERRUPTED_MARKER, MODEL_ID, OUTPUT_HERTZ, make_machine, speech

IDS = ("stream", "prompt", "completion")
CONTENTS = st.sampled_from(["x", "y", "z"])
TOOLS = st.sampled_from(["tool-1", "tool-2", "tool-3"])
TEXTS = st.sampled_from(["Uno dos.", "Tres.", "Uno", "[FINAL]", "Hola. [FINAL]", "", INTERRUPTED_MARKER, "{"])
CONTENT_STARTED = st.builds(
    lambda content, kind, role, stage: ContentStarted(*IDS, content, kind, role, stage if kind is ContentType.TEXT else None, OUTPUT_HERTZ),
    CONTENTS,
    st.sampled_from(ContentType),
    st.sampled_from([Role.USER, Role.ASSISTANT, Role.TOOL]),
    st.sampled_from(Stage),
)
MODEL_EVENTS: st.SearchStrategy[OutputEvent] = st.one_of(
    CONTENT_STARTED,
    st.builds(lambda content, text: TextOutput(*IDS, content, None, text), CONTENTS, TEXTS),
    st.builds(lambda content, ms: AudioOutput(*IDS, content, speech(ms)), CONTENTS, st.sampled_from([0, 20, 500])),
    st.builds(
        lambda content, kind, stop: ContentEnded(*IDS, content, kind, stop),
        CONTENTS,
        st.sampled_from(ContentType),
        st.sampled_from(StopReason),
    ),
    st.builds(lambda tool: ToolUse(*IDS, "t", "lookUp", tool, "{}"), TOOLS),
    st.sampled_from(
        [UserSpeechStart("s", "p", 0), UserSpeechEnd("s", "p", 1, 2), UnknownEvent("x", "{}"), CompletionEnd(*IDS, StopReason.END_TURN)]
    ),
)
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    st.builds(lambda size: SendAudio(bytes(size)), st.sampled_from([0, 1, 640, 70_000])),
    st.builds(SendText, st.sampled_from(["", "Hola.", "\x00"])),
    st.builds(ReportPlayback, st.integers(0, 8), st.integers(-100, 10_000)),
    st.sampled_from([Interrupt(), StopAudio(), Start()]),
)
PHRASES = ("Uno dos.", "Tres.")


class AnySession(RuleBasedStateMachine):
    """A session that is told anything at any time, with a listener, and a stream that follows the protocol."""

    def __init__(self) -> None:
        super().__init__()
        self.machine, self.playback = make_machine()
        self.streams = {1: StreamProtocol(capabilities(MODEL_ID))}
        self.route: int | None = 1
        self.current = 1
        self.next: int | None = None
        self.waiting: list[Send] = []
        self.taken: dict[int, int] = {}
        """By stream: the number of the audio that it got last."""
        self.tool_streams: dict[str, int] = {}
        self.unanswerable: set[str] = set()
        self.dead: set[int] = set()
        self.failures = 0
        self.now = 5.0
        self.told: list[SessionEvent] = []
        self.heard: list[SessionEvent] = []
        self.started_tools: set[str] = set()
        self.running_tools: set[str] = set()
        self.answered_tools: list[str] = []
        self.finishes = 0
        self.block = 0

    def give(self, given: Input) -> None:
        """Tell the machine something and perform what it asks for, as the runner does."""
        was = self.machine.state
        try:
            effects = self.machine.handle(given, self.now)
        except SessionError:
            assert isinstance(given, SendAudio | SendText | Start)
            assert self.machine.state is was
            return
        if was is State.CLOSED:
            assert effects == []
        for effect in effects:
            match effect:
                case OpenStream(generation, opening):
                    self.streams.setdefault(generation, StreamProtocol(capabilities(MODEL_ID))).send_group(opening)
                    self.next = generation if generation > 1 else None
                case Route(generation, first):
                    assert generation not in self.dead
                    self.put_first(first)
                    self.route = generation
                    self.current = generation or self.current
                    self.send_what_waits()
                case KeepAudio():
                    self.waiting = [group for group in self.waiting if group.audio_ms]
                case CloseStream(generation):
                    assert generation not in (self.route, self.machine._streams.next)
                    self.dead.add(generation)
                case Send():
                    self.waiting.append(effect)
                    self.answered_tools += [event.tool_use_id for event in effect.events if isinstance(event, ToolContentStart)]
                    self.send_what_waits()
                case Emit(event):
                    self.told.append(event)
                    self.playback.put(event, self.now)
                case Flush(turn):
                    self.playback.flush(turn, self.now)
                case Finish():
                    self.finishes += 1
                case StartTool():
                    self.tool_streams[effect.use.tool_use_id] = self.current
                    assert effect.use.tool_use_id not in self.started_tools
                    self.started_tools.add(effect.use.tool_use_id)
                    self.running_tools.add(effect.use.tool_use_id)

    def put_first(self, groups: Sequence[Send]) -> None:
        """Put audio before what waits, unless it waits itself."""
        oldest = min((group.number for group in self.waiting if group.number), default=None)
        self.waiting[:0] = [group for group in groups if oldest is None or group.number < oldest]

    def send_what_waits(self) -> None:
        """Send on the stream that takes it; raises when the model would end the stream over it."""
        while self.route is not None and self.waiting:
            group = self.waiting.pop(0)
            self.streams[self.route].send_group(group.events)
            assert group.number == 0 or group.number > self.taken.get(self.route, 0), "audio in order, and once"
            self.taken[self.route] = group.number or self.taken.get(self.route, 0)

    def says(self, event: OutputEvent) -> None:
        """Let the model say something."""
        if self.current in self.dead:
            return
        self.streams[self.current].receive_data(encode_output(event))
        self.give(ModelEvent(self.current, event))

    @initialize()
    def begin(self) -> None:
        """Open the stream."""
        self.give(Begin())

    @rule(signed_for=st.sampled_from([None, 91.0, 100.0]))
    def opens(self, signed_for: float | None) -> None:
        """The stream is open, and may have to give way soon."""
        if self.machine.state is State.CONNECTING:
            self.give(StreamOpened(1, signed_for))

    @precondition(lambda self: self.next is not None)
    @rule(signed_for=st.sampled_from([None, 91.0]))
    def next_opens(self, signed_for: float | None) -> None:
        """The next stream is open."""
        assert self.next is not None
        generation, self.next = self.next, None
        self.give(StreamOpened(generation, signed_for))

    @precondition(lambda self: self.next is not None)
    @rule(remedy=st.sampled_from([Remedy.BACKOFF, *Remedy]))
    def next_is_refused(self, remedy: Remedy) -> None:
        """The next stream is refused."""
        assert self.next is not None
        generation, self.next = self.next, None
        self.dead.add(generation)
        self.give(StreamFailed(generation, "model_throttled", remedy))

    @precondition(lambda self: self.current > 1)
    @rule(event=MODEL_EVENTS)
    def an_old_stream_says_anything(self, event: OutputEvent) -> None:
        """A stream that was left goes on talking."""
        self.give(ModelEvent(self.current - 1, event))

    @precondition(lambda self: self.machine.state is not State.CONNECTING and self.current not in self.dead)
    @rule(remedy=st.sampled_from([Remedy.RESUME, *Remedy]))
    def the_stream_dies(self, remedy: Remedy) -> None:
        """The stream that carries the session dies, in the middle of anything."""
        self.dead.add(self.current)
        self.failures += 1
        was_over = self.machine.state is State.CLOSED
        self.give(StreamFailed(self.current, "model_lost", remedy))
        if self.failures == 1 and remedy is not Remedy.FATAL_CONFIG and not was_over:
            assert self.machine.state is not State.CLOSED

    @rule(command=COMMANDS)
    def commands(self, command: Command) -> None:
        """The client gives a command."""
        self.give(command)

    @precondition(lambda self: self.machine.state is not State.CONNECTING)
    @rule(event=MODEL_EVENTS)
    def says_anything(self, event: OutputEvent) -> None:
        """The model says something, sensible or not."""
        self.says(event)

    @precondition(lambda self: self.machine.state is not State.CONNECTING)
    @rule(text=st.sampled_from(PHRASES), stop=st.sampled_from(StopReason), pieces=st.integers(0, 3))
    def answers(self, text: str, stop: StopReason, pieces: int) -> None:
        """The model plans a sentence and speaks it."""
        self.block += 1
        planned, spoken = f"text-{self.block}", f"audio-{self.block}"
        self.says(ContentStarted(*IDS, planned, ContentType.TEXT, Role.ASSISTANT, Stage.SPECULATIVE))
        self.says(TextOutput(*IDS, planned, None, text))
        self.says(ContentEnded(*IDS, planned, ContentType.TEXT, StopReason.PARTIAL_TURN))
        self.says(ContentStarted(*IDS, spoken, ContentType.AUDIO, Role.ASSISTANT, None, OUTPUT_HERTZ))
        for _ in range(pieces):
            self.says(AudioOutput(*IDS, spoken, speech(400)))
        self.says(ContentEnded(*IDS, spoken, ContentType.AUDIO, stop))

    @precondition(lambda self: self.running_tools)
    @rule(data=st.data(), error_code=st.sampled_from([None, "not_found"]))
    def finishes_tool(self, data: st.DataObject, error_code: str | None) -> None:
        """A tool ends."""
        tool = data.draw(st.sampled_from(sorted(self.running_tools)))
        self.running_tools.discard(tool)
        if self.tool_streams[tool] != self.current or self.current in self.dead:
            self.unanswerable.add(tool)
        self.give(ToolDone(tool, "{}", error_code, 1))

    @rule(tool=TOOLS)
    def answers_again(self, tool: str) -> None:
        """A tool that ended ends once more."""
        if tool not in self.running_tools:
            self.give(ToolDone(tool, "{}", None, 1))

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.3, 2.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        """The listener listens and the timer fires when it is wanted."""
        until = self.now + seconds
        while True:
            self.deliver()
            moments = [at for at in (self.machine.next_deadline(), self.playback.ready_at()) if at is not None and at <= until]
            if not moments:
                break
            self.now = max(self.now, min(moments))
            if (deadline := self.machine.next_deadline()) is not None and deadline <= self.now:
                self.give(Tick())
                assert (self.machine.next_deadline() or until + 1) > self.now, "the timer would spin"
        self.now = until

    def deliver(self) -> None:
        """Give the client what is ready."""
        while (event := self.playback.pop(self.now)) is not None:
            if isinstance(event, SpeechChunk):
                interrupted = {other.turn for other in self.told if isinstance(other, Interrupted)}
                assert event.turn not in interrupted
            self.heard.append(event)

    @rule(given=st.sampled_from([Drain(1.0), Drain(30.0), Drain(30.0, is_parked=True), Park()]))
    def drains(self, given: Input) -> None:
        """The server leaves."""
        self.give(given)

    @rule(given=st.sampled_from([ClientLost(300.0), ClientLost(5.0, 4_800), ClientBack(), ClientBack(2_400)]))
    def client_goes_or_comes(self, given: Input) -> None:
        """The client loses its connection, or has another one."""
        self.give(given)

    @rule(given=st.sampled_from([End(), Broken("ref"), StreamEnded(1)]), stale=st.booleans())
    @precondition(lambda self: self.now > 12.0)
    def ends(self, given: Input, *, stale: bool) -> None:
        """Something ends the session, or would have if it were of this stream."""
        self.give(StreamFailed(0, "model_lost", Remedy.RESUME) if stale else given)

    @invariant()
    def states_are_legal(self) -> None:
        """Machine, speaker and open turn agree."""
        turns = self.machine.turns
        if turns.speaker is Speaker.ASSISTANT_SPEAKING:
            assert turns._assistant is not None
            assert turns._assistant.heard_ms is None
        assert (self.machine.state is State.CLOSED) == (self.finishes == 1)
        assert self.machine.next_deadline() is None or self.machine.state is not State.CLOSED

    @invariant()
    def the_start_is_first_and_the_end_is_last(self) -> None:
        """SessionStarted before all, SessionFailed before the end, SessionEnded once and last."""
        kinds = [type(event) for event in self.told]
        assert kinds.count(SessionStarted) <= 1
        assert not kinds or kinds[0] in {SessionStarted, SessionFailed, SessionEnded}
        assert kinds.count(SessionEnded) == self.finishes
        assert SessionEnded not in kinds[:-1]
        if SessionFailed in kinds:
            assert kinds[-2:] == [SessionFailed, SessionEnded]

    @invariant()
    def tools_are_answered_at_most_once(self) -> None:
        """One result for each toolUseId, and one event of each kind."""
        assert len(self.answered_tools) == len(set(self.answered_tools))
        for kind in (ToolStarted, ToolFinished):
            ids = [event.tool_use_id for event in self.told if isinstance(event, kind)]
            assert len(ids) == len(set(ids))
        turns = {event.tool_use_id: event.turn for event in self.told if isinstance(event, ToolStarted)}
        assert all(turns[event.tool_use_id] == event.turn for event in self.told if isinstance(event, ToolFinished))
        if self.machine.state is not State.CLOSED:
            assert self.started_tools - self.running_tools - self.unanswerable == set(self.answered_tools)

    @invariant()
    def an_interrupted_turn_is_over(self) -> None:
        """No speech of a turn is told after its interruption, and it is interrupted once."""
        over: set[int] = set()
        for event in self.told:
            if isinstance(event, Interrupted):
                assert event.turn not in over
                assert event.heard_ms >= 0
                over.add(event.turn)
            elif isinstance(event, SpeechChunk | SpeechStarted):
                assert event.turn not in over

    @invariant()
    def nobody_talks_over_the_user(self) -> None:
        """When the user has begun to speak, no older speech waits for delivery."""
        if self.told and type(self.told[-1]).__name__ == "UserSpeechStarted":
            assert self.playback.waiting_ms == 0

    @invariant()
    def delivery_is_at_most_the_lead_ahead(self) -> None:
        """Pacing holds."""
        listener = self.playback._listener
        assert listener.played_until - listener.time(self.now) <= LEAD_MS / 1_000 + 1e-9

    @invariant()
    def markers_are_hidden(self) -> None:
        """Nobody is told [FINAL]."""
        assert "[FINAL]" not in str(self.told[-8:])

    def teardown(self) -> None:
        """Whatever happened, the user's next question is answered aloud, and the session can end."""
        self.give(ClientBack())
        if self.machine.state is State.CONNECTING:
            self.give(StreamOpened(1))
        for _ in range(3):
            if self.next is not None:
                self.next_opens(None)
            self.time_passes(3.0 if self.current in self.dead else 0.0)
        if self.machine.state is not State.CLOSED:
            self.says(UserSpeechStart("s", "p", 0))
            self.says(UserSpeechEnd("s", "p", 1, 2))
            self.says(ContentStarted(*IDS, "question", ContentType.TEXT, Role.USER, Stage.FINAL))
            self.says(TextOutput(*IDS, "question", None, "¿Y ahora?"))
            before = len(self.told)
            self.answers("Tres.", StopReason.END_TURN, 1)
            assert any(isinstance(event, SpeechChunk | SessionEnded) for event in self.told[before:])
        self.give(End())
        self.time_passes(0.0)
        assert isinstance(self.heard[-1], SessionEnded)
        self.the_start_is_first_and_the_end_is_last()


TestAnySession = AnySession.TestCase
TestAnySession.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
